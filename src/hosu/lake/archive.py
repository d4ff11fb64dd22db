"""The archive of the log in the lake: sealed segments, kept as they are under ``raw/frames/date=…/``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hosu.errors import InputError, LakeFullError

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def store(self, name: str, date: str, data: bytes) -> None:
        """Keeps ``data`` as ``date=<date>/<name>``; returns once it is synced and read back equal.

        The same bytes under the same name again are a no-op.

        Raises:
            InputError: other bytes are kept under this name; they are left alone.
            LakeFullError: it would not fit, or leave less than the reserve.
        """
        path = f"{LOCATION}/date={date}/{name}"
        free = self._storage.free_bytes()
        if free is not None and free - len(data) < self._reserve_bytes:
            raise LakeFullError(self._storage.address(path))
        self._storage.put_if_absent(path, data)
        self._storage.sync([path])
        if self._storage.get(path) != data:
            address = self._storage.address(path)
            raise InputError(address, "holds other bytes than this segment", "move it away, then start again")

    def entries(self) -> Iterator[Entry]:
        """What is kept, in no particular order."""
        return self._storage.list(f"{LOCATION}/")

    def read(self, path: str) -> bytes:
        """One kept segment, by the path of its entry."""
        return self._storage.get(path)
