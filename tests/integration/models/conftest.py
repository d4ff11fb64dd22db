"""What stands beside the stream of live predictions: a lake, its registry and who answers."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from live_parts import LETTERS, MINUTE, MODELS, NINE

from hosu.clock import SimulatedClock
from hosu.lake.lake import Lake
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.registry import Registry
from hosu.models.seats import Seats
from model_cases import SET


@pytest.fixture
def letters(monkeypatch):
    """The kernel has the version that the models of ``model_cases`` were packed with."""
    monkeypatch.setattr("hosu.features.definitions.kernel.VERSION", 1)
    assert LETTERS.version == SET


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def clock():
    return SimulatedClock(start_us=NINE + MINUTE)


@pytest.fixture
def registry(lake, clock) -> Registry:
    return Registry(lake, clock)


@pytest.fixture
def live(lake, registry, clock) -> Live:
    return Live(Seats(lake, registry, MODELS, LETTERS), LiveJournal(lake), LETTERS, clock=clock)
