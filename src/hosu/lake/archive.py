"""The archive of the log in the lake: sealed segments, kept as they are under ``raw/frames/date=…/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hosu.collect.segment import check_segment, decompress
from hosu.errors import ArchiveConflictError, InputError, LakeFullError, LogCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.collect.segment import Seal, SegmentHeader
    from hosu.lake.lake import Lake
    from hosu.lake.storage import Entry

LOCATION: Final = "raw/frames"


class FramesArchive:
    """Keeps compressed log segments for good; the collector's ``Archive``.

    ``reserve_bytes`` is room on a folder's disk that the lake leaves to the log.
    """

    def __init__(self, lake: Lake, *, reserve_bytes: int = 0) -> None:
        self._storage = lake.storage
        self._reserve_bytes = reserve_bytes
        self.identity = lake.identity

    def store(self, name: str, date: str, data: bytes) -> None:
        """Keeps ``data`` as ``date=<date>/<name>``; returns once it is synced and read back equal.

        The same segment under the same name again is a no-op, whichever zstd packed it. A damaged one, such as a
        power cut leaves, is replaced.

        Raises:
            ArchiveConflictError: another sound segment is kept under this name; it is left alone.
            LakeFullError: it would not fit, or leave less than the reserve.
            LogCorruptError: ``data`` is no sound segment, and other bytes are kept under this name.
        """
        path = _path(name, date)
        free = self._storage.free_bytes()
        if free is not None and free - len(data) < self._reserve_bytes:
            raise LakeFullError(self._storage.address(path), self._reserve_bytes)
        self._storage.put_if_absent(path, data)
        self._storage.sync([path])
        if self._storage.get(path) != data and not self._holds_same(path, data):
            self._storage.put(path, data)
            self._storage.sync([path])
            if self._storage.get(path) != data:
                address = self._storage.address(path)
                raise InputError(address, "does not read back as it was written", "check the disk")

    def _holds_same(self, path: str, data: bytes) -> bool:
        address = self._storage.address(path)
        own = _contents(data, "the segment to be archived")
        try:
            kept = _contents(self._storage.get(path), address)
        except LogCorruptError:
            return False
        except InputError:  # of a newer format
            raise ArchiveConflictError(address) from None
        if kept != own:
            raise ArchiveConflictError(address)
        return True

    def holds(self, name: str, date: str) -> bool:
        """Whether something is kept as ``date=<date>/<name>``."""
        return self._storage.head(_path(name, date)) is not None

    def entries(self) -> Iterator[Entry]:
        """What is kept, in no particular order.

        A name that begins with a dot is no segment: a program that ended while it wrote a file anew left it.
        """
        return (
            entry for entry in self._storage.list(f"{LOCATION}/") if not entry.path.rsplit("/", 1)[-1].startswith(".")
        )

    def read(self, path: str) -> bytes:
        """One kept segment, by the path of its entry."""
        return self._storage.get(path)


def _path(name: str, date: str) -> str:
    return f"{LOCATION}/date={date}/{name}"


def _contents(data: bytes, source: str) -> tuple[SegmentHeader, Seal]:
    """What tells a segment from any other: its seal carries the checksum of the whole."""
    return check_segment(decompress(data, source), source)
