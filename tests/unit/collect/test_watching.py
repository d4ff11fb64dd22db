"""What can be seen from outside, and what a segment says of itself."""

import os
import threading
from pathlib import Path
from random import Random

import numpy as np
import pytest
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect.archivist import segment_date
from hosu.collect.block import RecordKind
from hosu.collect.control import pingpong_date, trade_date
from hosu.collect.dates import calendar_dates, ordinal
from hosu.collect.files import SystemFiles
from hosu.collect.recorder import Recorder
from hosu.collect.replay import segments_in
from hosu.collect.runs import pack_records, read_run
from hosu.collect.status import durable_lines
from hosu.collect.wal import Log, LogConfig
from hosu.errors import InputError

T0 = 1_742_000_400_000_000  # 2025-03-15 10:00 KST
PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20250314101010"}}'
TRADE = b"0|H0STCNT0|001|" + b"^".join([b"005930", *[b"1"] * 32, b"20250313", *[b"1"] * 12])


def test_a_reader_of_durable_lines_that_is_slow_or_gone_stops_nobody():
    read_end, write_end = os.pipe()
    write = durable_lines(write_end)
    for lsn in range(100_000):
        write(lsn)
    assert os.read(read_end, 4) == b"0\n1\n"
    os.close(read_end)
    write(5)
    # Whatever the descriptor stands for by now is no reader of ours.
    other_read, other_write = os.pipe()
    os.dup2(other_write, write_end)
    write(6)
    os.set_blocking(other_read, False)
    with pytest.raises(BlockingIOError):
        os.read(other_read, 1)
    for descriptor in (other_read, other_write, write_end):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("payload", "date"),
    [
        (PING, 20250314),
        (PING.replace(b"20250314", b"20250399"), 0),
        (PING.replace(b"20250314", b"20990101"), 0),
        (PING.replace(b"20250314", b"00010101"), 0),
        (PING.replace(b"20250314101010", b""), 0),
        (b'{"header":{"tr_id":"H0STCNT0"},"body":{"msg1":"PINGPONG"}}', 0),
        (b'{"PINGPONG', 0),
        (b"", 0),
    ],
)
def test_the_date_of_a_pingpong(payload: bytes, date: int):
    assert pingpong_date(payload) == date


@pytest.mark.parametrize(
    ("payload", "date"),
    [
        (TRADE, 20250313),
        (TRADE.replace(b"20250313", b""), 0),
        (TRADE.replace(b"20250313", b"99999999"), 0),
        (TRADE[:60], 0),
        (b"0|H0STASP0|001|a^b", 0),
        (b"1|H0STCNI0|001|base64", 0),
        (b"", 0),
        (b"\xff\xfe|||", 0),
    ],
)
def test_the_date_of_a_trade_frame(payload: bytes, date: int):
    assert trade_date(payload) == date


def test_garbage_never_stops_the_search_for_a_date():
    chance = Random(1)
    for _ in range(3000):
        payload = bytearray(chance.choice([PING, TRADE]))
        for _ in range(chance.randrange(1, 6)):
            payload[chance.randrange(len(payload))] = chance.randrange(256)
        assert pingpong_date(bytes(payload)) >= 0
        assert trade_date(bytes(payload)) >= 0


def test_days_are_those_of_the_calendar():
    assert ordinal(20240229) == 738945
    assert [ordinal(each) for each in (20230229, 0, -1, 2**62, -(2**63))] == [-1] * 5
    assert calendar_dates(np.array([0, T0], np.int64)).tolist() == [19700101, 20250315]


@pytest.mark.parametrize(
    ("records", "date"),
    [
        ([(1, 1, T0, b"0|x"), (1, 1, T0, TRADE), (1, 1, T0, PING)], "2025-03-13"),
        ([(1, 1, T0, PING), (1, 1, T0, TRADE)], "2025-03-14"),
        ([(3, 0, T0, b'{"event":"segment","date":20250312}'), (1, 1, T0, PING)], "2025-03-12"),
        ([(3, 0, T0, b'{"event":"segment","date":0}'), (1, 1, T0, PING)], "2025-03-14"),
        ([(3, 0, T0, b'{"event":"connected","date":20250301}'), (2, 0, T0, b"{}")], "2025-03-15"),
    ],
)
def test_a_segment_is_archived_under_the_first_date_it_says(records: list, date: str):
    buffer, _ = pack_records(records, 0)
    block = read_run("w", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block
    assert segment_date([block]) == date


def test_the_recorder_keeps_everything_and_begins_segments_with_what_it_was_told(tmp_path: Path):
    clock = SimulatedClock(T0)
    log = Log.open(tmp_path, clock)
    recorder = Recorder(log, clock)
    recorder.session_event(4, {"event": "connected", "address": "ws://127.0.0.1:1"})
    recorder.frames(4, T0 + 1, [TRADE])
    recorder.frames(5, T0 + 2, [PING])
    recorder.session_event(4, {"event": "settled", "registered": 2})
    assert recorder.connections == {4: {"since_us": T0, "registered": 2}}
    assert (recorder.business_date, recorder.data_frames) == (20250314, 1)
    recorder.session_event(5, {"event": "disconnected", "code": 1006})
    recorder.session_event(5, {"event": "reconnecting", "delay_s": 1.0})
    assert (recorder.connects, recorder.reconnects) == (1, 1)
    log.seal()
    recorder.clock_offset(-3)
    recorder.ended()
    log.wait_written(10)
    blocks, reader = [], log.reader()
    while (block := reader.read()) is not None:
        blocks += [(block.kind[i], int(block.connection[i]), block.payload(i)) for i in range(len(block))]
    log.close()
    told = [payload for kind, _, payload in blocks if kind == RecordKind.SESSION and b'"segment"' in payload]
    assert told[-1] == b'{"event": "segment", "date": 20250314, "dates": {"4": 20250313}, "pings": {}}'
    assert [(kind, connection) for kind, connection, _ in blocks][-3:] == [(3, 0), (5, 0), (3, 0)]
    assert blocks[-2][2] == b'{"offset_us": -3}'
    assert (RecordKind.FRAME, 5, PING) in blocks


class HeldDisk(SystemFiles):
    """A disk whose syncs wait for ``gate``."""

    def __init__(self) -> None:
        self.gate, self.waits = threading.Event(), threading.Event()

    def fdatasync(self, descriptor: int) -> None:
        self.waits.set()
        assert self.gate.wait(30)
        super().fdatasync(descriptor)


def test_a_segment_begins_with_what_was_written_before_it_and_nothing_that_still_waits(tmp_path: Path):
    disk, clock = HeldDisk(), SimulatedClock(T0)
    disk.gate.set()
    log = Log.open(tmp_path, clock, LogConfig(segment_bytes=1), files=disk)
    recorder = Recorder(log, clock)
    disk.gate.clear()
    disk.waits.clear()
    recorder.frames(1, T0, [PING])
    assert disk.waits.wait(30)  # the first segment is being written
    recorder.session_event(3, {"event": "connected"})
    recorder.frames(2, T0, [PING.replace(b"20250314", b"20250317")])
    recorder.session_event(1, {"event": "disconnected", "code": None})
    assert recorder.business_date == 20250317
    disk.gate.set()
    assert log.wait_written(30)
    recorder.clock_offset(0)
    assert log.wait_written(30)
    reader, told = log.reader(), []
    while (block := reader.read()) is not None:
        told += [block.payload(i) for i in range(len(block)) if b'"segment"' in block.payload(i)]
    log.close()
    assert told == [
        b'{"event": "segment", "date": 0, "dates": {}, "pings": {}}',
        b'{"event": "segment", "date": 20250314, "dates": {"1": 20250314}, "pings": {"1": 20250314}}',
        b'{"event": "segment", "date": 20250317, "dates": {"2": 20250317}, "pings": {"2": 20250317}}',
    ]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        ({"event": "disconnected", "code": None, "cause": "stopped"}, "info"),
        ({"event": "disconnected", "code": 1000}, "info"),
        ({"event": "disconnected", "code": 1006}, "warning"),
        ({"event": "silence", "seconds": 30}, "warning"),
        ({"event": "capped", "connections": 30, "seconds": 900}, "warning"),
        ({"event": "registered"}, "debug"),
    ],
)
def test_only_an_end_that_was_not_ours_is_warned_of(tmp_path: Path, event: dict, level: str):
    log = Log.open(tmp_path, SimulatedClock(T0))
    with capture_logs() as logs:
        Recorder(log, SimulatedClock(T0)).session_event(1, event)
    log.close()
    assert [entry["log_level"] for entry in logs if entry["event"] == f"connection {event['event']}"] == [level]


def test_segments_are_found_and_ordered_by_log_and_number(tmp_path: Path):
    names = [f"w2-{5:020d}-{9:020d}.log.zst", f"w2-{0:020d}-{4:020d}.log.zst", f"w1-{7:020d}-{8:020d}.log.zst"]
    for day, name in zip(("date=2025-03-14", "date=2025-03-15", "date=2025-03-13"), names, strict=True):
        (tmp_path / day).mkdir()
        (tmp_path / day / name).touch()
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in segments_in(tmp_path)] == [names[2], names[1], names[0]]
    with pytest.raises(InputError, match="holds no segments"):
        segments_in([])
    with pytest.raises(InputError, match=r"nowhere: does not exist"):
        segments_in(tmp_path / "nowhere")
