"""Sealed segments in the lake."""

import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from hosu.collect.runs import pack_records
from hosu.collect.segment import Seal, SegmentHeader, archive_name, compress
from hosu.errors import ArchiveConflictError, LakeFullError, LogCorruptError
from hosu.lake.archive import FramesArchive
from hosu.lake.lake import Lake
from hosu.lake.verify import verify


def segment(*payloads: bytes) -> bytes:
    """A sealed segment of the log ``w1`` from record 0 on."""
    buffer, _ = pack_records([(1, 1, 1_757_894_400_000_000, payload) for payload in payloads], 0)
    content = SegmentHeader("w1", 0, 0).pack() + bytes(buffer)
    return content + Seal(len(payloads), 0, len(payloads) - 1, len(content), 0, zlib.crc32(content)).pack()


def test_a_segment_is_kept_under_its_date_and_storing_it_again_changes_nothing(lake: Lake) -> None:
    archive = FramesArchive(lake)
    archive.store("00000000000000000000.log.zst", "2025-09-15", b"segment")
    archive.store("00000000000000000000.log.zst", "2025-09-15", b"segment")

    assert [entry.path for entry in archive.entries()] == ["raw/frames/date=2025-09-15/00000000000000000000.log.zst"]
    assert archive.read("raw/frames/date=2025-09-15/00000000000000000000.log.zst") == b"segment"


def test_what_a_killed_program_left_of_a_file_written_anew_is_no_segment(lake: Lake) -> None:
    lake.storage.put("raw/frames/date=2025-09-15/.00000000000000000000.log.zst.again", b"half")

    assert list(FramesArchive(lake).entries()) == []
    assert verify(lake).findings == ()


def test_a_copy_that_a_power_cut_left_half_written_is_replaced(lake: Lake) -> None:
    archive = FramesArchive(lake)
    name = archive_name("w1", 0, 1)
    sound = compress(segment(b"a", b"b"))
    for left in (b"", sound[:40], b"\0" * len(sound)):
        lake.storage.put(f"raw/frames/date=2025-09-15/{name}", left)
        archive.store(name, "2025-09-15", sound)
        assert archive.read(f"raw/frames/date=2025-09-15/{name}") == sound


def test_a_copy_that_another_zstd_packed_is_taken_for_the_same(lake: Lake) -> None:
    archive = FramesArchive(lake)
    content = segment(b"payload " * 100)
    kept = pa.Codec("zstd", compression_level=19).compress(content, asbytes=True)
    name = archive_name("w1", 0, 0)
    archive.store(name, "2025-09-15", kept)
    assert compress(content) != kept
    archive.store(name, "2025-09-15", compress(content))
    assert archive.read(f"raw/frames/date=2025-09-15/{name}") == kept


def test_another_segment_under_the_same_name_is_refused_and_the_first_stays(lake: Lake) -> None:
    archive = FramesArchive(lake)
    first, other = compress(segment(b"first")), compress(segment(b"other"))
    archive.store("1.log.zst", "2025-09-15", first)
    with pytest.raises(ArchiveConflictError, match="holds another segment"):
        archive.store("1.log.zst", "2025-09-15", other)
    with pytest.raises(LogCorruptError, match="the segment to be archived"):
        archive.store("1.log.zst", "2025-09-15", other[:-1])
    assert archive.read("raw/frames/date=2025-09-15/1.log.zst") == first


def test_an_archive_knows_what_it_holds_and_which_lake_it_belongs_to(lake: Lake, tmp_path: Path) -> None:
    archive = FramesArchive(lake)
    archive.store("1.log.zst", "2025-09-15", b"x")
    assert archive.holds("1.log.zst", "2025-09-15")
    assert not archive.holds("1.log.zst", "2025-09-16")
    moved = (tmp_path / "lake").rename(tmp_path / "moved")
    assert FramesArchive(Lake.open(str(moved))).identity == archive.identity
    assert FramesArchive(Lake.open(str(tmp_path / "other"))).identity != archive.identity


def test_the_reserve_is_left_to_the_log(lake: Lake) -> None:
    with pytest.raises(LakeFullError):
        FramesArchive(lake, reserve_bytes=1 << 60).store("1.log.zst", "2025-09-15", b"x")
    assert list(FramesArchive(lake).entries()) == []
