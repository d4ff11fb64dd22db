"""What was synced once without success is never believed a second time."""

import errno
import os
from pathlib import Path

import pytest

from hosu.lake.syncing import DOUBTFUL, FolderSync


class Disk:
    """Fails the syncs of some names, once each; remembers which inode was synced under which name."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.synced: list[tuple[str, int]] = []

    def fsync(self, path: Path) -> bool:
        if not path.exists():
            return False
        if path.name in self.failing:
            self.failing.discard(path.name)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        self.synced.append((path.name, path.stat().st_ino))
        return True


def made(folder: Path) -> Path:
    file = folder / "date=2026-09-16" / "live-1.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"rows")
    return file


def names(disk: Disk) -> list[str]:
    return [name for name, _ in disk.synced]


def test_a_file_is_synced_before_the_folders_above_it_and_one_that_is_gone_is_skipped(tmp_path: Path):
    made(tmp_path)
    disk = Disk()
    FolderSync(tmp_path, disk.fsync).sync(["date=2026-09-16/live-1.parquet", "gone/never"])
    assert names(disk) == ["live-1.parquet", "date=2026-09-16", tmp_path.name]


@pytest.mark.parametrize("failing", ["live-1.parquet", "date=2026-09-16"])
def test_after_a_failed_sync_the_file_is_written_anew_before_it_is_synced_again(tmp_path: Path, failing: str):
    file = made(tmp_path)
    before, disk = file.stat().st_ino, Disk(failing)
    keeper = os.open(file, os.O_RDONLY)  # so that no new file gets this one's number
    syncing = FolderSync(tmp_path, disk.fsync)
    with pytest.raises(OSError, match="Input/output error"):
        syncing.sync(["date=2026-09-16/live-1.parquet"])
    disk.synced.clear()
    syncing.sync([])
    os.close(keeper)
    assert file.read_bytes() == b"rows"
    assert [name for name, inode in disk.synced if inode != before][:2] == [".live-1.parquet.again", "live-1.parquet"]
    assert not (tmp_path / DOUBTFUL).exists()
    assert sorted(path.name for path in file.parent.iterdir()) == ["live-1.parquet"]


def test_the_next_process_does_not_believe_it_either(tmp_path: Path):
    file = made(tmp_path)
    before, disk = file.stat().st_ino, Disk("live-1.parquet")
    keeper = os.open(file, os.O_RDONLY)
    with pytest.raises(OSError, match="Input/output error"):
        FolderSync(tmp_path, disk.fsync).sync(["date=2026-09-16/live-1.parquet"])
    FolderSync(tmp_path, disk.fsync).sync([])
    os.close(keeper)
    assert "live-1.parquet" in names(disk)
    assert file.stat().st_ino != before


def test_what_is_written_anew_takes_the_name_only_once_it_is_safe(tmp_path: Path):
    file = made(tmp_path)
    before, disk = file.stat().st_ino, Disk("live-1.parquet", ".live-1.parquet.again")
    keeper = os.open(file, os.O_RDONLY)
    syncing = FolderSync(tmp_path, disk.fsync)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            syncing.sync(["date=2026-09-16/live-1.parquet"])
        assert file.stat().st_ino == before
    syncing.sync([])
    os.close(keeper)
    assert file.stat().st_ino != before
    assert file.read_bytes() == b"rows"
    assert [path.name for path in file.parent.iterdir()] == ["live-1.parquet"]


@pytest.mark.parametrize("line", ["../../etc/passwd", "/etc/passwd", "\0", "a\x00b", ""])
def test_a_note_that_somebody_tampered_with_reaches_nothing_outside(tmp_path: Path, line: str):
    (tmp_path / "_hosu").mkdir()
    (tmp_path / DOUBTFUL).write_text(f"{line}\n")
    disk = Disk()
    FolderSync(tmp_path, disk.fsync).sync([])
    assert disk.synced == []


def test_what_replaces_a_file_is_synced_before_it_takes_its_name(tmp_path: Path):
    file, disk = made(tmp_path), Disk()
    FolderSync(tmp_path, disk.fsync).replace("date=2026-09-16/live-1.parquet", b"other rows")
    assert file.read_bytes() == b"other rows"
    (fresh, inode), *rest = disk.synced
    assert (fresh, inode) == (".live-1.parquet.again", file.stat().st_ino)
    assert [name for name, _ in rest] == ["live-1.parquet", "date=2026-09-16", tmp_path.name]


def test_what_cannot_be_synced_replaces_nothing(tmp_path: Path):
    file, disk = made(tmp_path), Disk(".live-1.parquet.again")
    with pytest.raises(OSError, match="Input/output error"):
        FolderSync(tmp_path, disk.fsync).replace("date=2026-09-16/live-1.parquet", b"other rows")
    assert file.read_bytes() == b"rows"
