"""What pyarrow says of a table's data files that it cannot read, as errors of ours that name the one at fault."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from hosu.errors import LakeError, LakeUnreachableError, TableCorruptError
from hosu.lake.storage import disk_error, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow.dataset as ds

    from hosu.lake.delta import Table
    from hosu.lake.storage import Storage


@contextmanager
def reading(table: Table, place: str, parts: Callable[[], Iterable[ds.Fragment]]) -> Iterator[None]:
    """Turns what pyarrow raises within the context into our errors.

    Args:
        table: whose files are read.
        place: where they lie below the table, for when none of them is at fault by the second look.
        parts: gives the files; asked only when something went wrong.

    Raises:
        TableCorruptError: a file is damaged or gone.
        LakeUnreachableError: a file cannot be read now, and may be the next time.
    """
    try:
        yield
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (OSError, pa.ArrowException) as error:
        raise _fault(table, place, parts(), error) from error


def _fault(table: Table, place: str, parts: Iterable[ds.Fragment], error: OSError | pa.ArrowException) -> LakeError:
    found = _unreadable(parts)
    if found is None:  # it was over by the second look
        return LakeUnreachableError(table.path(place), first_line(error))
    path, again = table.path(found[0]), found[1]
    cause = first_line(again)
    of_system = isinstance(again, OSError) and not isinstance(again, FileNotFoundError)
    if not table.storage.is_local:  # an object that is there and cannot be got: it is the way there
        may_pass = of_system and not _is_damaged(table.storage, path)
    else:
        may_pass = of_system and disk_error(path, f"[Errno {getattr(again, 'errno', None)}]").retryable
    return LakeUnreachableError(path, cause) if may_pass else TableCorruptError(table.spec.name, path, cause)


def _is_damaged(storage: Storage, path: str) -> bool:
    """Whether an object can be got and not be read: pyarrow says of both that the system failed."""
    try:
        content = storage.get(path)
    except (LakeError, OSError):
        return False
    try:
        pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowException):
        return True
    return False


def _unreadable(parts: Iterable[ds.Fragment]) -> tuple[str, OSError | pa.ArrowException] | None:
    """The first file that cannot be read, and why, since pyarrow seldom names it; None where all can."""
    for part in parts:
        try:
            part.to_table()
        except MemoryError:
            raise
        except (OSError, pa.ArrowException) as error:
            return part.path.lstrip("/"), error
    return None
