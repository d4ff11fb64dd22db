"""Making files of a folder survive a power cut, and never believing a second sync where the first one failed.

After a failed sync the system may drop what it could not write, keep showing it to readers, and call the next sync of
the same file a success. So a file whose sync failed is written anew, under its name, before it is synced again; which
files these are is also kept in the folder, for a process that comes after.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOUBTFUL: Final = "_hosu/unsynced"
"""Paths, one a line, whose sync failed. Not synced itself: a power cut takes the cache with it that it warns of."""


def fsync(path: Path) -> bool:
    """Syncs a file or folder; False when there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.fsync(handle)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(handle)
    return True


class FolderSync:
    """Syncs files below ``folder`` together with their names. ``fsync`` stands for the disk."""

    def __init__(self, folder: Path, fsync: Callable[[Path], bool] = fsync) -> None:
        self._folder, self._fsync = folder, fsync

    def sync(self, paths: Iterable[str]) -> None:
        """Returns when these files and their names would survive a power cut; one that is gone is skipped.

        Raises:
            OSError: the disk refused. Whoever tries again gets the files written anew first.
        """
        wanted = {*paths, *self._rewritten()}
        try:
            self._sync(sorted(wanted))
        except OSError:
            self._remember(wanted)
            raise
        with suppress(FileNotFoundError):
            (self._folder / DOUBTFUL).unlink()

    def replace(self, path: str, data: bytes) -> None:
        """Writes a file in place of the one of that name; a power cut leaves the one or the other, and none torn.

        Raises:
            OSError: the disk refused. What stood there stands there still.
        """
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._take_place(target, data)
        self.sync([path])

    def _sync(self, paths: list[str]) -> None:
        folders: set[str] = set()
        for path in paths:
            if self._fsync(self._folder / path):
                parts = path.split("/")[:-1]
                folders.update("/".join(parts[:depth]) for depth in range(len(parts) + 1))
        for folder in sorted(folders, key=lambda name: (-(name.count("/") + bool(name)), name)):
            self._fsync(self._folder / folder)

    def _remember(self, paths: Iterable[str]) -> None:
        note = self._folder / DOUBTFUL
        with suppress(OSError):  # a disk that refuses this too refuses the next process as well
            note.parent.mkdir(exist_ok=True)
            with note.open("a", encoding="utf-8") as lines:
                lines.writelines(f"{path}\n" for path in sorted(paths))

    def _rewritten(self) -> list[str]:
        """What is doubtful, written anew."""
        try:
            text = (self._folder / DOUBTFUL).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        found = [path for path in sorted(set(text.splitlines())) if self._is_below(path)]
        for path in found:
            self._write_again(self._folder / path)
        return found

    def _write_again(self, path: Path) -> None:
        """The same content under the same name, in a file that the system has not given up yet.

        It is synced before it takes the name: the one before may have been safe long ago, when it was synced first.
        """
        self._take_place(path, path.read_bytes())

    def _take_place(self, path: Path, content: bytes) -> None:
        fresh = path.with_name(again(path.name))
        fresh.unlink(missing_ok=True)  # its own sync may have failed before
        fresh.write_bytes(content)
        self._fsync(fresh)
        fresh.replace(path)

    def _is_below(self, path: str) -> bool:
        file = self._folder / path
        return ".." not in Path(path).parts and file.is_relative_to(self._folder) and file.is_file()


def again(path: str) -> str:
    """Where the content of a file is written, before it takes the file's name."""
    folder, _, name = path.rpartition("/")
    return f"{folder}{'/' * bool(folder)}.{name}.again"
