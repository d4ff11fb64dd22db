"""The lake's folder as a disk would hold it: what was synced, and at a power cut a random part of the rest.

delta-rs writes to a real folder, in Rust, and syncs nothing; so the folder is real, and whatever the lake syncs is
told to this. Files are never changed in place below a lake, only replaced, so a hard link keeps what was synced. At a
power cut the folder is turned back into what the disk would hold.

The same folder stands in for an object store: then nothing is synced or torn, an object is there whole or not at all,
and the way there is what fails. Whoever writes may not learn whether it arrived.
"""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import deltalake
from crash_disk import SECTOR_BYTES, Chance
from obstore.exceptions import GenericError

from hosu.lake.storage import Storage, translated
from hosu.lake.syncing import FolderSync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.lake.storage import Entry


class LakeDisk:
    """Knows of every file below ``folder`` whether it was synced, and of every folder which names were.

    A hard link of each file it knows is kept in ``pool``, so that an inode's number is never used for another one.
    """

    def __init__(self, folder: Path, pool: Path, chance: Chance) -> None:
        self.folder, self.pool, self.chance = folder, pool, chance
        folder.mkdir(parents=True, exist_ok=True)
        pool.mkdir(parents=True, exist_ok=True)
        self._synced: set[int] = set()
        self._dropped: set[int] = set()
        self._names: dict[Path, dict[str, int | None]] = {}  # inode of a file, None for a folder
        self._settle()

    def fsync(self, path: Path) -> bool:
        """What stands in for ``lake.syncing.fsync``."""
        self.chance.step(f"fsync {str(path)[len(str(self.folder)) :]}")
        if not path.exists():
            return False
        kind = self.chance.sync()
        if kind is None:
            self._sync(path)
        elif kind == "sync":
            if path.is_file():
                self._dropped.add(self._keep(path))
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return True

    def _sync(self, path: Path) -> None:
        if path.is_dir():
            self._names[path] = self._listed(path)
            return
        inode = self._keep(path)
        if inode not in self._dropped:
            self._synced.add(inode)

    def _listed(self, folder: Path) -> dict[str, int | None]:
        with os.scandir(folder) as entries:
            return {
                entry.name: None if entry.is_dir(follow_symlinks=False) else self._keep(Path(entry.path))
                for entry in entries
            }

    def _keep(self, path: Path) -> int:
        inode = path.stat().st_ino
        link = self.pool / str(inode)
        if not link.exists():
            os.link(path, link)
        return inode

    def _settle(self) -> None:
        """What the folder holds is on the disk."""
        self._synced.clear()
        self._dropped.clear()
        self._names.clear()
        kept = set()
        for folder, _, _ in os.walk(self.folder):
            listed = self._names[Path(folder)] = self._listed(Path(folder))
            kept |= {inode for inode in listed.values() if inode is not None}
        self._synced |= kept
        for link in self.pool.iterdir():
            if int(link.name) not in kept:
                link.unlink()

    def cut(self) -> None:
        """The power is gone."""
        self._restore(self.folder)
        self._settle()

    def _restore(self, folder: Path) -> None:
        before, now = self._names.get(folder, {}), self._listed(folder)
        for name in sorted({*before, *now}):
            path = folder / name
            chosen = now
            if (name in before) != (name in now) or before.get(name) != now.get(name):
                chosen = before if self.chance.random.random() < 0.5 else now
            if name not in chosen:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            elif chosen[name] is None:
                path.mkdir(exist_ok=True)
                self._restore(path)
            else:
                self._restore_file(path, chosen[name], now.get(name))

    def _restore_file(self, path: Path, inode: int | None, there: int | None) -> None:
        assert inode is not None
        if inode in self._synced:
            if inode != there:
                path.unlink(missing_ok=True)
                os.link(self.pool / str(inode), path)
            return
        content = self._torn((self.pool / str(inode)).read_bytes())
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def _torn(self, content: bytes) -> bytes:
        """What a disk may hold of a file that was never synced."""
        chance = self.chance.random
        kind = chance.random()
        if kind < 0.3:
            return content
        if kind < 0.5:
            return b""
        if kind < 0.65:
            return content[: chance.randint(0, len(content))]
        if kind < 0.75:
            return bytes(len(content))
        sector = chance.choice(SECTOR_BYTES)
        parts = [content[at : at + sector] for at in range(0, len(content), sector)]
        return b"".join(part if chance.random() < 0.5 else bytes(len(part)) for part in parts)


NETWORK = ("unreachable", "busy", "server", "timed_out", "lost_answer", "asked_twice")
"""What may befall a call on its way: it does not arrive, is turned away (429, 503, 500), runs out of time and may have
arrived or not, arrives and its answer is lost, or arrives and is made once more by the library underneath, which is
told of its own object then."""
OF_WRITES = NETWORK[4:]
_SAID = {
    "unreachable": "Generic S3 error: Error performing PUT http://h/b/k in 1ms - HTTP error: error sending request",
    "busy": "Generic S3 error: x - Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>",
    "server": "Generic S3 error: x - Server returned non-2xx status code: 500 Internal Server Error: y",
    "timed_out": "Generic S3 error: Error performing PUT http://h/b/k in 30s - HTTP error: operation timed out",
    "lost_answer": "Generic S3 error: Error performing PUT http://h/b/k in 1ms - HTTP error: connection closed",
}
_BEFORE = ("unreachable", "busy", "server")
_T = TypeVar("_T")


class Way:
    """The way to a store, which fails as the chance says."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance

    def write(self, write: Callable[[], _T], fault: Callable[[str], Exception]) -> _T:
        """What ``write`` gives, unless the way fails; then it was made, or not, and ``fault`` of a text is raised."""
        kind = self._chance.fails(*NETWORK)
        if kind == "asked_twice":
            write()
            return write()
        if kind in _BEFORE or (kind == "timed_out" and self._chance.random.random() < 0.5):
            raise fault(_SAID[kind])
        result = write()
        if kind is not None:
            raise fault(_SAID[kind])
        return result

    def read(self, fault: Callable[[str], Exception]) -> None:
        """Raises ``fault`` of a text, or does not."""
        kind = self._chance.fails(*_BEFORE, "timed_out")
        if kind is not None:
            raise fault(_SAID[kind])


class CrashStorage(Storage):
    """The real storage of a folder, each of whose writes is a step that may fail or be the last."""

    disk: LakeDisk

    @classmethod
    def over(cls, disk: LakeDisk, *, objects: bool = False) -> CrashStorage:
        """``objects``: what is said of the folder is what is said of an object store."""
        storage = cls.open(str(disk.folder))
        assert isinstance(storage, CrashStorage)
        storage.disk, storage.way = disk, Way(disk.chance)
        storage.syncing = FolderSync(disk.folder, disk.fsync)
        if objects:
            storage.folder = storage.syncing = None
        return storage

    def put(self, path: str, data: bytes) -> None:
        self._write("put", path, lambda: super(CrashStorage, self).put(path, data))

    def replace(self, path: str, data: bytes) -> None:
        if self.is_local:
            self._write("replace", path, lambda: super(CrashStorage, self).replace(path, data))
        else:
            super().replace(path, data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        return self._write("put_if_absent", path, lambda: super(CrashStorage, self).put_if_absent(path, data))

    def put_if_unchanged(self, path: str, data: bytes, etag: str | None) -> bool:
        def write() -> bool:
            stands = Storage.head(self, path)
            if stands is None or stands.etag != etag:
                return False
            super(CrashStorage, self).put(path, data)
            return True

        return self._write("put_if_unchanged", path, write)

    def delete(self, path: str) -> None:
        self._write("delete", path, lambda: super(CrashStorage, self).delete(path))

    def get(self, path: str) -> bytes:
        self._read(path)
        return super().get(path)

    def head(self, path: str) -> Entry | None:
        self._read(path)
        return super().head(path)

    def list(self, prefix: str) -> Iterator[Entry]:
        found = sorted(super().list(prefix), key=lambda entry: entry.path)
        yield from found[: len(found) // 2]
        self._read(prefix)
        yield from found[len(found) // 2 :]

    def free_bytes(self) -> int | None:
        return 1 << 40

    def _write(self, call: str, path: str, write: Callable[[], _T]) -> _T:
        self.disk.chance.step(f"{call} {path}")
        with translated(self.address(path)):
            if self.is_local:
                self.disk.chance.require_room()
            return self.way.write(write, GenericError)

    def _read(self, path: str) -> None:
        with translated(self.address(path)):
            self.way.read(GenericError)


@contextmanager
def unsteady(chance: Chance) -> Iterator[None]:
    """What delta-rs asks of a store goes the same way."""
    way, real = Way(chance), deltalake.DeltaTable

    class UnsteadyTable(real):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            way.read(OSError)
            super().__init__(*args, **kwargs)

        def update_incremental(self) -> None:
            way.read(OSError)
            super().update_incremental()

        def get_add_actions(self, *, flatten: bool = False) -> Any:
            way.read(OSError)
            return super().get_add_actions(flatten=flatten)

        def to_pyarrow_dataset(self, *args: Any, **kwargs: Any) -> Any:
            way.read(OSError)
            return super().to_pyarrow_dataset(*args, **kwargs)

        def create_write_transaction(self, *args: Any, **kwargs: Any) -> None:
            stood, calls = self.version(), 0

            def commit() -> None:
                nonlocal calls
                calls += 1
                # Whoever asks again asks from where it stood, and finds a commit that it does not know for its own.
                handle = self if calls == 1 else real(self.table_uri, version=stood)
                real.create_write_transaction(handle, *args, **kwargs)

            way.write(commit, OSError)

    deltalake.DeltaTable = UnsteadyTable
    try:
        yield
    finally:
        deltalake.DeltaTable = real


def reached(chance: Chance, name: str) -> None:
    """What a failpoint is to a crash: a step, and where delta-rs is about to write, a chance to fail."""
    chance.step(name)
    if name == "lake.committing":
        chance.require_room()
    elif name == "lake.committed" and chance.fails("lost_answer"):
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def age(folder: Path, seconds: float) -> None:
    """Lets every file below a folder look older, as after a night: clean-ups go by that."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            modified_s = path.stat().st_mtime - seconds
            os.utime(path, (modified_s, modified_s))


__all__ = ["NETWORK", "OF_WRITES", "CrashStorage", "LakeDisk", "age", "reached", "unsteady"]
