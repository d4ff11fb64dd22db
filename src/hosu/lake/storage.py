"""Where the lake's bytes lie: a folder or an S3 bucket behind one small interface. The only door to obstore."""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from hosu.errors import (
    InputError,
    LakeError,
    LakeFullError,
    LakeReadOnlyError,
    LakeRefusedError,
    LakeUnreachableError,
)
from hosu.homes import at_home
from hosu.lake.syncing import FolderSync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from obstore.store import LocalStore, S3Store

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_MAY_PASS: Final = frozenset(
    {
        *(errno.EIO, errno.EINTR, errno.EAGAIN, errno.EBUSY, errno.ENFILE, errno.EMFILE, errno.ENOMEM, errno.ESTALE),
        *(errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EPIPE),
        *(errno.ECONNABORTED, errno.ECONNRESET, errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EREMOTEIO),
    }
)
"""Faults of a disk or a network that may be over when the call is made again."""

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")  # as Rust and as Python write it
_STATUS: Final = re.compile(r"status code: (\d{3})")
_BUSY: Final = frozenset({408, 409, 425, 429})  # what a store answers when another call may fare better; and all 5xx
_NETWORK: Final = re.compile(r"error sending request|timed? ?out|connection|dns|error decoding response", re.IGNORECASE)
# The one option of delta-rs that obstore keeps among the client's options.
_ALLOW_HTTP: Final = ("aws_allow_http", "allow_http")


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored object. ``path`` is relative to the root; ``modified_us`` is UTC microseconds."""

    path: str
    size: int
    modified_us: int
    etag: str | None


class Storage:
    """Objects below one root, named by relative paths with ``/``.

    Errors: ``LakeFullError`` when the disk has no room, ``LakeReadOnlyError`` when writing is not allowed,
    ``LakeUnreachableError`` when the network or the disk fails and may not the next time, ``LakeRefusedError`` for
    all else, ``FileNotFoundError`` where a named object is absent.
    """

    def __init__(self, uri: str, store: LocalStore | S3Store, folder: Path | None, options: dict[str, str]) -> None:
        self.uri = uri
        self.folder = folder
        self.syncing = FolderSync(folder) if folder is not None else None
        self._store = store
        self._options = options

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"  # never the options: they hold the keys

    @classmethod
    def open(cls, root: str, options: Mapping[str, str] | None = None, *, create: bool = True) -> Storage:
        """The storage at ``root``: a folder, or ``s3://bucket/prefix`` with delta-rs's option names (``aws_…``).

        A missing folder is made if ``create``, else it is a ``FileNotFoundError``.
        """
        if root.startswith("s3://"):
            if not urlsplit(root).netloc:
                raise InputError(root, "names no bucket", "write it as s3://bucket/prefix")
            return cls._open_s3(root.rstrip("/"), dict(options or {}))
        if "://" in root:
            raise InputError(root, "is neither a folder nor an s3:// address", "name one of these")
        return cls._open_folder(at_home(root).absolute(), create=create)

    @classmethod
    def _open_folder(cls, folder: Path, *, create: bool) -> Storage:
        from obstore.store import LocalStore

        if folder.exists() and not folder.is_dir():
            raise InputError(str(folder), "is a file, not a folder", "name a folder")
        if not folder.exists():
            if not create:
                raise FileNotFoundError(folder)
            with translated(str(folder)):
                folder.mkdir(parents=True)
        return cls(str(folder), LocalStore(str(folder)), folder, {})

    @classmethod
    def _open_s3(cls, root: str, options: dict[str, str]) -> Storage:
        from obstore.exceptions import UnknownConfigurationKeyError
        from obstore.store import S3Store

        parts = urlsplit(root)
        config: Any = {key.lower(): value for key, value in options.items() if key.lower() not in _ALLOW_HTTP}
        client: Any = {"allow_http": any(options.get(key, "").lower() == "true" for key in _ALLOW_HTTP)}
        try:
            store = S3Store(parts.netloc, prefix=parts.path.strip("/") or None, config=config, client_options=client)
        except (UnknownConfigurationKeyError, ValueError) as error:
            fault = str(error).splitlines()[0]  # names the key, never its value
            raise InputError(f"storage options of {root}", fault, "use the names of delta-rs (aws_…)") from None
        return cls(root, store, None, options)

    @property
    def is_local(self) -> bool:
        return self.folder is not None

    @property
    def delta_options(self) -> dict[str, str] | None:
        """What delta-rs needs to reach the same place; holds secrets, hand it on and do not keep it."""
        return dict(self._options) or None

    def address(self, path: str) -> str:
        """The full name of an object: a path in the file system or an ``s3://`` address."""
        return f"{self.uri}/{path}"

    def put(self, path: str, data: bytes) -> None:
        """Writes an object as a whole, replacing one of that name."""
        with translated(self.address(path), absent=LakeRefusedError):
            self._store.put(path, data)

    def replace(self, path: str, data: bytes) -> None:
        """Writes an object as ``put`` does; after a power cut it is there, or the one before, whole."""
        if self.syncing is None:
            self.put(path, data)
            return
        with translated(self.address(path), absent=LakeRefusedError):
            self.syncing.replace(path, data)

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Writes an object unless one of that name exists; returns whether it was written."""
        from obstore.exceptions import AlreadyExistsError

        with translated(self.address(path), absent=LakeRefusedError):
            try:
                self._store.put(path, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def put_if_unchanged(self, path: str, data: bytes, etag: str | None) -> bool:
        """Replaces an object if it still is the one with ``etag``; returns whether it was (S3 only)."""
        from obstore.exceptions import NotFoundError, PreconditionError

        with translated(self.address(path)):
            try:
                self._store.put(path, data, mode={"e_tag": etag})
            except (PreconditionError, NotFoundError):
                return False
        return True

    def get(self, path: str) -> bytes:
        """The object's bytes."""
        with translated(self.address(path)):
            return bytes(self._store.get(path).bytes())

    def head(self, path: str) -> Entry | None:
        """The object's facts, or None where there is none."""
        try:
            with translated(self.address(path)):
                return _entry(self._store.head(path))
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every object below the folder ``prefix`` (any depth), in no particular order."""
        with translated(self.address(prefix)):
            for chunk in self._store.list(prefix):
                for meta in chunk:
                    yield _entry(meta)

    def is_empty(self, *, but_for: Iterable[str]) -> bool:
        """Whether no file lies below the root, or only what is called, or lies in, one of ``but_for``."""
        spared = tuple(but_for)
        paths = (entry.path for entry in self.list("")) if self.folder is None else _files_below(self.folder)
        return all(any(path == name or path.startswith(f"{name}/") for name in spared) for path in paths)

    def delete(self, path: str) -> None:
        """Removes an object; one that is gone already is no error."""
        try:
            with translated(self.address(path)):
                self._store.delete(path)
        except FileNotFoundError:
            return

    def sync(self, paths: Iterable[str]) -> None:
        """Returns when these objects and their names would survive a power cut.

        An S3 store keeps that promise itself. A file that is gone (cleaned up since) is skipped.
        """
        if self.syncing is None:
            return
        try:
            self.syncing.sync(paths)
        except OSError as error:
            raise disk_error(str(error.filename or self.uri), f"[Errno {error.errno}] {error.strerror}") from error

    def free_bytes(self) -> int | None:
        """Room left for us on the folder's disk; None where there is no such bound."""
        return None if self.folder is None else shutil.disk_usage(self.folder).free


def _files_below(folder: Path) -> Iterator[str]:
    """Every file and link, whatever its name; what cannot be looked into counts as one."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        closed = [name for name in folders if not os.access(Path(parent, name), os.R_OK | os.X_OK)]
        for name in (*names, *links, *closed):
            yield Path(parent, name).relative_to(folder).as_posix()


def _entry(meta: Any) -> Entry:
    modified_us = round(meta["last_modified"].timestamp() * 1e6)
    return Entry(path=meta["path"], size=meta["size"], modified_us=modified_us, etag=meta["e_tag"])


@contextmanager
def translated(path: str, *, absent: Callable[[str, str], LakeError] | None = None) -> Iterator[None]:
    """Turns what obstore, delta-rs or the system say about ``path`` into our errors.

    Args:
        absent: the error in place of ``FileNotFoundError``, where it would name no object but, say, the bucket.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if absent is None:
            raise
        raise absent(path, first_line(error)) from error
    except (BaseError, OSError) as error:
        raise disk_error(path, str(error)) from error


def disk_error(path: str, text: str) -> LakeError:
    """Our error for a message of the system or an object store about ``path``."""
    cause = (text.splitlines() or [""])[0]  # what obstore adds below is for its makers
    found = _OS_ERROR.search(cause)
    number = int(found[1] or found[2]) if found else 0
    if number in _FULL or "No space left" in cause or "quota" in cause:
        return LakeFullError(path)
    if number in _READ_ONLY or "Permission denied" in cause or "Read-only file system" in cause:
        return LakeReadOnlyError(path, cause)
    return LakeUnreachableError(path, cause) if _may_pass(number, cause) else LakeRefusedError(path, cause)


def _may_pass(number: int, cause: str) -> bool:
    if number:
        return number in _MAY_PASS
    status = _STATUS.search(cause)
    if status:
        return int(status[1]) >= 500 or int(status[1]) in _BUSY
    return _NETWORK.search(cause) is not None


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
