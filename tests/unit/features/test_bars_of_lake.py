"""Panels from a lake of a few bars."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lake_parts import DAYS, bars, coverage, external, instruments
from panel_parts import midnight

from hosu.errors import InputError
from hosu.features.adjust import Explained
from hosu.features.bars_of_lake import DayState, Origin, panel
from hosu.features.dated_rules import Listing
from hosu.lake.lake import Lake
from hosu.market.instruments import Market

NINE_S = 9 * 3600


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def test_bars_come_symbol_after_symbol_in_hundredths(lake: Lake) -> None:
    bars(lake, DAYS[1], ("B", 200.0, 5), ("A", 101.5, 7, {"open": 100.0, "low": 99.0, "high": 102.0, "value": 704.5}))
    bars(lake, DAYS[0], ("A", 100.0, 3))

    found = panel(lake)

    assert found.bars.symbols == ("A", "B")
    assert found.bars.starts.tolist() == [0, 2, 3]
    assert found.bars.date.tolist() == [20_250_915, 20_250_916, 20_250_916]
    assert found.bars.ts.tolist() == [midnight(20_250_915), midnight(20_250_916), midnight(20_250_916)]
    assert found.bars.close.tolist() == [10_000, 10_150, 20_000]
    assert (found.bars.open[1], found.bars.low[1], found.bars.high[1]) == (10_000, 9_900, 10_200)
    assert found.bars.volume.tolist() == [3, 7, 5]
    assert found.bars.value[1] == 704.5
    assert found.origin.tolist() == [Origin.TRADES] * 3


def test_only_the_regular_session_of_one_scope_is_read(lake: Lake) -> None:
    bars(
        lake, DAYS[0], ("A", 100.0, 3), ("A", 101.0, 3, {"session_set": "after_close"}), ("A", 9.0, 1, {"scope": "NXT"})
    )

    assert panel(lake).bars.close.tolist() == [10_000]
    assert panel(lake, scope="NXT").bars.close.tolist() == [900]


def test_symbols_and_dates_can_be_chosen(lake: Lake) -> None:
    for day in DAYS[:3]:
        bars(lake, day, ("A", 100.0, 3), ("B", 200.0, 3))

    found = panel(lake, symbols=["B"], start=DAYS[1], end=DAYS[1])

    assert (found.bars.symbols, found.bars.date.tolist()) == (("B",), [20_250_916])


def test_the_ledgers_latest_word_stands_beside_each_bar(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 1.0, 1), ("B", 1.0, 1), ("C", 1.0, 1), ("D", 1.0, 1))
    coverage(lake, DAYS[0], ("A", "open", 1), ("A", "certified", 2), ("B", "assumed", 1), ("C", "polled", 1))

    found = panel(lake)

    assert found.state.tolist() == [DayState.CERTIFIED, DayState.ASSUMED, DayState.POLLED, DayState.NO_LEDGER]
    assert found.without_ledger.tolist() == [False, False, False, True]


def test_adjusted_imports_stand_in_before_the_first_raw_bar_and_are_marked(lake: Lake) -> None:
    external(lake, DAYS[0], ("A", 50.005, 10), ("B", 70.0, 10), ("C", 5.0, 1, {"adjusted": False}))
    external(lake, DAYS[1], ("A", 51.0, 10), ("B", 71.0, 0))
    bars(lake, DAYS[1], ("A", 51.5, 9))

    found = panel(lake)

    assert found.bars.symbols == ("A", "B")
    assert found.bars.close.tolist() == [5_001, 5_150, 7_000, 7_000]  # B did not trade: its last close is carried
    assert found.bars.volume.tolist() == [10, 9, 10, 0]
    assert found.origin.tolist() == [Origin.ADJUSTED, Origin.TRADES, Origin.ADJUSTED, Origin.ADJUSTED]
    assert found.adjusted.tolist() == [True, False, True, True]


def test_of_imports_the_latest_counts(lake: Lake) -> None:
    external(lake, DAYS[0], ("A", 50.0, 10, {"revision": 1}), ("A", 49.0, 10, {"revision": 2}))

    assert panel(lake).bars.close.tolist() == [4_900]


def test_the_master_files_base_price_makes_the_factor(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 1))
    bars(lake, DAYS[1], ("A", 5_100.0, 1))
    instruments(lake, DAYS[1], ("A", 5_000.0, {"market": "KOSDAQ"}))

    found = panel(lake)

    assert found.bars.factor.tolist() == [1.0, 0.5]
    assert found.bars.masked.tolist() == [False, False]
    assert found.explained.tolist() == [Explained.NOTHING, Explained.BASE]
    assert found.base.tolist() == [0, 500_000]
    assert found.listings == {"A": Listing(Market.KOSDAQ)}


def test_a_halt_before_is_known_from_the_master_file(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 1), ("B", 10_000.0, 1))
    instruments(lake, DAYS[1], ("A", 10_000.0, {"halted": True}), ("B", 10_000.0, {"halted": False}))
    instruments(lake, DAYS[2], ("A", 5_000.0), ("B", 5_000.0))
    bars(lake, DAYS[2], ("A", 5_100.0, 1), ("B", 5_100.0, 1))

    found = panel(lake)

    assert found.bars.factor.tolist() == [1.0, 0.5, 1.0, 1.0]
    assert found.bars.masked.tolist() == [False, False, False, True]


def test_the_brokers_split_ratio_makes_the_factor_where_no_base_is_known_and_the_latest_word_counts(lake: Lake) -> None:
    symbols = ("A", "B", "C")
    bars(lake, DAYS[0], *((symbol, 10_000.0, 1) for symbol in symbols))
    bars(lake, DAYS[1], *((symbol, 2_050.0, 1) for symbol in symbols))
    told = {"adjusted": False, "source": "kis:FHKST03010100", "ex_code": "00"}
    external(
        lake,
        DAYS[1],
        ("A", 2_050.0, 1, {**told, "split_ratio": 0.5, "revision": 1}),
        ("A", 2_050.0, 1, {**told, "split_ratio": 0.2, "revision": 2}),
        ("B", 2_050.0, 1, {**told, "split_ratio": 0.5}),
        ("C", 2_050.0, 1, {**told, "split_ratio": 0.0}),
    )
    instruments(lake, DAYS[1], ("B", 2_000.0))

    found = panel(lake)

    assert found.bars.factor[1::2].tolist() == [0.2, 0.2, 1.0]
    assert found.explained[1::2].tolist() == [Explained.RATIO, Explained.BASE, Explained.NOTHING]
    assert found.bars.masked.tolist() == [False, False, False, False, False, True]


def test_the_brokers_code_of_a_cash_dividend_explains_that_the_base_stays(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 1))
    bars(lake, DAYS[1], ("A", 9_800.0, 1))
    told = {"adjusted": False, "source": "kis:FHKST03010100", "ex_code": "02", "split_ratio": 0.0}
    external(lake, DAYS[1], ("A", 9_800.0, 1, told))

    found = panel(lake)

    assert (found.bars.factor.tolist(), found.explained.tolist()) == ([1.0, 1.0], [Explained.NOTHING, Explained.CASH])


def test_minutes_take_the_ratio_of_the_brokers_day(lake: Lake) -> None:
    minute = {"ts": midnight(20_250_916) + NINE_S * 1_000_000}
    bars(
        lake, DAYS[0], ("A", 10_000.0, 1, {"ts": midnight(20_250_915) + NINE_S * 1_000_000}), table="processed_ohlcv_1m"
    )
    bars(lake, DAYS[1], ("A", 2_050.0, 1, minute), table="processed_ohlcv_1m")
    external(lake, DAYS[1], ("A", 2_050.0, 1, {"adjusted": False, "source": "kis:FHKST03010100", "split_ratio": 0.2}))

    assert panel(lake, "minute").bars.factor.tolist() == [1.0, 0.2]


def test_a_move_beyond_the_limit_without_a_base_is_masked(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 1))
    bars(lake, DAYS[1], ("A", 5_100.0, 1))

    assert panel(lake).bars.masked.tolist() == [False, True]


def test_of_adjusted_minutes_only_the_regular_session_is_taken(lake: Lake) -> None:
    minutes = [
        ("A", 100.0 + minute, 1, {"ts": midnight(20_250_915, NINE_S + 60 * minute)}) for minute in (-20, 0, 1, 420)
    ]
    external(lake, DAYS[0], *minutes, table="bars_1m_external")

    assert panel(lake, "minute").bars.close.tolist() == [10_000, 10_100]


def test_an_empty_lake_gives_an_empty_panel(lake: Lake) -> None:
    found = panel(lake)

    assert (len(found.bars), found.bars.symbols, found.bars.starts.tolist()) == (0, (), [0])
    assert set(found.pinned.versions.values()) == {-1}


@pytest.mark.parametrize(("words", "fault"), [({"interval": "hour"}, "interval 'hour'"), ({"scope": "X"}, "scope 'X'")])
def test_what_is_unknown_is_named(lake: Lake, words: dict[str, str], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        panel(lake, **words)  # type: ignore[arg-type]
