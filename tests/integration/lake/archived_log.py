"""A log whose segments hold one trade a record, and a lake that is fed from it."""

from dataclasses import dataclass, field
from pathlib import Path

from hosu.clock import SimulatedClock
from hosu.collect.segment import archive_name, compress, read_segment
from hosu.collect.wal import Log
from hosu.lake.archive import FramesArchive
from hosu.lake.lake import Lake
from hosu.lake.sql import Session

T0_US = 1_741_914_000_000_000  # 2025-03-14 10:00 KST
TRADE = (
    "005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^{cum}^219853241700^5105^6937^1832"
    "^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20250314^20^N^65945^216924^1118750"
    "^2199206^0.05^2424142^125.92^0^^72100"
)


def trade(number: int) -> bytes:
    return f"0|H0STCNT0|001|{TRADE.format(cum=number)}".encode()


@dataclass
class ArchivedLog:
    """Segments of a log in a folder of its own; the log is closed after each call."""

    folder: Path
    wal_id: str = ""
    segments: list[Path] = field(default_factory=list)

    def receive(self, *counts: int, advance_to: int | None = None) -> list[Path]:
        """One segment a count, of so many trades; a trade's cumulative volume is its record's number."""
        log = Log.open(self.folder, SimulatedClock(T0_US))
        self.wal_id = log.wal_id
        if advance_to is not None:
            log.advance_to(advance_to)
        for count in counts:
            for _ in range(count):
                number = log.next_lsn + (log.skipped_after is not None)
                log.append(1, 1, T0_US + number, trade(number))
                log.wait_written(10)
            log.seal()
        log.close()
        self.segments = sorted(self.folder.glob("*.log"))
        return self.segments

    def store(self, lake: Lake, *segments: Path, date: str = "2025-03-14") -> list[Path]:
        """Where copies of the segments, all if none is named, lie in the lake's archive then."""
        archive, stored = FramesArchive(lake), []
        for path in segments or self.segments:
            numbers = [int(number) for block in read_segment(path) for number in block.lsn]
            name = archive_name(self.wal_id, numbers[0], numbers[-1])
            archive.store(name, date, compress(path.read_bytes()))
            stored.append(Path(lake.root) / "raw/frames" / f"date={date}" / name)
        return stored


def volumes(lake: Lake) -> list[int]:
    """The cumulative volumes in the table of trades."""
    with Session(lake) as session:
        return session.query("SELECT cum_volume FROM trades ORDER BY ALL").column(0).to_pylist()
