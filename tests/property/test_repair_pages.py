"""Paging finds exactly what a pager can find, of any trades, and ends whatever it is answered."""

from hypothesis import given
from hypothesis import strategies as st

from hosu.collect.repair_pages import Pager, Print, Why

Broker = list[Print]


@st.composite
def days(draw: st.DrawFn) -> tuple[Broker, set[int], int]:
    """The trades of a day, oldest first; which of them were missed; how many a page holds."""
    crowds = draw(st.lists(st.integers(1, 7), min_size=1, max_size=25))
    second = draw(st.integers(0, 50_000))
    volume, trades = 0, []
    for crowd in crowds:
        for _ in range(crowd):
            size = draw(st.integers(1, 5))
            trades.append(Print(second, volume, volume + size))
            volume += size
        second += draw(st.integers(1, 3))
    missed = draw(st.sets(st.integers(0, len(trades) - 1)))
    return trades, missed, draw(st.integers(1, 6))


def page(trades: Broker, cursor: int, room: int, *, inclusive: bool) -> Broker:
    """What the broker gives: the last trades up to a second."""
    upto = [each for each in trades if each.second < cursor + inclusive]
    return upto[-room:]


def holes_of(trades: Broker, missed: set[int]) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """The missed trades as holes, and when the trade above each was."""
    holes: list[tuple[int, int]] = []
    seconds: dict[int, int] = {}
    for i in sorted(missed):
        trade = trades[i]
        if holes and holes[-1][1] == trade.begin:
            holes[-1] = (holes[-1][0], trade.end)
        else:
            holes.append((trade.begin, trade.end))
        if i + 1 < len(trades) and i + 1 not in missed:
            seconds[trade.end] = trades[i + 1].second
    return holes, seconds


def shares(intervals: list[tuple[int, int]]) -> set[int]:
    return {share for begin, end in intervals for share in range(begin, end)}


def walk(pager: Pager, trades: Broker, room: int, *, inclusive: bool) -> list[int]:
    asked = []
    while (cursor := pager.cursor()) is not None:
        asked.append(cursor)
        pager.take(cursor, page(trades, cursor, room, inclusive=inclusive))
    return asked


@given(days(), st.booleans())
def test_what_is_found_is_exactly_what_a_page_can_hold(day: tuple[Broker, set[int], int], inclusive: bool) -> None:
    trades, missed, room = day
    holes, seconds = holes_of(trades, missed)
    pager = Pager(holes, seconds, 86_399)
    asked = walk(pager, trades, room, inclusive=inclusive)
    assert pager.missing == []
    within = {
        each for i, each in enumerate(trades) if sum(later.second == each.second for later in trades[i + 1 :]) < room
    }
    unreachable = {share for i in missed if trades[i] not in within for share in range(trades[i].begin, trades[i].end)}
    assert shares([(each.begin, each.end) for each in pager.lost]) == unreachable
    assert {each.why for each in pager.lost} <= {Why.CROWDED}
    assert len(asked) == len(set(asked))


@given(days(), st.booleans())
def test_a_walk_costs_little_more_than_the_pages_it_needs(day: tuple[Broker, set[int], int], inclusive: bool) -> None:
    trades, missed, room = day
    holes, seconds = holes_of(trades, missed)
    asked = walk(Pager(holes, seconds, 86_399), trades, room, inclusive=inclusive)
    touched = {each.second for each in trades}
    assert len(asked) <= 3 * len(touched) + 3


@given(days(), st.data())
def test_any_answers_end_it(day: tuple[Broker, set[int], int], data: st.DataObject) -> None:
    trades, missed, _ = day
    holes, seconds = holes_of(trades, missed)
    pager = Pager(holes, seconds, data.draw(st.integers(0, 86_399)))
    some = st.builds(
        lambda second, begin, size: Print(second, begin, begin + size),
        st.integers(0, 86_399),
        st.integers(0, 100),
        st.integers(1, 40),
    )
    asked = 0
    while (cursor := pager.cursor()) is not None:
        assert 0 <= cursor <= 86_399
        pager.take(cursor, data.draw(st.lists(some | st.sampled_from(trades), max_size=6)))
        asked += 1
        assert asked <= 3 * 600
    left = shares([(each.begin, each.end) for each in pager.lost])
    assert left <= shares(holes)


def test_pages_that_do_not_go_back_end_the_walk_at_once() -> None:
    newest = [Print(40_000, 990, 1000)]
    pager = Pager([(0, 500)], {500: 36_000}, 86_399)
    cursor = pager.cursor()
    assert cursor == 36_000
    pager.take(cursor, newest)
    assert pager.cursor() is None
    assert [(each.begin, each.end, each.why) for each in pager.lost] == [(0, 500, Why.STUCK)]


def test_what_a_page_leaves_out_is_not_asked_for_again() -> None:
    pager = Pager([(10, 90)], {90: 36_000}, 86_399)
    pager.take(36_000, [Print(36_000, 90, 100), Print(35_999, 60, 90), Print(35_998, 0, 40)])
    assert pager.cursor() is None
    assert [(each.begin, each.end, each.why) for each in pager.lost] == [(40, 60, Why.UNLISTED)]


def test_a_list_that_ends_is_told_from_a_crowded_second() -> None:
    pager = Pager([(0, 90)], {90: 36_000}, 86_399)
    while (cursor := pager.cursor()) is not None:
        pager.take(cursor, [Print(36_000, 90, 100), Print(35_999, 60, 90)] if cursor >= 36_000 else [])
    assert [(each.begin, each.end, each.why) for each in pager.lost] == [(0, 60, Why.UNLISTED)]
