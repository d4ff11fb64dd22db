"""Bytes to columns and back, without a socket: the one door to the broker's frames.

``parse`` takes many frames at once out of one buffer and hands what is out of the ordinary to the plain parser;
``to_events`` makes Arrow batches of the result, ``encode`` makes frames for whoever plays the broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import FrameError, InputError
from hosu.kis import decode_kernel as kernel
from hosu.kis.describe import describe
from hosu.kis.encode_kernel import HEADER, MAX_FIELD, encode_records
from hosu.kis.events import to_events
from hosu.kis.layouts import LAYOUTS, Kind, Layout, layout_for
from hosu.kis.plain import FILED, TR_ORDER, encode_plain, parse_plain, parse_record, parse_some, record_reject
from hosu.kis.records import NULL, EncodedFrames, Envelope, Parsed, Records, Reject, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from hosu.kis.records import Ints

__all__ = [
    "NULL",
    "EncodedFrames",
    "Envelope",
    "Parsed",
    "Records",
    "Reject",
    "describe",
    "encode",
    "join",
    "pack",
    "parse",
    "parse_plain",
    "to_events",
    "unpack",
]


def join(frames: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], Ints, Ints]:
    """Frames laid one behind another in one buffer, as ``parse`` takes them: data, start, end."""
    lengths = np.fromiter(map(len, frames), np.int64, len(frames))
    end = np.cumsum(lengths)
    return np.frombuffer(b"".join(frames), np.uint8), end - lengths, end


# --- bytes to columns -------------------------------------------------------------------------------------------


def _table(layouts: tuple[Layout, ...]) -> int:
    # Free text has no number, so records that hold any are few enough for the plain parser.
    if layouts[0].event not in FILED:
        return 0
    return -1 if any(layout.texts for layout in layouts) else 1


_TR_IDS: Final = np.array([pack(tr_id) for tr_id in LAYOUTS], np.int64)
_NARROWEST: Final = np.array([min(layout.width for layout in each) for each in LAYOUTS.values()], np.int64)
_TABLE: Final = np.array([_table(each) for each in LAYOUTS.values()], np.int64)
_NAMES: Final = tuple(LAYOUTS)
_NONE: Final = np.empty(0, np.int64)
MAX_BUFFER: Final = 2**31
"""Bytes of one buffer; places in it are counted in 32 bits."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How records of one TR and width are decoded."""

    layout: Layout
    names: tuple[str, ...]
    kinds: npt.NDArray[np.uint8]


@lru_cache(maxsize=1024)
def _plan(tr_id: str, width: int) -> _Plan:
    layout = layout_for(tr_id, width)
    kinds = np.array([spec.kind for spec in layout.fields], np.uint8)
    return _Plan(layout, tuple(spec.name for spec in layout.fields), kinds)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The frames of one call of ``parse`` and what the scan found in them (rows: group, count, payload, caret)."""

    data: npt.NDArray[np.uint8]
    start: Ints
    end: Ints
    meta: npt.NDArray[np.int64]
    carets: npt.NDArray[np.int32]
    tally: Ints

    def which(self, verdict: int) -> Ints:
        """The frames of which the scan said this, in order."""
        return np.flatnonzero(self.meta[0] == verdict) if self.tally[-verdict] else _NONE

    def frame(self, i: int) -> tuple[int, bytes]:
        return i, self.data[self.start[i] : self.end[i]].tobytes()


def parse(data: npt.NDArray[np.uint8], start: Ints, end: Ints) -> Parsed:
    """Parses the frames ``data[start[i]:end[i]]``; whatever they hold, it raises nothing.

    The result equals that of ``parse_plain`` on the same frames. ``data`` may hold other bytes between frames.

    Raises:
        ValueError: a frame lies outside ``data``, or ``data`` has 2 GiB or more.
    """
    if data.size >= MAX_BUFFER:
        raise ValueError(f"a buffer of {data.size} bytes is too large; parse at most {MAX_BUFFER} at once")
    view = np.ascontiguousarray(data).view()
    view.flags.writeable = False
    start, end = np.ascontiguousarray(start, np.int64), np.ascontiguousarray(end, np.int64)
    n, size = start.size, kernel.bytes_in(start, end, view.size)
    if size < 0:
        raise ValueError(f"a frame lies outside the buffer of {view.size} bytes")
    meta, tally = np.empty((4, n), np.int64), np.zeros(5, np.int64)
    batch = _Batch(view, start, end, meta, np.empty(size + 2 * n, np.int32), tally)
    groups = np.empty((kernel.MAX_GROUPS, 4), np.int64)
    n_groups = kernel.scan_frames(
        view, start, end, _TR_IDS, _NARROWEST, _TABLE, batch.carets, batch.meta, groups, tally
    )
    decoded = [_decode_group(batch, g, groups[g].tolist()) for g in range(n_groups)]
    return _assembled(batch, decoded)


def _decode_group(batch: _Batch, g: int, row: list[int]) -> _Decoded:
    tr, width, frames, records = row
    plan = _plan(_NAMES[tr], width)
    which = np.arange(frames) if frames == batch.start.size else np.flatnonzero(batch.meta[0] == g)
    out = np.empty((plan.kinds.size, records), np.int64)
    frame, record_no = np.empty(records, np.int64), np.empty(records, np.int32)
    spans = np.empty((5, records), np.int64)
    unusual = kernel.decode_records(
        batch.data, which, batch.meta, batch.carets, plan.kinds, width, out, frame, record_no, spans
    )
    decoded = _Decoded(plan, width, out, frame, record_no, spans, [])
    return decoded.mended(batch) if unusual else decoded


@dataclass(frozen=True, slots=True)
class _Decoded:
    """What the kernel made of one group; ``spans`` has the rows begin, end, tail and unusual."""

    plan: _Plan
    width: int
    out: npt.NDArray[np.int64]
    frame: Ints
    record_no: npt.NDArray[np.int32]
    spans: npt.NDArray[np.int64]
    rejects: list[Reject]

    def mended(self, batch: _Batch) -> _Decoded:
        """Unusual records parsed by the plain parser, or rejected with its reason."""
        rejects, keep = [], np.ones(self.frame.size, bool)
        for r in np.flatnonzero(self.spans[3]).tolist():
            texts = batch.data[self.spans[0, r] : self.spans[1, r]].tobytes().decode("ascii").split("^")
            try:
                self.out[:, r] = parse_record(self.plan.layout, texts)
            except FrameError as fault:
                keep[r] = False
                frame, record_no = int(self.frame[r]), int(self.record_no[r])
                rejects.append(record_reject(frame, record_no, self.plan.layout, texts, fault))
        out, spans = np.ascontiguousarray(self.out[:, keep]), self.spans[:, keep]
        return _Decoded(self.plan, self.width, out, self.frame[keep], self.record_no[keep], spans, rejects)

    def records(self, data: npt.NDArray[np.uint8]) -> Records:
        columns = dict(zip(self.plan.names, self.out, strict=True))
        tails = self._tails(data) if self.width > self.plan.kinds.size else None
        return Records(self.plan.layout, self.width, self.frame, self.record_no, columns, tails, {})

    def _tails(self, data: npt.NDArray[np.uint8]) -> list[str]:
        if self.frame.size == 0:
            return []
        first = int(self.spans[0, 0])
        text = data[first : int(self.spans[1].max())].tobytes().decode("latin-1")
        begins, ends = (self.spans[2] - first).tolist(), (self.spans[1] - first).tolist()
        return [text[b:e] for b, e in zip(begins, ends, strict=True)]


def _assembled(batch: _Batch, decoded: list[_Decoded]) -> Parsed:
    records = {_key(each): each for each in (d.records(batch.data) for d in decoded) if len(each)}
    rejects = [reject for d in decoded for reject in d.rejects]
    unfiled = batch.which(kernel.UNFILED)
    unfiled_records = int(batch.meta[1][unfiled].sum()) if unfiled.size else 0
    unusual = batch.which(kernel.UNUSUAL)
    if unusual.size:
        plain = parse_some(map(batch.frame, unusual.tolist()))
        for each in plain.records:
            known = records.get(_key(each))
            records[_key(each)] = each if known is None else _merged(known, each)
        rejects += plain.rejects
        unfiled = np.sort(np.concatenate([unfiled, plain.unfiled]))
        unfiled_records += plain.unfiled_records
    rejects.sort(key=lambda reject: (reject.frame, reject.record_no or 0))
    ordered = [records[key] for key in sorted(records)]
    return Parsed(ordered, rejects, batch.which(kernel.CONTROL), unfiled, unfiled_records)


def _key(records: Records) -> tuple[int, int, str]:
    return TR_ORDER[records.layout.tr_id], records.width, records.layout.label


def _merged(one: Records, other: Records) -> Records:
    frame = np.concatenate([one.frame, other.frame])
    order = np.argsort(frame, kind="stable")
    columns = {name: np.concatenate([one.columns[name], other.columns[name]])[order] for name in one.columns}
    tails = None
    if one.tails is not None and other.tails is not None:
        both = [*one.tails, *other.tails]
        tails = [both[i] for i in order.tolist()]
    record_no = np.concatenate([one.record_no, other.record_no])[order]
    return Records(one.layout, one.width, frame[order], record_no, columns, tails, {})


# --- columns to bytes -------------------------------------------------------------------------------------------


def encode(
    layout: Layout,
    columns: Mapping[str, Ints],
    *,
    texts: Mapping[str, Sequence[str | None]] | None = None,
    group: Ints | None = None,
) -> EncodedFrames:
    """Frames that parse back to the same columns.

    ``columns`` has arrays of one length by the broker's field names, in the units of ``Records.columns``; a field
    without a column is sent empty, as is ``NULL``. ``texts`` fills free texts. ``group`` says how many records each
    frame holds (1 to 999), in order; None puts each record in a frame of its own.

    Raises:
        InputError: a column the layout does not have, columns of different lengths, a group that does not add up,
            a number that is no code, time or date, or no symbol.
    """
    records = _records_of(layout, columns)
    sizes = np.ones(records, np.int64) if group is None else np.ascontiguousarray(group, np.int64)
    if int(sizes.sum()) != records or (sizes.size and (int(sizes.min()) < 1 or int(sizes.max()) > 999)):
        fault = f"{sizes.size} frames hold {int(sizes.sum())} records, the columns {records}"
        raise InputError("group", fault, "give 1 to 999 records a frame that add up to the columns")
    if layout.texts:
        return encode_plain(layout, columns, texts or {}, sizes.tolist())
    return _encode_fast(layout, columns, sizes, records)


def _records_of(layout: Layout, columns: Mapping[str, Ints]) -> int:
    unknown = [name for name in columns if not layout.has(name)]
    if unknown:
        raise InputError(f"column {unknown[0]}", f"is no field of {layout.label}", "use the broker's field names")
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise InputError("columns", f"have lengths {sorted(lengths)}", "give at least one, all of one length")
    return lengths.pop()


@lru_cache(maxsize=1024)
def _spec(layout: Layout) -> npt.NDArray[np.uint8]:
    kinds, decimals = [spec.kind for spec in layout.fields], [spec.decimals for spec in layout.fields]
    return np.array([kinds, decimals], np.uint8)


def _matrix(layout: Layout, columns: Mapping[str, Ints], records: int) -> npt.NDArray[np.int64]:
    values = np.empty((layout.width, records), np.int64)
    for i, spec in enumerate(layout.fields):
        values[i] = columns.get(spec.name, NULL)
    return values


def _encode_fast(layout: Layout, columns: Mapping[str, Ints], sizes: Ints, records: int) -> EncodedFrames:
    values, spec, tr_id = _matrix(layout, columns, records), _spec(layout), pack(layout.tr_id)
    start, end = np.empty(sizes.size, np.int64), np.empty(sizes.size, np.int64)
    # Records rarely need half of what they may need at most, so the buffer begins there and grows where it must.
    longest = int(sizes.max(initial=0)) * layout.width * MAX_FIELD
    out = np.empty(sizes.size * HEADER + records * layout.width * (MAX_FIELD // 3) + longest + HEADER, np.uint8)
    frame, record, place = encode_records(out, tr_id, values, spec, sizes, start, end, 0, 0, 0)
    while 0 <= frame < sizes.size:
        out = np.concatenate([out, np.empty(out.size, np.uint8)])
        frame, record, place = encode_records(out, tr_id, values, spec, sizes, start, end, frame, record, place)
    if frame < 0:
        name, kind = layout.fields[place].name, Kind(layout.fields[place].kind).name
        raise InputError(f"{name} of record {record}", f"{values[place, record]} is no {kind}", "check the column")
    return EncodedFrames(out[:place], start, end, sizes)
