"""A ledger for a log that had none: of records that have left the log's disk, the lake tells what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from hosu.collect.ledger_checkpoint import LogState, pack, unpack
from hosu.errors import LogCorruptError
from hosu.lake.certify import certify

if TYPE_CHECKING:
    from hosu.collect.wal import Log
    from hosu.lake.lake import Lake
    from hosu.lake.ledger_store import LakeLedgerStore

_log = structlog.get_logger(__name__)

_DATES: Final = 2  # the day that may still go on, and the one before it


def _is_sound(store: LakeLedgerStore, wal_id: str) -> bool:
    """Whether there is a state; one that is damaged is made anew."""
    content = store.state(wal_id)
    try:
        return content is not None and unpack(content, f"the ledger's state of log {wal_id}").wal_id == wal_id
    except LogCorruptError as error:
        _log.warning("the ledger begins anew", error=str(error))
        return False


def begin_ledger(lake: Lake, store: LakeLedgerStore, log: Log) -> None:
    """Lets the ledger begin where the log's records on disk begin, once, for a log that the lake has covered before
    there was a ledger. What the lake has of the last days is judged, so that their first records are no holes.

    Raises:
        TableCorruptError: a table of the ledger is damaged; found now, and not once there is something to tell.
    """
    store.covered(log.wal_id)
    extent = log.extent_behind(-1)
    first_lsn = extent.first_lsn if extent is not None else log.next_lsn
    if _is_sound(store, log.wal_id) or (first_lsn == 0 and store.state(log.wal_id) is None):
        return
    trades = lake.find("trades")
    dates = [] if trades is None else trades.dates()[-_DATES:]
    _log.info("the ledger begins in the middle of a log", wal_id=log.wal_id, lsn=first_lsn, dates=dates)
    for date in dates:
        certify(lake, date)
    store.save(log.wal_id, pack(LogState(log.wal_id, lsn=first_lsn - 1)))
