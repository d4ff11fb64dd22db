"""A log, its archive and a lake behind it, and the trades of a morning to put into them."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
from archived_log import TRADE, ArchivedLog

from hosu.clock import SimulatedClock
from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.wal import Log
from hosu.features.sink import FeatureSink
from hosu.features.store import LakeFeatureStore
from hosu.lake.frames import Frames
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.lake.writer import LakeSink
from hosu.market.calendar import instant_us

DAY, NEXT, THIRD = "2025-03-14", "2025-03-17", "2025-03-18"
SYMBOL = "005930"
PRICE, TIME, DATE = "^71900^5^", "^093354^", "^20250314^"


def at(clock: str, day: str = DAY) -> int:
    hours, minutes, seconds = map(int, clock.split(":"))
    return instant_us(dt.date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


def trade(clock: str, cum: int, price: int, day: str = DAY) -> bytes:
    """A frame of one trade of one share."""
    time, date = clock.replace(":", ""), day.replace("-", "")
    text = TRADE.format(cum=cum).replace(TIME, f"^{time}^").replace(PRICE, f"^{price}^5^").replace(DATE, f"^{date}^")
    return f"0|H0STCNT0|001|{text}".encode()


def close(clock: str, day: str = DAY) -> int:
    return at(clock, day)


class Station:
    """A log, its archive and a lake behind it; sinks are made anew whenever records come, as after a restart."""

    def __init__(self, home: Path) -> None:
        self.lake = Lake.open(str(home / "lake"))
        self.keep = home / "features.state"
        self.archive = ArchivedLog(home / "log")

    def receive(self, *items: bytes | int, lays_down: bool = True, day: str = DAY) -> None:
        """One segment of frames and closes, into the lake and served; the state is laid down, or lost as in a kill."""
        log = Log.open(self.archive.folder, SimulatedClock(at("09:00:00", day)))
        self.archive.wal_id = log.wal_id
        for item in items:
            kind, payload = (RecordKind.FRAME, item) if isinstance(item, bytes) else (4, control.bar_close(item))
            log.append(kind, 1 if kind == RecordKind.FRAME else 0, at("09:00:00", day), payload)
            log.wait_written(10)
        log.seal()
        log.close()
        self.archive.segments = sorted(self.archive.folder.glob("*.log"))
        self.archive.store(self.lake, self.archive.segments[-1], date=day)
        self._feed(lays_down)

    def _feed(self, lays_down: bool) -> None:
        features = FeatureSink(LakeFeatureStore(self.lake), keep=self.keep)
        for sink in (LakeSink(self.lake), features):
            after = sink.resume_after(self.wal_id)
            for batch in Frames(self.lake).numbered(self.wal_id, after):
                sink.write(batch)
            if sink is features and not lays_down:
                features._commit()
            else:
                sink.close()

    @property
    def wal_id(self) -> str:
        return self.archive.wal_id


def morning(minutes: int, first: int = 0, day: str = DAY, split: int = 1) -> list[bytes | int]:
    """Two trades a minute and its close, but for every fifth minute in which nothing trades; at a part of the price."""
    items: list[bytes | int] = []
    for minute in range(first, first + minutes):
        clock = f"{9 + minute // 60:02}:{minute % 60:02}"
        if minute % 5:
            items += [
                trade(f"{clock}:10", 2 * minute + 1, (71_900 + 100 * (minute % 7)) // split, day),
                trade(f"{clock}:50", 2 * minute + 2, (72_000 + 100 * (minute % 11)) // split, day),
            ]
        items.append(at(f"{clock}:00", day) + 60_000_000)
    return items


def listed(lake: Lake, day: str, base: int) -> None:
    row = {"symbol": SYMBOL, "base_price": float(base), "market": "KOSPI", "type": "stock", "halted": False}
    write_universe(lake, day, pa.Table.from_pylist([row]))
