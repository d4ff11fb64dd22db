"""Small files, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_file(path: Path, content: bytes, *, private: bool = False, durable: bool = True) -> None:
    """Replaces ``path`` with ``content``: who reads it sees the old content or the new.

    Makes the folder where it is missing.

    Args:
        path: the file; a link in its place is replaced, not followed.
        content: all of it.
        private: for its owner only, mode 0600 in a folder of mode 0700.
        durable: returns once the new content would survive a power cut; without, a cut may leave anything.
    """
    path.parent.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{id(content):x}")
    try:
        _write_new(temporary, content, mode=0o600 if private else 0o644, durable=durable)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    if durable:
        _sync_folder(path.parent)


def _write_new(path: Path, content: bytes, *, mode: int, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
