"""A harness is worth what it catches: faults are put into the program, and each must be found within some seeds."""

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_run import KINDS, BrokenPromiseError, run

from hosu.collect.files import Files
from hosu.collect.wal import Log
from hosu.collect.wal_segment import ActiveSegment
from hosu.errors import HosuError
from hosu.lake.delta import Table
from hosu.lake.storage import Storage
from hosu.lake.syncing import FolderSync
from hosu.lake.writer import LakeSink

pytestmark = pytest.mark.slow

SEEDS = 60


def caught(kinds: tuple[str, ...] = KINDS) -> str:
    """What the harness says of the first seed that breaks a promise; a fault in the harness is none."""
    for seed in range(SEEDS):
        try:
            run(seed, kinds=kinds)
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
    said = caught(("sync",))
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
    assert "are missing" in caught()


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
