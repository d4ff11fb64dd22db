"""A day that was collected, archived and built into bars: what was served, what a replay serves, what batch makes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer
from lake_parts import damaged, served
from parity_station import DAY, NEXT, SYMBOL, THIRD, Station, at, close, listed, morning, trade

from hosu.cli import check
from hosu.cli.output import Format
from hosu.errors import InputError
from hosu.features import kernel, online_bars
from hosu.features.batch import States
from hosu.features.parity import parity
from hosu.features.sink import FeatureSink
from hosu.features.store import LakeFeatureStore
from hosu.lake.derived import replace_date
from hosu.lake.ohlcv import build


def test_what_was_served_is_what_a_replay_serves_and_what_batch_makes(station: Station):
    station.receive(*morning(70))
    station.receive(*morning(30, 70), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert report.passed
    assert (report.rows, report.symbols, report.repaired) == (380, 1, 0)
    assert report.logs == (station.wal_id,)
    assert report.mismatches == []


def test_killed_before_the_state_was_laid_down_it_serves_the_same_rows_once(station: Station):
    station.receive(*morning(40))
    station.receive(*morning(30, 40), lays_down=False)
    station.receive(*morning(30, 70), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert report.passed
    assert (report.rows, report.repaired) == (380, 0)


def test_a_day_carried_on_from_the_day_before_agrees_too(station: Station):
    station.receive(*morning(60), close("15:40:00"))
    station.receive(*morning(20, day=NEXT), close("15:40:00", NEXT), day=NEXT)
    build(station.lake)
    report = parity(station.lake, NEXT)
    assert report.passed
    assert (report.rows, report.repaired) == (381, 0)
    assert parity(station.lake, DAY).passed


def test_a_late_trade_is_in_the_built_bars_and_is_called_repaired(station: Station):
    station.receive(*morning(20), trade("09:11:55", 41, 99_900), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert report.passed
    assert report.repaired > 0
    assert {each.ts for each in report.repairs} == {at("09:11:00")}
    assert {each.feature for each in report.repairs} <= {"bar", "close", "volume"}


def state_rows(states: Any, revision: int) -> pa.Table:
    count = len(states.symbols)
    return pa.table(
        {
            "symbol": pa.array(states.symbols, pa.string()),
            "scope": pa.array(["KRX"] * count),
            "interval": pa.array(["minute"] * count),
            "kernel": pa.array([kernel.VERSION] * count, pa.int32()),
            "ints": pa.array(states.ints.tolist(), pa.list_(pa.int64())),
            "floats": pa.array(states.floats.tolist(), pa.list_(pa.float64())),
            "revision": pa.array([revision] * count, pa.int64()),
        }
    )


def test_a_day_begun_with_a_state_of_the_lake_agrees_and_names_it(station: Station):
    station.receive(*morning(60), close("15:40:00"))
    kept = FeatureSink(LakeFeatureStore(station.lake), keep=station.keep)
    kept.resume_after(station.wal_id)
    states = kept._kept.bars.states
    states.floats[0, 0] *= 1.5  # as if batch had found that day otherwise
    replace_date(station.lake, "feature_state", DAY, state_rows(states, 4))
    station.receive(*morning(20, day=NEXT), close("15:40:00", NEXT), day=NEXT)
    build(station.lake)
    assert LakeFeatureStore(station.lake).began(NEXT, station.wal_id) == f"{DAY}/4"
    assert parity(station.lake, NEXT).passed
    replace_date(station.lake, "feature_state", DAY, state_rows(states, 5))
    with pytest.raises(InputError, match="2025-03-14/4"):
        parity(station.lake, NEXT)


def test_a_fault_in_what_was_served_is_found_in_every_row_behind_it(station: Station, monkeypatch: pytest.MonkeyPatch):
    take = online_bars.OnlineBars.take

    def twice(self: Any, code: Any, cum: Any, price: Any, size: Any, ts_us: Any) -> int:
        return take(self, code, cum, price, size * np.where(ts_us == at("09:11:10"), 2, 1), ts_us)

    with monkeypatch.context() as patch:
        patch.setattr(online_bars.OnlineBars, "take", twice)
        station.receive(*morning(60), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert report.mismatched == {"replay": 12, "batch": 12}  # of the minute itself, and the volume means from bar 20 on
    assert report.mismatches[0].ts == at("09:11:00")
    assert report.mismatches[0].feature == "volume"


def test_a_fault_that_a_replay_has_too_is_found_by_batch(station: Station, monkeypatch: pytest.MonkeyPatch):
    take = online_bars.OnlineBars.take

    def twice(self: Any, code: Any, cum: Any, price: Any, size: Any, ts_us: Any) -> int:
        return take(self, code, cum, price, size * np.where(ts_us == at("09:11:10"), 2, 1), ts_us)

    monkeypatch.setattr(online_bars.OnlineBars, "take", twice)
    station.receive(*morning(60), close("15:40:00"))
    build(station.lake)
    assert parity(station.lake, DAY).mismatched == {"replay": 0, "batch": 12}


def test_an_empty_minute_that_is_not_served_is_found_by_batch(station: Station, monkeypatch: pytest.MonkeyPatch):
    begin = online_bars.OnlineBars.begin

    def short(self: Any, date: str, states: Any, opening: Any = None) -> None:
        begin(self, date, states, opening)
        self._grid[20:30] = False

    monkeypatch.setattr(online_bars.OnlineBars, "begin", short)
    station.receive(*morning(60), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert report.mismatched["replay"] == 0
    assert report.mismatched["batch"] > 2
    assert {each.ts for each in report.mismatches[:2]} == {at("09:20:00"), at("09:25:00")}


def test_a_state_that_is_not_restored_is_found(station: Station, monkeypatch: pytest.MonkeyPatch):
    arrays = online_bars.OnlineBars.arrays
    station.receive(*morning(40))
    with monkeypatch.context() as patch:
        patch.setattr(
            online_bars.OnlineBars, "arrays", lambda self: arrays(self) | {"floats": 0 * arrays(self)["floats"]}
        )
        station.receive(*morning(20, 40))
    station.receive(*morning(20, 60), close("15:40:00"))
    build(station.lake)
    report = parity(station.lake, DAY)
    assert not report.passed
    assert min(report.mismatched.values()) > 0
    assert {each.feature for each in report.mismatches} <= {"rsi", "macd", "macd_signal", "volatility"}


def test_of_a_day_of_which_nothing_was_served_there_is_nothing_to_compare(station: Station):
    report = parity(station.lake, DAY)
    assert (report.rows, report.logs, report.passed) == (0, (), True)


def test_a_date_whose_beginning_is_gone_does_not_pass_and_says_why_and_the_others_are_told(
    station: Station, capsys: pytest.CaptureFixture[str]
):
    station.receive(*morning(30), close("15:40:00"))
    replace_date(station.lake, "feature_state", DAY, state_rows(States.new(("005930",)), 4))
    station.receive(*morning(20, day=NEXT), close("15:40:00", NEXT), day=NEXT)
    replace_date(station.lake, "feature_state", DAY, state_rows(States.new(("005930",)), 5))
    build(station.lake)

    with pytest.raises(typer.Exit) as left:
        check.parity(lake=station.lake.root, format_=Format.json)

    first, second = json.loads(capsys.readouterr().out)
    assert left.value.exit_code == 1
    assert (first["date"], first["passes"], first["rows"], first["why"]) == (DAY, True, 380, None)
    assert (second["date"], second["passes"], second["rows"]) == (NEXT, False, 0)
    assert second["why"].startswith("cannot be compared: the state 2025-03-14/4, with which 2025-03-17 began,")


def test_a_day_carried_on_from_one_whose_list_is_gone_is_not_compared(
    station: Station, monkeypatch: pytest.MonkeyPatch
):
    listed(station.lake, DAY, 71_900)
    station.receive(*morning(10), close("15:40:00"))
    station.receive(*morning(10, day=NEXT), close("15:40:00", NEXT), day=NEXT)
    build(station.lake)
    assert parity(station.lake, NEXT).passed

    known = LakeFeatureStore.known
    monkeypatch.setattr(
        LakeFeatureStore, "known", lambda self, date, label=None: None if date == DAY else known(self, date, label)
    )
    with pytest.raises(InputError, match=f"instruments@1, which {DAY} began with"):
        parity(station.lake, NEXT)


def damage_the_log(station: Station) -> str:
    (segment,) = Path(station.lake.root).glob(f"raw/frames/date={THIRD}/*")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    return segment.name


def damage_the_table(station: Station) -> str:
    return damaged(station.lake, "features_served_1m", THIRD)


def serve_a_saturday(station: Station) -> str:
    served(station.lake, "2025-03-15", (SYMBOL, 0, 71_900.0, 1.0), wal_id=station.wal_id)
    return "KRX does not trade on 2025-03-15"


@pytest.mark.parametrize(
    ("fault", "date"), [(damage_the_log, THIRD), (damage_the_table, THIRD), (serve_a_saturday, "2025-03-15")]
)
def test_a_damage_of_one_date_is_told_of_that_date_and_the_others_are_compared(
    station: Station, capsys: pytest.CaptureFixture[str], fault: Callable[[Station], str], date: str
):
    for day in (DAY, NEXT, THIRD):  # a replay reads on until the next day begins
        station.receive(*morning(10, day=day), close("15:40:00", day), day=day)
    build(station.lake)
    told = fault(station)

    with pytest.raises(typer.Exit) as left:
        check.parity(lake=station.lake.root, format_=Format.json)

    rows = {row["date"]: row for row in json.loads(capsys.readouterr().out)}
    assert left.value.exit_code == 1
    assert (rows[DAY]["passes"], rows[DAY]["why"], rows[date]["passes"]) == (True, None, False)
    assert rows[date]["why"].startswith("cannot be compared: ")
    assert told in rows[date]["why"]


def test_a_day_of_which_nothing_was_served_does_not_pass_and_that_is_said(
    station: Station, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(typer.Exit) as left:
        check.parity(date=[DAY], lake=station.lake.root, format_=Format.json)

    told = capsys.readouterr()
    (row,) = json.loads(told.out)
    assert (left.value.exit_code, row["passes"], row["why"]) == (1, False, "no features were served of it")
    assert f"{DAY}: no features were served of it; collect such a day" in told.err
