"""What the feature sink remembers of one log, and as bytes: what a restart goes on from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hosu.features import kernel
from hosu.features.kept_bytes import UNREADABLE, KeptFormat, unreadable
from hosu.features.online_bars import OnlineBars

FORMAT: Final = 2
_MAGIC: Final = b"HOSUFEA"


@dataclass(slots=True)
class Kept:
    """All that is remembered of one log up to the record ``lsn``, and of the day at hand.

    ``base`` is what was begun with: ``new``, ``new@LSN`` where the log had no record up to that one any more, or
    date/revision of a ``feature_state``; ``since`` the day on which that was. ``known`` names what was known of the day
    at hand when it began; empty for nothing. ``market_us`` is the latest time of a
    trade, UTC microseconds; 0 for none. ``streamed`` are symbols that were to be polled and have traded on the day.
    """

    wal_id: str
    lsn: int = -1
    base: str = "new"
    since: str = ""
    known: str = ""
    market_us: int = 0
    streamed: set[str] = field(default_factory=set)
    bars: OnlineBars = field(default_factory=OnlineBars)

    @property
    def began(self) -> str:
        """What the day at hand began with; behind a plus the day since which this has been carried on, behind a star
        what was known of the day."""
        base = self.base if self.since == self.bars.date else f"{self.base}+{self.since}"
        return f"{base}*{self.known}" if self.known else base


def pack(kept: Kept) -> bytes:
    """What is kept, as bytes."""
    facts = {
        "wal_id": kept.wal_id,
        "lsn": kept.lsn,
        "base": kept.base,
        "since": kept.since,
        "known": kept.known,
        "market_us": kept.market_us,
        "streamed": sorted(kept.streamed),
        "date": kept.bars.date,
        "symbols": kept.bars.symbols,
    }
    return _format().pack(facts, kept.bars.arrays())


def unpack(content: bytes, source: object) -> Kept:
    """What is kept in ``content``.

    Raises:
        LogCorruptError: it is none, or damaged.
        InputError: another version of the kernel or of this format wrote it.
    """
    facts, arrays = _format().unpack(content, source)
    try:
        bars = OnlineBars.restored(facts["date"], facts["symbols"], arrays)
        told = {name: facts[name] for name in ("wal_id", "lsn", "base", "since", "known", "market_us")}
        return Kept(**told, streamed=set(facts["streamed"]), bars=bars)
    except UNREADABLE as error:
        raise unreadable(source, error) from error


def _format() -> KeptFormat:
    return KeptFormat(_MAGIC, FORMAT, kernel.VERSION)
