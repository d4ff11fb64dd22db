"""From log records to events: pure, and the same rows however the log is cut into blocks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog

from hosu.collect import control
from hosu.collect.batches import Quarantined, bar_batch, in_log_order, misfit, quarantine_batch, snapshot_batch
from hosu.collect.block import RecordKind
from hosu.collect.dates import HOLD_BYTES, HOLD_US, REST, UNKNOWN, BusinessDates, Facts, in_force, ordinal
from hosu.collect.rest_trades import read_prints, trade_batch
from hosu.collect.runs import join_blocks, slice_block
from hosu.collect.sinks import EventBatch, SessionNote
from hosu.collect.trust import BrokerClock, plausible, reach
from hosu.errors import HosuError
from hosu.kis.charts import chart_bars
from hosu.kis.codec import parse, to_events
from hosu.kis.conclusions import CONCLUSIONS_TR
from hosu.kis.records import Envelope, unpack
from hosu.kis.snapshots import snapshot_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from hosu.collect.block import Block
    from hosu.collect.dates import Flags, Ints, Told
    from hosu.kis.records import Parsed, Records

_log = structlog.get_logger(__name__)

DATE_FIELD: Final = "BSOP_DATE"
SYMBOL_FIELD: Final = "MKSC_SHRN_ISCD"


@dataclass(slots=True)
class _Work:
    """A block, parsed. Places count the block's records; ``frames`` are the places of its frames."""

    block: Block
    frames: Ints
    parsed: Parsed
    facts: Facts
    pings: Ints  # the date a PINGPONG says, by place, believed or not
    ping_begins: dict[int, Told]
    records: list[Records] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    prints: list[tuple[int, list[dict[str, Any]]]] = field(default_factory=list)  # trades asked for, by place
    snapshots: list[tuple[int, list[dict[str, Any]]]] = field(default_factory=list)
    sessions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    clock: list[tuple[int, int]] = field(default_factory=list)  # place and UTC microseconds of believed PINGPONGs
    charts: dict[str, list[tuple[int, list[dict[str, Any]]]]] = field(default_factory=dict)

    def quarantine(self, found: Quarantined) -> None:
        self.quarantined.append(found)
        self.facts.needs[found.place] = True


class Decoder:
    """Decodes one log, block after block. For one thread at a time.

    The rows of a record depend on the log from the begin of its segment on, and on nothing before it: to read a log
    from somewhere in its middle, feed it from the begin of that segment.
    """

    def __init__(self, wal_id: str) -> None:
        self._wal_id = wal_id
        self._dates = BusinessDates()
        self._clock = BrokerClock()
        self._held: list[Block] = []
        self._wider: set[tuple[str, int]] = set()

    @property
    def held_records(self) -> int:
        """Log records that wait for a business date."""
        return sum(len(block) for block in self._held)

    def decode(self, block: Block) -> EventBatch | None:
        """The events of a block and of what was held before it; None while all of it waits for a business date.

        Counts are of market records: one a record or reject, one a frame or message that is broken as a whole, and
        those that no table takes. So ``records`` is the sum of ``unfiled`` and the rows of all tables, snapshots
        those that no table takes. So ``records`` is the sum of ``unfiled`` and the rows of all tables, snapshots,
        external bars and trades asked for over REST excepted.
        """
        if self._held and not self._may_settle(block):
            self._held.append(block)
            return None
        return self._decode([*self._held, block], final=False)

    def finish(self) -> EventBatch | None:
        """The events that still wait for a business date, dated by the calendar; None if none do."""
        return self._decode(self._held, final=True) if self._held else None

    def _decode(self, blocks: list[Block], *, final: bool) -> EventBatch | None:
        work = self._prepare(join_blocks(blocks))
        dates, count = self._dates.resolve(work.facts, final=final)
        self._held = [slice_block(work.block, count)] if count < len(work.block) else []
        if count == 0:
            return None
        self._clock.follow(work.facts.connection[:count], work.pings[:count], work.ping_begins)
        return self._emit(work, dates, count)

    def _may_settle(self, block: Block) -> bool:
        """Whether a block can end the wait of those held, so that parsing them again pays."""
        work = self._prepare(block)
        facts = work.facts
        held_bytes = sum(int((each.end - each.start).sum()) for each in self._held)
        return bool(
            facts.says.any()
            or work.pings.any()  # what one says that is not believed yet, one that is held may bear out
            or facts.ends.any()
            or int(block.ts_recv_us.max()) - int(self._held[0].ts_recv_us[0]) > HOLD_US
            or held_bytes + int(facts.sizes.sum()) > HOLD_BYTES
        )

    # --- what a block says --------------------------------------------------------------------------------------

    def _prepare(self, block: Block) -> _Work:
        frames = np.flatnonzero(block.kind == RecordKind.FRAME)
        parsed = parse(block.data, block.start[frames], block.end[frames])
        count = len(block)
        facts = Facts(
            connection=np.where(block.kind == RecordKind.REST, REST, block.connection.astype(np.int64)),
            ts_recv_us=block.ts_recv_us,
            sizes=block.end - block.start,
            says=np.zeros(count, np.int64),
            needs=np.zeros(count, np.bool_),
            ends=np.zeros(count, np.bool_),
            begins={},
        )
        work = _Work(block, frames, parsed, facts, np.zeros(count, np.int64), {})
        _read_session(work)
        _read_control(work)
        believed = self._clock.copy().follow(work.facts.connection, work.pings, work.ping_begins)
        work.facts.says[:] = believed
        _read_clock(work, believed)
        for reject in parsed.rejects:
            work.quarantine(Quarantined.of_reject(int(frames[reject.frame]), reject))
        self._read_records(work, believed)
        _read_rest(work)
        return work

    def _read_records(self, work: _Work, believed: Ints) -> None:
        clock: Ints | None = None
        for records in work.parsed.records:
            self._warn_if_wider(records)
            places = work.frames[records.frame]
            if DATE_FIELD not in records.columns:
                work.facts.needs[places] = True
                work.records.append(records)
                continue
            if clock is None:
                clock = in_force(self._clock.told, work.facts.connection, believed, work.ping_begins)
            dates = records.columns[DATE_FIELD]
            good = plausible(dates, clock[places])
            work.facts.says[places[good]] = dates[good]
            for i in np.flatnonzero(~good).tolist():
                work.quarantine(_misdated(work, records, i, int(clock[places[i]])))
            work.records.append(records if good.all() else _kept(records, good))

    def _warn_if_wider(self, records: Records) -> None:
        key = (records.layout.tr_id, records.width)
        if records.tails is not None and key not in self._wider:
            self._wider.add(key)
            _log.warning(
                "records wider than any known layout; what is unknown is kept as tail",
                tr_id=key[0],
                width=key[1],
                layout=records.layout.label,
            )

    # --- what becomes of it -------------------------------------------------------------------------------------

    def _emit(self, work: _Work, dates: Ints, count: int) -> EventBatch:
        block, frames = work.block, work.frames
        lsn, ts_recv_us = block.lsn[frames], block.ts_recv_us[frames]
        batches: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        total = 0
        for each in work.records:
            places = frames[each.frame]
            # Frames are in order, so what waits is at the end.
            records = each if count == len(block) else _kept(each, places < count)
            own = records.columns.get(DATE_FIELD)
            days = (own if own is not None else dates[frames[records.frame]]).astype(np.int32)
            name, batch = to_events(records, Envelope(self._wal_id, lsn, ts_recv_us, days))
            total += len(records)
            batches[name].append(batch)
        quarantined = [each for each in work.quarantined if each.place < count]
        if quarantined:
            batches["quarantine"].append(quarantine_batch(block, dates, quarantined))
        prints = [each for each in work.prints if each[0] < count]
        if prints:
            batches["trades"].append(trade_batch(block, prints))
        snapshots = [each for each in work.snapshots if each[0] < count]
        if snapshots:
            batches["snapshots"].append(snapshot_batch(block, dates, snapshots))
        for name, charts in work.charts.items():
            batches[name].append(bar_batch(block, name, [each for each in charts if each[0] < count]))
        unfiled = _unfiled(work, count)
        return EventBatch(
            self._wal_id,
            int(block.lsn[0]),
            int(block.lsn[count - 1]),
            {name: in_log_order(each) for name, each in batches.items() if sum(map(len, each))},
            total + len(quarantined) + unfiled,
            unfiled,
            sessions=tuple(_note(block, place, event) for place, event in work.sessions if place < count),
            broker_clock=tuple((int(block.lsn[place]), told_us) for place, told_us in work.clock if place < count),
            bar_closes=_bar_closes(block, count),
        )


def _read_session(work: _Work) -> None:
    for place in control.places_of(work.block, RecordKind.SESSION):
        event = control.session_event(work.block.payload(place))
        work.sessions.append((place, event))
        if event.get("event") == control.SEGMENT_BEGINS:
            work.facts.begins[place] = control.told_by(event, "dates")
            work.ping_begins[place] = control.told_by(event, "pings")
        work.facts.ends[place] = event.get("event") in (control.SEGMENT_BEGINS, control.COLLECTION_ENDS)


def _read_control(work: _Work) -> None:
    for place in work.frames[work.parsed.control].tolist():
        payload = work.block.payload(place)
        if not control.is_json(payload):
            work.quarantine(Quarantined(place, None, "", None, "a control message that is no JSON", "", payload))
        work.pings[place] = control.pingpong_date(payload)


def _read_clock(work: _Work, believed: Ints) -> None:
    for place in np.flatnonzero((work.pings != UNKNOWN) & (believed == work.pings)).tolist():
        told_us = control.pingpong_us(work.block.payload(place))
        if told_us is not None:
            work.clock.append((place, told_us))


def _bar_closes(block: Block, count: int) -> tuple[tuple[int, int], ...]:
    """What the first ``count`` records close: LSN, and up to when."""
    found = [
        (int(block.lsn[place]), control.closed_until(block.payload(place)))
        for place in control.places_of(block, RecordKind.BAR_CLOSE)
        if place < count
    ]
    return tuple((lsn, until_us) for lsn, until_us in found if until_us is not None)


def _note(block: Block, place: int, event: dict[str, Any]) -> SessionNote:
    return SessionNote(int(block.lsn[place]), int(block.ts_recv_us[place]), int(block.connection[place]), event)


def _read_rest(work: _Work) -> None:
    for place in control.places_of(work.block, RecordKind.REST):
        payload = work.block.payload(place)
        reply = control.rest_reply(payload)
        if reply is None:
            work.quarantine(
                Quarantined(place, None, "", None, "a REST record without tr_id, status or body", "", payload)
            )
            continue
        if reply["tr_id"] == CONCLUSIONS_TR:
            _read_prints(work, place, reply)
            continue
        try:
            rows = snapshot_rows(reply["tr_id"], reply["params"], reply["body"]) if reply["status"] == 200 else []
        except HosuError as error:
            work.quarantine(Quarantined(place, None, reply["tr_id"], None, str(error), "", payload))
            continue
        if fault := misfit("snapshots", rows):
            work.quarantine(Quarantined(place, None, reply["tr_id"], None, fault, "", payload))
        elif rows:
            work.snapshots.append((place, rows))
            work.facts.needs[place] = True
        elif reply["status"] == 200:
            _read_chart(work, place, reply)


def _read_chart(work: _Work, place: int, reply: dict[str, Any]) -> None:
    """The bars of a chart reply; they carry their own dates and so wait for none."""
    try:
        bars = chart_bars(reply["tr_id"], reply["params"], reply["body"])
    except HosuError as error:
        work.quarantine(Quarantined(place, None, reply["tr_id"], None, str(error), "", work.block.payload(place)))
        return
    if bars is None:
        return
    fault = misfit(bars.table, bars.rows)
    if bars.rows and fault is None:
        work.charts.setdefault(bars.table, []).append((place, bars.rows))
    if fault is not None or bars.unreadable:
        why, payload = fault or f"{bars.unreadable} of its bars cannot be read", work.block.payload(place)
        work.quarantine(Quarantined(place, None, reply["tr_id"], None, why, "", payload))


def _read_prints(work: _Work, place: int, reply: dict[str, Any]) -> None:
    """Trades asked for, which have their day and so wait for none."""
    rows, quarantined = read_prints(reply, place, work.block.payload(place))
    if rows:
        work.prints.append((place, rows))
    for found in quarantined:
        work.quarantine(found)


def _misdated(work: _Work, records: Records, i: int, clock: int) -> Quarantined:
    date, layout = int(records.columns[DATE_FIELD][i]), records.layout
    place, record_no = int(work.frames[records.frame[i]]), int(records.record_no[i])
    fields = work.block.payload(place).split(b"|", 3)[3].split(b"^")
    raw = b"^".join(fields[record_no * records.width : (record_no + 1) * records.width])
    symbol = unpack(int(records.columns[SYMBOL_FIELD][i])) if SYMBOL_FIELD in records.columns else None
    return Quarantined(place, record_no, layout.tr_id, symbol, _date_fault(date, clock), layout.label, raw)


def _date_fault(date: int, clock: int) -> str:
    if ordinal(date) < 0:
        return f"{DATE_FIELD} is no date" if date > 0 else f"{DATE_FIELD} is empty"
    first, last = reach(clock)
    of = "what this market can have" if clock == UNKNOWN else f"the broker's date {clock} and its two neighbours"
    return f"{DATE_FIELD} {date} is not within {first} to {last}, {of}"


def _kept(records: Records, keep: Flags) -> Records:
    chosen = np.flatnonzero(keep).tolist()
    return replace(
        records,
        frame=records.frame[keep],
        record_no=records.record_no[keep],
        columns={name: values[keep] for name, values in records.columns.items()},
        tails=[records.tails[i] for i in chosen] if records.tails is not None else None,
        texts={name: [values[i] for i in chosen] for name, values in records.texts.items()},
    )


def _unfiled(work: _Work, count: int) -> int:
    """Market records that no table takes, of the first ``count`` log records."""
    parsed, frames = work.parsed, work.frames
    unfiled = frames[parsed.unfiled]
    if not unfiled.size or unfiled[-1] < count:
        return parsed.unfiled_records
    early = unfiled[unfiled < count]
    return parse(work.block.data, work.block.start[early], work.block.end[early]).unfiled_records
