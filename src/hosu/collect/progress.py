"""Whether a collector's parts still move, judged from its status alone: what a watchdog rests on.

A part that tries again is alive, and so is one that has nothing to do; one that hangs in a call, to a disk that does
not answer, is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class ProgressConfig:
    """A part that has work and does none of it for ``stuck_s`` stands still. A sink has ``sink_s``: one call to an
    object store that cannot be reached may try for three minutes before it says so. A shard that has not told
    anything yet, because it recovers its log, has ``start_s``."""

    stuck_s: float = 60.0
    sink_s: float = 300.0
    start_s: float = 900.0


class Progress:
    """Remembers since when each part has looked the same."""

    def __init__(self, config: ProgressConfig | None = None) -> None:
        self._config = config or ProgressConfig()
        self._since: dict[str, tuple[object, float]] = {}

    def standing(self, status: Mapping[str, Any], now_s: float) -> list[str]:
        """What stands still, each as a sentence; nothing outside of the states in which things should move."""
        found = list(self._standing(status, now_s))
        return [text for text in found if text]

    def _standing(self, status: Mapping[str, Any], now_s: float) -> Iterator[str]:
        shards = status.get("shards")
        if not shards:
            yield from self._of_one("", status, now_s)
            return
        for shard in shards:
            name, own = f"shard {shard['number']}: ", shard.get("status") or {}
            if own.get("pid") != shard.get("pid"):  # of the life before this one
                own = {}
            mark = (shard.get("pid"), own.get("updated_us")) if shard.get("state") == "running" else None
            limit_s = self._config.stuck_s if own else self._config.start_s
            yield self._unless_moved(f"{name}its event loop", mark, now_s, limit_s)
            yield from self._of_one(name, own if mark is not None else {}, now_s)

    def _of_one(self, name: str, status: Mapping[str, Any], now_s: float) -> Iterator[str]:
        running, buffers = status.get("state") == "running", status.get("buffers") or {}
        waits = running and bool(buffers.get("log_queue_bytes"))
        mark = (status.get("pid"), status.get("bytes_written")) if waits else None
        yield self._unless_moved(f"{name}the log's writer", mark, now_s, self._config.stuck_s)
        for sink, beats in (status.get("beats") or {}).items():
            mark = (status.get("pid"), beats) if running else None
            yield self._unless_moved(f"{name}the sink {sink}", mark, now_s, self._config.sink_s)

    def _unless_moved(self, part: str, mark: object, now_s: float, limit_s: float) -> str:
        """The sentence about a part whose ``mark`` is the same as ``limit_s`` ago; None is a part that may rest."""
        if mark is None:
            self._since.pop(part, None)
            return ""
        known, since_s = self._since.setdefault(part, (mark, now_s))
        if known != mark:
            self._since[part] = (mark, now_s)
            return ""
        still_s = now_s - since_s
        return f"{part} stands still for {still_s:,.0f} s" if still_s >= limit_s else ""
