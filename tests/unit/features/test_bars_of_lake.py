"""Panels from a lake of a few bars."""

from pathlib import Path

import pytest
from lake_parts import DAYS, bars, clock, coverage, external, instruments, minute_bars, polls
from panel_parts import midnight

from hosu.errors import InputError
from hosu.features.adjust import Explained, LastTrade
from hosu.features.bars_of_lake import DayState, LakePanel, Listings, Origin, panel
from hosu.features.dated_rules import Listing
from hosu.features.lake_versions import Pinned
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


def moved(lake: Lake, base: float = 9_500.0, interval: str = "day", scope: str = "KRX") -> tuple[float, bool]:
    """Factor and doubt of A's second day, whose base and prices are the same; its first ended here at 10,000."""
    if interval == "day":
        bars(lake, DAYS[1], ("A", base, 10, {"scope": scope}))
    else:
        minute_bars(lake, DAYS[1], {"A": {0: base}})
    instruments(lake, DAYS[1], ("A", base))
    found: LakePanel = panel(lake, interval, scope=scope)
    first = int((found.bars.date == found.bars.date[0]).sum())
    return float(found.bars.factor[first]), bool(found.doubtful[first])


REST = {"adjusted": False, "source": "kis:FHKST03010100"}


@pytest.mark.parametrize("base", [10_300.0, 9_500.0])
@pytest.mark.parametrize("source", ["trades", "poll", "poll:partial"])
@pytest.mark.parametrize("state", ["open", "polled", "certified", "assumed", None])
def test_after_a_day_that_was_recorded_in_part_a_base_is_no_event_and_the_move_is_doubtful(
    lake: Lake, base: float, source: str, state: str | None
) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10, {"source": source}))
    if state is not None:
        coverage(lake, DAYS[0], ("A", state, 1))

    assert moved(lake, base) == (1.0, True)


def test_a_split_after_a_day_that_was_recorded_in_part_is_one_and_its_returns_are_doubtful(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10, {"source": "poll:partial"}))

    assert moved(lake, 2_060.0) == (0.206, True)


@pytest.mark.parametrize("source", ["trades:closed", "rest", "import"])
def test_a_days_bar_that_reaches_the_close_is_whole_by_its_source(lake: Lake, source: str) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10, {"source": source}))
    coverage(lake, DAYS[0], ("A", "open", 1))

    assert moved(lake) == (0.95, False)


@pytest.mark.parametrize("interval", ["day", "minute"])
@pytest.mark.parametrize(("source", "found"), [("certified", (0.95, False)), ("trades", (1.0, True))])
def test_who_traded_last_at_two_o_clock_has_a_whole_day_if_its_bars_were_certified_when_they_were_built(
    lake: Lake, interval: str, source: str, found: tuple[float, bool]
) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10, {"source": source}))
    minute_bars(lake, DAYS[0], {"A": {0: 9_900.0, 310: 10_000.0}}, source=source)
    coverage(lake, DAYS[0], ("A", "certified", 1))  # a repair may have come after

    assert moved(lake, interval=interval) == found


@pytest.mark.parametrize(("last", "found"), [(389, (1.0, True)), (390, (0.95, False))])
def test_minutes_are_whole_if_the_last_one_is_the_closing_auctions(
    lake: Lake, last: int, found: tuple[float, bool]
) -> None:
    minute_bars(lake, DAYS[0], {"A": {0: 9_900.0, last: 10_000.0}})
    coverage(lake, DAYS[0], ("A", "open", 1))

    assert moved(lake, interval="minute") == found


def test_a_poll_in_the_auctions_minute_may_have_come_before_it(lake: Lake) -> None:
    minute_bars(lake, DAYS[0], {"A": {390: 10_000.0}}, source="poll")

    assert moved(lake, interval="minute") == (1.0, True)


@pytest.mark.parametrize("interval", ["day", "minute"])
@pytest.mark.parametrize(
    ("adjusted", "fetched", "found"),
    [
        (False, "15:40:00", (9_785 / 10_300, False)),
        (False, None, (9_785 / 10_300, False)),
        (False, "14:00:00", (1.0, True)),  # what it was then
        (True, "15:40:00", (1.0, True)),  # of whatever was adjusted since
    ],
)
def test_a_close_that_the_broker_tells_is_what_the_base_is_read_beside(
    lake: Lake, interval: str, adjusted: bool, fetched: str | None, found: tuple[float, bool]
) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10))
    minute_bars(lake, DAYS[0], {"A": {300: 10_000.0}})
    told = {**REST, "adjusted": adjusted, "fetched_at": fetched and clock(DAYS[0], fetched)}
    external(lake, DAYS[0], ("A", 10_300.0, 10, told))

    assert moved(lake, 9_785.0, interval) == found


@pytest.mark.parametrize("interval", ["day", "minute"])
@pytest.mark.parametrize(("when", "found"), [("15:31:00", (0.95, False)), ("15:30:10", (1.0, True))])
def test_a_poll_behind_the_closing_auction_tells_the_close(
    lake: Lake, interval: str, when: str, found: tuple[float, bool]
) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10))
    minute_bars(lake, DAYS[0], {"A": {300: 10_000.0}})
    polls(lake, DAYS[0], ("A", 10_000.0, {"price": 10_300.0, "ts_recv": clock(DAYS[0], when)}))

    assert moved(lake, 9_785.0, interval) == found


def test_what_is_remembered_of_a_day_before_says_whether_its_close_was_official(lake: Lake) -> None:
    minute_bars(lake, DAYS[1], {"A": {0: 9_500.0}})
    instruments(lake, DAYS[1], ("A", 9_500.0))

    def factor(official: int) -> float:
        last = {"A": LastTrade(1_000_000, 20_250_915, official)}
        return float(panel(lake, "minute", start=DAYS[1], last=last).bars.factor[0])

    assert [factor(official) for official in (0, 1_000_000, 1_030_000)] == [1.0, 0.95, 9_500 / 10_300]


def test_nxt_ends_before_krx_and_its_last_price_tells_of_no_event(lake: Lake) -> None:
    # Each day NXT ends at 15:20; KRX's closing auction is 50 won higher, and the base of the next day.
    for day in range(4):
        bars(lake, DAYS[day], ("A", 10_000.0 + 50 * day, 10, {"scope": "NXT"}))
        instruments(lake, DAYS[day], ("A", 10_040.0 + 50 * (day - 1)))

    found = panel(lake, scope="NXT")

    assert found.bars.factor.tolist() == [1.0] * 4
    assert not (found.doubtful | found.bars.masked).any()


def test_an_event_is_the_same_for_nxt_where_the_lake_has_the_close_on_krx(lake: Lake) -> None:
    bars(lake, DAYS[0], ("A", 10_000.0, 10, {"source": "trades:closed"}), ("A", 9_960.0, 10, {"scope": "NXT"}))

    assert moved(lake, 9_500.0, scope="NXT") == (0.95, False)


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


def test_listings_are_those_of_the_latest_list_that_says_so_up_to_each_date(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path))
    instruments(lake, DAYS[0], ("A", 1.0, {"market": "KOSDAQ"}), ("B", 1.0))
    instruments(lake, DAYS[1], ("A", 1.0, {"market": None}))
    instruments(lake, DAYS[2], ("A", 1.0, {"market": "KOSPI"}), ("C", 1.0))
    listings = Listings(Pinned.now(lake, ["instruments"]))
    told = [{symbol: each.market for symbol, each in listings.at(end).items()} for end in (*DAYS[:3], None, DAYS[0])]
    first = {"A": Market.KOSDAQ, "B": Market.KOSPI}
    last = {"A": Market.KOSPI, "B": Market.KOSPI, "C": Market.KOSPI}
    assert told == [first, first, last, last, first]
