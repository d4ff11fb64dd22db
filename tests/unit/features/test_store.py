"""What the lake says of a day when it begins, odd rows included."""

from pathlib import Path

import pytest
from lake_parts import DAYS, instruments, minute_bars

from hosu.features.bars_of_lake import panel
from hosu.features.dated_rules import Listing
from hosu.features.store import LakeFeatureStore
from hosu.lake.lake import Lake

DAY = DAYS[0]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 1e300, 1e-9, 0.0, -1.0])
def test_a_base_price_that_no_share_has_counts_as_not_told(tmp_path: Path, odd: float) -> None:
    lake = Lake.open(str(tmp_path))
    instruments(lake, DAY, ("A", 100.5), ("B", odd))
    known = LakeFeatureStore(lake).known(DAY)
    assert known is not None
    assert known.base == {"A": 10_050}


@pytest.mark.parametrize("odd", [{"market": "MARS"}, {"type": "bond"}, {"market": None}, {"type": None}])
def test_of_a_market_or_type_that_is_unknown_there_is_no_listing_and_the_others_stay(
    tmp_path: Path, odd: dict[str, str | None]
) -> None:
    lake = Lake.open(str(tmp_path))
    instruments(lake, DAY, ("A", 100.0, {"market": "KOSDAQ"}), ("B", 100.0, odd))
    minute_bars(lake, DAY, {"A": {0: 100.0}, "B": {0: 100.0}})
    known = LakeFeatureStore(lake).known(DAY)
    assert known is not None
    assert set(known.listings) == {"A"}
    assert known.listings["A"] != Listing()
    assert panel(lake, "minute").listings == known.listings  # batch says the same
