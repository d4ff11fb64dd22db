"""Paths as people write them: a leading ``~`` is somebody's home."""

from __future__ import annotations

from pathlib import Path

from hosu.errors import InputError


def at_home(path: Path | str) -> Path:
    """The path with a leading ``~`` or ``~name`` replaced by that home.

    Raises:
        InputError: this machine knows no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(str(path), "begins with a home that this machine does not know", "write it whole") from None
