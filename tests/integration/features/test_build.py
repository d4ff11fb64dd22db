"""Indicators and features in a lake: what is built, what is built again, and from where it goes on."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_cases import bits, panel, random_closes
from hosu.errors import InputError
from hosu.features import kernel
from hosu.features.batch import indicators
from hosu.features.build import build
from hosu.features.definitions import SCALE_FREE_V1, sets_of
from hosu.features.states import load_states, states_of
from hosu.lake.derived import replace_date, replace_dates
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode
from hosu.lake.sql import Session
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us, sessions_between
from hosu.market.features import INDICATORS

DAYS = [day.isoformat() for day in sessions_between(dt.date(2025, 9, 1), dt.date(2026, 1, 1))][:70]
SYMBOLS = ("000660", "005930", "035720")
SETS = sets_of("day")


def closes(change=None):
    made = {symbol: random_closes(at, len(DAYS), start=50_000) for at, symbol in enumerate(SYMBOLS)}
    for symbol, day, price in change or ():
        made[symbol][DAYS.index(day)] = price
    return made


def put(lake: Lake, prices, days=DAYS, revision=1):
    schema = TABLES["processed_ohlcv"].file_schema
    by_day = {}
    for day in days:
        at, ts = DAYS.index(day), instant_us(dt.date.fromisoformat(day), 0)
        close = [prices[symbol][at] for symbol in SYMBOLS]
        columns = {
            "symbol": list(SYMBOLS),
            "scope": ["KRX"] * 3,
            "session_set": ["regular"] * 3,
            "ts": pa.array([ts] * 3, pa.timestamp("us", "UTC")),
            **dict.fromkeys(("low", "high", "open", "close", "vwap"), close),
            "volume": [100 + at] * 3,
            "value": [1.0] * 3,
            "data_points": [3] * 3,
            "source": ["trades"] * 3,
            "revision": [revision] * 3,
        }
        rows = pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
        by_day[day] = rows
    replace_dates(lake, "processed_ohlcv", by_day.items())


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    put(made, closes())
    return made


def stored(lake: Lake, what="technical_indicators", order="symbol, ts"):
    with Session(lake) as session:
        return session.query(f"SELECT * FROM {what} ORDER BY {order}")


def values(rows: pa.Table):
    return np.column_stack([rows.column(name).to_numpy(zero_copy_only=False) for name in INDICATORS])


def expected(prices):
    count = len(DAYS)
    return indicators(panel(prices, volumes={symbol: np.arange(100, 100 + count) for symbol in SYMBOLS}))


def test_the_table_has_what_the_kernel_gives_bit_for_bit_and_null_where_it_warms_up(lake):
    done = build(lake, "day", SETS)
    assert (done.dates, done.symbols, done.bars, done.began) == (70, 3, 210, "new")
    rows = stored(lake)
    assert (bits(values(rows)) == bits(expected(closes()))).all()
    assert rows.column("ma_50").null_count == 3 * 49
    assert rows.column("date").to_pylist() == DAYS * 3


def test_features_are_the_set_in_its_order_and_null_until_all_are_there(lake):
    build(lake, "day", SETS)
    rows = stored(lake, "ml_features WHERE feature_set = 'scale_free_v1/1'").to_pylist()
    outputs = expected(closes())
    close = np.concatenate([closes()[symbol] for symbol in SYMBOLS])
    made = SCALE_FREE_V1.make(outputs, close)
    for row, features in zip(rows, made.tolist(), strict=True):
        assert row["features"] == (None if np.isnan(features).any() else features)
    assert sum(row["features"] is not None for row in rows) == 3 * 21
    assert rows[-1]["volatility"] == outputs[-1, INDICATORS.index("volatility")]


def test_built_again_without_a_change_nothing_is_written(lake):
    build(lake, "day", SETS)
    versions = [lake.table(name).version for name in ("technical_indicators", "ml_features", "feature_state")]
    assert build(lake, "day", SETS).dates == 0
    assert [lake.table(name).version for name in ("technical_indicators", "ml_features", "feature_state")] == versions


def test_a_new_day_goes_on_from_the_saved_state_and_gives_the_same_bits(tmp_path):
    lake = Lake.open(str(tmp_path / "grown"))
    put(lake, closes(), DAYS[:40])
    build(lake, "day", SETS)
    put(lake, closes(), DAYS[40:])
    done = build(lake, "day", SETS)
    assert (done.first, done.dates) == (DAYS[40], 30)
    assert done.began is not None
    assert done.began.startswith(DAYS[39])
    assert (bits(values(stored(lake))) == bits(expected(closes()))).all()


def test_a_bar_that_was_repaired_changes_its_day_and_all_behind_it(lake):
    build(lake, "day", SETS)
    repaired = closes([("005930", DAYS[60], closes()["005930"][60] + 500)])
    put(lake, repaired, [DAYS[60]], revision=2)
    done = build(lake, "day", SETS)
    assert (done.first, done.last, done.began) == (DAYS[60], DAYS[-1], "new")
    rows = stored(lake)
    assert (bits(values(rows)) == bits(expected(repaired))).all()
    assert set(zip(rows.column("date").to_pylist(), rows.column("revision").to_pylist(), strict=True)) == {
        (day, 2 if day >= DAYS[60] else 1) for day in DAYS
    }


def test_a_second_repair_behind_an_earlier_one_gives_the_bits_of_a_full_build(tmp_path):
    """The state after day 39 was made of a bar that is repaired afterwards, and must not be gone on from."""
    lake = Lake.open(str(tmp_path / "lake"))
    put(lake, closes(), DAYS[:40])
    build(lake, "day", SETS)
    first = ("005930", DAYS[30], closes()["005930"][30] + 500)
    put(lake, closes([first]), [DAYS[30]], revision=2)
    put(lake, closes(), DAYS[40:50])
    build(lake, "day", SETS)
    second = ("005930", DAYS[45], closes()["005930"][45] + 500)
    put(lake, closes([first, second]), [DAYS[45]], revision=2)
    assert build(lake, "day", SETS).first == DAYS[45]
    whole = expected(closes([first, second])).reshape(3, len(DAYS), -1)[:, :50]
    assert (bits(values(stored(lake))) == bits(whole.reshape(150, -1))).all()


def held(lake: Lake):
    with Session(lake) as session:
        rows = session.query("SELECT DISTINCT date, bars FROM feature_state").to_pylist()
    return {row["date"]: row["bars"] for row in rows}


def test_the_state_after_the_last_day_is_kept_and_one_of_another_kernel_is_not_resumed(lake, monkeypatch):
    build(lake, "day", SETS)
    states, began, date = load_states(lake, "day", "2026-02-01", held(lake))
    assert (states.symbols, date) == (SYMBOLS, DAYS[-1])
    assert began.startswith(f"{DAYS[-1]}/")
    monkeypatch.setattr("hosu.features.kernel.VERSION", 2)
    assert load_states(lake, "day", "2026-02-01", held(lake))[1:] == ("new", None)


def test_a_symbol_that_is_gone_for_a_while_keeps_its_state(tmp_path):
    lake = Lake.open(str(tmp_path / "lake"))
    put(lake, closes(), DAYS[:40])
    build(lake, "day", SETS)
    schema = TABLES["processed_ohlcv"].file_schema
    replace_date(lake, "processed_ohlcv", DAYS[40], _without_first(lake, DAYS[39], schema))
    build(lake, "day", SETS)
    states, _, date = load_states(lake, "day", "2026-02-01", held(lake))
    assert (states.symbols, date) == (SYMBOLS, DAYS[40])


def _without_first(lake: Lake, date: str, schema: pa.Schema) -> pa.Table:
    with Session(lake) as session:
        rows = session.query(
            f"SELECT * EXCLUDE (date) FROM processed_ohlcv WHERE date = '{date}' AND symbol <> '{SYMBOLS[0]}'"
        )
    return rows.select(schema.names).cast(schema)


def test_another_choice_of_sets_builds_features_anew(lake):
    build(lake, "day", [SCALE_FREE_V1])
    assert build(lake, "day", SETS).dates == 70


@pytest.mark.parametrize(
    ("interval", "said"), [("hour", "interval 'hour': is unknown"), ("minute", "bars of a minute: are not in this")]
)
def test_what_cannot_be_built_is_said(lake, interval, said):
    with pytest.raises(InputError, match=said):
        build(lake, interval, SETS)


MINUTES = "processed_ohlcv_1m"
RESUMES = DAYS[10]


def put_minutes(lake: Lake, day: str, prices: dict[str, int], minutes: int = 30) -> None:
    """Bars of one price a symbol from 09:00 on."""
    schema = TABLES[MINUTES].file_schema
    begin = instant_us(dt.date.fromisoformat(day), 9 * 3600)
    made = [
        {
            "symbol": symbol,
            "scope": "KRX",
            "session_set": "regular",
            "ts": begin + 60_000_000 * minute,
            "source": "trades",
        }
        | dict.fromkeys(("low", "high", "open", "close", "vwap"), float(price))
        | {"volume": 100, "value": 1.0, "data_points": 1, "revision": 1}
        for symbol, price in sorted(prices.items())
        for minute in range(minutes)
    ]
    whole = [{name: row.get(name) for name in schema.names} for row in made]
    replace_date(lake, MINUTES, day, pa.Table.from_pylist(whole, schema=schema))


def list_of(lake: Lake, day: str, *, halted: bool, **base: float) -> None:
    rows = [
        {"symbol": symbol[1:], "base_price": price, "market": "KOSPI", "type": "stock", "halted": halted}
        for symbol, price in base.items()
    ]
    write_universe(lake, day, pa.Table.from_pylist(rows))


def after_a_halt(tmp_path, *, halted: bool, one_by_one: bool) -> list[float]:
    """Changes in won of a symbol that trades at 50,000, is away for nine sessions, and comes back at 10,000 with that
    base; another one trades all the time."""
    lake = Lake.open(str(tmp_path / f"lake-{halted}-{one_by_one}"))
    list_of(lake, DAYS[9], halted=halted, s005930=50_000.0)
    list_of(lake, RESUMES, halted=False, s005930=10_000.0)
    for day in DAYS[:11]:
        prices = {"000660": 1_000} | ({"005930": 50_000} if day == DAYS[0] else {})
        put_minutes(lake, day, prices | ({"005930": 10_000} if day == RESUMES else {}))
        if one_by_one:
            build(lake, "minute", [SCALE_FREE_V1])
    build(lake, "minute", [SCALE_FREE_V1])
    rows = stored(lake, f"technical_indicators_1m WHERE symbol = '005930' AND date = '{RESUMES}'").to_pylist()
    return [row["price_change"] for row in rows[:2]]


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_split_behind_a_long_halt_is_told_beside_the_close_that_the_state_remembers(tmp_path, one_by_one):
    assert after_a_halt(tmp_path, halted=True, one_by_one=one_by_one) == [0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("one_by_one", [True, False])
def test_beside_an_old_close_without_a_halt_the_base_explains_nothing_and_the_state_is_begun_anew(tmp_path, one_by_one):
    assert after_a_halt(tmp_path, halted=False, one_by_one=one_by_one) == [None, 0.0]


def test_a_state_remembers_the_date_of_its_last_bar_and_one_without_it_is_still_read(tmp_path):
    lake = Lake.open(str(tmp_path / "lake"))
    put_minutes(lake, DAYS[0], {"000660": 1_000, "005930": 50_000})
    put_minutes(lake, DAYS[1], {"000660": 1_000})
    build(lake, "minute", [SCALE_FREE_V1])
    states, _, _ = load_states(lake, "minute", "2026-02-01", held(lake))
    assert states.dates.tolist() == [20250902, 20250901]
    assert states.official.tolist() == [0, 0]  # the minutes end at 09:30
    kept = lake.find("feature_state").dataset().to_table().filter(pc.field("date") == DAYS[1])
    short = pa.array([each[: kernel.INTS] for each in kept.column("ints").to_pylist()], pa.list_(pa.int64()))
    old = states_of(kept.set_column(kept.column_names.index("ints"), "ints", short).sort_by("symbol"))
    assert old.official.tolist() == [0, 0]
    assert (old.dates.tolist(), bits(old.floats).tolist()) == ([0, 0], bits(states.floats).tolist())
    assert (old.ints == states.ints).all()


def polled(lake: Lake, day: str, clock_s: int, price: float) -> None:
    """One more poll of a symbol, with that base price."""
    schema = TABLES["snapshots"].file_schema
    ts = instant_us(dt.date.fromisoformat(day), clock_s)
    row = {"scope": "KRX", "symbol": "005930", "base_price": price, "ts_recv": ts, "price": 1.0}
    table = lake.table("snapshots")
    rows = pa.Table.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)
    table.append([table.store(day, f"{clock_s}.parquet", encode(table.spec, rows))], {})


def test_a_base_price_that_comes_after_the_build_has_its_date_built_again_and_read_once_more_it_has_not(lake):
    build(lake, "day", SETS)
    list_of(lake, DAYS[60], halted=False, s005930=90_000.0)
    done = build(lake, "day", SETS)
    assert (done.first, done.last) == (DAYS[60], DAYS[-1])
    list_of(lake, DAYS[60], halted=False, s005930=90_000.0)
    assert build(lake, "day", SETS).dates == 0
    polled(lake, DAYS[60], 40_000, 80_000.0)  # the list goes before it
    assert build(lake, "day", SETS).dates == 0
    list_of(lake, DAYS[60], halted=False, s005930=90_050.0)
    assert build(lake, "day", SETS).first == DAYS[60]


def test_who_was_halted_the_session_before_counts_for_a_date(lake):
    build(lake, "day", SETS)
    list_of(lake, DAYS[59], halted=True, s005930=0.0)
    assert build(lake, "day", SETS).first == DAYS[60]


def test_a_polled_base_counts_where_no_list_is_and_another_poll_of_the_same_changes_nothing(lake):
    build(lake, "day", SETS)
    polled(lake, DAYS[65], 36_000, 80_000.0)
    assert build(lake, "day", SETS).first == DAYS[65]
    polled(lake, DAYS[65], 36_060, 80_000.0)
    assert build(lake, "day", SETS).dates == 0
    polled(lake, DAYS[65], 36_120, 81_000.0)
    assert build(lake, "day", SETS).first == DAYS[65]
    polled(lake, "2026-05-04", 36_000, 1.0)  # a day without bars
    assert build(lake, "day", SETS).dates == 0


def test_a_state_remembers_the_official_close_and_one_that_comes_later_has_its_day_built_again(tmp_path):
    lake = Lake.open(str(tmp_path / "lake"))
    put_minutes(lake, DAYS[0], {"000660": 10_000, "005930": 50_000}, minutes=391)
    put_minutes(lake, DAYS[1], {"000660": 10_000, "005930": 50_000})
    list_of(lake, DAYS[2], halted=False, s005930=47_500.0)
    put_minutes(lake, DAYS[2], {"005930": 47_500})
    build(lake, "minute", [SCALE_FREE_V1])
    first, *_ = load_states(lake, "minute", DAYS[1], held(lake))
    assert first.official.tolist() == [1_000_000, 5_000_000]

    def change() -> float:
        rows = stored(lake, f"technical_indicators_1m WHERE symbol = '005930' AND date = '{DAYS[2]}'").to_pylist()
        return float(rows[0]["price_change"])

    assert change() == -2_500.0
    schema = TABLES["bars_daily_external"].file_schema
    row = {"scope": "KRX", "symbol": "005930", "adjusted": False, "source": "kis:FHKST03010100", "close": 50_000.0}
    told = pa.Table.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)
    replace_date(lake, "bars_daily_external", DAYS[1], told)
    assert build(lake, "minute", [SCALE_FREE_V1]).first == DAYS[1]
    assert change() == 0.0
    with Session(lake) as session:
        sql = f"SELECT ints FROM feature_state WHERE symbol = '005930' AND date = '{DAYS[1]}' ORDER BY revision DESC"
        kept = session.query(sql).to_pylist()
    assert [row["ints"][-1] for row in kept] == [5_000_000, 0]


def test_a_split_ratio_that_the_broker_tells_later_has_the_minutes_of_its_day_built_again(tmp_path):
    lake = Lake.open(str(tmp_path / "lake"))
    for day, price in zip(DAYS[:3], (50_000, 50_000, 10_000), strict=True):
        put_minutes(lake, day, {"005930": price})
    build(lake, "minute", [SCALE_FREE_V1])
    schema = TABLES["bars_daily_external"].file_schema
    row = {"scope": "KRX", "symbol": "005930", "adjusted": False, "source": "kis:FHKST03010100", "revision": 1}
    for day, ratio in ((DAYS[1], 0.0), (DAYS[2], 0.2)):
        told = [{name: (row | {"split_ratio": ratio}).get(name) for name in schema.names}]
        replace_date(lake, "bars_daily_external", day, pa.Table.from_pylist(told, schema=schema))
    assert build(lake, "minute", [SCALE_FREE_V1]).first == DAYS[2]
    rows = stored(lake, f"technical_indicators_1m WHERE date = '{DAYS[2]}'").to_pylist()
    assert [row["price_change"] for row in rows[:2]] == [0.0, 0.0]


@pytest.mark.parametrize("corrected", [0.0, 1.0, None, 0.5])
def test_a_split_ratio_that_the_broker_corrects_has_the_minutes_of_its_day_built_again(tmp_path, corrected):
    lake = Lake.open(str(tmp_path / "lake"))
    for day, price in zip(DAYS[:2], (50_000, 50_000), strict=True):
        put_minutes(lake, day, {"005930": price})
    row = {"scope": "KRX", "symbol": "005930", "adjusted": False, "source": "kis:FHKST03010100"}
    told = [row | {"split_ratio": 0.9, "revision": 1}, row | {"split_ratio": corrected, "ex_code": "02", "revision": 2}]
    schema = TABLES["bars_daily_external"].file_schema
    for rows in (told[:1], told):
        filled = [{name: each.get(name) for name in schema.names} for each in rows]
        replace_date(lake, "bars_daily_external", DAYS[1], pa.Table.from_pylist(filled, schema=schema))
        assert build(lake, "minute", [SCALE_FREE_V1]).dates > 0  # the later row counts, as in the bars that it makes
    assert build(lake, "minute", [SCALE_FREE_V1]).dates == 0
