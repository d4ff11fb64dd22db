"""The log's file format: what is written is read back, and what is damaged is said to be."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hosu.collect import wal_kernel
from hosu.collect.runs import join_blocks, pack_records, read_run, slice_block
from hosu.collect.segment import (
    SEAL_BYTES,
    Seal,
    SegmentHeader,
    archive_name,
    check_segment,
    compress,
    decompress,
    read_segment,
    segment_name,
)
from hosu.errors import InputError, LogCorruptError

RECORDS = [
    (1, 7, 1_700_000_000_000_001, b"0|H0STCNT0|001|a^b"),
    (2, 0, 0, b""),
    (5, 65535, 2_500_000_000_000_000, bytes(range(256))),
]


def segment(*commits: list[tuple[int, int, int, bytes]], first_lsn: int = 10, sealed: bool = True) -> bytes:
    content = SegmentHeader("wal-1", first_lsn, 123).pack()
    lsn = first_lsn
    for commit in commits:
        buffer, _ = pack_records(commit, lsn)
        content += buffer
        lsn += len(commit)
    if not sealed:
        return content
    return content + Seal(lsn - first_lsn, first_lsn, lsn - 1, len(content), 456, zlib.crc32(content)).pack()


def records_of(blocks):
    return [
        (int(b.lsn[i]), int(b.kind[i]), int(b.connection[i]), int(b.ts_recv_us[i]), b.payload(i))
        for b in blocks
        for i in range(len(b))
    ]


EXPECTED = [(10 + i, kind, conn, ts, payload) for i, (kind, conn, ts, payload) in enumerate(RECORDS)]


def test_records_come_back_as_they_were_written():
    assert records_of(read_segment(segment(RECORDS))) == EXPECTED
    assert records_of(read_segment(compress(segment(RECORDS)))) == EXPECTED


def test_a_record_has_the_documented_bytes():
    buffer, ts = pack_records(RECORDS[:1], 10)
    body = struct.pack("<QqBBHI", 10, 1_700_000_000_000_001, 1, 1, 7, 0) + b"0|H0STCNT0|001|a^b"
    assert bytes(buffer) == struct.pack("<II", 18, zlib.crc32(body)) + body
    assert ts.tolist() == [1_700_000_000_000_001]


def test_headers_and_seal_have_the_documented_bytes():
    header = SegmentHeader("wal-1", 10, 123).pack()
    assert header[:60] == b"HOSULOG\x01" + struct.pack("<HHI24sQqI", 1, 64, 0, b"wal-1", 10, 123, 0)
    assert struct.unpack("<I", header[60:]) == (zlib.crc32(header[:60]),)
    seal = Seal(3, 10, 12, 400, 456, 99).pack()
    assert seal[:60] == b"HOSUEND\x01" + struct.pack("<QqqQqIII", 3, 10, 12, 400, 456, 99, 0, 0)
    assert Seal.unpack(seal) == Seal(3, 10, 12, 400, 456, 99)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33, 1000])
def test_the_compiled_checksum_is_that_of_zlib(size: int):
    data = np.random.default_rng(size).integers(0, 256, size + 5).astype(np.uint8)
    assert wal_kernel.crc32(0, data, 2, 2 + size) == zlib.crc32(data[2 : 2 + size].tobytes())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.binary(max_size=80), min_size=1, max_size=6), max_size=5), st.integers(64, 300))
def test_any_payloads_survive_any_block_size(commits: list[list[bytes]], max_bytes: int):
    content = segment(*[[(1, i, i, payload) for i, payload in enumerate(commit)] for commit in commits])
    found = records_of(read_segment(content, max_bytes=max_bytes))
    assert [record[4] for record in found] == [payload for commit in commits for payload in commit]
    assert [record[0] for record in found] == list(range(10, 10 + len(found)))


def test_a_torn_tail_is_left_out_at_every_byte():
    whole = segment(RECORDS[:1], RECORDS[1:], sealed=False)
    last = len(whole) - 32 - 256
    for cut in range(last, len(whole)):
        assert records_of(read_segment(whole[:cut])) == EXPECTED[:2]


def test_a_hole_in_the_last_commit_is_a_torn_tail():
    content = bytearray(segment(RECORDS[:1], RECORDS[1:], sealed=False))
    first_of_last = 64 + 32 + len(RECORDS[0][3])
    content[first_of_last : first_of_last + 20] = bytes(20)
    assert records_of(read_segment(content)) == EXPECTED[:1]


def test_damage_before_a_later_commit_is_an_error_that_names_the_place():
    content = bytearray(segment(RECORDS[:1], RECORDS[1:], sealed=False))
    content[64 + 40] ^= 1
    with pytest.raises(LogCorruptError, match="at byte 64") as caught:
        list(read_segment(content))
    assert caught.value.offset == 64


@pytest.mark.parametrize("bit", [0, 3, 7])
def test_every_flipped_bit_of_a_sealed_segment_is_noticed(bit: int):
    content = segment(RECORDS[:2], RECORDS[2:])
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 1 << bit
        with pytest.raises((LogCorruptError, InputError)):
            check_segment(broken, "copy")


def test_every_flipped_bit_of_a_record_is_noticed_when_it_is_read():
    content = segment(RECORDS[:2], RECORDS[2:])
    for place in range(64, len(content) - SEAL_BYTES):
        broken = bytearray(content)
        broken[place] ^= 16
        with pytest.raises(LogCorruptError):
            list(read_segment(broken))


@pytest.mark.parametrize("keep", [0, 1, 40, -1, -SEAL_BYTES])
def test_a_compressed_copy_that_is_cut_off_is_an_error(keep: int):
    packed = compress(segment(RECORDS))
    with pytest.raises(LogCorruptError):
        list(read_segment(packed[:keep] if keep < 0 else packed[: max(keep, 4)]))
    with pytest.raises(LogCorruptError, match="no seal"):
        list(read_segment(compress(segment(RECORDS, sealed=False))))


def test_compression_gives_the_same_bytes_each_time():
    content = segment(RECORDS * 50)
    assert compress(content) == compress(bytearray(content))
    assert bytes(decompress(compress(content), "copy")) == content


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "does not begin as a log segment"),
        (b"PAR1" + bytes(100), "does not begin as a log segment"),
        (b"\x28\xb5\x2f\xfd" + b"garbage", "cannot be unpacked"),
    ],
)
def test_what_is_no_segment_is_refused(content: bytes, fault: str):
    with pytest.raises(LogCorruptError, match=fault):
        list(read_segment(content))


def test_a_newer_format_asks_for_an_update():
    head = bytearray(SegmentHeader("wal-1", 0, 0).pack())
    head[8] = 2
    head[60:] = struct.pack("<I", zlib.crc32(bytes(head[:60])))
    with pytest.raises(InputError, match="format 2, this is 1; update hosu"):
        list(read_segment(bytes(head)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.log: cannot be read"):
        list(read_segment(tmp_path / "none.log"))


def test_names_sort_in_log_order():
    assert segment_name(42) == "00000000000000000042.log"
    assert archive_name("w", 1, 20) == "w-00000000000000000001-00000000000000000020.log.zst"


def test_blocks_are_cut_and_joined_without_changing_records():
    buffer, _ = pack_records(RECORDS, 10)
    block = read_run("wal-1", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block
    parts = [slice_block(block, i, i + 1) for i in range(3)]
    assert records_of([join_blocks(parts)]) == EXPECTED
    assert join_blocks(parts[:1]) is parts[0]
