"""Datasets of minutes as they were served: the features are those that a model was given, whatever bars say now."""

from pathlib import Path

import numpy as np
import pytest
from lake_parts import DAYS, clock, minute_bars, served, trades

from hosu.errors import InputError
from hosu.features import kernel
from hosu.features.dataset import Dataset, build
from hosu.features.dataset_definition import Definition
from hosu.features.dataset_files import encode
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.source import KernelSource
from hosu.lake.lake import Lake

DAY = DAYS[0]
RSI = SCALE_FREE_V1.features.index("rsi_share")
ALL = Definition(horizon=10, interval="minute", days="all", view="as_served")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with ninety bars of A and B, of which A's minutes 30 to 69 and B's 40 were served."""
    lake = Lake.open(str(tmp_path / "lake"))
    calm = dict.fromkeys(range(90), 10_000.0)
    minute_bars(lake, DAY, {"A": calm, "B": calm})
    served(lake, DAY, *[("A", minute, 10_010.0, minute / 2) for minute in range(30, 70)], ("B", 40, 9_990.0, 7.0))
    return lake


def made(lake: Lake, definition: Definition = ALL) -> Dataset:
    return build(lake, KernelSource(SCALE_FREE_V1, "minute"), definition)


def rsi(dataset: Dataset) -> dict[tuple[str, int], float]:
    """By symbol and minute after nine."""
    rows = dataset.rows
    minutes = ((rows.t - clock(DAY, "09:00:00")) // 60_000_000 - 1).tolist()
    names = [rows.symbols[at] for at in rows.symbol]
    return dict(zip(zip(names, minutes, strict=True), rows.features[:, RSI].tolist(), strict=True))


def test_a_minute_has_the_features_that_were_served_of_it_and_others_are_left_out(lake: Lake) -> None:
    found = made(lake)

    assert rsi(found) == {("A", minute): minute / 200 for minute in range(30, 70)} | {("B", 40): 0.07}
    assert found.rows.features[0, 0] == 10_010 / 1.0 - 1  # the close that was served, over a mean of 1
    assert found.left_out == {"days": 0, "universe": 0, "not_served": 139}
    assert set(found.rows.price.tolist()) == {10_000.0}


def test_labels_are_those_of_the_repaired_view(lake: Lake) -> None:
    rest = {"source": "rest", "mkop_code": None}
    trades(lake, DAY, ("09:41:05", 10_020.0, 1, rest), ("09:51:05", 10_080.0, 2, rest))
    was, now = made(lake), made(lake, Definition(horizon=10, interval="minute", days="all"))

    there = np.isin(now.rows.t * 2 + now.rows.symbol, was.rows.t * 2 + was.rows.symbol)

    assert len(was.rows) == there.sum() == 41
    for name in ("t", "symbol", "t0", "t1", "ret_ex", "ret_px", "label", "reason", "band", "half_spread"):
        np.testing.assert_array_equal(getattr(was.rows, name), getattr(now.rows, name)[there], err_msg=name)
    assert (was.rows.ret_ex == 10_080 / 10_020 - 1).sum() == 1
    assert now.left_out == {"days": 0, "universe": 0}


def test_of_two_logs_the_first_made_counts_as_of_predictions_and_of_another_kernel_nothing(lake: Lake) -> None:
    early, late = ({"served_at": clock(DAY, at)} for at in ("10:00:00", "16:00:00"))
    served(lake, DAY, ("A", 30, 10_010.0, 99.0), ("A", 71, 10_010.0, 50.0), wal_id="zog")
    served(lake, DAY, ("A", 73, 10_010.0, 11.0, late), ("A", 74, 10_010.0, 11.0, early), wal_id="a: collected again")
    served(lake, DAY, ("A", 73, 10_010.0, 22.0, early), ("A", 74, 10_010.0, 22.0, early), wal_id="b: live")
    served(lake, DAY, ("A", 72, 10_010.0, 50.0, {"kernel": kernel.VERSION + 1}))

    found = rsi(made(lake))

    assert found["A", 30] == 0.15  # neither says when: by name
    assert found["A", 73] == 0.22
    assert found["A", 74] == 0.11
    assert found["A", 71] == 0.5
    assert ("A", 72) not in found


def test_a_feature_that_was_null_when_it_was_served_is_null(lake: Lake) -> None:
    served(lake, DAY, ("A", 75, 10_010.0, None))

    assert np.isnan(rsi(made(lake))["A", 75])


def test_what_is_served_later_makes_another_dataset_and_the_old_one_is_there_again(lake: Lake) -> None:
    old = made(lake)
    served(lake, DAY, ("B", 41, 9_990.0, 8.0))

    new = made(lake)
    again = build(lake, KernelSource(SCALE_FREE_V1, "minute"), ALL, versions=old.versions)

    assert new.id != old.id
    assert (again.id, encode(again)) == (old.id, encode(old))
    assert new.versions["features_served_1m"] == old.versions["features_served_1m"] + 1


def test_where_nothing_was_served_that_is_said(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "other"))
    minute_bars(lake, DAY, {"A": dict.fromkeys(range(90), 10_000.0)})

    with pytest.raises(InputError, match=r"is empty .*90 that were never served"):
        made(lake)
