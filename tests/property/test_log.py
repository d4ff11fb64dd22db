"""The log: whatever is appended, in whatever pieces, comes back; and what damage took away is told.

The disk is a folder. What a crash leaves of unsynced writes is another suite's matter; here it is what anybody may do
to the files of a log that is closed, or was killed: cut them, flip their bits, take one away.
"""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.clock import SimulatedClock
from hosu.collect.block import RecordKind
from hosu.collect.numbering import NUMBERS_SKIPPED, Numbering
from hosu.collect.replay import segments_in
from hosu.collect.runs import RECORD_HEADER_BYTES, pack_records
from hosu.collect.segment import HEADER_BYTES, Seal, SegmentHeader, compress, read_segment
from hosu.collect.wal import Log, LogConfig
from hosu.errors import InputError, LogCorruptError, LogError, LogGapError

START_US = 1_757_894_400_000_000  # 2025-09-15T09:00:00+09:00
PAYLOADS = st.one_of(
    st.binary(max_size=60), st.just(b"0|H0STASP0|001|005930^093354"), st.binary(min_size=5_000, max_size=5_001)
)
RECORDS = st.tuples(st.sampled_from([1, 2, 3, 5]), st.integers(0, 65_535), st.integers(0, 10**9), PAYLOADS)
STEPS = st.lists(
    st.one_of(
        st.lists(RECORDS, min_size=1, max_size=6),
        st.sampled_from(["seal", "reopen", "wait"]),
        st.tuples(st.just("advance"), st.integers(1, 50)),
    ),
    min_size=1,
    max_size=14,
)


def records_of(blocks):
    """(LSN, kind, connection, time, payload) of each record."""
    return [
        (int(b.lsn[i]), int(b.kind[i]), int(b.connection[i]), int(b.ts_recv_us[i]), b.payload(i))
        for b in blocks
        for i in range(len(b))
    ]


def without_skips(found):
    return [each for each in found if NUMBERS_SKIPPED.encode() not in each[4]]


def read_all(log, max_bytes):
    reader, blocks = log.reader(), []
    while (block := reader.read(max_bytes)) is not None:
        blocks.append(block)
    return records_of(blocks)


@examples(60)
@given(STEPS, st.integers(1, 9_000), st.sampled_from([0, 400, 1 << 20]))
def test_what_is_appended_comes_back_in_order_however_the_log_is_sealed_and_reopened(
    tmp_path, steps, max_bytes, recent
):
    folder = tmp_path / "wal"
    shutil.rmtree(folder, ignore_errors=True)
    config = LogConfig(segment_bytes=3_000, recent_bytes=recent, linger_s=0)
    log = Log.open(folder, SimulatedClock(START_US), config)
    wanted, fresh = [], True
    try:
        for step in steps:
            match step:
                case "seal":
                    log.seal()
                case "wait":
                    assert log.wait_written(60)
                case "reopen":
                    log.close()
                    log, fresh = Log.open(folder, SimulatedClock(START_US), config), True
                case ("advance", by):
                    if fresh:
                        log.advance_to(log.next_lsn + by)
                case _:
                    fresh = False
                    for kind, connection, after_us, payload in step:
                        log.append(kind, connection, START_US + after_us, payload)
                        wanted.append((kind, connection, START_US + after_us, payload))
        assert log.wait_written(60)
        found = read_all(log, max_bytes)
    finally:
        log.close()
    assert [each[1:] for each in without_skips(found)] == wanted
    lsns = [each[0] for each in found]
    assert lsns == sorted(set(lsns))
    assert_holes_are_told(found)
    paths = segments_in(folder) if wanted else []
    assert records_of(block for path in paths for block in read_segment(path, max_bytes=max_bytes)) == found


def assert_holes_are_told(found):
    """A number is left out only where the record behind the hole says so."""
    before = -1
    for lsn, kind, _, _, payload in found:
        if lsn != before + 1:
            assert kind == RecordKind.SESSION
            assert NUMBERS_SKIPPED.encode() in payload
        before = lsn


# --- damage -------------------------------------------------------------------------------------------------------

COMMITS = st.lists(st.lists(RECORDS, min_size=1, max_size=4), min_size=1, max_size=5)


def segment_of(commits, *, sealed):
    """The bytes of a segment of these commits, the offset at which each begins, and its records."""
    content, begins, wanted = bytearray(SegmentHeader("w1", 0, START_US).pack()), [], []
    for commit in commits:
        begins.append(len(content))
        items = [(kind, connection, START_US + after, payload) for kind, connection, after, payload in commit]
        content += pack_records(items, len(wanted))[0]
        wanted += [(len(wanted) + i, *item) for i, item in enumerate(items)]
    if sealed:
        import zlib

        content += Seal(len(wanted), 0, len(wanted) - 1, len(content), START_US, zlib.crc32(content)).pack()
    return bytes(content), begins, wanted


def records_before(begins, commits, offset):
    """How many records belong to commits that end at or before ``offset``; begins has no entry for the end."""
    return sum(
        len(commit)
        for commit, end in zip(commits, [*begins[1:], None], strict=True)
        if end is not None and end <= offset
    )


def damaged(content, place, how):
    raw = bytearray(content)
    match how:
        case "cut":
            del raw[place:]
        case "zero":
            raw[place:] = bytes(len(raw) - place)
        case int():
            raw[place] ^= 1 << how
    return bytes(raw)


DAMAGE = st.one_of(st.sampled_from(["cut", "zero"]), st.integers(0, 7))


@examples(250)
@given(COMMITS, st.floats(0, 1, exclude_max=True), DAMAGE, st.integers(64, 9_000))
@pytest.mark.slow
def test_of_a_damaged_segment_a_prefix_is_read_and_only_its_last_commit_may_be_missing_without_a_word(
    commits, where, how, max_bytes
):  # fmt: skip
    content, begins, wanted = segment_of(commits, sealed=False)
    place = int(where * len(content))
    found, told = read(damaged(content, place, how), max_bytes)
    assert found == wanted[: len(found)]
    if not told and how not in ("cut", "zero"):
        # A flipped bit: nothing but the commit that was never followed by another may be taken for a torn tail.
        assert len(found) >= len(wanted) - len(commits[-1])
    if not told:
        assert len(found) >= records_before(begins, commits, place)


@examples(250)
@given(COMMITS, st.floats(0, 1, exclude_max=True), st.integers(0, 7), st.booleans(), st.integers(64, 9_000))
@pytest.mark.slow
def test_a_flipped_bit_in_a_sealed_segment_is_told_or_changes_nothing(commits, where, bit, packed, max_bytes):
    content, _, wanted = segment_of(commits, sealed=True)
    raw = damaged(content, int(where * len(content)), bit)
    found, told = read(compress(raw) if packed else raw, max_bytes)
    assert found == wanted[: len(found)]
    assert told or found == wanted
    assert told or not packed or raw == content


@examples(100)
@given(COMMITS, st.floats(0, 1, exclude_max=True), st.one_of(st.just("cut"), st.integers(0, 7)))
def test_a_damaged_archive_copy_is_never_read_as_if_it_were_whole(commits, where, how):
    content, _, _ = segment_of(commits, sealed=True)
    packed = compress(content)
    raw = damaged(packed, int(where * len(packed)), how)
    found, told = read(raw, 4_096)
    assert told or found == segment_of(commits, sealed=True)[2]


def read(raw, max_bytes):
    """The records read of a segment's bytes, and whether a fault was reported."""
    found = []
    try:
        for block in read_segment(raw, max_bytes=max_bytes):
            found += records_of([block])
    except (LogCorruptError, InputError):
        return found, True
    return found, False


@examples(60)
@given(COMMITS, st.floats(0, 1, exclude_max=True), DAMAGE)
def test_a_log_whose_last_segment_was_damaged_opens_with_a_prefix_or_says_where_it_is_damaged(
    tmp_path, commits, where, how
):
    content, begins, wanted = segment_of(commits, sealed=False)
    place = int(where * len(content))
    raw = damaged(content, place, how)
    folder = tmp_path / "wal"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"{0:020d}.log"
    path.write_bytes(raw)
    try:
        log = Log.open(folder, SimulatedClock(START_US))
    except LogCorruptError as told:
        damage = str(told)
    else:
        damage = ""
    if damage:
        assert str(path) in damage
        assert path.read_bytes() == raw
        return
    found = read_all(log, 1 << 20)
    log.append(RecordKind.FRAME, 1, START_US, b"next")
    log.close()
    assert found == wanted[: len(found)]
    assert len(found) >= (
        records_before(begins, commits, place) if how in ("cut", "zero") else len(wanted) - len(commits[-1])
    )
    kept = b"".join(each.read_bytes() for each in sorted(folder.glob("*.torn")))
    torn = raw[HEADER_BYTES + sum(RECORD_HEADER_BYTES + len(each[4]) for each in found) :]
    assert kept == torn or not any(torn) or not found
    again = Log.open(folder, SimulatedClock(START_US))
    assert read_all(again, 1 << 20)[: len(found)] == found
    again.close()


@examples(60)
@given(st.lists(st.lists(RECORDS, min_size=1, max_size=3), min_size=2, max_size=6), st.data())
def test_a_segment_that_is_gone_is_missed_by_whoever_reads_what_is_left(tmp_path, batches, data):
    folder = tmp_path / "wal"
    shutil.rmtree(folder, ignore_errors=True)
    log = Log.open(folder, SimulatedClock(START_US))
    for batch in batches:
        for kind, connection, after_us, payload in batch:
            log.append(kind, connection, START_US + after_us, payload)
        log.seal()
    log.close()
    paths = segments_in(folder)
    gone = data.draw(st.integers(0, len(paths) - 2))
    paths[gone].unlink()
    numbering = Numbering(log.wal_id, -1)
    left = [block for path in segments_in(folder) for block in read_segment(path)]
    with pytest.raises(LogGapError) as missed:
        list(map(numbering.take, left))
    assert missed.value.first_missing == sum(map(len, batches[:gone]))
    assert missed.value.last_missing == sum(map(len, batches[: gone + 1])) - 1
    assert isinstance(missed.value, LogError)
