"""How the broker's cumulative volume behaves, as dated data: what the proof of completeness rests on.

The proof itself is arithmetic: a trade of ``size`` at cumulative volume ``c`` is the shares ``[c - size, c)``, and
trades that are exactly ``[0, last)`` are all there are up to ``last``. Each rule here says what that needs to be true
of the wire, on which scopes and dates, and how it is known: *proved* by frames or by a check that would notice if it
were false on the day at hand, or *assumed*. A symbol-day whose state rests on an assumed rule names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from hosu.market.day_plan import NXT_START


class Evidence(StrEnum):
    """How a rule is known."""

    PROVED = "proved"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class VolumeRule:
    """One rule. It holds on days ``valid_from <= day < valid_until``, None being open; ``by`` says which frames or
    which check prove it, or what would."""

    name: str
    scopes: tuple[str, ...]
    valid_from: date | None
    valid_until: date | None
    statement: str
    evidence: Evidence
    by: str

    def holds_on(self, day: date, scope: str) -> bool:
        """Whether the rule speaks of that day and scope."""
        begun = self.valid_from is None or self.valid_from <= day
        return scope in self.scopes and begun and (self.valid_until is None or day < self.valid_until)


_ALL: Final = ("KRX", "NXT", "UN")
_VENUES: Final = ("KRX", "NXT")
_REFORM: Final = date(2026, 9, 14)
_PROVED, _ASSUMED = Evidence.PROVED, Evidence.ASSUMED

QUIET_AFTER_CLOSE: Final = "quiet_after_close"
STREAM_STOOD: Final = "stream_stood_to_the_end"
OLD_REPEATS: Final = "old_repeats_are_repeats"
VALUE_MAY_DIFFER: Final = "value_may_differ"
COUNTS_MAY_DIFFER: Final = "counts_may_differ"

SETTLE_S: Final = 5.0
"""So long trades may come after a book or poll that counts them already, seconds."""
VALUE_TOLERANCE_WON: Final = 1
"""So much a cumulative value may be off without being another one."""

_TABLE: Final = (
    VolumeRule(
        "steps_by_size", _ALL, None, None,
        "The cumulative volume of a trade is that of the trade before it plus its own size.",
        _PROVED, "frame of 2026-07-07: 313469, then 313470 with size 1; and on every day by its own trades, where a "
        "single one that does not step so is a hole or an overlap",
    ),
    VolumeRule(
        "starts_at_zero", _ALL, None, None,
        "The cumulative volume starts at 0 on every business date.",
        _PROVED, "the day's own first trade: did it start elsewhere, a hole [0, first) would stand in the ledger",
    ),
    VolumeRule(
        "auctions_count", _ALL, None, None,
        "What an auction trades is counted when it meets, as one or more trades without a side; orders and expected "
        "matches before that are not.",
        _PROVED, "quoted frames: volume less buys and sells (526,197) is about the opening's expected volume "
        "(525,579); and by the day's own trades, as steps_by_size",
    ),
    VolumeRule(
        "expected_do_not_count", _ALL, None, None,
        "Expected matches (H0STANC0 and its kin) carry a cumulative volume of their own that belongs to no trade.",
        _PROVED, "frames of 2026-07-07 08:51:30, before the open, with 313,470 shares expected; the ledger never reads "
        "them",
    ),
    VolumeRule(
        "sessions_go_on", _ALL, None, None,
        "The cumulative volume goes on over the changes of session (pre-market, regular, after-close, single price, "
        "after-market).",
        _PROVED, "the day's own trades: did it start anew, volume would go back while time goes on, and the day is "
        "unprovable",
    ),
    VolumeRule(
        "krx_after_market_goes_on", ("KRX",), _REFORM, None,
        "The after-market of KRX (16:00 to 20:00) counts on from the regular session, on H0STCNT0.",
        _PROVED, "trades were seen on H0STCNT0 at 16:39 on 2026-09-14; that they count on shows as sessions_go_on does",
    ),
    VolumeRule(
        "single_price_in_stream", ("KRX",), None, _REFORM,
        "What the single-price sessions (16:00 to 18:00) trade is counted, if at all, without a trade in H0STCNT0: it "
        "has a stream of its own (H0STOUP0).",
        _ASSUMED, "a book or poll after 18:00 that says more than the trades; the difference then stands as a hole",
    ),
    VolumeRule(
        "off_book_counts", _ALL, None, None,
        "Block, basket and other off-book trades are counted, if at all, with a trade of their size.",
        _ASSUMED, "a hole that no session event explains, between two trades of one connection",
    ),
    VolumeRule(
        "repeats_after_close", _ALL, None, None,
        "After the close the broker sends the last trade again, unchanged; it is no trade.",
        _PROVED, "measured 2026-07-09 by a third party; a repeat has volume, size and value of a trade that is known",
    ),
    VolumeRule(
        "unified_counts_itself", ("UN",), NXT_START, None,
        "The unified scope counts the trades of both venues in one sequence of its own.",
        _PROVED, "the day's own trades, as steps_by_size; its series is never mixed with KRX's or NXT's",
    ),
    VolumeRule(
        "no_cancelled_trades", _ALL, None, None,
        "A trade once counted stays counted; a correction shows as a volume that goes back.",
        _ASSUMED, "a later trade whose volume is lower, which is none of those known; such a day is unprovable",
    ),
    VolumeRule(
        "book_says_the_same", _ALL, None, None,
        "The cumulative volume in an order book (H0STASP0 field 53) is the trades' own.",
        _PROVED, "each day on which both end at the same number; a book that says more opens a hole",
    ),
    VolumeRule(
        "poll_says_the_same", _VENUES, None, None,
        "The volume of a price poll (acml_vol) is the trades' own.",
        _PROVED, "each day on which both end at the same number; a poll that says more opens a hole",
    ),
    VolumeRule(
        "poll_says_the_same", ("UN",), NXT_START, None,
        "The volume of a price poll (acml_vol) is the trades' own.",
        _PROVED, "each day on which both end at the same number; a poll that says more opens a hole",
    ),
    VolumeRule(
        "less_says_nothing", _ALL, None, None,
        "A poll or book that names less than the trades have reached says nothing: it neither confirms the end of the "
        "day nor contradicts a trade.",
        _ASSUMED, "no day is called whole by it. Whether polls count the after-market of KRX is documented nowhere; a "
        "poll after 20:00 that names what the trades do would show that they count it",
    ),
    VolumeRule(
        "witness_ahead_settles", _ALL, None, None,
        f"A book or poll and the trades it counts come on different ways: one that says more is a hole at the end only "
        f"once the trades have stood still behind it for {SETTLE_S:g} s.",
        _ASSUMED, "a hole at the end that the stream itself fills later (gap_events: repaired, by stream) shows a wait "
        "that was too short; when a day is told in full, no witness is waited for",
    ),
    VolumeRule(
        QUIET_AFTER_CLOSE, _ALL, None, None,
        "Between the witness after the close of the regular session and the end of the day's last one nothing was "
        "traded.",
        _ASSUMED, "a book or poll after the end of the day",
    ),
    VolumeRule(
        STREAM_STOOD, _ALL, None, None,
        "A connection that stood from the last trade to the end has brought everything; no book or poll confirms it.",
        _ASSUMED, "a book or poll after the end of the day",
    ),
    VolumeRule(
        OLD_REPEATS, _ALL, None, None,
        "A trade inside of what is covered, older than the trades that are remembered whole, is a repeat.",
        _ASSUMED, "`hosu ledger certify`, which reads the whole day in order and compares each with its twin",
    ),
    VolumeRule(
        "value_within_a_won", _ALL, None, None,
        f"The cumulative value is in whole won, and prices may hold half ones: what differs from price x size, or from "
        f"a poll's value, by up to {VALUE_TOLERANCE_WON} won does not differ.",
        _ASSUMED, f"a day on which anything differs by more names {VALUE_MAY_DIFFER}; no share is counted by its value",
    ),
    VolumeRule(
        VALUE_MAY_DIFFER, _ALL, None, None,
        "Where the volume is whole but the cumulative value is not the sum of price x size, no share is missing.",
        _ASSUMED, "the broker's day value; the volume alone counts shares",
    ),
    VolumeRule(
        COUNTS_MAY_DIFFER, _ALL, None, None,
        "Where the volume is whole but the counts of buys and sells step otherwise, no share is missing.",
        _ASSUMED, "the volume alone counts shares",
    ),
)  # fmt: skip

RULES: Final[tuple[VolumeRule, ...]] = _TABLE
"""Every rule, in the order in which one meets them in a day."""


def rules_on(day: date, scope: str) -> list[VolumeRule]:
    """The rules that speak of that day and scope."""
    return [rule for rule in RULES if rule.holds_on(day, scope)]
