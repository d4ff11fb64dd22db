"""The file system as the log sees it: few calls, each one system call, so that a test can stand in for a disk."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Buffer = bytes | bytearray | memoryview


_NOT_OURS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL, errno.ENOTSUP})
"""How a folder that we did not make, and cannot change, answers when it is to be synced."""


class Files(Protocol):
    """What the log asks of a disk. Every call may raise OSError.

    Nothing is durable before ``fdatasync`` (contents) and ``fsync_dir`` (names: created, renamed, removed files).
    """

    def create(self, path: Path) -> int:
        """Creates an empty file, which must not exist, and opens it for reading and writing."""

    def open(self, path: Path) -> int:
        """Opens an existing file for reading and writing."""

    def close(self, descriptor: int) -> None: ...

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        """Writes all of ``buffers``, one behind the other, from ``offset`` on."""

    def read(self, path: Path, offset: int, into: memoryview) -> int:
        """Fills ``into`` from ``offset`` on; the number of bytes read, less than asked only at the file's end."""

    def truncate(self, descriptor: int, size: int) -> None: ...

    def fdatasync(self, descriptor: int) -> None: ...

    def fsync_dir(self, directory: Path) -> None: ...

    def rename(self, source: Path, target: Path) -> None:
        """Renames over ``target``, atomically."""

    def remove(self, path: Path) -> None: ...

    def names(self, directory: Path) -> list[str]:
        """Names in a folder, sorted."""

    def size(self, path: Path) -> int:
        """Bytes in a file. FileNotFoundError if there is none."""

    def make_dir(self, directory: Path) -> None:
        """Creates a folder and those above it, where they are missing; their names are durable then."""


class SystemFiles:
    """The operating system's own."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        done = os.pwritev(descriptor, buffers, offset)
        if done == sum(map(len, buffers)):
            return
        rest = memoryview(b"".join(buffers))[done:]  # a short write: the disk is nearly full, or a signal came
        at = offset + done
        while rest:
            done = os.pwrite(descriptor, rest, at)
            rest, at = rest[done:], at + done

    def read(self, path: Path, offset: int, into: memoryview) -> int:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            done = 0
            while done < len(into):
                count = os.preadv(descriptor, [into[done:]], offset + done)
                if count == 0:
                    break
                done += count
            return done
        finally:
            os.close(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def fdatasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def fsync_dir(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))  # noqa: PTH208  # names only: cheaper than Path objects

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def make_dir(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Whoever has the lock made the folder a moment ago, so that it is there says nothing.
        for parent in directory.absolute().parents:
            try:
                self.fsync_dir(parent)
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise


def write_atomically(files: Files, path: Path, content: bytes) -> None:
    """Replaces a small file as a whole, durably: a reader, or a restart, sees the old content or the new one."""
    partial = path.with_name(path.name + ".partial")
    if partial.name in files.names(path.parent):
        files.remove(partial)
    descriptor = files.create(partial)
    try:
        files.write(descriptor, [content], 0)
        files.fdatasync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(partial, path)
    files.fsync_dir(path.parent)


def read_whole(files: Files, path: Path) -> bytearray:
    """All bytes of a file."""
    content = bytearray(files.size(path))
    done = files.read(path, 0, memoryview(content))
    del content[done:]
    return content
