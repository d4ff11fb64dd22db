"""The judge: a date computed anew from what the lake holds, whichever logs, repairs and replays it came from.

The same kernel as on the stream, fed with the trades in the order of their cumulative volume. So every trade lies
beside its twin, if it has one, and what contradicts another is found whenever it came. What only the log could tell
(why shares are missing, that a connection stood) is taken over from the revisions before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.clock import SystemClock
from hosu.collect import ledger_kernel as kernel
from hosu.collect.gaps import JUDGED
from hosu.collect.ledger_causes import TRADE_SCOPES
from hosu.collect.ledger_checkpoint import LogState, pack
from hosu.collect.ledger_judge import Seen, Witness, judge, seen_of
from hosu.collect.ledger_rows import Additions, Found, coverage_change, coverage_row, gap_changes
from hosu.errors import InputError
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.sql import SqlConfig, query_files, sorted_batches
from hosu.market.ledger import Cause, State
from hosu.market.volume_rules import QUIET_AFTER_CLOSE, STREAM_STOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hosu.clock import Clock
    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_state import Series
    from hosu.lake.lake import Lake

_TRADES: Final = (
    "date", "scope", "symbol", "lsn", "ts_event", "ts_recv", "price", "size", "side", "cum_volume", "cum_value",
    "buy_count", "sell_count", "source",
)  # fmt: skip
_BY_VOLUME: Final = ("symbol", "scope", "cum_volume", "ts_recv", "wal_id", "lsn", "record_no")
_BOOKS: Final = ("date", "scope", "symbol", "lsn", "ts_event", "ts_recv", "cum_volume")
_POLLS: Final = ("date", "scope", "symbol", "lsn", "ts_recv", "cum_volume", "cum_value")
_AS_RECEIVED: Final = ("ts_recv", "wal_id", "lsn", "record_no")
_NO_CLOCK: Final = np.zeros((1, 2), np.int64)  # what the broker's clock said is in the log alone


@dataclass(slots=True)
class Certified:
    """What the judge found of one date."""

    date: str
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    symbols: int = 0
    missing_shares: int = 0
    gaps: int = 0
    repaired: int = 0
    coverage: list[dict[str, Any]] = field(default_factory=list)


def certify(
    lake: Lake,
    date: str,
    *,
    lost: bool = False,
    sort: SqlConfig | None = None,
    clock: Clock | None = None,
    progress: Callable[[str], None] | None = None,
) -> Certified:
    """Judges every symbol of ``date`` anew: a new revision of its coverage, its gaps, and what became of former ones.

    Memory: a row a symbol, and the sort of the date's trades and books within ``sort``.

    Args:
        lost: records of the date were let go of. So what the ledger has said of it before bears witness: how far a
            symbol's volume had come, and which symbols there were.

    Raises:
        InputError: the lake has neither trades nor books nor polls of that date; with ``lost`` nor has the ledger.
        TableCorruptError: a data file cannot be read.
    """
    store, config, now = LakeLedgerStore(lake), sort or SqlConfig(), clock or SystemClock()
    state = LogState(f"{JUDGED}{date}", lsn=0, began={date: 0})
    rows = [_read(lake, state, name, config, progress) for name in ("trades", "quotes", "snapshots")]
    former_days, former_gaps = store.coverage([date]), store.gaps([date])
    for series in former_days if lost else ():
        state.table.number(series)
    if not any(rows) and not len(state.table):
        raise InputError(date, "the lake has no trades, books or polls of it", "collect or replay that day first")
    unread = _unread(lake, date, config)
    result, added = Certified(date), Additions()
    built_at = now.now_us()
    for number, series in enumerate(state.table.names):
        former = former_days.get(series)
        gaps = former_gaps.get(series, [])
        seen = _seen(state, number, former, gaps)
        seen = _remembering(seen, former) if lost and former is not None else seen
        verdict = judge(seen, _former_witness(former))
        explained = [_explained(gap, gaps, unread, lost=lost) for gap in verdict.gaps]
        changes = gap_changes(gaps, explained, Found("certify", built_at, None, None), seen.hi)
        added.gaps += changes.gaps
        added.events += changes.events
        row = coverage_change(former, coverage_row(seen, verdict, built_at, shared=False), everything=True, always=True)
        assert row is not None, "always"
        added.coverage.append(row)
        _count(result, row, changes)
    # First the state: a log that reads the rows without it would take them for an error of somebody else's.
    store.save(state.wal_id, pack(state))
    store.add(added, None, None)
    store.sync()
    result.coverage = [{**row, "built_at": datetime.fromtimestamp(built_at / 1e6, UTC)} for row in added.coverage]
    return result


def open_gaps(lake: Lake, date: str) -> list[Gap]:
    """The holes of a date that stand open now, by symbol, from low to high."""
    found = LakeLedgerStore(lake).gaps([date])
    still = [gap for gaps in found.values() for gap in gaps if gap.open]
    return sorted(still, key=lambda gap: (gap.scope, gap.symbol, gap.from_volume))


def _count(result: Certified, row: Mapping[str, Any], changes: Additions) -> None:
    result.symbols += 1
    result.states[State(row["state"])] += 1
    result.missing_shares += row["missing_shares"]
    result.gaps += row["gaps"]
    result.repaired += sum(event["event"] == "repaired" for event in changes.events)


# --- what the lake holds ------------------------------------------------------------------------------------------


def _read(lake: Lake, state: LogState, name: str, config: SqlConfig, progress: Callable[[str], None] | None) -> bool:
    """Feeds the state with a table's rows of its date; returns whether there are any."""
    table, (date,) = lake.find(name), state.began
    files = [] if table is None else table.files(date)
    if table is None or not files:
        return False
    columns, order = {
        "trades": (_TRADES, _BY_VOLUME),
        "quotes": (_BOOKS, _AS_RECEIVED),
        "snapshots": (_POLLS, _AS_RECEIVED),
    }[name]
    done = 0
    for batch in sorted_batches(lake.storage, table, files, columns=columns, order=order, config=config):
        match name:
            case "trades":
                state.table.take_trades(batch)
            case "quotes":
                state.table.take_books(batch, _NO_CLOCK)
            case _:
                state.table.take_polls(batch, _NO_CLOCK)
        done += len(batch)
        if progress is not None:
            progress(f"{date} {name} {done:,}")
    return True


def _unread(lake: Lake, date: str, config: SqlConfig) -> dict[tuple[str, str], list[int]]:
    """When records of trades came that could not be read, by scope and symbol."""
    table = lake.find("quarantine")
    files = [] if table is None else table.files(date)
    if table is None or not files:
        return {}
    rows = query_files(
        lake.storage, table, files, "SELECT tr_id, symbol, epoch_us(ts_recv) AS us FROM rows ORDER BY us", config=config
    )
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row["symbol"] and row["tr_id"] in TRADE_SCOPES:
            found.setdefault((TRADE_SCOPES[row["tr_id"]], row["symbol"]), []).append(row["us"])
    return found


# --- what the revisions before tell -------------------------------------------------------------------------------


def _seen(state: LogState, number: int, former: Mapping[str, Any] | None, gaps: Sequence[Gap]) -> Seen:
    series: Series = state.table.names[number]
    row = state.table.rows[number]
    registered = bool(gaps) or (former is not None and former["state"] != State.POLLED)
    seen = seen_of(series, row, state.table.holes_of(number), registered=registered)
    if former is None or STREAM_STOOD not in former["assumptions"] or former["last_volume"] != row[kernel.HI]:
        return seen
    return replace(seen, stood=1 if QUIET_AFTER_CLOSE in former["assumptions"] else 2)


def _remembering(seen: Seen, former: Mapping[str, Any]) -> Seen:
    """With the former judgement as a witness where it had seen more."""
    if former["last_volume"] <= seen.hi:
        return seen
    return replace(seen, witnesses=(*seen.witnesses, Witness("ledger", former["last_volume"], level=0)))


def _former_witness(former: Mapping[str, Any] | None) -> Witness | None:
    return None if former is None else Witness.of_text(former["witness"], former["witness_volume"])


def _explained(gap: Gap, former: Sequence[Gap], unread: Mapping[tuple[str, str], list[int]], *, lost: bool) -> Gap:
    """The cause that an earlier revision knew of a hole that this one lies in; else what quarantine tells."""
    for known in former:
        if known.from_volume <= gap.from_volume and gap.to_volume <= known.to_volume:
            return replace(gap, cause=known.cause, detail=known.detail)
    if lost:
        return replace(gap, cause=str(Cause.DISK), detail="records were let go of that were damaged beyond repair")
    after, before = gap.before_recv or 0, gap.after_recv
    count = sum(after <= us and (before is None or us <= before) for us in unread.get((gap.scope, gap.symbol), ()))
    if count:
        text = f"{count} records of it came and could not be read (table quarantine)"
        return replace(gap, cause=str(Cause.QUARANTINE), detail=text)
    if gap.from_volume == 0:
        return replace(gap, cause=str(Cause.LATE_START), detail="the lake has no trade of it before")
    return replace(gap, detail=gap.detail or "found in the lake; what the log tells of it is not at hand")
