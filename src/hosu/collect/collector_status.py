"""The collector's status: one flat answer to what runs, how fast, how late, and what waits where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from hosu.collect.fanout import singles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.clock import Clock
    from hosu.collect.archivist import Archivist
    from hosu.collect.latency import Histogram
    from hosu.collect.pump import Pump
    from hosu.collect.recorder import Recorder
    from hosu.collect.sinks import Sink
    from hosu.collect.wal import Log


@runtime_checkable
class Counting(Protocol):
    """A sink that counts what it has committed since the start; not all do."""

    commits: int
    rows: int
    bytes_written: int


@runtime_checkable
class Telling(Protocol):
    """A sink that has facts of its own for the status: a number by name."""

    name: str

    @property
    def facts(self) -> dict[str, int]: ...


@runtime_checkable
class Troubled(Protocol):
    """A sink that goes on though something is wrong, and says what."""

    name: str
    trouble: str | None


class StatusReport:
    """Gathers a status from the collector's parts.

    Times are in seconds unless the name says otherwise; counts are since the start; market records are those of the
    first sink. ``success_rate`` is the share of filed among filed and quarantined records, ``latency_us`` runs from
    the read of the socket to the sync of the log, ``sink_latency_us`` to when all sinks of the first pump have taken
    the record, ``buffers`` says how much waits at each stage, ``sinks`` what each sink that counts has committed
    (``commits`` and ``bytes_written`` are the log's own). None stands for what is not known yet.
    """

    def __init__(
        self,
        log: Log,
        recorder: Recorder,
        pumps: Sequence[Pump],
        archivist: Archivist | None,
        clock: Clock,
        *,
        sinks: Sequence[Sink] = (),
    ) -> None:
        self._log, self._recorder, self._pumps, self._archivist, self._clock = log, recorder, pumps, archivist, clock
        self._sinks = [sink for sink in singles(sinks) if isinstance(sink, Counting)]
        self._telling = [sink for sink in singles(sinks) if isinstance(sink, Telling)]
        self._troubled = [sink for sink in singles(sinks) if isinstance(sink, Troubled)]
        self._started_s, self._started_us = clock.monotonic(), clock.now_us()
        self._rate = _Rate(self._started_s)

    def of(self, *, state: str, reason: str | None, disk_low: bool, last_error: str | None) -> dict[str, Any]:
        """The status as it is now, ready for JSON."""
        log, now_s, stats = self._log, self._clock.monotonic(), self._log.stats
        first = self._pumps[0] if self._pumps else None
        records, unfiled = (first.records, first.unfiled) if first is not None else (0, 0)
        quarantined = first.quarantined if first is not None else 0
        judged = records - unfiled
        return {
            "state": state,
            "reason": reason,
            "pid": os.getpid(),
            "wal_id": log.wal_id,
            "started_us": self._started_us,
            "updated_us": self._clock.now_us(),
            "runtime_s": round(now_s - self._started_s, 3),
            "records": records,
            "records_per_s": self._rate.of(records, now_s),
            "frames": self._recorder.data_frames,
            "filed": judged - quarantined,
            "quarantined": quarantined,
            "unfiled": unfiled,
            "success_rate": (judged - quarantined) / judged if judged else None,
            "latency_us": _latencies(log.latency),
            "sink_latency_us": _latencies(first.latency) if first is not None else None,
            "durable_lsn": log.durable_lsn,
            "log_records": stats.records,
            "commits": stats.commits,
            "bytes_written": stats.bytes_written,
            "segments": stats.segments,
            "buffers": {
                "log_queue_bytes": stats.queued_bytes,
                "lag_records": {pump.name: log.durable_lsn - pump.read_lsn for pump in self._pumps},
                "uncommitted_records": {pump.name: log.durable_lsn - pump.covered_lsn for pump in self._pumps},
            },
            "sinks": {
                sink.name: {"commits": sink.commits, "rows": sink.rows, "bytes": sink.bytes_written}
                for sink in self._sinks
            },
            **{sink.name: sink.facts for sink in self._telling},
            "beats": {pump.name: pump.beats for pump in self._pumps},
            "archived_segments": self._archivist.stored if self._archivist is not None else 0,
            "connects": self._recorder.connects,
            "reconnects": self._recorder.reconnects,
            "connections": {str(number): facts for number, facts in list(self._recorder.connections.items())},
            "business_date": self._recorder.business_date,
            "disk_low": disk_low,
            "trouble": self._trouble(),
            "last_error": last_error,
        }

    def _trouble(self) -> dict[str, str]:
        """What is being tried again, by part."""
        parts = [(sink.name, sink.trouble) for sink in self._troubled]
        parts += [(pump.name, pump.trouble) for pump in self._pumps]
        if self._archivist is not None:
            parts.append(("archive", self._archivist.trouble))
        return {name: text for name, text in parts if text is not None}


def _latencies(latency: Histogram) -> dict[str, float | None]:
    return {"p50": latency.quantile_us(0.5), "p99": latency.quantile_us(0.99), "max": latency.max_us or None}


class _Rate:
    """Records a second over about the last second."""

    def __init__(self, started_s: float) -> None:
        self._at_s, self._count, self._rate = started_s, 0, 0.0

    def of(self, count: int, now_s: float) -> float:
        if now_s - self._at_s >= 0.5:
            self._rate = round((count - self._count) / (now_s - self._at_s), 1)
            self._at_s, self._count = now_s, count
        return self._rate
