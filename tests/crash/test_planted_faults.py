"""A harness is worth what it catches: faults are put into the program, and each must be found within some seeds."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crash_lake import NETWORK
from crash_run import KINDS, BrokenPromiseError, Shape, run

from hosu.collect.files import Files
from hosu.collect.ledger import LedgerSink
from hosu.collect.sinks import EventBatch
from hosu.collect.wal import Log
from hosu.collect.wal_segment import ActiveSegment
from hosu.errors import HosuError
from hosu.lake import ledger_store
from hosu.lake.delta import Table
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.storage import Storage
from hosu.lake.syncing import FolderSync
from hosu.lake.writer import LakeSink, _Buffer

pytestmark = pytest.mark.slow

SEEDS = 60


FOLDER = {"ledger": False, "objects": False, "kinds": KINDS}
LEDGER = {**FOLDER, "tables": ("trades",), "ledger": True}
OBJECTS = {"ledger": False, "objects": True, "kinds": NETWORK}


def caught(**shape: Any) -> str:
    """What the harness says of the first seed that breaks a promise; a fault in the harness is none. With ``shape`` all
    machines are alike in that."""
    for seed in range(SEEDS):
        try:
            run(seed, shape=replace(Shape.of(seed), **shape) if shape else None)
        except BrokenPromiseError as broken:
            if not isinstance(broken.__cause__, BrokenPromiseError | HosuError):
                raise
            return str(broken)
    pytest.fail(f"{SEEDS} seeds, and nothing was noticed")


def test_a_commit_that_is_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch):
    def commit(self: ActiveSegment, buffer: bytearray, records: int) -> None:
        self._files.write(self._open_descriptor(), [buffer], self.size)
        self._crc = zlib.crc32(buffer, self._crc)
        self.size += len(buffer)
        self.records += records

    monkeypatch.setattr(ActiveSegment, "commit", commit)
    assert "durable" in caught()


def test_a_commit_that_is_reported_before_it_is_written_is_caught(monkeypatch: pytest.MonkeyPatch):
    commit = Log._commit

    def early(self: Log) -> None:
        for call in self._on_durable:
            call(self._next_lsn + len(self._tags) - 1)
        commit(self)

    monkeypatch.setattr(Log, "_commit", early)
    assert "durable" in caught()


def test_a_lake_that_claims_records_before_it_stores_them_is_caught(monkeypatch: pytest.MonkeyPatch):
    append = Table.append

    def early(self: Table, adds: list, covers: dict[str, int]) -> int:
        if not adds:
            return append(self, adds, covers)
        append(self, [], covers)
        return append(self, adds, {})

    monkeypatch.setattr(Table, "append", early)
    assert "lost" in caught()


def test_a_failed_sync_of_the_log_that_is_tried_again_is_caught(monkeypatch: pytest.MonkeyPatch):
    _retry_syncs(monkeypatch)
    said = caught(**{**FOLDER, "kinds": ("sync",)})
    assert "durable" in said or "damaged" in said


def _retry_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    create = ActiveSegment.__init__

    class Retrying:
        def __init__(self, files: Files) -> None:
            self._files = files

        def __getattr__(self, name: str) -> Callable:
            return getattr(self._files, name)

        def fdatasync(self, descriptor: int) -> None:
            try:
                self._files.fdatasync(descriptor)
            except OSError:
                self._files.fdatasync(descriptor)

    def with_retries(self: ActiveSegment, files: Files, directory: Path, header: object) -> None:
        create(self, Retrying(files), directory, header)

    monkeypatch.setattr(ActiveSegment, "__init__", with_retries)


def test_a_segment_whose_name_is_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch):
    create = ActiveSegment.__init__

    class Nameless:
        def __init__(self, files: Files) -> None:
            self._files = files

        def __getattr__(self, name: str) -> Callable:
            return getattr(self._files, name)

        def fsync_dir(self, directory: Path) -> None:
            """Forgotten."""

    def without_names(self: ActiveSegment, files: Files, directory: Path, header: object) -> None:
        create(self, Nameless(files), directory, header)

    monkeypatch.setattr(ActiveSegment, "__init__", without_names)
    assert "durable" in caught()


def test_a_lake_that_calls_synced_what_is_not_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FolderSync, "sync", lambda self, paths: None)
    assert "is not a lake of hosu" in caught()


def test_a_lake_whose_commits_are_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Table, "sync", lambda self: None)
    assert "are missing" in caught(**FOLDER)


def test_an_archive_whose_copies_are_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch):
    sync = Storage.sync

    def all_but_frames(self: Storage, paths: object) -> None:
        sync(self, [path for path in paths if not path.startswith("raw/frames/")])

    monkeypatch.setattr(Storage, "sync", all_but_frames)
    assert "raw/frames/" in caught()


def test_a_writer_that_stores_a_batch_again_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(LakeSink, "resume_after", lambda self, wal_id: -1)
    monkeypatch.setattr(Table, "covered", lambda self, app_id: -1)
    assert "does not get to" in caught()


# --- the ledger beside it ---------------------------------------------------------------------------------------------


def test_a_state_of_the_ledger_that_claims_records_before_it_took_them_is_caught(monkeypatch: pytest.MonkeyPatch):
    write = LedgerSink.write

    def early(self: LedgerSink, batch: EventBatch) -> None:
        self._turn_to(batch.wal_id)
        had = self._state.lsn
        self._state.lsn = max(batch.last_lsn, had)
        self._save()
        self._state.lsn = had
        write(self, batch)

    monkeypatch.setattr(LedgerSink, "write", early)
    assert "the ledger says of" in caught(**LEDGER)


def test_a_ledger_that_does_not_tell_of_a_day_once_it_is_over_is_caught(monkeypatch: pytest.MonkeyPatch):
    publish = LedgerSink._publish

    def lazily(self: LedgerSink, **what: Any) -> set[str]:
        crashes = isinstance(self._store, LakeLedgerStore)  # and the one it is compared with does not
        forgets = crashes and what["final"] and what["final"] < self._state.began.keys()
        return set() if forgets else publish(self, **what)

    monkeypatch.setattr(LedgerSink, "_publish", lazily)
    said = caught(**LEDGER)
    assert "lost" in said or "coverage of" in said or "tells nothing" in said


def test_a_lake_that_does_not_sync_its_ledger_is_caught(monkeypatch: pytest.MonkeyPatch):
    sync = Table.sync

    def all_but_the_ledger(self: Table) -> None:
        if "/ledger/" not in self.spec.location:
            sync(self)

    monkeypatch.setattr(Table, "sync", all_but_the_ledger)
    said = caught(**LEDGER)
    assert "/ledger/" in said or "lost" in said


def test_a_state_of_the_ledger_that_is_not_synced_is_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Storage, "replace", Storage.put)
    assert "the ledger" in caught(**LEDGER)


def test_gaps_that_are_told_before_what_became_of_them_is_durable_are_caught(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_store, "_ORDER", ("gaps", "gap_events", "coverage_days"))
    assert "nothing tells when gap" in caught(**LEDGER)


def test_a_ledger_that_does_not_ask_what_it_told_before_it_was_killed_is_caught(monkeypatch: pytest.MonkeyPatch):
    turn_to = LedgerSink._turn_to

    def without_doubt(self: LedgerSink, wal_id: str) -> None:
        turn_to(self, wal_id)
        self._in_doubt = False

    monkeypatch.setattr(LedgerSink, "_turn_to", without_doubt)
    assert caught(**LEDGER)


# --- an object store --------------------------------------------------------------------------------------------------


def test_a_commit_whose_answer_was_lost_and_that_is_made_again_is_caught(monkeypatch: pytest.MonkeyPatch):
    def believed(self: Table, covers: dict[str, int], landed: set[str] | None) -> bool:
        self.refresh()
        return False

    monkeypatch.setattr(Table, "_has_landed", believed)
    monkeypatch.setattr(_Buffer, "drop_covered", _Buffer._forget_stored)
    assert "twice" in caught(**OBJECTS)


def test_a_store_that_loses_what_it_said_it_has_is_caught(monkeypatch: pytest.MonkeyPatch):
    put = Storage.put

    def forgetful(self: Storage, path: str, data: bytes) -> None:
        if len(data) % 5 or not path.endswith(".parquet"):
            put(self, path, data)

    monkeypatch.setattr(Storage, "put", forgetful)
    assert "is damaged" in caught(**OBJECTS)
