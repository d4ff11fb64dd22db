"""What ``hosu collect`` says before it begins, and of an end that brought nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from hosu.cli.collect import _require_connection
from hosu.errors import BrokerUnreachableError

IDLE = "no market data for 60 s"


def work(*registrations: int) -> Any:
    """Of several keys, so many registrations each."""
    keys = [SimpleNamespace(registrations=range(count)) for count in registrations]
    return SimpleNamespace(keys=keys, wish=SimpleNamespace(host=SimpleNamespace(ws="ws://127.0.0.1:1")))


def test_who_never_stood_connected_has_not_succeeded() -> None:
    with pytest.raises(BrokerUnreachableError, match=f"ws://127.0.0.1:1 cannot .*no connection ever stood; {IDLE}"):
        _require_connection(work(0, 2), {"reason": IDLE, "connects": 0})


@pytest.mark.parametrize(
    ("keys", "last"),
    [
        ((2,), {"reason": IDLE, "connects": 1}),
        ((0, 0), {"reason": IDLE, "connects": 0}),
        ((2,), {"reason": "SIGTERM", "connects": 0}),
        ((2,), {"reason": "the market's day is over", "connects": 0}),
    ],
)
def test_who_stood_once_or_was_to_poll_or_was_ended_by_something_else_has(keys: tuple[int, ...], last: Any) -> None:
    _require_connection(work(*keys), last)
