from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosu.collect.subscriptions import Exchange, ExchangeConfig, Exchanges, Key, make_plan

TRADES, BOOKS = "H0STCNT0", "H0STASP0"


def names(count, first=0):
    return [f"{number:06d}" for number in range(first, first + count)]


def hows(plan):
    return Counter(each.how for each in plan.symbols)


def test_one_key_streams_the_first_41_and_polls_the_rest():
    plan = make_plan(names(300), [TRADES], [Key("one")])
    assert hows(plan) == {"streamed": 41, "polled": 259}
    (share,) = plan.shares
    assert share.streamed == tuple(names(41))
    assert share.polled == tuple(names(259, 41))
    assert [each.key for each in share.registrations] == names(41)
    assert [each.key for each in share.reserve] == names(5, 41)


def test_three_keys_stream_123_and_share_the_polls_evenly():
    plan = make_plan(names(300), [TRADES], [Key("a"), Key("b"), Key("c")])
    assert hows(plan) == {"streamed": 123, "polled": 177}
    assert [len(share.registrations) for share in plan.shares] == [41, 41, 41]
    assert [len(share.polled) for share in plan.shares] == [59, 59, 59]
    assert {each.symbol for each in plan.symbols if each.how == "streamed"} == set(names(123))


def test_books_halve_the_symbols_and_the_slot_left_over_takes_the_trades_of_one_more():
    plan = make_plan(names(30), [TRADES, BOOKS], [Key("one")])
    (share,) = plan.shares
    assert (len(share.registrations), len(share.streamed)) == (41, 21)
    last = plan.symbols[20]
    assert (last.how, last.tr_ids, last.why) == ("streamed", (TRADES,), "no slot for H0STASP0")
    assert plan.symbols[21].how == "polled"


def test_without_polling_what_finds_no_slot_is_not_covered_and_the_reason_is_given():
    plan = make_plan(names(3), [TRADES], [Key("one", slots=2)], poll=False)
    assert [(each.symbol, each.why) for each in plan.not_covered] == [("000002", "no slot left, and polling is off")]
    assert plan.keys == {"000000": "one", "000001": "one"}


def test_keys_with_more_calls_poll_more():
    plan = make_plan(names(140), [TRADES], [Key("old", 0, 12.0), Key("new", 0, 2.0)])
    assert [len(share.polled) for share in plan.shares] == [120, 20]


def test_a_limit_learnt_from_a_refusal_is_a_plan_with_fewer_slots():
    plan = make_plan(names(10), [TRADES], [Key("a", slots=3), Key("b", slots=41)])
    assert [len(share.registrations) for share in plan.shares] == [0, 10]
    full = make_plan(names(60), [TRADES], [Key("a", slots=3), Key("b", slots=41)])
    assert [len(share.registrations) for share in full.shares] == [3, 41]


@pytest.mark.parametrize("gone", [0, 50, 122, 200])
def test_a_symbol_less_moves_one_symbol_and_not_all_behind_it(gone):
    keys = [Key("a"), Key("b"), Key("c")]
    before = make_plan(names(300), [TRADES], keys)
    fewer = [symbol for symbol in names(300) if symbol != f"{gone:06d}"]
    after = make_plan(fewer, [TRADES], keys, before=before.keys)
    moved = [symbol for symbol in fewer if before.keys[symbol] != after.keys[symbol]]
    was = {each.symbol: each.how for each in before.symbols}
    changed = [each.symbol for each in after.symbols if each.how != was[each.symbol]]
    assert len(moved) <= 1
    assert changed == (["000123"] if gone < 123 else [])


def test_a_key_more_takes_only_what_it_is_there_for():
    before = make_plan(names(300), [TRADES], [Key("a"), Key("b")])
    after = make_plan(names(300), [TRADES], [Key("a"), Key("b"), Key("c")], before=before.keys)
    streamed = [share.streamed for share in before.shares]
    assert [share.streamed for share in after.shares[:2]] == streamed
    assert after.shares[2].streamed == tuple(names(41, 82))


KEYS = st.lists(st.tuples(st.integers(0, 45), st.sampled_from([0.9, 2.0, 12.0])), min_size=1, max_size=5)


@given(
    st.integers(0, 200),
    st.lists(st.sampled_from([TRADES, BOOKS, "H0STANC0"]), min_size=1, max_size=3, unique=True),
    KEYS,
    st.booleans(),
    st.data(),
)
def test_no_plan_exceeds_the_slots_and_every_symbol_is_exactly_one_thing(count, tr_ids, keys, poll, data):
    given_keys = [Key(f"k{number}", slots, calls) for number, (slots, calls) in enumerate(keys)]
    symbols = names(count)
    before = data.draw(st.dictionaries(st.sampled_from(names(220)), st.sampled_from(["k0", "k1", "gone"])))
    plan = make_plan(symbols, tr_ids, given_keys, poll=poll, before=before)
    assert [each.symbol for each in plan.symbols] == symbols
    for share in plan.shares:
        assert len(share.registrations) <= share.key.slots
        assert len(set(share.registrations)) == len(share.registrations)
        assert {each.key for each in share.registrations} == set(share.streamed)
    listed = Counter(symbol for share in plan.shares for symbol in share.symbols)
    listed.update(each.symbol for each in plan.not_covered)
    assert listed == Counter(symbols)
    assert bool(plan.not_covered) <= (not poll)
    streamed = [each for each in plan.symbols if each.how == "streamed"]
    assert [each.symbol for each in streamed] == symbols[: len(streamed)]
    free = sum(share.key.slots - len(share.registrations) for share in plan.shares)
    assert not free or len(streamed) == count
    assert make_plan(symbols, tr_ids, given_keys, poll=poll, before=plan.keys) == plan


@given(st.sets(st.integers(0, 150)), st.sets(st.integers(0, 150)))
def test_as_many_symbols_move_as_come_and_go(first, second):
    keys = [Key("a", 20), Key("b", 20), Key("c", 20)]
    before = make_plan(sorted(f"{each:06d}" for each in first), [TRADES], keys)
    after = make_plan(sorted(f"{each:06d}" for each in second), [TRADES], keys, before=before.keys)
    was = {each.symbol: each for each in before.symbols if each.how == "streamed"}
    still = [each for each in after.symbols if each.how == "streamed" and each.symbol in was]
    moved = [each for each in still if each.key != was[each.symbol].key]
    assert len(moved) <= len(first ^ second)


# --- exchanges ------------------------------------------------------------------------------------------------------


def test_the_busiest_of_those_polled_takes_the_slot_of_the_quietest_streamed():
    exchanges = Exchanges(ExchangeConfig(per_hour=2, dwell_s=100, margin=1.5), ["A", "B"], now_s=0.0)
    scores = {"A": 10.0, "B": 4.0, "C": 30.0, "D": 7.0}
    assert exchanges.next(99.0, scores, ["A", "B"], ["C", "D"]) is None  # they have not stayed long enough
    assert exchanges.next(100.0, scores, ["A", "B"], ["C", "D"]) == Exchange("C", "B")
    assert exchanges.next(101.0, scores, ["A", "C"], ["B", "D"]) is None  # D is not worth it: 7 < 1.5 x 10


def test_without_scores_nobody_moves():
    exchanges = Exchanges(ExchangeConfig(per_hour=9, dwell_s=0), ["A"], now_s=0.0)
    assert exchanges.next(1.0, {"A": 1.0}, ["A"], ["B"]) is None
    assert exchanges.next(1.0, {"B": 9.0}, ["A"], ["B"]) is None


def test_by_default_nothing_is_ever_exchanged():
    exchanges = Exchanges(ExchangeConfig(), ["A"], now_s=0.0)
    assert exchanges.next(1e6, {"A": 1.0, "B": 9e9}, ["A"], ["B"]) is None


@given(
    st.lists(st.tuples(st.floats(1, 400), st.lists(st.floats(0, 1e6), min_size=8, max_size=8)), max_size=150),
    st.integers(0, 4),
)
def test_however_scores_jump_exchanges_are_bounded_and_everybody_stays_a_while(steps, per_hour):
    config = ExchangeConfig(per_hour=per_hour, dwell_s=600.0, margin=1.2)
    symbols = list("ABCDEFGH")
    streamed, polled = symbols[:3], symbols[3:]
    exchanges, now_s = Exchanges(config, streamed, 0.0), 0.0
    moved: dict[str, float] = dict.fromkeys(streamed, 0.0)
    made: list[float] = []
    for wait_s, scores in steps:
        now_s += wait_s
        change = exchanges.next(now_s, dict(zip(symbols, scores, strict=True)), streamed, polled)
        if change is None:
            continue
        for symbol in (change.promote, change.demote):
            assert now_s - moved.get(symbol, -1e9) >= config.dwell_s
            moved[symbol] = now_s
        streamed[streamed.index(change.demote)] = change.promote
        polled[polled.index(change.promote)] = change.demote
        made.append(now_s)
        assert sum(at > now_s - 3600 for at in made) <= per_hour
