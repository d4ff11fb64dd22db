"""Every relation between the numbers of the synthetic exchange's records."""

from datetime import date

import numpy as np
import pytest

from hosu.errors import InputError, NoSessionError
from hosu.kis.codec import parse
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.market.rules import price_limits, tick_table

DAY = date(2026, 9, 16)
CONFIG = ExchangeConfig(DAY, seed=7, records=60_000)


def columns_of(config: ExchangeConfig, tr_id: str) -> dict[str, np.ndarray]:
    """All records of a TR in the order sent, parsed back from the bytes."""
    found: dict[str, list[np.ndarray]] = {}
    for burst in Exchange(config):
        parsed = parse(burst.frames.data, burst.frames.start, burst.frames.end)
        assert not parsed.rejects
        for records in parsed.records:
            if records.layout.tr_id == tr_id:
                for name, values in records.columns.items():
                    found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


@pytest.fixture(scope="module")
def trades() -> dict[str, np.ndarray]:
    return columns_of(CONFIG, "H0STCNT0")


@pytest.fixture(scope="module")
def books() -> dict[str, np.ndarray]:
    return columns_of(CONFIG, "H0STASP0")


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    return columns_of(CONFIG, "H0STANC0")


def per_cent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """In hundredths, rounded half away from zero; 0 of nothing."""
    whole = np.where(whole == 0, 1, whole) if np.ndim(whole) else whole
    exact = np.abs(part) * 10000 * 2 // whole
    return np.sign(part) * ((exact + 1) // 2)


def by_symbol(columns: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    codes = columns["MKSC_SHRN_ISCD"]
    return [{name: each[codes == code] for name, each in columns.items()} for code in np.unique(codes)]


def sign(change: np.ndarray) -> np.ndarray:
    return np.where(change > 0, ord("2"), np.where(change < 0, ord("5"), ord("3")))


def test_the_previous_close_is_the_same_in_every_record(trades: dict[str, np.ndarray]) -> None:
    known = {s: i.base_price * 100 for s, i in Exchange(CONFIG).instruments.items()}
    for one in by_symbol(trades):
        assert set(one["STCK_PRPR"] - one["PRDY_VRSS"]) <= set(known.values())
        assert len(set(one["STCK_PRPR"] - one["PRDY_VRSS"])) == 1


def test_change_and_sign_and_rate_agree(trades: dict[str, np.ndarray]) -> None:
    change = trades["PRDY_VRSS"]
    ordinary = ~np.isin(trades["PRDY_VRSS_SIGN"], [ord("1"), ord("4")])
    assert (trades["PRDY_VRSS_SIGN"] == sign(change))[ordinary].all()
    assert (trades["PRDY_CTRT"] == per_cent(change, trades["STCK_PRPR"] - change)).all()


def test_volume_and_value_add_up_trade_by_trade(trades: dict[str, np.ndarray]) -> None:
    for one in by_symbol(trades):
        volume, new = one["ACML_VOL"], np.diff(one["ACML_VOL"], prepend=0) > 0
        assert (~new).sum() <= 1 or one["MARKET_CLS_CODE"][~new].size <= 1  # the last value, repeated once
        size = np.where(new, one["CNTG_VOL"], 0)
        assert (np.cumsum(size) == volume).all()
        assert (np.cumsum(size * one["STCK_PRPR"]) // 100 == one["ACML_TR_PBMN"]).all()


def test_the_average_price_is_value_by_volume(trades: dict[str, np.ndarray]) -> None:
    exact = trades["ACML_TR_PBMN"] * 100 / trades["ACML_VOL"]
    assert np.abs(trades["WGHN_AVRG_STCK_PRC"] - exact).max() <= 0.5 + 100 / trades["ACML_VOL"].min()


def test_counts_and_sums_of_the_sides_agree(trades: dict[str, np.ndarray]) -> None:
    assert (trades["NTBY_CNTG_CSNU"] == trades["SHNU_CNTG_CSNU"] - trades["SELN_CNTG_CSNU"]).all()
    sold = trades["SELN_CNTG_SMTN"]
    assert (trades["CTTR"] == np.where(sold > 0, per_cent(trades["SHNU_CNTG_SMTN"], sold), 0)).all()
    for one in by_symbol(trades):
        new = np.diff(one["ACML_VOL"], prepend=0) > 0
        for side, name in (("1", "SHNU_CNTG_SMTN"), ("5", "SELN_CNTG_SMTN")):
            mine = new & (one["CCLD_DVSN"] == ord(side))
            assert (np.cumsum(np.where(mine, one["CNTG_VOL"], 0)) == one[name]).all()


def test_shares_without_a_side_are_those_of_the_auctions(trades: dict[str, np.ndarray]) -> None:
    for one in by_symbol(trades):
        auction = (one["CCLD_DVSN"] == ord("3")) & (np.diff(one["ACML_VOL"], prepend=0) > 0)
        without = one["ACML_VOL"] - one["SELN_CNTG_SMTN"] - one["SHNU_CNTG_SMTN"]
        assert (without == np.cumsum(np.where(auction, one["CNTG_VOL"], 0))).all()
        assert auction[0]


@pytest.mark.parametrize("level", ["OPRC", "HGPR", "LWPR"])
def test_open_high_and_low_and_what_is_said_of_them(trades: dict[str, np.ndarray], level: str) -> None:
    against = trades["STCK_PRPR"] - trades[f"STCK_{level}"]
    assert (trades[f"{level}_VRSS_PRPR"] == against).all()
    assert (trades[f"{level}_VRSS_PRPR_SIGN"] == sign(against)).all()
    for one in by_symbol(trades):
        price, seen = one["STCK_PRPR"], one[f"STCK_{level}"]
        running = {"OPRC": np.full(len(price), price[0]), "HGPR": np.maximum.accumulate(price)}
        assert (seen == running.get(level, np.minimum.accumulate(price))).all()
        changed = np.flatnonzero(np.diff(seen, prepend=-1))
        assert (one[f"{level}_HOUR"][changed] == one["STCK_CNTG_HOUR"][changed]).all()


def test_turnover_and_comparison_with_the_day_before(trades: dict[str, np.ndarray]) -> None:
    exchange = Exchange(CONFIG)
    for one in by_symbol(trades):
        symbol = one["MKSC_SHRN_ISCD"][:1].view("S8")[0].decode()
        listing = exchange.instruments[symbol]
        shares = np.full(len(one["ACML_VOL"]), listing.listed_shares)
        assert (one["VOL_TNRT"] == per_cent(one["ACML_VOL"], shares)).all()
        before = np.full(len(one["ACML_VOL"]), listing.previous_volume)
        assert (one["PRDY_VOL_VRSS_ACML_VOL_RATE"] == per_cent(one["ACML_VOL"], before)).all()
        same_hour = one["PRDY_SMNS_HOUR_ACML_VOL"]
        assert (one["PRDY_SMNS_HOUR_ACML_VOL_RATE"] == per_cent(one["ACML_VOL"], same_hour)).all()
        assert (np.diff(same_hour[:-2]) >= 0).all()


def test_prices_lie_on_the_grid_and_within_the_limits(trades: dict[str, np.ndarray]) -> None:
    table = tick_table(DAY)
    ticks = np.array(table.ticks)[np.searchsorted(table.below, trades["STCK_PRPR"] // 100, side="right")]
    assert (trades["STCK_PRPR"] % (ticks * 100) == 0).all()
    for one in by_symbol(trades):
        limits = price_limits(int(one["STCK_PRPR"][0] - one["PRDY_VRSS"][0]) // 100, DAY)
        assert one["STCK_PRPR"].min() >= limits.lower * 100
        assert one["STCK_PRPR"].max() <= limits.upper * 100


def test_trades_have_the_business_date_and_their_part_of_the_day(trades: dict[str, np.ndarray]) -> None:
    assert set(trades["BSOP_DATE"]) == {20260916}
    after = trades["MARKET_CLS_CODE"] == ord("3")
    assert trades["STCK_CNTG_HOUR"][after].min() >= 16 * 3600
    assert trades["STCK_CNTG_HOUR"][~after].max() <= 15 * 3600 + 31 * 60
    assert trades["STCK_CNTG_HOUR"].min() >= 9 * 3600


def test_the_totals_of_a_book_are_the_sums_of_its_levels(books: dict[str, np.ndarray]) -> None:
    for side in ("ASKP", "BIDP"):
        levels = np.array([books[f"{side}_RSQN{i}"] for i in range(1, 11)])
        assert (levels >= 0).all()
        assert (levels.sum(axis=0) == books[f"TOTAL_{side}_RSQN"]).all()


def test_the_levels_of_a_book_rise_and_fall_by_ticks(books: dict[str, np.ndarray]) -> None:
    asks = np.array([books[f"ASKP{i}"] for i in range(1, 11)])
    bids = np.array([books[f"BIDP{i}"] for i in range(1, 11)])
    both = (asks[0] > 0) & (bids[0] > 0)
    assert (asks[0] > bids[0])[both].all()
    assert ((np.diff(asks, axis=0) > 0) | (asks[1:] == 0)).all()
    assert ((np.diff(bids, axis=0) < 0) | (bids[1:] == 0)).all()


def test_a_book_says_nothing_of_a_match_in_continuous_trading(books: dict[str, np.ndarray]) -> None:
    running = books["HOUR_CLS_CODE"] == ord("0")
    assert running.any()
    assert (books["ANTC_CNPR"][running] == 0).all()
    assert (books["ANTC_CNTG_VRSS"][running] < 0).all()
    assert set(books["ANTC_CNTG_VRSS_SIGN"][running]) == {ord("5")}
    assert set(books["ANTC_CNTG_PRDY_CTRT"][running]) == {-10000}


def test_a_book_shows_the_expected_match_in_an_auction(books: dict[str, np.ndarray]) -> None:
    auction = np.isin(books["HOUR_CLS_CODE"], [ord("A"), ord("B"), ord("C")])
    assert (books["ANTC_CNPR"][auction] > 0).all()
    assert (books["ANTC_CNQN"][auction] == books["ANTC_VOL"][auction]).all()


def test_books_and_trades_tell_the_same_best_prices() -> None:
    config = ExchangeConfig(DAY, seed=3, records=20_000, symbols=("005930",), fills=1)
    touched = 0
    for burst in Exchange(config):
        batches = {batch.layout.event: batch for batch in burst.batches}
        if {"trades", "quotes"} <= batches.keys():
            t, q = batches["trades"], batches["quotes"]
            following = np.isin(t.frame + 1, q.frame)
            book = np.searchsorted(q.frame, t.frame[following] + 1)
            assert (t.columns["ACML_VOL"][following] == q.columns["ACML_VOL"][book]).all()
            touched += int(following.sum())
    assert touched > 1000


def test_the_expected_volume_grows_by_what_each_record_says(expected: dict[str, np.ndarray]) -> None:
    opening = {name: each[expected["STCK_CNTG_HOUR"] < 9 * 3600] for name, each in expected.items()}
    for one in by_symbol(opening):
        assert (np.cumsum(one["CNTG_VOL"]) == one["ACML_VOL"]).all()
        assert set(one["HOUR_CLS_CODE"]) == {ord("B")}
        assert set(one["F45"]) == {int(one["STCK_PRPR"][0] - one["PRDY_VRSS"][0])}


def test_the_opening_print_has_the_expected_price_and_volume(
    trades: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    opening = {name: each[expected["STCK_CNTG_HOUR"] < 9 * 3600] for name, each in expected.items()}
    firsts = {int(one["MKSC_SHRN_ISCD"][0]): one for one in by_symbol(trades)}
    for one in by_symbol(opening):
        first = firsts[int(one["MKSC_SHRN_ISCD"][0])]
        assert (first["STCK_PRPR"][0], first["CNTG_VOL"][0]) == (one["STCK_PRPR"][-1], one["ACML_VOL"][-1])


def digest(config: ExchangeConfig) -> bytes:
    return b"\n".join(frame for burst in Exchange(config) for frame in burst.frames.frames())


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    config = ExchangeConfig(DAY, seed=5, records=3000)
    assert digest(config) == digest(config)
    assert digest(config) != digest(ExchangeConfig(DAY, seed=6, records=3000))


def test_frames_come_in_order_of_time_and_hold_at_most_nineteen_records() -> None:
    at_us, counts = zip(*((burst.at_us, burst.frames.records) for burst in Exchange(CONFIG)), strict=True)
    assert (np.diff(np.concatenate(at_us)) >= 0).all()
    sizes = np.concatenate(counts)
    assert 3 < sizes.max() <= 19


def test_one_record_a_frame_where_that_is_asked() -> None:
    assert all((burst.frames.records == 1).all() for burst in Exchange(ExchangeConfig(DAY, records=5000, fills=1)))


@pytest.mark.parametrize(
    ("layouts", "widths"), [(date(2024, 4, 26), {46, 59, 45}), (date(2025, 9, 15), {46, 62, 45}), (None, {47, 63, 46})]
)
def test_the_widths_are_those_of_the_date_asked_for(layouts: date | None, widths: set[int]) -> None:
    config = ExchangeConfig(DAY, records=3000, layouts=layouts, feeds=("trades", "quotes", "expected"))
    assert {batch.layout.width for burst in Exchange(config) for batch in burst.batches} == widths


def test_the_day_has_about_the_records_asked_for() -> None:
    records = sum(int(burst.frames.records.sum()) for burst in Exchange(CONFIG))
    assert 0.9 * CONFIG.records < records < 1.1 * CONFIG.records


def test_unified_records_come_only_for_what_nxt_trades() -> None:
    config = ExchangeConfig(DAY, records=20_000, symbols=tuple(f"{n:06d}" for n in range(10, 40)), scopes=("KRX", "UN"))
    exchange = Exchange(config)
    sent = {exchange.keys[k].key for burst in exchange for k in burst.key if exchange.keys[k].tr_id == "H0UNCNT0"}
    assert sent
    assert sent <= exchange.nxt < set(config.symbols)


def test_a_violent_day_brings_interruptions_and_their_end() -> None:
    config = ExchangeConfig(date(2025, 9, 15), seed=2, records=200_000, symbols=("100010", "100020"))
    exchange = Exchange(config)
    exchange._ground.fixed[:, 7] = exchange._ground.fixed[:, 4]  # drawn towards the upper limit
    exchange._tend_to_a_close = lambda: None  # type: ignore[method-assign]
    flags = [
        int(flag)
        for burst in exchange
        for batch in burst.batches
        if batch.layout.event == "market_events"
        for flag in batch.columns["VI_CLS_CODE"]
    ]
    assert flags.count(ord("Y")) > 0


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (ExchangeConfig(date(2025, 9, 14)), NoSessionError),
        (ExchangeConfig(DAY, symbols=()), InputError),
        (ExchangeConfig(DAY, symbols=("005930", "005930")), InputError),
        (ExchangeConfig(DAY, feeds=("prices",)), InputError),
        (ExchangeConfig(DAY, scopes=("NXT",)), InputError),
        (ExchangeConfig(DAY, fills=20), InputError),
        (ExchangeConfig(DAY, records=0), InputError),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(config: ExchangeConfig, error: type[Exception]) -> None:
    with pytest.raises(error):
        Exchange(config)


def test_a_market_may_have_thousands_of_symbols_each_once():
    from hosu.kis.simulator.universe import default_symbols

    assert len(set(default_symbols(4_000))) == 4_000
    assert default_symbols(4_000)[:300] == default_symbols(300)
