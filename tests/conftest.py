"""What every test may ask for."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import effort  # noqa: F401  whoever uses Hypothesis runs under its profile


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that at the end nobody waits for it alone."""
    items.sort(key=lambda item: item.get_closest_marker("lasts") is None)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real market data kept beside the checkout, or named by HOSU_SHARED.

    Its licence does not allow shipping it, so tests that need it skip where it is absent, and fail where CI is set.
    """
    folder = Path(os.environ.get("HOSU_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    if folder.is_dir():
        return folder
    reason = f"no market data in {folder}; set HOSU_SHARED to the folder that holds data/"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Commands that run in the tests' own process set handlers for the rest of its life."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
