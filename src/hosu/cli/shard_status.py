"""The status of several shards as one: counts are summed, the worst stands for what cannot be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SUMS: Final = (
    "records",
    "records_per_s",
    "frames",
    "filed",
    "quarantined",
    "unfiled",
    "durable_lsn",
    "log_records",
    "commits",
    "bytes_written",
    "segments",
    "archived_segments",
    "connects",
    "reconnects",
)
_COVERAGE_SUMS: Final = ("streamed", "polled", "not_covered", "slots", "limit", "registered", "calls_per_s", "calls")


def merged(shards: Sequence[Mapping[str, Any]], now_us: int, started_us: int) -> dict[str, Any]:
    """One status of the form of a single collector's, with each shard's own under ``shards``.

    ``durable_lsn`` is the sum over the logs, latencies the worst shard's; ``wal_id`` is null, for there are
    several. Counts of a shard that was started again begin anew.
    """
    found = [each["status"] for each in shards if each["status"]]
    sums = {name: round(sum(status.get(name) or 0 for status in found), 1) for name in _SUMS}
    judged = sums["filed"] + sums["quarantined"]
    failed = {str(each["number"]): str(each["cause"]) for each in shards if each["state"] == "failed"}
    return {
        "state": _state(shards, found),
        "reason": "; ".join(dict.fromkeys(str(status["reason"]) for status in found if status.get("reason"))) or None,
        "pid": os.getpid(),
        "wal_id": None,
        "started_us": started_us,
        "updated_us": now_us,
        "runtime_s": round((now_us - started_us) / 1e6, 3),
        **sums,
        "success_rate": sums["filed"] / judged if judged else None,
        **{
            kind: {name: _most(found, kind, name) for name in ("p50", "p99", "max")}
            for kind in ("latency_us", "sink_latency_us")
        },
        "buffers": {
            "log_queue_bytes": sum(status["buffers"]["log_queue_bytes"] for status in found),
            "lag_records": _sum_by_name(status["buffers"]["lag_records"] for status in found),
            "uncommitted_records": _sum_by_name(status["buffers"]["uncommitted_records"] for status in found),
        },
        "sinks": _sinks(found),
        "connections": {
            f"{each['number']}.{name}": facts
            for each in shards
            for name, facts in (each["status"].get("connections") or {}).items()
        },
        "business_date": max(
            (status["business_date"] for status in found if status.get("business_date")), default=None
        ),
        "disk_low": any(status.get("disk_low") for status in found),
        "trouble": {
            f"{each['number']} {name}": text
            for each in shards
            for name, text in (each["status"].get("trouble") or {}).items()
        },
        "last_error": "; ".join(f"shard {number}: {cause}" for number, cause in failed.items()) or None,
        "coverage": _coverage([status["coverage"] for status in found if status.get("coverage")]),
        "shards": [dict(each) for each in shards],
    }


def _state(shards: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    """The collection runs while one shard does; a shard that waits for its restart is about to."""
    if all(each["state"] in ("ended", "failed") for each in shards):
        return "failed" if any(each["state"] == "failed" for each in shards) else "stopped"
    states = {str(status.get("state")) for status in found}
    for name in ("running", "draining"):
        if name in states:
            return name
    return "starting"


def _most(found: Iterable[Mapping[str, Any]], part: str, name: str) -> float | None:
    values = [status[part].get(name) for status in found if status.get(part)]
    return max((value for value in values if value is not None), default=None)


def _sum_by_name(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _sinks(found: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for status in found:
        for name, counts in status.get("sinks", {}).items():
            total[name] = _sum_by_name([total.get(name, {}), counts])
    return total


def _coverage(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if not parts:
        return {}
    sums: dict[str, Any] = {name: round(sum(part.get(name) or 0 for part in parts), 3) for name in _COVERAGE_SUMS}
    times = [part["expected_times"] for part in parts if part.get("expected_times")]
    sums["expected_times"] = max(times, default=None)
    sums["trouble"] = "; ".join(dict.fromkeys(part["trouble"] for part in parts if part.get("trouble"))) or None
    polls = [part["polls"]["polled"] for part in parts if part.get("polls")]
    for name in ("median_s", "max_s"):
        sums[name] = max((each[name] for each in polls if each[name] is not None), default=None)
    return sums
