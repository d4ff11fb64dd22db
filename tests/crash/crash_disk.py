"""A disk for the log that keeps, at a power cut, what was synced and a random part of the rest.

Everything is drawn from one ``random.Random``. A write reaches the disk in sectors, each or not; a file's length and
each change of a folder's names reach it or not, in order or not. After a failed sync the disk behaves as Linux does:
readers go on seeing what was written, a second sync succeeds, and the disk never gets it.
"""

from __future__ import annotations

import errno
import os
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

SECTOR_BYTES = (512, 4096)


class PowerCut(BaseException):
    """The machine, or the process, is gone at this very moment."""


@dataclass
class Fault:
    """From its ``at``-th chance on, ``times`` calls of one kind fail.

    Kinds: ``full`` (what needs room says ENOSPC, after a part of it), ``sync`` (a sync says EIO and drops the pages),
    ``lie`` (a sync says it is done and did nothing), ``read_only`` (EROFS), ``slow`` (a sync takes seconds),
    ``lost_answer`` (a commit lands and reports an error), and those of ``crash_lake.NETWORK``.
    """

    kind: str
    at: int
    times: int


@dataclass
class Chance:
    """What goes wrong in one life, and when: counts every step, and says at each whether this is the one.

    ``trace`` is a checksum of all steps so far: two runs of a seed must have the same.
    """

    random: random.Random
    cut_at: int | None = None
    faults: list[Fault] = field(default_factory=list)
    steps: int = 0
    trace: int = 0
    on_slow: Callable[[], None] = lambda: None
    dead: bool = False

    def step(self, name: str) -> None:
        """One step of the machine; the last one when its time has come."""
        if self.dead:
            raise PowerCut
        self.steps += 1
        self.trace = zlib.crc32(name.encode(), self.trace)
        if self.cut_at is not None and self.steps >= self.cut_at:
            self.dead = True
            raise PowerCut(name)

    def fails(self, *kinds: str) -> str | None:
        """The kind of fault that this call meets; None for none."""
        found = None
        for fault in self.faults:
            if fault.kind not in kinds or fault.times <= 0:
                continue
            fault.at -= 1
            if fault.at < 0:
                fault.times -= 1
                found = found or fault.kind
        return found

    def require_room(self) -> None:
        """For what needs room or a folder that can be written."""
        kind = self.fails("full", "read_only")
        if kind is not None:
            number = errno.ENOSPC if kind == "full" else errno.EROFS
            raise OSError(number, os.strerror(number))

    def sync(self) -> str | None:
        """What a sync does: None for its work, ``lie`` for nothing, ``sync`` for an error."""
        kind = self.fails("sync", "lie", "slow")
        if kind == "slow":
            self.on_slow()
            return None
        return kind


@dataclass
class Inode:
    """A file. ``content`` is what readers see, ``durable`` what the disk has, ``pending`` the writes between."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    resized: bool = False

    def sync(self) -> None:
        for offset, data in self.pending:
            _put(self.durable, offset, data)
        if self.resized or len(self.durable) < len(self.content):
            _resize(self.durable, len(self.content))
        self.pending.clear()
        self.resized = False

    def drop(self) -> None:
        """The system gives up what it could not write, and believes it written."""
        self.pending.clear()
        self.resized = False

    def cut(self, chance: random.Random) -> None:
        """The power is gone: sectors that were not synced are there or not."""
        sector = chance.choice(SECTOR_BYTES)
        share = chance.choice((0.0, 0.5, 0.9, 1.0))
        before = len(self.durable)
        for offset, data in self.pending:
            for at in range(offset - offset % sector, offset + len(data), sector):
                if chance.random() < share:
                    first, last = max(at, offset), min(at + sector, offset + len(data))
                    _put(self.durable, first, data[first - offset : last - offset])
        if chance.random() < 0.5 and self.pending and before < len(self.content):
            # The length is written apart from the data: shorter than what arrived, or longer and full of zeros.
            _resize(self.durable, chance.randint(before, len(self.content)))
        if self.resized and chance.random() < 0.5:
            _resize(self.durable, min(len(self.durable), len(self.content)))
        self.pending.clear()
        self.resized = False
        self.content = bytearray(self.durable)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
    else:
        content.extend(bytes(size - len(content)))


class SimulatedDisk:
    """Stands in for ``collect.files.SystemFiles``. Folders need not exist anywhere; they are names here."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.on_write: Callable[[Path, bytes], None] = lambda path, data: None
        self._now: dict[Path, dict[str, Inode]] = {}
        self._durable: dict[Path, dict[str, Inode]] = {}
        self._changes: dict[Path, list[dict[str, Inode | None]]] = {}
        self._open: dict[int, tuple[Path, Inode]] = {}
        self._next = 3

    def create(self, path: Path) -> int:
        self.chance.step(f"create {path.name}")
        self.chance.require_room()
        if path.name in self._now[path.parent]:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        self._change(path.parent, {path.name: Inode()})
        return self._opened(path)

    def open(self, path: Path) -> int:
        self.chance.step(f"open {path.name}")
        self._inode(path)
        return self._opened(path)

    def close(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def write(self, descriptor: int, buffers: Sequence[bytes | bytearray | memoryview], offset: int) -> None:
        path, inode = self._open[descriptor]
        data = b"".join(buffers)
        self.on_write(path, data)
        self._write(inode, data, offset, f"write {path.name} {offset} {zlib.crc32(data)}")

    def _write(self, inode: Inode, data: bytes, offset: int, name: str) -> None:
        try:
            self.chance.step(name)
        except PowerCut:
            self._store(inode, data, offset)  # some of it was on its way
            raise
        try:
            self.chance.require_room()
        except OSError:
            self._store(inode, data[: self.chance.random.randrange(len(data) + 1)], offset)
            raise
        self._store(inode, data, offset)

    def _store(self, inode: Inode, data: bytes, offset: int) -> None:
        _put(inode.content, offset, data)
        inode.pending.append((offset, data))

    def read(self, path: Path, offset: int, into: memoryview) -> int:
        data = self._inode(path).content[offset : offset + len(into)]
        into[: len(data)] = data
        return len(data)

    def truncate(self, descriptor: int, size: int) -> None:
        path, inode = self._open[descriptor]
        self.chance.step(f"truncate {path.name} {size}")
        if size < len(inode.content):
            # What was written behind the new end never reaches the disk any more.
            inode.pending = [(at, data[: size - at]) for at, data in inode.pending if at < size]
        _resize(inode.content, size)
        inode.resized = True

    def fdatasync(self, descriptor: int) -> None:
        path, inode = self._open[descriptor]
        self.chance.step(f"fdatasync {path.name}")
        kind = self.chance.sync()
        if kind is None:
            inode.sync()
        elif kind == "sync":
            inode.drop()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.chance.step(f"fdatasynced {path.name}")

    def fsync_dir(self, directory: Path) -> None:
        self.chance.step(f"fsync {directory.name}")
        kind = self.chance.sync()
        if kind is None:
            self._durable[directory] = dict(self._now[directory])
            self._changes[directory] = []
        elif kind == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def rename(self, source: Path, target: Path) -> None:
        self.chance.step(f"rename {source.name} {target.name}")
        self.chance.require_room()
        inode = self._inode(source)
        self._change(source.parent, {source.name: None, target.name: inode})

    def remove(self, path: Path) -> None:
        self.chance.step(f"remove {path.name}")
        self._inode(path)
        self._change(path.parent, {path.name: None})

    def names(self, directory: Path) -> list[str]:
        return sorted(self._now[directory])

    def size(self, path: Path) -> int:
        return len(self._inode(path).content)

    def make_dir(self, directory: Path) -> None:
        for kept in (self._now, self._durable, self._changes):
            kept.setdefault(directory, [] if kept is self._changes else {})  # type: ignore[attr-defined]

    def has(self, directory: Path) -> bool:
        return directory in self._now

    def content(self, path: Path) -> bytes:
        """What a reader sees in a file."""
        return bytes(self._inode(path).content)

    def killed(self) -> None:
        """The process is gone, the machine is not: what was written stays in the cache."""
        self._open.clear()

    def cut(self) -> None:
        """The power is gone."""
        chance = self.chance.random
        self._open.clear()
        for directory in sorted(self._now):
            names = self._survivors(directory, chance)
            for name in sorted(names):
                names[name].cut(chance)
            self._now[directory], self._durable[directory] = names, dict(names)
            self._changes[directory] = []

    def _survivors(self, directory: Path, chance: random.Random) -> dict[str, Inode]:
        names, changes = dict(self._durable[directory]), self._changes[directory]
        if chance.random() < 0.5:  # a journal keeps the order
            kept = changes[: chance.randint(0, len(changes))]
        else:
            kept = [change for change in changes if chance.random() < 0.5]
        for change in kept:
            for name, inode in change.items():
                if inode is None:
                    names.pop(name, None)
                else:
                    names[name] = inode
        return names

    def _change(self, directory: Path, change: dict[str, Inode | None]) -> None:
        self._changes[directory].append(change)
        for name, inode in change.items():
            if inode is None:
                del self._now[directory][name]
            else:
                self._now[directory][name] = inode

    def _inode(self, path: Path) -> Inode:
        if self.chance.dead:
            raise PowerCut
        try:
            return self._now[path.parent][path.name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None

    def _opened(self, path: Path) -> int:
        descriptor, self._next = self._next, self._next + 1
        self._open[descriptor] = path, self._inode(path)
        return descriptor
