"""Libraries that come with an extra: a missing one is told of with the command that installs it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from hosu.errors import NotInstalledError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def extra(name: str = "models") -> Iterator[None]:
    """Imports inside tell what to install where they fail.

    Raises:
        NotInstalledError: a library is missing, or one of the system's that it needs is (LightGBM without libgomp).
    """
    try:
        yield
    except (ImportError, OSError) as error:
        raise NotInstalledError(name, str(error)) from error
