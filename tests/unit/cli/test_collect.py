"""What ``hosu collect`` says before it begins, and of an end that brought nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from hosu.cli.collect import _require_connection
from hosu.cli.keys import unusual_lengths
from hosu.cli.main import app
from hosu.errors import BrokerUnreachableError
from hosu.kis.hosts import Credentials

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


def test_keys_of_an_unusual_length_are_told_of_at_the_start_without_their_value(monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVE_KIS_APP_KEY", "short-and-secret")
    monkeypatch.setenv("LIVE_KIS_APP_SECRET", "s" * 180)
    ran = CliRunner().invoke(app, ["collect", "--symbols", "005930", "--plan"])
    told = "hosu: LIVE_KIS_APP_KEY has 16 characters, usual are 36; check what you pasted"
    assert ran.stderr.splitlines()[0] == told
    assert "short-and-secret" not in ran.output


def test_each_key_of_an_unusual_length_is_named_by_its_number_and_a_simulator_takes_any() -> None:
    keys = [Credentials("k" * 36, "s" * 180), Credentials("k" * 35, "s" * 181)]
    assert unusual_lengths("live", keys[:1]) == ""
    assert unusual_lengths("paper", keys) == (
        "PAPER_KIS_APP_KEY of key 2 has 35 characters, usual are 36; "
        "PAPER_KIS_APP_SECRET of key 2 has 181 characters, usual are 180; check what you pasted"
    )
    assert unusual_lengths("simulator", keys) == ""
