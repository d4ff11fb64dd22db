"""What ``hosu lake bars`` says of a date that has no bar."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))

from lake_parts import DAYS, trades

from hosu.cli.lake import bars
from hosu.cli.output import Format
from hosu.lake.lake import Lake


@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        ("2025-09-14", "KRX does not trade on 2025-09-14"),
        ("1999-01-04", "1999-01-04 lies outside the known calendar"),
        (DAYS[0], "the lake has nothing that bars are built from; collect the day"),
        (DAYS[1], "none of its 1 trades has all of price, size, time and cumulative volume"),
    ],
)
def test_of_a_date_without_a_bar_it_is_said_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], day: str, sentence: str
) -> None:
    trades(Lake.open(str(tmp_path)), DAYS[1], ("09:30:00", float("nan"), 1))
    bars(date=[day], lake=str(tmp_path), format_=Format.json)
    told = capsys.readouterr()
    assert [row["minute_bars"] for row in json.loads(told.out)] == [0]
    assert f"{day}: {sentence}" in told.err


def test_of_a_date_that_has_bars_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trades(Lake.open(str(tmp_path)), DAYS[0], ("09:30:00", 10_000.0, 1))
    bars(date=[DAYS[0]], lake=str(tmp_path), format_=Format.json)
    told = capsys.readouterr()
    assert [row["minute_bars"] for row in json.loads(told.out)] == [1]
    assert DAYS[0] not in told.err
