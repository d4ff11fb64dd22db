"""Makes the folder's own parts importable, and those of its neighbours that they are made of."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "lake"))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from parity_station import Station


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)
