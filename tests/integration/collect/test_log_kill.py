"""A real process is killed while it appends; what it had reported durable is there, each record once."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hosu.clock import SystemClock
from hosu.collect.wal import Log

APPENDER = """
import sys
from pathlib import Path
from hosu.clock import SystemClock
from hosu.collect.status import durable_lines
from hosu.collect.wal import Log, LogConfig

clock = SystemClock()
log = Log.open(Path(sys.argv[1]), clock, LogConfig(segment_bytes=int(sys.argv[3])))
log.on_durable(durable_lines(int(sys.argv[2])))
number = log.next_lsn
while True:
    if log.append(1, 1, clock.now_us(), b"record %d " % number + bytes(number % 400)):
        number += 1
    else:
        number += 1
        log.wait_written(10)
"""


def appended_until_killed(folder: Path, lines: int, segment_bytes: int) -> int:
    """The last number that the process reported before it was killed, after it had reported ``lines`` of them."""
    read_end, write_end = os.pipe()
    command = [sys.executable, "-c", APPENDER, str(folder), str(write_end), str(segment_bytes)]
    process = subprocess.Popen(command, pass_fds=[write_end])
    os.close(write_end)
    reported = -1
    with os.fdopen(read_end) as reports:
        try:
            for seen, line in enumerate(reports, 1):
                reported = int(line)
                if seen == lines:
                    process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait(30)
    return reported


@pytest.mark.slow
@pytest.mark.parametrize("segment_bytes", [64 << 20, 200_000])
def test_every_record_reported_durable_is_read_back_exactly_once(tmp_path: Path, segment_bytes: int):
    chance, reported = random.Random(segment_bytes), -1
    for _ in range(2):
        reported = max(reported, appended_until_killed(tmp_path, chance.randrange(3, 30), segment_bytes))
        log = Log.open(tmp_path, SystemClock())
        reader, numbers = log.reader(), []
        while (block := reader.read()) is not None:
            for i in range(len(block)):
                lsn = int(block.lsn[i])
                assert block.payload(i) == b"record %d " % lsn + bytes(lsn % 400)
                numbers.append(lsn)
        log.close()
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > reported
