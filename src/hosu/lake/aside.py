"""Setting damaged files aside: they leave their place, and are kept where nobody takes them for the lake's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hosu.lake.storage import translated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosu.clock import Clock
    from hosu.lake.storage import Storage

LOCATION: Final = "_hosu/aside"


class Aside:
    """Moves objects of one repair below ``_hosu/aside/<time>/``, under the paths they had."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        moment = datetime.fromtimestamp(clock.now_us() / 1e6, UTC)
        self.folder = f"{LOCATION}/{moment:%Y%m%dT%H%M%S.%f}Z"

    def move(self, paths: Iterable[str]) -> None:
        """Moves these objects, durably; one that is gone is skipped."""
        moved = [path for path in paths if self._move(path)]
        if self._storage.folder is not None and moved:
            self._storage.sync(f"{self.folder}/{path}" for path in moved)
            self._sync_folders(moved)

    def _move(self, path: str) -> bool:
        folder, target = self._storage.folder, f"{self.folder}/{path}"
        if self._storage.head(path) is None:
            return False
        if folder is None:
            self._storage.put(target, self._storage.get(path))
            self._storage.delete(path)
            return True
        with translated(self._storage.address(path)):
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).replace(folder / target)
            (folder / path).unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
        return True

    def _sync_folders(self, paths: list[str]) -> None:
        """That a file is gone from its folder must last too, or a power cut brings it back."""
        for parent in sorted({path.rpartition("/")[0] for path in paths}):
            self._storage.sync([parent])
