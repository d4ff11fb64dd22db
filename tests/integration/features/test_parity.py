"""A day that was collected, archived and built into bars: what was served, what a replay serves, what batch makes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import typer

sys.path.insert(0, str(Path(__file__).parents[1] / "lake"))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from archived_log import TRADE, ArchivedLog
from lake_parts import damaged, served

from hosu.cli import check
from hosu.cli.output import Format
from hosu.clock import SimulatedClock
from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.wal import Log
from hosu.errors import InputError
from hosu.features import kernel, online_bars
from hosu.features.batch import States
from hosu.features.build import build as features_build
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.openings import Opening, opening
from hosu.features.parity import ParityReport, parity
from hosu.features.sink import FeatureSink
from hosu.features.store import LakeFeatureStore
from hosu.lake.derived import replace_date
from hosu.lake.frames import Frames
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session
from hosu.lake.tables import TABLES
from hosu.lake.writer import LakeSink
from hosu.market.calendar import instant_us
from hosu.market.features import INDICATORS

DAY, NEXT, THIRD = "2025-03-14", "2025-03-17", "2025-03-18"
PRICE, TIME, DATE = "^71900^5^", "^093354^", "^20250314^"


def at(clock: str, day: str = DAY) -> int:
    import datetime as dt

    hours, minutes, seconds = map(int, clock.split(":"))
    return instant_us(dt.date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


def trade(clock: str, cum: int, price: int, day: str = DAY) -> bytes:
    """A frame of one trade of one share."""
    time, date = clock.replace(":", ""), day.replace("-", "")
    text = TRADE.format(cum=cum).replace(TIME, f"^{time}^").replace(PRICE, f"^{price}^5^").replace(DATE, f"^{date}^")
    return f"0|H0STCNT0|001|{text}".encode()


def close(clock: str, day: str = DAY) -> int:
    return at(clock, day)


class Station:
    """A log, its archive and a lake behind it; sinks are made anew whenever records come, as after a restart."""

    def __init__(self, home: Path) -> None:
        self.lake = Lake.open(str(home / "lake"))
        self.keep = home / "features.state"
        self.archive = ArchivedLog(home / "log")

    def receive(self, *items: bytes | int, lays_down: bool = True, day: str = DAY) -> None:
        """One segment of frames and closes, into the lake and served; the state is laid down, or lost as in a kill."""
        log = Log.open(self.archive.folder, SimulatedClock(at("09:00:00", day)))
        self.archive.wal_id = log.wal_id
        for item in items:
            kind, payload = (RecordKind.FRAME, item) if isinstance(item, bytes) else (4, control.bar_close(item))
            log.append(kind, 1 if kind == RecordKind.FRAME else 0, at("09:00:00", day), payload)
            log.wait_written(10)
        log.seal()
        log.close()
        self.archive.segments = sorted(self.archive.folder.glob("*.log"))
        self.archive.store(self.lake, self.archive.segments[-1], date=day)
        self._feed(lays_down)

    def _feed(self, lays_down: bool) -> None:
        features = FeatureSink(LakeFeatureStore(self.lake), keep=self.keep)
        for sink in (LakeSink(self.lake), features):
            after = sink.resume_after(self.wal_id)
            for batch in Frames(self.lake).numbered(self.wal_id, after):
                sink.write(batch)
            if sink is features and not lays_down:
                features._commit()
            else:
                sink.close()

    @property
    def wal_id(self) -> str:
        return self.archive.wal_id


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def morning(minutes: int, first: int = 0, day: str = DAY, split: int = 1) -> list[bytes | int]:
    """Two trades a minute and its close, but for every fifth minute in which nothing trades; at a part of the price."""
    items: list[bytes | int] = []
    for minute in range(first, first + minutes):
        clock = f"{9 + minute // 60:02}:{minute % 60:02}"
        if minute % 5:
            items += [
                trade(f"{clock}:10", 2 * minute + 1, (71_900 + 100 * (minute % 7)) // split, day),
                trade(f"{clock}:50", 2 * minute + 2, (72_000 + 100 * (minute % 11)) // split, day),
            ]
        items.append(at(f"{clock}:00", day) + 60_000_000)
    return items


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


SYMBOL = "005930"


def listed(lake: Lake, day: str, base: int) -> None:
    row = {"symbol": SYMBOL, "base_price": float(base), "market": "KOSPI", "type": "stock", "halted": False}
    write_universe(lake, day, pa.Table.from_pylist([row]))


def split_day(station: Station, base: int | None, after: int | None = None) -> ParityReport:
    """A day at 71,900 won and more, closed at 72,400; a day at a fifth of it, received in two parts of which the first
    ends before any trade; its list at the begin, or only ``after`` it."""
    station.receive(*morning(60), close("15:40:00"))
    if base is not None:
        listed(station.lake, NEXT, base)
    station.receive(close("09:01:00", NEXT), day=NEXT)
    station.receive(*morning(30, 1, day=NEXT, split=5), day=NEXT)
    station.receive(*morning(20, 31, day=NEXT, split=5), close("15:40:00", NEXT), day=NEXT)
    if after is not None:
        listed(station.lake, NEXT, after)
    build(station.lake)
    return parity(station.lake, NEXT)


def test_a_split_of_one_into_five_is_served_as_replay_and_batch_make_it_across_restarts(station: Station):
    report = split_day(station, 14_480)
    assert LakeFeatureStore(station.lake).began(NEXT, station.wal_id) == f"new+{DAY}*instruments@1"
    assert (report.passed, report.repaired, report.actions) == (True, 0, [])
    assert report.rows == 381


def test_what_is_served_on_a_split_day_is_what_the_build_writes_bit_for_bit(station: Station):
    split_day(station, 14_480)
    features_build(station.lake, "minute", [SCALE_FREE_V1])
    names = ", ".join(f"hash({name})" for name in ("close", "volume", *INDICATORS))
    rows = "SELECT ts, {names} FROM {table} WHERE date = '{day}' ORDER BY ts"
    with Session(station.lake) as session:
        served, built = (
            session.query(rows.format(names=names, table=table, day=NEXT)).to_pylist()
            for table in ("features_served_1m", "technical_indicators_1m")
        )
    assert len(served) == 381
    assert served == built


def event_day(station: Station, base: int, *, auction: int = 0) -> ParityReport:
    """A day whose last trade here is at 10:00, or in the closing auction, at 72,000 won; then one with that base."""
    last = [trade("15:30:05", 200, auction)] if auction else [trade("10:00:10", 200, 72_000)]
    station.receive(*morning(60), *last, close("15:40:00"))
    listed(station.lake, NEXT, base)
    station.receive(close("09:01:00", NEXT), *morning(30, 1, day=NEXT), close("15:40:00", NEXT), day=NEXT)
    build(station.lake)
    return parity(station.lake, NEXT)


def rescaled(station: Station) -> float:
    """The change in won that was served of the first minute with a trade, without the trade's own."""
    row = f"SELECT close, price_change FROM features_served_1m WHERE date = '{NEXT}' AND ts = make_timestamptz({{}})"
    with Session(station.lake) as session:
        (found,) = session.query(row.format(at("09:01:00", NEXT))).to_pylist()
    return float(found["close"] - found["price_change"])


def test_a_small_event_behind_a_closing_auction_is_served_as_batch_makes_it(station: Station):
    report = event_day(station, 68_400, auction=72_000)
    assert (report.passed, report.repaired, report.actions) == (True, 0, [])
    assert rescaled(station) == 68_400.0


def test_behind_a_day_that_was_recorded_in_part_neither_stream_nor_batch_takes_a_move_for_an_event(station: Station):
    report = event_day(station, 74_100)
    assert (report.passed, report.repaired, report.actions) == (True, 0, [])
    assert rescaled(station) == 72_000.0


def test_what_only_the_brokers_ratio_tells_of_such_a_day_is_reported_by_name(station: Station):
    schema = TABLES["bars_daily_external"].file_schema
    row = {"scope": "KRX", "symbol": SYMBOL, "adjusted": False, "source": "kis:FHKST03010100", "split_ratio": 0.95}
    told = pa.Table.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)
    replace_date(station.lake, "bars_daily_external", NEXT, told)
    report = event_day(station, 68_400)
    (action,) = report.actions
    assert (report.passed, action.served, action.batch) == (True, 1.0, 0.95)


def test_a_split_that_is_known_only_after_the_day_is_reported_by_name_and_what_follows_is_no_fault(station: Station):
    report = split_day(station, None, after=14_480)
    assert report.passed
    assert report.repaired == 380  # all but the minute before the first trade
    (action,) = report.actions
    assert (action.symbol, action.ts, action.served, action.batch) == (SYMBOL, at("09:01:00", NEXT), 1.0, 0.2)


def test_a_split_that_no_list_tells_of_is_a_move_that_batch_begins_anew_with(station: Station):
    (action,) = split_day(station, None).actions
    assert (action.served, np.isnan(action.batch)) == (1.0, True)


def test_a_factor_that_is_reckoned_wrong_in_stream_and_replay_alike_is_found_by_batch(
    station: Station, monkeypatch: pytest.MonkeyPatch
):
    def half(states: Any, date: str, facts: Any) -> Opening:
        made = opening(states, date, facts)
        return Opening(made.factor / np.where(made.factor == 1.0, 1.0, 2.0), made.masked)

    monkeypatch.setattr("hosu.features.sink.opening", half)
    monkeypatch.setattr("hosu.features.replayed.opening", half)
    report = split_day(station, 14_480)
    assert (report.passed, report.repaired, report.actions) == (False, 0, [])
    assert report.mismatched["replay"] == 0  # the replay has the same fault
    assert report.mismatched["batch"] > 300
    first = report.mismatches[0]
    assert (first.feature, first.symbol, first.ts) == ("factor", SYMBOL, at("09:01:00", NEXT))
    assert (first.served, first.other) == (0.1, 0.2)


def test_a_begin_anew_that_nothing_known_asks_for_is_found_by_batch(station: Station, monkeypatch: pytest.MonkeyPatch):
    def anew(states: Any, date: str, facts: Any) -> Opening:
        made = opening(states, date, facts)
        return Opening(made.factor, made.masked | (date == NEXT))

    monkeypatch.setattr("hosu.features.sink.opening", anew)
    monkeypatch.setattr("hosu.features.replayed.opening", anew)
    report = split_day(station, 14_480)
    assert (report.passed, report.actions, report.mismatches[0].feature) == (False, [], "factor")


def test_a_first_price_beyond_the_limits_of_a_known_base_is_what_only_batch_can_know(station: Station):
    report = split_day(station, 72_400)  # the list says that nothing happened; prices fell to a fifth
    (action,) = report.actions
    assert (action.served, np.isnan(action.batch)) == (1.0, True)
    assert report.passed


def test_a_factor_that_was_served_wrong_is_found_by_replay(station: Station, monkeypatch: pytest.MonkeyPatch):
    begin = online_bars.OnlineBars.begin

    def without(self: Any, date: str, states: Any, opening: Any = None) -> None:
        begin(self, date, states, None if date == NEXT else opening)

    with monkeypatch.context() as patch:
        patch.setattr("hosu.features.online_bars.OnlineBars.begin", without)
        station.receive(*morning(60), close("15:40:00"))
        listed(station.lake, NEXT, 14_480)
        station.receive(*morning(30, 1, day=NEXT, split=5), close("15:40:00", NEXT), day=NEXT)
    build(station.lake)
    report = parity(station.lake, NEXT)
    assert not report.passed
    assert min(report.mismatched.values()) > 300


def test_a_list_that_is_read_anew_during_the_day_changes_nothing_of_what_it_began_with(station: Station):
    station.receive(*morning(60), close("15:40:00"))
    listed(station.lake, NEXT, 14_480)
    station.receive(*morning(30, 1, day=NEXT, split=5), day=NEXT, lays_down=False)
    listed(station.lake, NEXT, 72_400)
    station.receive(*morning(20, 31, day=NEXT, split=5), close("15:40:00", NEXT), day=NEXT)
    listed(station.lake, NEXT, 14_480)
    build(station.lake)
    report = parity(station.lake, NEXT)
    assert (report.passed, report.repaired, report.actions) == (True, 0, [])


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
