"""From what was seen to what is known: the states, each with what it rests on."""

from dataclasses import replace
from typing import Any

import pytest
from ledger_parts import DAY

from hosu.collect import ledger_kernel as kernel
from hosu.collect.gaps import Gap
from hosu.collect.ledger import LedgerConfig
from hosu.collect.ledger_judge import Seen, Witness, judge, tail_of, united
from hosu.market.ledger import State
from hosu.market.volume_rules import RULES, SETTLE_S, VALUE_TOLERANCE_WON, rules_on

SERIES = (DAY, "KRX", "005930")


def seen(hi: int = 100, **more: Any) -> Seen:
    facts: dict[str, Any] = {
        "gaps": (),
        "witnesses": (),
        "trades": 5 if hi else 0,
        "value": hi * 100,
        "first": 0 if hi else None,
        "last_value": hi * 100,
        "registered": True,
        "last_ts": 1,
        "last_recv": 1,
        "last_lsn": 7,
    }
    counts = ("duplicates", "unchecked", "contradictions", "went_back", "unusable", "suspects", "value_breaks")
    return Seen(SERIES, hi, **{**dict.fromkeys((*counts, "count_breaks"), 0), **facts, **more})


def said(volume: int, level: int = 2, kind: str = "book", **more: Any) -> Witness:
    return Witness(kind, volume, level, **more)


HOLE = Gap(*SERIES, 20, 30)
CASES: dict[str, tuple[Seen, State, tuple[str, ...], str | None]] = {
    "whole, and a book after the end agrees": (seen(witnesses=(said(100),)), State.CERTIFIED, (), None),
    "whole, and a poll after the end agrees": (seen(witnesses=(said(100, 2, "poll"),)), State.CERTIFIED, (), None),
    "one agrees, the other says less": (
        seen(witnesses=(said(100), said(60, 2, "poll"))),
        State.CERTIFIED,
        (),
        None,
    ),
    "whole, the book agrees after the close only": (
        seen(witnesses=(said(100, 1),)),
        State.ASSUMED,
        ("quiet_after_close",),
        None,
    ),
    "whole, no word after the close, but the stream stood to the end": (
        seen(witnesses=(said(90, 0),), stood=2),
        State.ASSUMED,
        ("stream_stood_to_the_end",),
        None,
    ),
    "whole, and the stream stood to the close": (
        seen(stood=1),
        State.ASSUMED,
        ("stream_stood_to_the_end", "quiet_after_close"),
        None,
    ),
    "whole as far as it goes": (seen(witnesses=(said(100, 0),)), State.OPEN, (), "the end of the day was not seen"),
    "a hole": (seen(gaps=(HOLE,), witnesses=(said(100),)), State.OPEN, (), "10 shares are missing in 1 gap"),
    "the end is missing": (seen(witnesses=(said(120),)), State.OPEN, (), "20 shares are missing in 1 gap"),
    "a hole, and the end is missing": (
        seen(gaps=(HOLE,), witnesses=(said(120, 0, "poll"),)),
        State.OPEN,
        (),
        "30 shares are missing in 2 gaps",
    ),
    "old repeats": (
        seen(witnesses=(said(100),), duplicates=3, unchecked=1),
        State.ASSUMED,
        ("old_repeats_are_repeats",),
        None,
    ),
    "value that does not add up": (
        seen(witnesses=(said(100),), value_breaks=1),
        State.ASSUMED,
        ("value_may_differ",),
        None,
    ),
    "a poll's value that is not the trades'": (
        seen(witnesses=(said(100, 2, "poll", value=10_002),)),
        State.ASSUMED,
        ("value_may_differ",),
        None,
    ),
    "counts that do not add up": (
        seen(witnesses=(said(100, 1),), count_breaks=2),
        State.ASSUMED,
        ("quiet_after_close", "counts_may_differ"),
        None,
    ),
    "volume went back": (
        seen(witnesses=(said(100),), contradictions=2, went_back=2),
        State.UNPROVABLE,
        (),
        "the cumulative volume went back 2 times: a correction, or it began anew",
    ),
    "an overlap beside a hole": (
        seen(gaps=(HOLE,), contradictions=1),
        State.UNPROVABLE,
        (),
        "1 trades overlap others, or have their volume with another size or value",
    ),
    "trades without a volume": (
        seen(witnesses=(said(100),), unusable=4),
        State.UNPROVABLE,
        (),
        "4 trades have no usable cumulative volume or size",
    ),
    "a jump set aside": (
        seen(witnesses=(said(100),), suspects=1),
        State.UNPROVABLE,
        (),
        "1 trades jump to a volume that their own value belies",
    ),
    "polled only": (
        seen(0, registered=False, witnesses=(said(100, 2, "poll"),)),
        State.POLLED,
        (),
        "no trade was received, and none was asked for",
    ),
    "asked for, and nothing came": (
        seen(0, witnesses=(said(100, 2, "poll"),)),
        State.OPEN,
        (),
        "100 shares are missing in 1 gap",
    ),
    "nothing was traded, and that was seen": (seen(0, witnesses=(said(0, 2, "poll"),)), State.CERTIFIED, (), None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_was_seen_gives_this_state(case: tuple[Seen, State, tuple[str, ...], str | None]) -> None:
    given, state, assumptions, reason = case
    verdict = judge(given)
    assert (verdict.state, verdict.assumptions, verdict.reason) == (state, assumptions, reason)


def test_every_assumption_a_state_may_name_is_a_rule_and_assumed() -> None:
    named = {name for _, _, assumptions, _ in CASES.values() for name in assumptions}
    assert len(named) == 5
    assert named <= {rule.name for rule in RULES if rule.evidence == "assumed"}


def test_what_the_code_waits_for_and_lets_pass_is_listed_among_the_rules() -> None:
    """Each of these decides what a day is called."""
    listed = {rule.name: rule for rule in RULES}
    assert LedgerConfig().settle_s == SETTLE_S
    assert f"{SETTLE_S:g} s" in listed["witness_ahead_settles"].statement
    assert 100 * VALUE_TOLERANCE_WON == kernel._ROUNDING
    assert f"{VALUE_TOLERANCE_WON} won" in listed["value_within_a_won"].statement
    assert listed["less_says_nothing"].evidence == "assumed"
    assert judge(seen(100, witnesses=(said(90, 2, "poll"),))).state == judge(seen(100)).state == State.OPEN


@pytest.mark.parametrize(("off_by", "assumptions"), [(VALUE_TOLERANCE_WON, ()), (2, ("value_may_differ",))])
def test_a_poll_s_value_may_be_off_by_a_won(off_by: int, assumptions: tuple[str, ...]) -> None:
    given = seen(100, last_value=10_000, witnesses=(replace(said(100, 2, "poll"), value=10_000 + off_by),))
    assert judge(given).assumptions == assumptions


def test_rules_speak_of_days_and_scopes() -> None:
    from datetime import date

    before = {rule.name for rule in rules_on(date(2026, 9, 13), "KRX")}
    after = {rule.name for rule in rules_on(date(2026, 9, 14), "KRX")}
    assert before - after == {"single_price_in_stream"}
    assert after - before == {"krx_after_market_goes_on"}
    assert "unified_counts_itself" in {rule.name for rule in rules_on(date(2026, 9, 14), "UN")} - after


def test_the_end_that_is_missing_tells_who_knows_of_it() -> None:
    tail = tail_of(seen(witnesses=(said(110, 0), said(120, 1, "poll", value=12_500, recv=99, lsn=9))))
    assert tail is not None
    assert (tail.from_volume, tail.to_volume, tail.value, tail.after_recv, tail.lsn) == (100, 120, 2_500, 99, 9)
    assert tail.detail == "a poll says 120 shares, the trades end at 100"


def test_a_witness_of_an_earlier_judgement_counts_only_for_the_volume_it_saw() -> None:
    former = Witness.of_text("poll after the end of the day", 100)
    assert former is not None
    assert judge(seen(), former).state is State.CERTIFIED
    assert judge(seen(105), former).state is State.OPEN
    assert Witness.of_text("poll some day", 100) is Witness.of_text(None, 100) is None


def test_of_two_logs_the_later_word_of_a_witness_counts() -> None:
    early, late = said(100, 0, "poll", recv=5), said(100, 2, "poll", recv=9)
    whole = united(seen(gaps=(HOLE,), witnesses=(early,)), [seen(60, witnesses=(late,))])
    assert whole.gaps == ()
    assert judge(whole).state is State.CERTIFIED


@pytest.mark.parametrize("level", [0, 1])
def test_a_witness_that_repeats_itself_is_as_late_as_any_log_knows_it_to_be(level: int) -> None:
    """One log may lack the clock or the end of the day by which another tells how late it was."""
    known, repeated = said(100, 2, "poll", recv=5), said(100, level, "poll", recv=9)
    for own, other in ((known, repeated), (repeated, known)):
        assert judge(united(seen(witnesses=(own,)), [seen(witnesses=(other,))])).state is State.CERTIFIED
