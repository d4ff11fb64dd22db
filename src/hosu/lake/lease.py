"""One maintainer of a table at a time: a lock on a folder, a lease that runs out on S3.

The lease only saves work. That two maintainers never spoil a table is kept by the fence in every rewrite's commit.
"""

from __future__ import annotations

import json
import os
import re
import socket
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from hosu.clock import SystemClock
from hosu.errors import LockedError
from hosu.lake.storage import translated
from hosu.locks import FileLock, doing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.clock import Clock
    from hosu.lake.storage import Storage

LEASE_S: Final = 900.0
"""How long an S3 lease lasts unless it is renewed."""
_HOLDER: Final = re.compile(r"process (\d{1,10}) \(.*\) on (\S+) \([0-9a-f]+\)")


class Lease:
    """What its holder may do: ``renew`` now and then, between units of work."""

    def renew(self) -> None:
        """Prolongs the lease; ``LockedError`` if somebody else has taken it over."""


@contextmanager
def maintenance(storage: Storage, table: str, clock: Clock | None = None) -> Iterator[Lease]:
    """Holds the maintenance of ``table`` while the block runs.

    Raises:
        LockedError: somebody else holds it; names whom.
    """
    if storage.folder is None:
        lease = _ObjectLease(storage, table, clock or SystemClock())
        lease.acquire()
        try:
            yield lease
        finally:
            lease.release()
        return
    lock = FileLock(storage.folder / "_hosu" / "locks" / f"{table}.lock", f"maintenance of table {table}")
    with translated(storage.address("_hosu/locks")):
        lock.acquire()
    try:
        yield Lease()
    finally:
        lock.release()


class _ObjectLease(Lease):
    def __init__(self, storage: Storage, table: str, clock: Clock) -> None:
        self._storage, self._table, self._clock = storage, table, clock
        self._path = f"_hosu/locks/{table}.json"
        self._holder = f"process {os.getpid()} ({doing()}) on {socket.gethostname()} ({uuid.uuid4().hex[:8]})"

    def acquire(self) -> None:
        if self._replaced(None):
            return
        etag = self._etag()  # before the reading: a lease renewed in between is then not taken over
        holder, expires_us = self._read()
        if expires_us > self._clock.now_us() and not _has_died_here(holder):
            raise self._locked(holder, expires_us)
        if not self._replaced(etag):
            raise self._locked("another process")

    def _replaced(self, etag: str | None) -> bool:
        """Whether the lease is ours now. ``etag`` is that of the one to be taken over; None where nobody holds it.

        Where an answer was lost, the client asks again by itself, and is refused for what it has put there.
        """
        text = self._text()
        if etag is None:
            put = self._storage.put_if_absent(self._path, text)
        else:
            put = self._storage.put_if_unchanged(self._path, text, etag)
        return put or self._holds(text)

    def _holds(self, text: bytes) -> bool:
        try:
            return self._storage.get(self._path) == text
        except FileNotFoundError:
            return False

    def renew(self) -> None:
        etag = self._etag()
        holder, _ = self._read()
        if holder != self._holder or not self._replaced(etag):
            raise self._locked(holder)

    def release(self) -> None:
        if self._read()[0] == self._holder:
            self._storage.delete(self._path)

    def _text(self) -> bytes:
        expires_us = self._clock.now_us() + round(LEASE_S * 1e6)
        return json.dumps({"holder": self._holder, "expires_us": expires_us}).encode()

    def _etag(self) -> str | None:
        entry = self._storage.head(self._path)
        return None if entry is None else entry.etag

    def _read(self) -> tuple[str, int]:
        try:
            held = json.loads(self._storage.get(self._path))
            return str(held["holder"]), int(held["expires_us"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return "nobody", 0

    def _locked(self, holder: str, expires_us: int = 0) -> LockedError:
        left_s = (expires_us - self._clock.now_us()) / 1e6
        ends = f"its lease to run out (in {left_s / 60:,.0f} minutes)" if left_s > 0 else "its lease to run out"
        gone = f"if that process has gone for good, delete {self._storage.address(self._path)}"
        return LockedError(f"maintenance of table {self._table}", holder, f"wait for it, or for {ends}; {gone}")


def _has_died_here(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more: its lease need not run out.

    Two containers may share a name and not their processes. A lease wrongly taken over costs double work, no row.
    """
    said = _HOLDER.fullmatch(holder)
    if said is None or said[2] != socket.gethostname():
        return False
    try:
        os.kill(int(said[1]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
