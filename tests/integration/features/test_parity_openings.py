"""A day that begins behind a split or another event: what was served, what a replay serves, what batch makes."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from parity_station import DAY, NEXT, SYMBOL, Station, at, close, listed, morning, trade

from hosu.features import online_bars
from hosu.features.build import build as features_build
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.openings import Opening, opening
from hosu.features.parity import ParityReport, parity
from hosu.features.store import LakeFeatureStore
from hosu.lake.derived import replace_date
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session
from hosu.lake.tables import TABLES
from hosu.market.features import INDICATORS


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
