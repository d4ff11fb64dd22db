"""The language in which faults are asked for: text in, frozen values out.

A specification is a list of clauses, separated by ``;`` or line ends::

    drop=1/1000; close@10:30; silence@11:00+90s; refuse@ack:3=OPSP0008; layout@12:00=2026-09-14; http@rest:5-9=500,1/2

    clause  = KIND [ "@" WHEN ] [ "+" SPAN ] [ "=" VALUE ] [ "[" ONLY "]" ]
    WHEN    = HH:MM[:SS[.fff]], the market's time (KST), or EVENT:N, EVENT:N-M, EVENT:N-: the N-th event of its kind
    SPAN    = a number with ms, s, m or h, of the market's time; without it a fault lasts for the rest of the day
    VALUE   = what the fault takes, its rate (1/1000, 0.1%), or both with a comma
    ONLY    = a TR id, a symbol or the name of a REST call

Text from ``#`` to the end of a line is a remark.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from hosu.errors import InputError, plain
from hosu.kis.simulator.fault_kinds import KINDS
from hosu.kis.simulator.gateway_codes import GATEWAY
from hosu.kis.simulator.sessions import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.kis.simulator.fault_kinds import Kind, Value

_CLAUSE: Final = re.compile(
    r"(?P<kind>[a-z0-9]+)(?:@(?P<when>[^+=\[\]]*))?(?:\+(?P<span>[^=\[\]]*))?(?:=(?P<value>[^\[\]]*))?"
    r"(?:\[(?P<only>[^\[\]]*)\])?"
)
_TIME: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,6})?))?")
_EVENT: Final = re.compile(r"([a-z]+):(\d{1,12})(-(\d{1,12})?)?")
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_ONLY: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_CLOSES: Final = {1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013}
_MOST_FIELDS: Final = 20


@dataclass(frozen=True, slots=True)
class Clause:
    """One fault asked for, as written in ``text``.

    It begins at ``at_s`` (second of the market's day) or with the ``first`` of the events ``event`` (counted from 1)
    and ends with ``last``; both None: it is there all day. ``span_s`` is of the market's time, None: to the end of
    the day. ``number`` holds what is counted in seconds, fields, times or codes of digits, ``code`` other codes,
    ``day`` the date of layouts. ``rate`` is the chance of each event it looks at.
    """

    text: str
    kind: str
    at_s: float | None = None
    span_s: float | None = None
    event: str | None = None
    first: int = 1
    last: int | None = None
    rate: float = 1.0
    number: float = 0.0
    code: str = ""
    day: date | None = None
    only: str | None = None

    def counts(self, number: int) -> bool:
        """Whether the event of this number is one of those it is tied to."""
        return self.event is None or self.first <= number <= (number if self.last is None else self.last)


class _FaultyError(Exception):
    """What is wrong with a clause, and what to do."""


def parse_faults(text: str) -> tuple[Clause, ...]:
    """The clauses of a specification, in its order.

    Raises:
        InputError: a clause makes no sense; it is named.
    """
    lines = (line.split("#", 1)[0] for line in text.splitlines())
    written = [part.strip() for line in lines for part in line.split(";") if part.strip()]
    return tuple(_clause(each) for each in written)


def _clause(text: str) -> Clause:
    try:
        return _parsed(text)
    except _FaultyError as faulty:
        fault, next_step = faulty.args
        raise InputError(f"fault {plain(text)[:80]!r}", fault, next_step) from None


def _parsed(text: str) -> Clause:
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise _FaultyError("is not written as a fault is", "write KIND@WHEN+SPAN=VALUE[ONLY], all but KIND optional")
    kind = _kind(found["kind"])
    facts = _when(kind, found["when"]) | _span(kind, found["span"]) | _value(kind, found["value"])
    facts |= _only(kind, found["only"])
    if kind.must and "at_s" not in facts and "event" not in facts:
        raise _FaultyError("says no time", f"write {kind.name}@HH:MM")
    if kind.name in {"stall", "restart", "burst"} and "span_s" not in facts:
        raise _FaultyError("says no span, and would never end", f"write {kind.name}@HH:MM+30s")
    if kind.name == "close" and len({"at_s", "event", "rate"} & facts.keys()) != 1:
        raise _FaultyError(
            "says neither when nor how often, or both", "write close@HH:MM, close@frame:N or close=1/1000"
        )
    return Clause(text, kind.name, **facts)  # type: ignore[arg-type]  # by name, as the readers below make them


def _kind(name: str) -> Kind:
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(KINDS)}"
        raise _FaultyError(f"{name!r} is no fault", hint)
    return KINDS[name]


# --- when -------------------------------------------------------------------------------------------------------

Facts = dict[str, object]


def _when(kind: Kind, text: str | None) -> Facts:
    if text is None:
        return {}
    time = _TIME.fullmatch(text)
    if time is not None and "time" in kind.at:
        return {"at_s": int(time[1]) * 3600 + int(time[2]) * 60 + float(time[3] or 0)}
    event = _EVENT.fullmatch(text)
    if event is None or event[1] not in kind.at or event[1] == "time":
        events = [f"{each}:N" for each in kind.at if each != "time"]
        known = " or ".join(["HH:MM", *events] if "time" in kind.at else events)
        raise _FaultyError(f"{text!r} is no time or event of {kind.name}", f"write {kind.name}@{known}")
    first = int(event[2])
    last = first if event[3] is None else int(event[4]) if event[4] else None
    if first < 1 or (last is not None and last < first):
        raise _FaultyError(f"{text!r} counts backwards or from 0", "events count from 1, as in ack:3 or ack:3-5")
    return {"event": event[1], "first": first, "last": last}


def _span(kind: Kind, text: str | None) -> Facts:
    if text is None:
        return {}
    if not kind.lasts:
        raise _FaultyError(f"{kind.name} happens at a moment and lasts no time", "leave the span out")
    return {"span_s": _seconds(text, "a span")}


def _seconds(text: str, what: str) -> float:
    found = _SPAN.fullmatch(text)
    if found is None or float(found[1]) <= 0:
        raise _FaultyError(f"{text!r} is no length of time", f"write {what} as 500ms, 30s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2]]


# --- what -------------------------------------------------------------------------------------------------------


def _value(kind: Kind, text: str | None) -> Facts:
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    facts: Facts = {}
    rest = []
    for part in parts:
        if kind.rated and ("/" in part or part.endswith("%")) and "rate" not in facts:
            facts["rate"] = _rate(part)
        else:
            rest.append(part)
    if kind.value and not rest and kind.default is None:
        raise _FaultyError("has no value", f"write {kind.name}={_EXAMPLES[kind.value]}")
    if len(rest) > bool(kind.value):
        takes = [each for each in (_EXAMPLES.get(kind.value), "a rate such as 1/1000" if kind.rated else None) if each]
        raise _FaultyError(f"{', '.join(rest)!r} is not what it takes", f"it takes {' and '.join(takes) or 'nothing'}")
    if kind.value:
        facts |= _READERS[kind.value](rest[0] if rest else str(kind.default))
    return facts


def _rate(text: str) -> float:
    try:
        if text.endswith("%"):
            rate = float(text[:-1]) / 100
        else:
            over, under = text.split("/")
            rate = int(over) / int(under)
    except (ValueError, ZeroDivisionError):
        rate = 0.0
    if not 0 < rate <= 1:
        raise _FaultyError(f"{text!r} is no rate", "write a rate as 1/1000 or 0.1%")
    return rate


def _close(text: str) -> Facts:
    if not text.isdecimal() or int(text) not in _CLOSES:
        raise _FaultyError(f"{text!r} is no close code", f"one of {', '.join(map(str, sorted(_CLOSES)))}")
    return {"number": float(text)}


def _code(text: str) -> Facts:
    if text not in MESSAGES or text in {"OPSP0000", "OPSP0001"}:
        codes = ", ".join(code for code in MESSAGES if code not in {"OPSP0000", "OPSP0001"})
        raise _FaultyError(f"{text!r} is no refusal of the WebSocket server", f"one of {codes}")
    return {"code": text}


def _gateway(text: str) -> Facts:
    if text not in GATEWAY:
        raise _FaultyError(f"{text!r} is no refusal of the REST gateway", f"one of {', '.join(GATEWAY)}")
    return {"code": text}


def _status(text: str) -> Facts:
    if not text.isdecimal() or not 400 <= int(text) <= 599:
        raise _FaultyError(f"{text!r} is no HTTP error", "write a status from 400 to 599")
    return {"number": float(text)}


def _shift(text: str) -> Facts:
    sign = {"+": 1.0, "-": -1.0}.get(text[:1])
    if sign is None:
        raise _FaultyError(f"{text!r} is no shift of a clock", "write it with its sign, as +1h or -90s")
    return {"number": sign * _seconds(text[1:], "a shift")}


def _factor(text: str) -> Facts:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0.01 <= factor <= 1000:
        raise _FaultyError(f"{text!r} is no factor", "write a number from 0.01 to 1000")
    return {"number": factor}


def _layout(text: str) -> Facts:
    if text.startswith("+"):
        if not text[1:].isdecimal() or not 1 <= int(text[1:]) <= _MOST_FIELDS:
            raise _FaultyError(f"{text!r} is no number of fields", f"write +1 to +{_MOST_FIELDS}")
        return {"number": float(text[1:])}
    try:
        return {"day": date.fromisoformat(text)}
    except ValueError:
        raise _FaultyError(f"{text!r} is no date", "write YYYY-MM-DD, or +N for N fields more") from None


_READERS: Final[dict[Value, Callable[[str], Facts]]] = {
    "close": _close,
    "code": _code,
    "gateway": _gateway,
    "status": _status,
    "seconds": lambda text: {"number": _seconds(text, "it")},
    "shift": _shift,
    "factor": _factor,
    "layout": _layout,
}
_EXAMPLES: Final[dict[Value, str]] = {
    "close": "1006", "code": "OPSP0008", "gateway": "EGW00201", "status": "500", "seconds": "2s", "shift": "+1h",
    "factor": "10", "layout": "2026-09-14",
}  # fmt: skip


def _only(kind: Kind, text: str | None) -> Facts:
    if text is None:
        return {}
    if not kind.only:
        raise _FaultyError(f"{kind.name} concerns everything", "leave the brackets out")
    if _ONLY.fullmatch(text) is None:
        raise _FaultyError(f"{text!r} is no TR id, symbol or call", "write one of them, as in [H0STCNT0] or [005930]")
    return {"only": text}
