"""The lake's folder as a disk would hold it: what was synced, and at a power cut a random part of the rest.

delta-rs writes to a real folder, in Rust, and syncs nothing; so the folder is real, and whatever the lake syncs is
told to this. Files are never changed in place below a lake, only replaced, so a hard link keeps what was synced. At a
power cut the folder is turned back into what the disk would hold.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from crash_disk import SECTOR_BYTES, Chance

from hosu.lake.storage import Storage, translated
from hosu.lake.syncing import FolderSync


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


class CrashStorage(Storage):
    """The real storage of a folder, each of whose writes is a step that may fail or be the last."""

    disk: LakeDisk

    @classmethod
    def over(cls, disk: LakeDisk) -> CrashStorage:
        storage = cls.open(str(disk.folder))
        assert isinstance(storage, CrashStorage)
        storage.disk = disk
        storage.syncing = FolderSync(disk.folder, disk.fsync)
        return storage

    def put(self, path: str, data: bytes) -> None:
        self._step("put", path)
        super().put(path, data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        self._step("put_if_absent", path)
        return super().put_if_absent(path, data)

    def delete(self, path: str) -> None:
        self._step("delete", path)
        super().delete(path)

    def free_bytes(self) -> int | None:
        return 1 << 40

    def _step(self, call: str, path: str) -> None:
        self.disk.chance.step(f"{call} {path}")
        with translated(self.address(path)):
            self.disk.chance.require_room()


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


__all__ = ["CrashStorage", "LakeDisk", "age", "reached"]
