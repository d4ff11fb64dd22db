"""Sealed segments in the lake."""

import pytest

from hosu.errors import InputError, LakeFullError
from hosu.lake.archive import FramesArchive
from hosu.lake.lake import Lake


def test_a_segment_is_kept_under_its_date_and_storing_it_again_changes_nothing(lake: Lake) -> None:
    archive = FramesArchive(lake)
    archive.store("00000000000000000000.log.zst", "2025-09-15", b"segment")
    archive.store("00000000000000000000.log.zst", "2025-09-15", b"segment")

    assert [entry.path for entry in archive.entries()] == ["raw/frames/date=2025-09-15/00000000000000000000.log.zst"]
    assert archive.read("raw/frames/date=2025-09-15/00000000000000000000.log.zst") == b"segment"


def test_other_bytes_under_the_same_name_are_refused_and_the_first_stay(lake: Lake) -> None:
    archive = FramesArchive(lake)
    archive.store("1.log.zst", "2025-09-15", b"first")
    with pytest.raises(InputError, match="holds other bytes"):
        archive.store("1.log.zst", "2025-09-15", b"other")
    assert archive.read("raw/frames/date=2025-09-15/1.log.zst") == b"first"


def test_the_reserve_is_left_to_the_log(lake: Lake) -> None:
    with pytest.raises(LakeFullError):
        FramesArchive(lake, reserve_bytes=1 << 60).store("1.log.zst", "2025-09-15", b"x")
    assert list(FramesArchive(lake).entries()) == []
