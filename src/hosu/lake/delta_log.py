"""A table's Delta log as files: which commits and checkpoints can be read, and up to where they make a table.

A power cut may take or tear whatever was not synced: commits at the log's end, in any order, and checkpoints.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from hosu.errors import TableCorruptError
from hosu.lake.commits import commit_of
from hosu.lake.parquet import check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosu.lake.storage import Storage
    from hosu.lake.tables import TableSpec

LAST_CHECKPOINT: Final = "_last_checkpoint"
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint(\.[0-9.a-z-]+)?\.parquet")


@dataclass(slots=True)
class _Checkpoint:
    """One version's checkpoint: its files, whether all can be read, the numbers it covers by application id, and the
    data files it names, those that were removed too."""

    paths: list[str] = field(default_factory=list)
    sound: bool = True
    covers: dict[str, int] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


class DeltaLog:
    """What a table's log holds, every file of it read.

    Attributes:
        folder: below the lake's root.
        commits: by version, the actions; None where they cannot be read.
        faults: what is wrong, by path below the lake's root.
        base: the version that the newest usable checkpoint makes; -1 where the log begins at its first commit; None
            where nothing makes a table.
        end: the newest version that can be reached from there.
    """

    def __init__(self, storage: Storage, spec: TableSpec) -> None:
        self._storage, self._spec = storage, spec
        self.folder = f"{spec.location}/_delta_log"
        self.commits: dict[int, list[dict[str, Any]] | None] = {}
        self.faults: dict[str, str] = {}
        self._checkpoints: dict[int, _Checkpoint] = {}
        names = sorted(entry.path.rpartition("/")[2] for entry in storage.list(f"{self.folder}/"))
        for name in names:
            if matched := _COMMIT.fullmatch(name):
                self._take_commit(int(matched[1]))
            elif matched := _CHECKPOINT.fullmatch(name):
                self._take_checkpoint(f"{self.folder}/{name}", int(matched[1]))
        self.base = self._find_base()
        self.end = -1 if self.base is None else self.base
        while self.base is not None and self.commits.get(self.end + 1) is not None:
            self.end += 1
        if LAST_CHECKPOINT in names:
            self._take_last(f"{self.folder}/{LAST_CHECKPOINT}")

    def commit_path(self, version: int) -> str:
        return f"{self.folder}/{version:020d}.json"

    @property
    def beyond_end(self) -> list[int]:
        """Versions that have a commit file behind the first that is missing or damaged."""
        return sorted(version for version in self.commits if version > self.end)

    @property
    def covered_at_end(self) -> dict[str, int]:
        """The highest number of each application id that the table covers at ``end``."""
        if self.base is None:
            return {}
        begun = self._checkpoints[self.base].covers if self.base in self._checkpoints else {}
        return _highest([begun, *map(self._claims, range(max(self.base, 0), self.end + 1))])

    @property
    def named_at_end(self) -> set[str]:
        """The data files, by path below the table, that the log up to ``end`` has named, as far as it goes back."""
        begun = self._checkpoints[self.base].named if self.base in self._checkpoints else set()
        actions = [action for version in range(self.end + 1) for action in self.commits.get(version) or []]
        told = [action[kind] for action in actions for kind in ("add", "remove") if isinstance(action.get(kind), dict)]
        return begun | {unquote(str(each.get("path"))) for each in told}

    @property
    def covered_beyond(self) -> dict[str, int]:
        """What is claimed to be covered by what can be read, but not be used, behind ``end``."""
        unusable = [each.covers for version, each in self._checkpoints.items() if version > self.end]
        return _highest([*unusable, *map(self._claims, self.beyond_end)])

    def _claims(self, version: int) -> dict[str, int]:
        """The numbers that a commit covers, by application id; empty where it cannot be read."""
        told = [action["txn"] for action in self.commits.get(version) or [] if isinstance(action.get("txn"), dict)]
        return {str(each["appId"]): int(each["version"]) for each in told if "appId" in each and "version" in each}

    def _take_commit(self, version: int) -> None:
        try:
            self.commits[version] = commit_of(self._storage, self._spec, version)
        except TableCorruptError as error:
            self.commits[version] = None
            self.faults[self.commit_path(version)] = error.fault

    def _take_checkpoint(self, path: str, version: int) -> None:
        checkpoint = self._checkpoints.setdefault(version, _Checkpoint())
        checkpoint.paths.append(path)
        try:
            content = pa.BufferReader(self._storage.get(path))
            fault = "" if check(content, deep=True) else "is empty"
            wanted = ["txn.appId", "txn.version", "add.path", "remove.path"]
            for row in pq.ParquetFile(content).read(columns=wanted).to_pylist():
                if row.get("txn") is not None:
                    checkpoint.covers[row["txn"]["appId"]] = row["txn"]["version"]
                checkpoint.named |= {unquote(row[kind]["path"]) for kind in ("add", "remove") if row.get(kind)}
        except (OSError, pa.ArrowException) as error:
            fault = f"cannot be read: {str(error).splitlines()[0]}"
        if fault:
            checkpoint.sound = False
            self.faults[path] = fault

    def _take_last(self, path: str) -> None:
        try:
            version = int(json.loads(self._storage.get(path))["version"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self.faults[path] = "is not what delta-rs writes"
            return
        if version not in self._checkpoints or not self._checkpoints[version].sound:
            self.faults[path] = f"names version {version}, of which there is no checkpoint that can be used"

    def _find_base(self) -> int | None:
        for version, checkpoint in sorted(self._checkpoints.items(), reverse=True):
            if not checkpoint.sound:
                continue
            if self.commits.get(version) or self.commits.get(version + 1):
                return version
            # delta-rs reads such a table, and refuses to write to it.
            checkpoint.sound = False
            self.faults.update(dict.fromkeys(checkpoint.paths, "is of a commit that is missing"))
        return -1 if self.commits.get(0) else None


def _highest(told: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in told:
        for app_id, number in each.items():
            found[app_id] = max(number, found.get(app_id, -1))
    return found
