"""Files that others may have written or damaged: master files, bars, segments, caches, settings, a lake's marker."""

import datetime as dt
import io
import json
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import accepted_or_refused, memory_within, mutated, mutated_json, nested, patience
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.clock import SimulatedClock
from hosu.collect.decode import Decoder
from hosu.collect.numbering import skipped_after
from hosu.collect.replay import replay, segments_in
from hosu.collect.runs import pack_records
from hosu.collect.segment import (
    Seal,
    SegmentHeader,
    check_segment,
    compress,
    decompress,
    read_header,
    read_segment,
)
from hosu.errors import InputError, LogCorruptError, NotALakeError
from hosu.kis.auth import _read as read_cache
from hosu.kis.limits import Governor, Pace
from hosu.kis.masters import encode_master, parse_master
from hosu.kis.reconnects import HourlyCap
from hosu.kis.simulator.bars_file import read_bars
from hosu.kis.simulator.frames import FramesTape
from hosu.lake.lake import Lake
from hosu.market.instruments import Instrument, InstrumentType, Market
from hosu.settings import ALL_SETTINGS, load

START_US = 1_757_894_400_000_000  # 2025-09-15T09:00:00+09:00
DAY = dt.date(2025, 9, 15)

# --- master files -------------------------------------------------------------------------------------------------

LISTED = [
    Instrument(symbol=symbol, isin=f"KR7{symbol}003", name="삼성전자", market=Market.KOSPI, type=InstrumentType.STOCK,
               group="ST", base_price=71_500)
    for symbol in ("005930", "000660")
]  # fmt: skip
MASTER = encode_master(LISTED, Market.KOSPI)
LINES = zipfile.ZipFile(io.BytesIO(MASTER)).read("kospi_code.mst")


@examples(200)
@given(st.one_of(mutated(MASTER), mutated(LINES), st.binary(max_size=200)))
def test_a_master_file_is_read_or_refused(data):
    with accepted_or_refused():
        parse_master(data, Market.KOSPI)


@examples(40)
@given(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]), st.data())
def test_a_master_file_zipped_in_another_way_is_read_or_refused(method, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("kospi_code.mst", LINES)
    with accepted_or_refused():
        parse_master(data.draw(mutated(buffer.getvalue())), Market.KOSPI)


@pytest.mark.parametrize(
    ("filling", "method"),
    [
        (b"\n", zipfile.ZIP_DEFLATED),
        (b"\n", zipfile.ZIP_BZIP2),
        (b"\n", zipfile.ZIP_LZMA),
        (b"A\n", zipfile.ZIP_DEFLATED),
        (b"\0", zipfile.ZIP_DEFLATED),
    ],
)
def test_a_zip_that_unpacks_to_a_hundred_times_a_master_file_is_refused_in_bounded_memory(filling, method):
    data = zipped(filling * ((128 << 20) // len(filling)), method)
    with memory_within(90), pytest.raises(InputError):
        parse_master(data, Market.KOSPI)


@pytest.mark.parametrize("filling", [b"\n", b"A\n", b"A" * 700 + b"\n"])
def test_a_master_file_of_nothing_but_lines_is_refused_in_bounded_memory(filling):
    with memory_within(150), pytest.raises(InputError):
        parse_master(zipped(filling * ((15 << 20) // len(filling)), zipfile.ZIP_DEFLATED), Market.KOSPI)


def zipped(content, method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("kospi_code.mst", content)
    return buffer.getvalue()


# --- segments -----------------------------------------------------------------------------------------------------

FRAME = b"0|H0STASP0|001|005930^093354"


def segment(items=None, first_lsn=0, wal_id=b"w1", *, sealed=True, created_us=START_US):
    """A whole segment; what a hostile writer may choose is an argument, and every checksum is right."""
    records = [(1, 1, START_US + i, FRAME) for i in range(5)] if items is None else items
    header = bytearray(SegmentHeader("w1", 0, created_us).pack())
    header[16:40] = wal_id.ljust(24, b"\0")
    header[40:48] = first_lsn.to_bytes(8, "little")
    header[-4:] = zlib.crc32(header[:-4]).to_bytes(4, "little")
    body = pack_records(records, min(first_lsn, 2**62))[0] if records else b""
    content = bytes(header) + bytes(body)
    if not sealed:
        return content
    first_lsn = min(first_lsn, 2**63 - 10)
    last = first_lsn + len(records) - 1
    return content + Seal(len(records), first_lsn, max(last, 0), len(content), START_US, zlib.crc32(content)).pack()


ITEMS = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.integers(0, 65_535),
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(START_US, START_US + 10**9)),
        st.one_of(st.sampled_from([FRAME, b"{", b"{}", b'{"event":"segment"}']), st.binary(max_size=40)),
    ),
    max_size=6,
)
SEGMENTS = st.one_of(
    mutated(segment()),
    mutated(segment(sealed=False)),
    st.builds(
        segment,
        ITEMS,
        st.one_of(st.integers(0, 2**64 - 10), st.just(0)),
        st.one_of(st.just(b"w1"), st.binary(max_size=24)),
        sealed=st.booleans(),
    ),
)


@examples(200)
@given(SEGMENTS, st.booleans(), st.integers(64, 4_096))
def test_a_segment_is_read_and_decoded_or_refused(content, packed, max_bytes):
    with accepted_or_refused():
        data = compress(content) if packed else content
        decoder = Decoder("w1")
        for block in read_segment(data, max_bytes=max_bytes):
            decoder.decode(block)
            skipped_after([block])
        decoder.finish()


@examples(60)
@given(st.one_of(mutated(compress(segment())), st.binary(max_size=40).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail)))
def test_an_archive_copy_is_unpacked_or_refused(packed):
    with accepted_or_refused():
        check_segment(decompress(packed, "copy"), "copy")


@examples(60)
@given(st.lists(st.tuples(SEGMENTS, st.sampled_from([".log", ".log.zst"])), min_size=1, max_size=3))
def test_a_folder_of_segments_is_replayed_or_refused(tmp_path, found):
    folder = tmp_path / "frames"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for i, (content, suffix) in enumerate(found):
        (folder / f"{i:020d}{suffix}").write_bytes(compress(content) if suffix.endswith("zst") else content)
    with accepted_or_refused():
        for path in segments_in(folder):
            read_header(path)
        replay(folder, _Nowhere())


class _Nowhere:
    """A sink that has nothing, and lets everything go."""

    name = "nowhere"

    def resume_after(self, wal_id):
        return -1

    def write(self, batch):
        for rows in batch.tables.values():
            rows.validate(full=True)

    def due(self):
        return False

    def flush(self):
        return -1

    def sync(self):
        pass

    def close(self):
        pass


def test_a_copy_that_unpacks_to_gigabytes_of_no_segment_is_refused_at_its_first_bytes():
    packed = pa.Codec("zstd").compress(bytes(256 << 20), asbytes=True)
    with memory_within(40), pytest.raises(LogCorruptError, match="does not begin as a log segment"):
        decompress(packed * 12, "copy")


# --- small files of our own ---------------------------------------------------------------------------------------

CACHE = {"version": 1, "token": "T" * 40, "token_expires_us": START_US + 10**11, "token_issued_us": START_US,
         "approval": "A" * 36, "approval_issued_us": START_US}  # fmt: skip


@examples(150)
@given(st.one_of(mutated_json(CACHE), mutated(json.dumps(CACHE).encode())))
def test_a_token_cache_is_used_or_written_anew_and_never_carries_what_no_header_can(tmp_path, content):
    path = tmp_path / "auth.json"
    path.write_bytes(content)
    with patience():
        kept = read_cache(path)
    for secret in (kept.token, kept.approval):
        assert secret.isascii()
        assert secret.isprintable()
    for at_us in (kept.token_expires_us, kept.token_issued_us, kept.approval_issued_us):
        assert 0 <= at_us < 2**62


@examples(100)
@given(st.one_of(mutated_json([START_US, START_US + 5]), st.sampled_from([nested(20_000).encode(), b"[1e400]"])))
def test_a_count_of_connections_is_used_or_begun_anew(tmp_path, content):
    path = tmp_path / "connections.json"
    path.write_bytes(content)
    with patience():
        cap = HourlyCap(path, 3, SimulatedClock(START_US + 10))
        assert 0 <= cap.wait_s() <= 3_600
        cap.take()


@examples(100)
@given(st.one_of(st.binary(max_size=300), mutated(b"HOSUGOV\x01" + bytes(40))))
def test_a_damaged_pace_file_neither_stops_nor_stretches_calls_without_end(tmp_path, content):
    path = tmp_path / "pace"
    path.write_bytes(content)
    with patience():
        assert 1.0 <= Governor(path, Pace(12, 1.0), SimulatedClock(START_US)).slowness() < 100


@examples(80)
@given(st.one_of(mutated_json({"format": 1, "made_by": "hosu", "id": "ab"}), mutated(b'{"format": 1}')))
def test_a_lake_is_opened_or_refused_whatever_its_marker_says(tmp_path, content):
    marker = tmp_path / "lake" / "_hosu" / "lake.json"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_bytes(content)
    with accepted_or_refused():
        assert Lake.open(str(tmp_path / "lake"), create=False).identity


def test_a_marker_nested_without_end_is_no_lake(tmp_path):
    marker = tmp_path / "_hosu" / "lake.json"
    marker.parent.mkdir()
    marker.write_text(nested(20_000))
    with pytest.raises(NotALakeError):
        Lake.open(str(tmp_path), create=False)


# --- settings -----------------------------------------------------------------------------------------------------

NAMES = sorted({str(field.validation_alias) for kind in ALL_SETTINGS for field in kind.model_fields.values()})
VALUES = st.one_of(
    st.sampled_from(["", " ", "\0", "a\0b", "~nobody-of-this-name/x", "~", "1e400", "-1", "nan", "inf", "9" * 5_000,
                     "${HOSU_LAKE}", "'", '"', "\\", "s3://", "s3://a/../b", "한글", "\x1b[2J", "A" * 20_000]),
    st.text(max_size=20),
)  # fmt: skip
ENV = st.lists(st.tuples(st.sampled_from([*NAMES, "X", "", "export X"]), VALUES), max_size=5).map(
    lambda pairs: "\n".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
)


@examples(150)
@given(st.one_of(ENV, ENV.flatmap(lambda valid: mutated(valid, 3)), st.binary(max_size=40)))
def test_an_env_file_is_taken_or_refused_by_the_name_of_the_setting(bare_folder, content):
    (bare_folder / ".env").write_bytes(content)
    for kind in ALL_SETTINGS:
        with accepted_or_refused():
            repr(load(kind))


@pytest.fixture
def bare_folder(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- bars and recorded frames -------------------------------------------------------------------------------------

BARS = {"date": [DAY], "code": ["005930"], "time": [90_000], "open": [100], "high": [120], "low": [90], "close": [110],
        "volume": [1_000], "amount": [105_000]}  # fmt: skip
COLUMNS = st.one_of(
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=1),
    st.lists(st.integers(2**63, 2**64 - 1), min_size=1, max_size=1).map(lambda values: pa.array(values, pa.uint64())),
    st.lists(st.one_of(st.none(), st.text(max_size=8)), min_size=1, max_size=1),
    st.lists(st.binary(max_size=5), min_size=1, max_size=1),
    st.lists(st.floats(), min_size=1, max_size=1),
    st.lists(st.dates(), min_size=1, max_size=1),
    st.lists(st.datetimes(), min_size=1, max_size=1),
    st.lists(st.integers(0, 5)).map(lambda values: pa.array([values], pa.list_(pa.int8()))),
    st.just([{"a": 1}]),
    st.just(pa.array(["005930"]).dictionary_encode()),
    st.just(pa.nulls(1)),
)  # fmt: skip


@examples(150)
@given(st.sampled_from(sorted(BARS)), COLUMNS, st.sampled_from([None, ["005930"], ["\0"], []]))
def test_bars_of_any_types_are_read_or_refused(tmp_path, name, column, symbols):
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table({**BARS, name: column}), path)
    with accepted_or_refused():
        codes, bars = read_bars(path, DAY, symbols)
        assert all(isinstance(code, str) for code in codes)
        assert all(values.dtype == np.int64 for values in bars.values())


@examples(100)
@given(st.data())
def test_a_damaged_file_of_bars_is_read_or_refused(tmp_path, data):
    path = tmp_path / "bars.parquet"
    buffer = io.BytesIO()
    pq.write_table(pa.table(BARS), buffer)
    path.write_bytes(data.draw(mutated(buffer.getvalue())))
    with accepted_or_refused():
        read_bars(path, DAY, None)


@examples(120)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(START_US, START_US + 10**9), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(mutated(FRAME), st.just(b"0|H0STCNT0|" + b"9" * 5_000 + b"|005930"), st.binary(max_size=30),
                      st.just(b"0|H0STCNT0|99999999999999999999|005930")),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_recorded_frames_are_played_or_refused(frames):
    with accepted_or_refused():
        list(FramesTape(frames))
