"""A lake: one root with a marker that says it is ours, and the tables below it."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hosu import failpoints
from hosu.errors import InputError, LakeReadOnlyError, NotALakeError
from hosu.lake.delta import Table
from hosu.lake.storage import Storage
from hosu.lake.syncing import DOUBTFUL, again
from hosu.lake.tables import TABLES, TableSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
"""Version of the layout below the root; a newer one is refused, an older one would be brought forward here."""

_MARKER: Final = "_hosu/lake.json"
_NO_MARKER: Final = f"it holds files but no {_MARKER}"
_STATE: Final = ".hosu"  # the collector may keep its log and status in a local lake, and may come first


class Lake:
    """The door to one lake. Opening a table twice gives two independent handles."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def __repr__(self) -> str:
        return f"Lake({self.root!r})"

    @property
    def root(self) -> str:
        return self.storage.uri

    @property
    def identity(self) -> str:
        """Tells this lake from any other for good, wherever it is moved to."""
        # A marker of the first days has no id; then the place must do.
        return str(json.loads(self.storage.get(_MARKER)).get("id", self.root))

    @classmethod
    def open(cls, root: str, storage_options: Mapping[str, str] | None = None, *, create: bool = True) -> Lake:
        """The lake at ``root``, a folder or ``s3://bucket/prefix``.

        An empty or missing root becomes a lake if ``create``. Nothing that is not ours is ever written to.

        Raises:
            NotALakeError: the root holds something else, or a lake of a newer format; or there is none and
                ``create`` is off.
            LakeReadOnlyError, LakeFullError: a new lake cannot be written.
        """
        try:
            storage = Storage.open(root, storage_options, create=create)
        except FileNotFoundError:
            raise NotALakeError(root, "there is no such folder") from None
        if not _is_marked(storage, create=create):
            _mark(storage, create=create)
        if create:
            _keep(storage)
        return cls(storage)

    @staticmethod
    def format_at(root: str, storage_options: Mapping[str, str] | None = None) -> int | None:
        """The format of the lake at ``root``; None where there is nothing yet, and ``open`` would make one.

        Never writes.

        Raises:
            NotALakeError: the root holds something else, or a lake of a newer format.
        """
        try:
            storage = Storage.open(root, storage_options, create=False)
        except FileNotFoundError:
            return None
        if not _is_marked(storage, create=False):
            if not _is_new(storage):
                raise NotALakeError(storage.uri, _NO_MARKER)
            return None
        return int(json.loads(storage.get(_MARKER))["format"])

    def spec(self, name: str) -> TableSpec:
        """What is fixed about the table ``name``; an unknown name is an ``InputError``."""
        if name not in TABLES:
            raise InputError(f"table {name!r}", "does not exist", f"choose one of {', '.join(TABLES)}")
        return TABLES[name]

    def find(self, name: str) -> Table | None:
        """The table, or None where nothing has been written to it yet. Never writes.

        Raises:
            TableCorruptError: its log is missing or damaged.
        """
        return Table.open(self.storage, self.spec(name))

    def table(self, name: str) -> Table:
        """The table, made if it does not exist yet."""
        return self.find(name) or Table.create(self.storage, self.spec(name))


def _is_marked(storage: Storage, *, create: bool) -> bool:
    try:
        text = storage.get(_MARKER)
    except FileNotFoundError:
        return False
    try:
        version = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        if create and storage.is_local and _is_new(storage):
            storage.delete(_MARKER)
            return False
        raise NotALakeError(storage.uri, f"{_MARKER} cannot be read") from None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise NotALakeError(storage.uri, f"{_MARKER} cannot be read")
    if version > FORMAT:
        raise NotALakeError(storage.uri, f"its format {version} is newer than {FORMAT}, the newest this hosu knows")
    return True


def _is_new(storage: Storage) -> bool:
    """Whether nothing lies in the root but what a start leaves that a power cut ended: a marker not yet synced, or the
    note that a disk refused to sync it."""
    return storage.is_empty(but_for=(_STATE, _MARKER, f"{_MARKER}#1", DOUBTFUL, again(_MARKER)))


def _mark(storage: Storage, *, create: bool) -> None:
    if not _is_new(storage):
        if _is_marked(storage, create=create):  # by another process, a moment ago
            return
        raise NotALakeError(storage.uri, _NO_MARKER)
    if not create:
        raise NotALakeError(storage.uri, "it is empty")
    content = {"format": FORMAT, "made_by": "hosu", "id": uuid.uuid4().hex}
    if storage.put_if_absent(_MARKER, json.dumps(content).encode()) and failpoints.on:
        failpoints.reach("lake.marked")


def _keep(storage: Storage) -> None:
    """Makes the marker durable before anything is written below it.

    Whoever made it may have been killed before that; a power cut would leave a folder of tables that is no lake.
    """
    with suppress(LakeReadOnlyError):  # nothing will be written there
        storage.sync([_MARKER])
