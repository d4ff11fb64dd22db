"""The plain parser: one frame, one record, one field after another, in ordinary Python.

It says exactly why something cannot be parsed, and is the oracle of the compiled path, which hands it everything
that is out of the ordinary. A frame (KIS portal, 국내주식 실시간체결가)::

    0|H0STCNT0|002|005930^093354^71900^...^72100^005930^093355^71900^...^72100
    flag, TR id, count of records, records joined by ^ with nothing between them
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import FrameError, InputError
from hosu.kis.layouts import LAYOUTS, Field, Kind, Layout, layout_for
from hosu.kis.records import NULL, EncodedFrames, Parsed, Records, Reject, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hosu.kis.records import Ints

FILED: Final = frozenset({"trades", "quotes", "expected", "market_events"})
"""Events that have a table; records of other TRs are counted, not parsed."""

MAX_HUNDREDTHS: Final = 2**53  # beyond it a price is no longer exact as DOUBLE won
TR_ORDER: Final = {tr_id: i for i, tr_id in enumerate(LAYOUTS)}

_NUMBER: Final = re.compile(r"-?(?:([0-9]+)(?:\.([0-9]+))?|\.([0-9]+))")
_SYMBOL: Final = re.compile(r"[!-~]{1,8}")
_CODE: Final = re.compile(r"[ -~]{1,8}")
_DIGITS: Final = re.compile(r"[0-9]+")
_COUNT: Final = re.compile(r"[0-9]{1,6}")


def shortened(text: str, limit: int = 24) -> str:
    """A hostile text made fit for a sentence: quoted, ASCII only, cut after ``limit`` characters."""
    return ascii(text if len(text) <= limit else f"{text[:limit]}...")


# --- fields -----------------------------------------------------------------------------------------------------


def _number(text: str, *, hundredths: bool) -> int:
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError("not a number")
    whole, after, bare = match.groups()
    decimals = (after or bare or "").rstrip("0")
    if len(decimals) > (2 if hundredths else 0):
        raise ValueError("more than two decimals" if hundredths else "not a whole number")
    if len(text) > 400:  # int() of a hostile text must stay cheap
        raise ValueError("too large")
    value = int(whole or "0") * (100 if hundredths else 1)
    value += int(decimals.ljust(2, "0")) if decimals else 0
    if value > (MAX_HUNDREDTHS if hundredths else -NULL - 1):
        raise ValueError("too large")
    return -value if text.startswith("-") else value


def _whole(text: str) -> int:
    return _number(text, hundredths=False)


def _hundredths(text: str) -> int:
    return _number(text, hundredths=True)


def _code(text: str) -> int:
    if not _CODE.fullmatch(text):
        raise ValueError("not a code of one to eight ASCII characters")
    return int.from_bytes(text.encode("ascii"), "little")


def _symbol(text: str) -> int:
    if text == "(null)" or not _SYMBOL.fullmatch(text):
        raise ValueError("not a symbol of one to eight ASCII characters")
    return int.from_bytes(text.encode("ascii"), "little")


def _time(text: str) -> int:
    if len(text) != 6 or not _DIGITS.fullmatch(text):
        raise ValueError("not a time HHMMSS")
    hour, minute, second = int(text[:2]), int(text[2:4]), int(text[4:])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("not a possible time of day")
    return hour * 3600 + minute * 60 + second


def _date(text: str) -> int:
    if len(text) != 8 or not _DIGITS.fullmatch(text):
        raise ValueError("not a date YYYYMMDD")
    if text == "00000000":
        return NULL
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise ValueError("not a possible date") from None
    return int(text)


_READERS: Final[dict[Kind, Callable[[str], int]]] = {
    Kind.INT: _whole,
    Kind.PRICE: _hundredths,
    Kind.CODE: _code,
    Kind.SYMBOL: _symbol,
    Kind.TIME: _time,
    Kind.DATE: _date,
}


def parse_field(spec: Field, text: str) -> int:
    """The number that stands for ``text``; ``NULL`` for an empty field and for ``(null)``.

    Raises:
        ValueError: what ``text`` is not, without its name and value.
    """
    if spec.kind is not Kind.SYMBOL and text in {"", "(null)"}:
        return NULL
    return _READERS[spec.kind](text)


def parse_record(layout: Layout, texts: Sequence[str]) -> list[int]:
    """One number a field of the layout (``NULL`` for free texts); fields beyond the layout are not looked at.

    Raises:
        FrameError: naming the first field at fault and its value.
    """
    values = []
    for i, spec in enumerate(layout.fields):
        if spec.kind is Kind.TEXT:
            values.append(NULL)
            continue
        try:
            values.append(parse_field(spec, texts[i]))
        except ValueError as fault:
            reason = f"{spec.name} (field {i}) is {shortened(texts[i])}: {fault}"
            raise FrameError(reason, tr_id=layout.tr_id, layout=layout.label) from None
    return values


def free_text(text: str) -> str | None:
    """A free text as it came; None for an empty one and for ``(null)``."""
    return None if text in {"", "(null)"} else text


# --- frames -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame taken apart; ``fields`` is empty and ``width`` 0 where it is encrypted or holds no record."""

    tr_id: str
    encrypted: bool
    count: int
    fields: list[str]
    width: int


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise FrameError(f"not UTF-8 text: byte 0x{raw[fault.start]:02x} at {fault.start}") from None


def split_frame(raw: bytes) -> Frame:
    """Takes a data frame apart without looking into its fields.

    Raises:
        FrameError: it is not ``flag|TR|count|payload`` of a known TR, or its fields do not make ``count`` records.
    """
    if not raw:
        raise FrameError("empty frame")
    parts = _decoded(raw).split("|", 3)
    if len(parts) < 4:
        raise FrameError(f"has {len(parts)} of the four parts flag|TR id|count|records")
    flag, tr_id, said, payload = parts
    if flag not in {"0", "1"}:
        raise FrameError(f"begins with {shortened(flag)}, neither 0 nor 1 nor a JSON message")
    if tr_id not in LAYOUTS:
        raise FrameError("unknown TR id", tr_id=shortened(tr_id)[1:-1])
    if not _COUNT.fullmatch(said):
        raise FrameError(f"its count is {shortened(said)}, not a number of up to six digits", tr_id=tr_id)
    count = int(said)
    if flag == "1":
        return Frame(tr_id, True, count, [], 0)
    return _split_payload(tr_id, count, payload)


def _split_payload(tr_id: str, count: int, payload: str) -> Frame:
    fields = payload.split("^") if payload else []
    if not fields and count == 0:
        return Frame(tr_id, False, 0, [], 0)
    if not fields or count == 0 or len(fields) % count:
        reason = f"says {count} {'record' if count == 1 else 'records'}, holds {len(fields)} fields"
        raise FrameError(reason, tr_id=tr_id)
    width = len(fields) // count
    layout_for(tr_id, width)
    return Frame(tr_id, False, count, fields, width)


def layout_of(tr_id: str, width: int, first: str) -> Layout:
    """The layout of a record, by its width and, where that does not decide, its first field.

    통합 장운영정보 is documented without the symbol (first field Y or N) and sent with it, both ten fields wide.
    """
    if tr_id == "H0UNMKO0" and first in {"Y", "N"}:
        return LAYOUTS[tr_id][0]
    return layout_for(tr_id, width)


def _symbol_of(layout: Layout | None, texts: Sequence[str]) -> str | None:
    if layout is None or not texts or layout.fields[0].kind is not Kind.SYMBOL:
        return None
    return texts[0] if texts[0] != "(null)" and _SYMBOL.fullmatch(texts[0]) else None


def frame_reject(frame: int, raw: bytes, fault: FrameError) -> Reject:
    """The reject of a whole frame; its symbol is that of its first record, where there seems to be one."""
    parts = raw.decode("utf-8", "replace").split("|", 3)
    tr_id = fault.tr_id or (parts[1] if len(parts) > 1 and parts[1] in LAYOUTS else "")
    first = parts[3].split("^", 1) if len(parts) == 4 and parts[0] == "0" else []
    layout = LAYOUTS[tr_id][-1] if tr_id in LAYOUTS else None
    return Reject(frame, None, tr_id, fault.layout, fault.reason, raw, _symbol_of(layout, first))


def record_reject(frame: int, record_no: int, layout: Layout, texts: Sequence[str], fault: FrameError) -> Reject:
    """The reject of one record of a frame that is otherwise sound."""
    raw = "^".join(texts).encode()
    return Reject(frame, record_no, layout.tr_id, layout.label, fault.reason, raw, _symbol_of(layout, texts))


# --- batches ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    layout: Layout
    width: int
    frame: list[int] = field(default_factory=list)
    record_no: list[int] = field(default_factory=list)
    values: list[list[int]] = field(default_factory=list)
    fields: list[Sequence[str]] = field(default_factory=list)

    def records(self) -> Records:
        matrix = np.array(self.values, dtype=np.int64).T
        layout, known = self.layout, self.layout.width
        columns = {
            spec.name: np.ascontiguousarray(matrix[i])
            for i, spec in enumerate(layout.fields)
            if spec.kind is not Kind.TEXT
        }
        return Records(
            layout,
            self.width,
            np.array(self.frame, dtype=np.int64),
            np.array(self.record_no, dtype=np.int32),
            columns,
            ["^".join(texts[known:]) for texts in self.fields] if self.width > known else None,
            {name: [free_text(texts[layout.index(name)]) for texts in self.fields] for name in layout.texts},
        )


@dataclass(slots=True)
class _Batch:
    groups: dict[tuple[int, int, str], _Group] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    control: list[int] = field(default_factory=list)
    unfiled: list[int] = field(default_factory=list)
    unfiled_records: int = 0

    def add(self, index: int, raw: bytes) -> None:
        if raw[:1] == b"{":
            self.control.append(index)
            return
        try:
            frame = split_frame(raw)
        except FrameError as fault:
            self.rejects.append(frame_reject(index, raw, fault))
            return
        if frame.encrypted or LAYOUTS[frame.tr_id][0].event not in FILED:
            self.unfiled.append(index)
            self.unfiled_records += frame.count
            return
        for i in range(frame.count):
            self._add_record(index, i, frame)

    def _add_record(self, index: int, record_no: int, frame: Frame) -> None:
        texts = frame.fields[record_no * frame.width : (record_no + 1) * frame.width]
        layout = layout_of(frame.tr_id, frame.width, texts[0])
        try:
            values = parse_record(layout, texts)
        except FrameError as fault:
            self.rejects.append(record_reject(index, record_no, layout, texts, fault))
            return
        key = (TR_ORDER[frame.tr_id], frame.width, layout.label)
        group = self.groups.setdefault(key, _Group(layout, frame.width))
        group.frame.append(index)
        group.record_no.append(record_no)
        group.values.append(values)
        group.fields.append(texts)

    def parsed(self) -> Parsed:
        return Parsed(
            [self.groups[key].records() for key in sorted(self.groups)],
            self.rejects,
            np.array(self.control, dtype=np.int64),
            np.array(self.unfiled, dtype=np.int64),
            self.unfiled_records,
        )


def parse_some(frames: Iterable[tuple[int, bytes]]) -> Parsed:
    """As ``parse_plain``, for frames that bring their index in a larger batch."""
    batch = _Batch()
    for index, raw in frames:
        batch.add(index, raw)
    return batch.parsed()


def parse_plain(frames: Sequence[bytes]) -> Parsed:
    """Parses frames; whatever they hold, it raises nothing.

    The groups come in the order of ``LAYOUTS`` and width, records and rejects in the order of the frames.
    """
    return parse_some(enumerate(frames))


# --- the other way ----------------------------------------------------------------------------------------------


def print_field(spec: Field, value: int) -> str:
    """The text the broker would send for a number; empty for ``NULL``."""
    if value == NULL:
        return ""
    if spec.kind is Kind.INT:
        return str(value)
    if spec.kind is Kind.PRICE:
        return _print_hundredths(value, spec.decimals)
    if spec.kind is Kind.TIME:
        return f"{value // 3600:02d}{value // 60 % 60:02d}{value % 60:02d}"
    return f"{value:08d}" if spec.kind is Kind.DATE else unpack(value) or ""


def _print_hundredths(value: int, decimals: int) -> str:
    sign, size = "-" if value < 0 else "", abs(value)
    if decimals == 0 and size % 100 == 0:
        return f"{sign}{size // 100}"
    text = f"{sign}{size // 100}.{size % 100:02d}"
    return text if decimals else text.rstrip("0")


def encode_plain(
    layout: Layout,
    columns: Mapping[str, Ints],
    texts: Mapping[str, Sequence[str | None]],
    group: Sequence[int],
) -> EncodedFrames:
    """Frames of ``group[i]`` records each, one field after another; a field without a column is empty."""
    fields = [_printed(spec, columns, texts, sum(group)) for spec in layout.fields]
    records = ["^".join(record) for record in zip(*fields, strict=True)]
    frames, at = [], 0
    for count in group:
        frames.append(f"0|{layout.tr_id}|{count:03d}|{'^'.join(records[at : at + count])}".encode())
        at += count
    ends = np.cumsum([len(frame) for frame in frames], dtype=np.int64)
    starts = ends - np.array([len(frame) for frame in frames], dtype=np.int64)
    data = np.frombuffer(b"".join(frames), dtype=np.uint8)
    return EncodedFrames(data, starts, ends, np.array(group, dtype=np.int64))


def _printed(
    spec: Field, columns: Mapping[str, Ints], texts: Mapping[str, Sequence[str | None]], count: int
) -> list[str]:
    if spec.kind is Kind.TEXT:
        printed = [text or "" for text in texts.get(spec.name, [None] * count)]
        if any("^" in text for text in printed):
            raise InputError(spec.name, "holds ^, which separates fields", "take it out of the text")
        return printed
    if spec.name not in columns:
        return [""] * count
    return [print_field(spec, value) for value in columns[spec.name].tolist()]
