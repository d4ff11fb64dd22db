"""What holds for every day, price and instrument."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hosu.kis.masters import encode_master, parse_master
from hosu.market.calendar import (
    FIRST_DAY,
    LAST_DAY,
    business_day,
    classify,
    instant_us,
    is_session,
    next_session,
    phase_at,
    previous_session,
    session_windows,
    sessions_between,
    sessions_on,
)
from hosu.market.day_plan import Phase, Scope, Session
from hosu.market.instruments import Instrument, InstrumentType, Market, WarningLevel, from_arrow, to_arrow
from hosu.market.rules import Rounding, price_limits, round_to_tick, tick_size

days = st.dates(FIRST_DAY, LAST_DAY)
sessions = st.sampled_from(sessions_between(FIRST_DAY, LAST_DAY + timedelta(1)))
scopes = st.sampled_from(Scope)
markets = st.sampled_from(Market)
kinds = st.sampled_from([InstrumentType.STOCK, InstrumentType.ETF, InstrumentType.ELW])
prices = st.integers(1, 3_000_000)


@given(sessions.filter(lambda day: FIRST_DAY + timedelta(10) < day < LAST_DAY - timedelta(10)))
def test_previous_and_next_undo_each_other(day: date) -> None:
    assert previous_session(next_session(day)) == day
    assert next_session(previous_session(day)) == day


@given(days, days)
def test_sessions_between_are_the_days_that_are_sessions(start: date, end: date) -> None:
    end = min(end, start + timedelta(60))
    expected = [start + timedelta(n) for n in range((end - start).days) if is_session(start + timedelta(n))]
    assert list(sessions_between(start, end)) == expected


@given(sessions, scopes)
def test_phases_are_disjoint_in_order_and_within_the_day(day: date, scope: Scope) -> None:
    if not is_session(day, scope):
        return
    plan = sessions_on(day, scope)
    assert all(span.start_s < span.end_s for span in (*plan.phases, *plan.beside))
    assert all(one.end_s <= other.start_s for one, other in pairwise(plan.phases))
    assert 0 <= plan.start_s < plan.open_s < plan.close_s < plan.end_s <= 86_400 or scope is Scope.NXT
    for span in plan.phases:
        assert phase_at(instant_us(day, span.start_s), scope) is span.phase
        assert phase_at(instant_us(day, span.end_s) - 1, scope) is span.phase
        assert phase_at(instant_us(day, span.end_s), scope) is not span.phase


@given(sessions, scopes)
def test_windows_are_disjoint_and_hold_every_moment_at_which_something_trades(day: date, scope: Scope) -> None:
    if not is_session(day, scope):
        return
    windows = session_windows(day, scope)
    assert all(one.end_us == other.start_us for one, other in pairwise(windows))
    for span in sessions_on(day, scope).phases:
        if span.phase is Phase.REGULAR:
            assert classify(instant_us(day, span.start_s), scope) is Session.REGULAR
            assert classify(instant_us(day, span.end_s) - 1, scope) is Session.REGULAR
        assert classify(instant_us(day, span.end_s) - 1, scope) is not None


@given(prices, sessions, markets, kinds)
def test_limits_lie_on_the_grid_around_the_base(base: int, day: date, market: Market, kind: InstrumentType) -> None:
    limits = price_limits(base, day, market, kind)
    for price in (limits.lower, limits.upper):
        assert price % tick_size(price, day, market, kind) == 0
    on_grid = base % tick_size(base, day, market, kind) == 0
    assert not on_grid or limits.lower <= base <= limits.upper
    assert limits.upper <= max(base * 1.3, base + tick_size(base, day, market, kind))


@given(st.floats(0.01, 3_000_000), sessions, markets, kinds)
def test_rounding_brackets_the_price(price: float, day: date, market: Market, kind: InstrumentType) -> None:
    down = round_to_tick(price, day, market, kind, Rounding.DOWN)
    near = round_to_tick(price, day, market, kind, Rounding.NEAREST)
    up = round_to_tick(price, day, market, kind, Rounding.UP)
    assert near in (down, up)
    assert price <= up
    assert down <= price or down == tick_size(price, day, market, kind)
    for rounded in (down, near, up):
        assert rounded % tick_size(rounded, day, market, kind) == 0


instruments = st.builds(
    Instrument,
    symbol=st.from_regex(r"[0-9A-Z]{6}|Q[0-9A-Z]{6}", fullmatch=True),
    isin=st.from_regex(r"KR[0-9A-Z]{10}", fullmatch=True),
    name=st.text("가각힣ABC 1&", min_size=1, max_size=18).map(str.strip),
    market=st.just(Market.KOSPI),
    type=st.just(InstrumentType.ETF),
    group=st.just("EF"),
    listed=st.none() | st.dates(date(1956, 3, 3), LAST_DAY),
    base_price=st.integers(0, 999_999_999),
    previous_volume=st.integers(0, 10**12 - 1),
    lot=st.integers(0, 99_999),
    listed_shares=st.integers(0, 10**12).map(lambda thousands: thousands * 1_000),
    par_value=st.integers(0, 10**12 - 1),
    market_cap=st.integers(0, 999_999_999 // 2).map(lambda units: units * 100_000_000),
    fiscal_month=st.integers(0, 12),
    halted=st.booleans(),
    administrative=st.booleans(),
    warning=st.sampled_from(WarningLevel),
    overheated=st.booleans(),
    preferred=st.booleans(),
    indices=st.sets(st.sampled_from(["KOSPI100", "KOSPI50", "KRX100", "KRX300"])).map(
        lambda names: tuple(sorted(names))
    ),
)


@given(st.lists(instruments, min_size=1, max_size=5, unique_by=lambda instrument: instrument.symbol))
def test_instruments_survive_the_master_file_and_the_table(universe: list[Instrument]) -> None:
    assert parse_master(encode_master(universe, Market.KOSPI), Market.KOSPI) == universe
    table = to_arrow(date(2026, 2, 20), universe)
    assert sorted(from_arrow(table), key=lambda one: one.symbol) == sorted(universe, key=lambda one: one.symbol)


seconds = st.one_of(st.integers(0, 86_399), st.floats(0, 86_399.999))


@given(sessions, scopes, seconds)
def test_an_instant_has_the_one_phase_whose_hours_hold_it(day: date, scope: Scope, second: float) -> None:
    if not is_session(day, scope):
        assert phase_at(instant_us(day, second), scope) is None
        return
    at_us = instant_us(day, second)
    holding = [
        span.phase
        for span in sessions_on(day, scope).phases
        if instant_us(day, span.start_s) <= at_us < instant_us(day, span.end_s)
    ]
    assert len(holding) <= 1
    assert phase_at(at_us, scope) is (holding[0] if holding else None)


@given(days, scopes, seconds)
def test_an_instant_belongs_to_the_one_session_whose_window_holds_it(day: date, scope: Scope, second: float) -> None:
    at_us = instant_us(day, second)
    windows = session_windows(day, scope) if is_session(day, scope) else ()
    holding = [window.session for window in windows if window.start_us <= at_us < window.end_us]
    assert len(holding) <= 1
    assert classify(at_us, scope) is (holding[0] if holding else None)


@given(days, seconds)
def test_an_instant_and_its_day_and_second_are_the_same(day: date, second: float) -> None:
    at_us = instant_us(day, second)
    back, second_back = business_day(at_us)
    assert instant_us(back, second_back) == at_us
    assert back == day or second > 86_399.9999994


@given(days.filter(lambda day: FIRST_DAY + timedelta(12) < day < LAST_DAY - timedelta(12)), scopes)
def test_no_session_lies_between_a_day_and_the_next_and_the_one_before(day: date, scope: Scope) -> None:
    if scope is Scope.NXT and day < date(2025, 3, 20):
        return
    after, before = next_session(day, scope), previous_session(day, scope)
    assert before < day < after
    between = [before + timedelta(n) for n in range(1, (after - before).days)]
    assert [each for each in between if is_session(each, scope)] == ([day] if is_session(day, scope) else [])


@given(st.floats(0.01, 3_000_000), sessions, markets, kinds, st.sampled_from(Rounding))
def test_rounding_to_the_grid_twice_is_rounding_once(
    price: float, day: date, market: Market, kind: InstrumentType, rounding: Rounding
) -> None:
    once = round_to_tick(price, day, market, kind, rounding)
    for again in Rounding:
        assert round_to_tick(once, day, market, kind, again) == once


@given(st.floats(0.01, 3_000_000), st.floats(0.01, 3_000_000), sessions, markets, kinds, st.sampled_from(Rounding))
def test_rounding_keeps_the_order_of_prices(
    one: float, other: float, day: date, market: Market, kind: InstrumentType, rounding: Rounding
) -> None:
    low, high = min(one, other), max(one, other)
    rounded = [round_to_tick(price, day, market, kind, rounding) for price in (low, high)]
    assert rounded == sorted(rounded)
