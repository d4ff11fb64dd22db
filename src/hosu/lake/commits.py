"""The commits of a table's log as they stand on the disk: which there are, and whether each is whole.

Read here, not by delta-rs, which takes a commit that is empty, or cut at a line's end, for whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import TableCorruptError

if TYPE_CHECKING:
    from hosu.lake.storage import Storage
    from hosu.lake.tables import TableSpec

ACTIONS: Final = "hosu.actions"
"""The key under which a commit says of how many actions it is, beside what it says of itself."""


def log_versions(storage: Storage, spec: TableSpec) -> tuple[list[int], list[int]]:
    """The versions that have a commit file, and those that have a checkpoint, each in ascending order."""
    names = [entry.path.rpartition("/")[2] for entry in storage.list(f"{spec.location}/_delta_log/")]
    commits = sorted(int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit())
    checkpoints = sorted({int(name[:20]) for name in names if ".checkpoint" in name and name[:20].isdigit()})
    return commits, checkpoints


def commit_of(storage: Storage, spec: TableSpec, version: int) -> list[dict[str, Any]]:
    """The actions of one commit as they stand in the log.

    Raises:
        TableCorruptError: it is no commit, or one that was cut off, be it at the end of a line.
        FileNotFoundError: there is none.
    """
    path = f"{spec.location}/_delta_log/{version:020d}.json"
    try:
        actions = [json.loads(line) for line in storage.get(path).splitlines()]
    except (ValueError, RecursionError):
        raise TableCorruptError(spec.name, storage.address(path), "is not JSON") from None
    fault = _what_is_missing(version, actions)
    if fault:
        raise TableCorruptError(spec.name, storage.address(path), fault)
    return actions


def _what_is_missing(version: int, actions: list[Any]) -> str:
    """What shows that a commit is not whole though each line of it is JSON; empty where nothing does."""
    if not actions or not all(isinstance(action, dict) for action in actions):
        return "holds no actions"
    if version == 0:
        return "" if any("metaData" in action for action in actions) else "does not say what the table is"
    told: dict[str, Any] = next(
        (action["commitInfo"] for action in actions if isinstance(action.get("commitInfo"), dict)), {}
    )
    count = told.get(ACTIONS)
    if isinstance(count, str) and count.isdecimal() and int(count) != len(actions) - 1:
        return f"holds {len(actions) - 1} actions of {count}"
    return "" if told else "does not say who made it"


def check_end(storage: Storage, spec: TableSpec, version: int) -> None:
    """Checks the commits up to a version that rest on no checkpoint: what comes behind half a commit would rest on it.

    Raises:
        TableCorruptError: one of them is not whole, or the version has a checkpoint and no commit.
    """
    commits, checkpoints = log_versions(storage, spec)
    if version not in commits:
        path = storage.address(f"{spec.location}/_delta_log/{version:020d}.json")
        raise TableCorruptError(spec.name, path, "is missing, though there is a checkpoint of it")
    begin = max((each for each in checkpoints if each <= version), default=-1)
    for each in commits:
        if begin <= each <= version:  # a checkpoint may be as torn as the commit it is of
            commit_of(storage, spec, each)
