"""The segment that is being written: created, appended to a commit at a time, sealed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from hosu import failpoints
from hosu.collect.recovery import Extent
from hosu.collect.segment import HEADER_BYTES, Seal, SegmentHeader, segment_name

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.collect.files import Files


class ActiveSegment:
    """One open segment file. For one thread; every method may raise OSError, after which it must not be used again.

    A failed write or sync is never repeated: the system may drop the pages it could not write, and report the next
    sync of the same file as a success.
    """

    def __init__(self, files: Files, directory: Path, header: SegmentHeader) -> None:
        self._files = files
        self.path = directory / segment_name(header.first_lsn)
        self.first_lsn = header.first_lsn
        self.records = 0
        self.size = HEADER_BYTES
        packed = header.pack()
        self._crc = zlib.crc32(packed)
        self._descriptor: int | None = files.create(self.path)
        files.write(self._descriptor, [packed], 0)
        if failpoints.on:
            failpoints.reach("log.created")
        files.fdatasync(self._descriptor)
        files.fsync_dir(directory)

    @property
    def extent(self) -> Extent:
        """What of it is durable."""
        return Extent(self.path, self.first_lsn, self.first_lsn + self.records - 1, self.size)

    def commit(self, buffer: bytearray, records: int) -> None:
        """Appends whole records; returns once they are synced."""
        descriptor = self._open_descriptor()
        self._files.write(descriptor, [buffer], self.size)
        if failpoints.on:
            failpoints.reach("log.written")
        self._files.fdatasync(descriptor)
        if failpoints.on:
            failpoints.reach("log.synced")
        self._crc = zlib.crc32(buffer, self._crc)
        self.size += len(buffer)
        self.records += records

    def seal(self, sealed_us: int) -> Extent:
        """Closes it for good, synced; what it holds."""
        extent = self.extent
        seal = Seal(self.records, extent.first_lsn, extent.last_lsn, self.size, sealed_us, self._crc)
        descriptor = self._open_descriptor()
        self._files.write(descriptor, [seal.pack()], self.size)
        if failpoints.on:
            failpoints.reach("log.sealing")
        self._files.fdatasync(descriptor)
        self.abandon()
        return extent

    def abandon(self) -> None:
        """Lets go of the file as it is; the next opening of the log recovers it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._files.close(descriptor)

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise OSError("the segment is closed")
        return self._descriptor
