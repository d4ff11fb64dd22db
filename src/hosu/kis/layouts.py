"""What the broker sends, by real-time TR and date: which fields, in which order, since when.

The broker appends fields without notice (체결가 grew from 46 to 47 on 2026-09-14, 호가 from 59 over 62 to 63), so
nothing is ever split by a fixed width: ``layout_for`` takes the width found in a frame. ``layout_on`` says what is
sent on a day, for whoever plays the broker.

Sources: KIS portal, 국내주식 실시간시세 (2026-09-11); the broker's public samples; recorded frames.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Final

from hosu.errors import FrameError
from hosu.kis import layout_fields as f
from hosu.kis.layout_fields import Field, Kind

__all__ = ["LAYOUTS", "Field", "Kind", "Layout", "layout_for", "layout_on"]

OPENED: Final = date(2022, 1, 1)  # the year of the API's oldest recorded frame; nothing older is known
NXT_OPENED: Final = date(2025, 3, 4)
REFORM: Final = date(2026, 9, 14)  # KRX after-market until 20:00; MARKET_CLS_CODE appended


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The fields of one TR's records from ``valid_from`` on. There is one object of each: equal means the same.

    ``event`` is the table that takes its records (``trades``, ``quotes``, ``expected``, ``market_events``), or
    ``notice`` (order and fill notices: account data, kept out of every table), or empty where no table takes them.
    ``approximate`` says that ``valid_from`` is not known to the day, ``alternative`` that other sources contradict
    this layout or that it is documented but never seen: it is recognised, but not what ``layout_on`` answers.
    """

    tr_id: str
    event: str
    scope: str
    valid_from: date
    fields: tuple[Field, ...]
    approximate: bool = False
    alternative: bool = False
    note: str = ""
    _positions: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_positions", {each.name: i for i, each in enumerate(self.fields)})

    @property
    def width(self) -> int:
        """Fields in a record."""
        return len(self.fields)

    @property
    def label(self) -> str:
        """TR id and date, as in ``H0STCNT0@2026-09-14``; unique among all layouts."""
        return f"{self.tr_id}@{self.valid_from.isoformat()}"

    def index(self, name: str) -> int:
        """The position of a field, from 0. KeyError if the layout has no such field."""
        return self._positions[name]

    def has(self, name: str) -> bool:
        """Whether the layout has a field of that name."""
        return name in self._positions

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the fields that are free text."""
        return tuple(each.name for each in self.fields if each.kind is Kind.TEXT)


def _trade(tr_id: str, scope: str, opened: date, fields: tuple[Field, ...]) -> tuple[Layout, ...]:
    return (
        Layout(tr_id, "trades", scope, opened, fields),
        Layout(tr_id, "trades", scope, REFORM, (*fields, f.MARKET_CODE)),
    )


_BOOK_KRX: Final = (
    Layout("H0STASP0", "quotes", "KRX", OPENED, f.BOOK),
    Layout(
        "H0STASP0",
        "quotes",
        "KRX",
        date(2025, 1, 1),
        f.BOOK_62_KRX,
        approximate=True,
        note="59 fields were still recorded in 2024-11/12, 62 in 2026; the day of the change is not known",
    ),
    Layout("H0STASP0", "quotes", "KRX", REFORM, f.BOOK_63_KRX),
)
_BOOK_NXT: Final = (
    Layout("H0NXASP0", "quotes", "NXT", NXT_OPENED, f.BOOK_62_NXT),
    Layout(
        "H0NXASP0",
        "quotes",
        "NXT",
        date(2026, 7, 9),
        f.unverified(*f.BOOK_65),
        approximate=True,
        alternative=True,
        note="65 only in the broker's public sample; the portal says 62",
    ),
)
_BOOK_UN: Final = (
    Layout("H0UNASP0", "quotes", "UN", NXT_OPENED, f.BOOK_65),
    Layout("H0UNASP0", "quotes", "UN", REFORM, f.BOOK_66_UN),
)
_EXPECTED_KRX: Final = (
    Layout("H0STANC0", "expected", "KRX", OPENED, f.EXPECTED),
    Layout(
        "H0STANC0",
        "expected",
        "KRX",
        date(2026, 7, 7),
        f.EXPECTED_46_KRX,
        approximate=True,
        note="45 fields recorded 2024-04-26, 46 on 2026-07-07; the portal calls the last one unused",
    ),
)


def _expected(tr_id: str, scope: str) -> tuple[Layout, ...]:
    note = "the portal of 2026-09-11 lists 47 for UN, public samples 46; the day of the change is not known"
    return (
        Layout(tr_id, "expected", scope, NXT_OPENED, f.EXPECTED_46_OTHER),
        Layout(tr_id, "expected", scope, date(2026, 9, 11), f.EXPECTED_47_OTHER, approximate=True, note=note),
    )


_OPERATION_KRX: Final = (
    Layout("H0STMKO0", "market_events", "KRX", OPENED, f.OPERATION_10),
    Layout("H0STMKO0", "market_events", "KRX", NXT_OPENED, f.OPERATION_11, approximate=True),
)
_OPERATION_NXT: Final = (Layout("H0NXMKO0", "market_events", "NXT", NXT_OPENED, f.OPERATION_11),)
_OPERATION_UN: Final = (
    Layout(
        "H0UNMKO0",
        "market_events",
        "UN",
        NXT_OPENED,
        f.OPERATION_WITHOUT_SYMBOL,
        alternative=True,
        note="as documented, without the symbol; never seen",
    ),
    Layout(
        "H0UNMKO0",
        "market_events",
        "UN",
        date(2026, 9, 21),
        f.OPERATION_10,
        approximate=True,
        note="as seen live on 2026-09-21 to 23: symbol first, no EXCH_CLS_CODE",
    ),
)


def _notice(tr_id: str) -> tuple[Layout, ...]:
    return (
        Layout(tr_id, "notice", "", OPENED, f.NOTICE_23),
        Layout(tr_id, "notice", "", NXT_OPENED, f.NOTICE_26, approximate=True, note="first seen 2025-03-28"),
    )


def _unfiled(tr_id: str, scope: str, fields: tuple[Field, ...], opened: date = OPENED) -> tuple[Layout, ...]:
    return (Layout(tr_id, "", scope, opened, fields),)


_DISAGREE: Final = "the portal's example and its field table disagree"

_ALL: Final[tuple[tuple[Layout, ...], ...]] = (
    _trade("H0STCNT0", "KRX", OPENED, f.TRADE_KRX),
    _trade("H0NXCNT0", "NXT", NXT_OPENED, f.TRADE_OTHER),
    _trade("H0UNCNT0", "UN", NXT_OPENED, f.TRADE_OTHER),
    _BOOK_KRX,
    _BOOK_NXT,
    _BOOK_UN,
    _EXPECTED_KRX,
    _expected("H0NXANC0", "NXT"),
    _expected("H0UNANC0", "UN"),
    _OPERATION_KRX,
    _OPERATION_NXT,
    _OPERATION_UN,
    _notice("H0STCNI0"),
    _notice("H0STCNI9"),
    _unfiled("H0STMBC0", "KRX", f.BROKERS),
    _unfiled("H0NXMBC0", "NXT", f.BROKERS, NXT_OPENED),
    _unfiled("H0UNMBC0", "UN", f.BROKERS, NXT_OPENED),
    _unfiled("H0STPGM0", "KRX", f.PROGRAM),
    _unfiled("H0NXPGM0", "NXT", f.PROGRAM, NXT_OPENED),
    _unfiled("H0UNPGM0", "UN", f.PROGRAM, NXT_OPENED),
    # After-hours volumes count from zero again, so these are not rows of `trades`, whose identity is the day's volume.
    _unfiled("H0STOUP0", "KRX", f.TRADE_OTHER[:43]),
    _unfiled("H0STOAC0", "KRX", f.TRADE_OTHER[:43]),
    (
        Layout("H0STOAA0", "", "KRX", OPENED, f.AFTER_HOURS_BOOK_54),
        Layout(
            "H0STOAA0", "", "KRX", date(2024, 5, 3), f.AFTER_HOURS_BOOK_58, approximate=True, alternative=True,
            note=_DISAGREE,
        ),
    ),
    _unfiled("H0UPCNT0", "KRX", f.INDEX_30),
    (
        Layout("H0UPANC0", "", "KRX", OPENED, f.INDEX_15, approximate=True, alternative=True, note=_DISAGREE),
        Layout("H0UPANC0", "", "KRX", date(2022, 1, 2), f.INDEX_30, approximate=True),
    ),
    _unfiled("H0UPPGM0", "KRX", f.INDEX_PROGRAM),
    _unfiled("H0STNAV0", "KRX", f.NAV),
)  # fmt: skip

LAYOUTS: Final[dict[str, tuple[Layout, ...]]] = {layouts[0].tr_id: layouts for layouts in _ALL}
"""Every known layout by TR id, oldest first."""


@cache
def _by_width(tr_id: str) -> tuple[list[int], list[Layout]]:
    # A later layout of the same width hides an earlier one: the sort is stable and bisect takes the last.
    layouts = sorted(LAYOUTS[tr_id], key=lambda layout: layout.width)
    return [layout.width for layout in layouts], layouts


def layout_for(tr_id: str, width: int) -> Layout:
    """The widest known layout of ``tr_id`` that a record of ``width`` fields can fill.

    Fields beyond it are the record's tail. Of two layouts of one width the later is taken.

    Raises:
        FrameError: the TR is unknown, or the record is narrower than every known layout.
    """
    if tr_id not in LAYOUTS:
        raise FrameError("unknown TR id", tr_id=tr_id)
    widths, layouts = _by_width(tr_id)
    place = bisect_right(widths, width)
    if place == 0:
        fields = "1 field" if width == 1 else f"{width} fields"
        reason = f"record of {fields}; the narrowest known layout of {tr_id} has {widths[0]}"
        raise FrameError(reason, tr_id=tr_id)
    return layouts[place - 1]


def layout_on(tr_id: str, day: date) -> Layout:
    """What the broker sends on ``day``; the oldest known layout for days before it.

    Raises:
        FrameError: the TR is unknown.
    """
    if tr_id not in LAYOUTS:
        raise FrameError("unknown TR id", tr_id=tr_id)
    sent = [layout for layout in LAYOUTS[tr_id] if not layout.alternative]
    past = [layout for layout in sent if layout.valid_from <= day]
    return past[-1] if past else sent[0]
