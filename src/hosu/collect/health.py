"""Is it alive, is it ready, and if not, why: one judgement of a collector's status, for monitors and people.

*Alive* means that its parts move; what is not alive is worth a restart. *Ready* means that it does its work: it
receives while the market trades, and keeps what it receives. Waiting for the next session is ready, too; a market that
is silent because the broker cannot be reached is not, and no restart would help. Warnings make nothing unready.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.collect.disk import DiskReport

FRAME_AGE_S: Final = 120.0
"""So long nothing may come while the market trades without a pause; liquid symbols trade every second."""
_CLOCK_OFF_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known beside the status.

    ``open_for_s`` is since when the market trades continuously, None while it does not or nobody knows;
    ``frame_age_s`` how old the last market data is, None before the first. ``stage`` is what the process does where
    it is not collecting, such as waiting or building bars. ``clock_off_s`` is how far the system's clock has been set
    ahead since the collector took its time from it.
    """

    now_us: int
    standing: Sequence[str] = ()
    stage: str | None = None
    waits: bool = False
    open_for_s: float | None = None
    frame_age_s: float | None = None
    disk: DiskReport | None = None
    clock_off_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Health:
    """The judgement; ``problems`` are why it is not alive or not ready, ``sentence`` says all of it in one line."""

    alive: bool
    ready: bool
    state: str
    sentence: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON, the facts beside the judgement."""
        return {
            "alive": self.alive,
            "ready": self.ready,
            "state": self.state,
            "sentence": self.sentence,
            "problems": list(self.problems),
            "warnings": list(self.warnings),
            **self.facts,
        }


def judge(status: Mapping[str, Any], outlook: Outlook) -> Health:
    """The health of a collector with this status (empty before there was one)."""
    state = outlook.stage or str(status.get("state") or "starting")
    problems = [*outlook.standing, *(() if outlook.stage else _unready(status, outlook))]
    if outlook.stage and not outlook.waits:
        problems.append(f"it does not collect: {outlook.stage}")
    warnings = _warnings(status, outlook)
    facts = facts_of(status, outlook)
    ready = not problems
    said = _doing(state, facts) if ready else "; ".join(problems)
    sentence = f"{said}; but {'; '.join(warnings)}" if warnings else said
    return Health(not outlook.standing, ready, state, sentence, tuple(problems), tuple(warnings), facts)


def _unready(status: Mapping[str, Any], outlook: Outlook) -> list[str]:
    state = status.get("state") or "starting"
    if state != "running":
        reason = status.get("last_error") or status.get("reason")
        return [f"it is {state}" + (f" ({reason})" if reason else "")]
    found = [f"shard {each['number']} has failed" for each in _shards(status) if each.get("state") == "failed"]
    silence = _silence(status, outlook)
    if silence:
        found.append(silence)
    if status.get("disk_low"):
        found.append("the disk is nearly full, and the lake is held back")
    return found


def _silence(status: Mapping[str, Any], outlook: Outlook) -> str | None:
    """What is wrong with the stream while the market trades. Who only polls has none."""
    open_s, age_s = outlook.open_for_s, outlook.frame_age_s
    if open_s is None or open_s < FRAME_AGE_S or (status.get("coverage") or {}).get("streamed") == 0:
        return None
    if age_s is not None and age_s < FRAME_AGE_S:
        return None
    since = "yet" if age_s is None else f"for {age_s:,.0f} s"
    connected = "" if status.get("connections") else ", and no connection stands"
    return f"no market data {since}, though the market trades{connected}"


def _warnings(status: Mapping[str, Any], outlook: Outlook) -> list[str]:
    found = [f"{part}: {text}" for part, text in (status.get("trouble") or {}).items()]
    found += [
        f"shard {each['number']} starts again" for each in _shards(status) if each.get("state") in ("waiting", "died")
    ]
    found += outlook.disk.warnings.values() if outlook.disk is not None else ()
    if abs(outlook.clock_off_s) > _CLOCK_OFF_S:
        found.append(f"the system's clock was set by {outlook.clock_off_s:+,.0f} s since the start")
    return found


def facts_of(status: Mapping[str, Any], outlook: Outlook) -> dict[str, Any]:
    """The figures behind a judgement, by name; None is what is not known."""
    buffers = status.get("buffers") or {}
    return {
        "updated_us": outlook.now_us,
        "market_open_s": _rounded(outlook.open_for_s),
        "last_frame_age_s": _rounded(outlook.frame_age_s),
        "records": status.get("records", 0),
        "connections": len(status.get("connections") or {}),
        "reconnects": status.get("reconnects", 0),
        "lag_records": buffers.get("lag_records", {}),
        "uncommitted_records": buffers.get("uncommitted_records", {}),
        "log_queue_bytes": buffers.get("log_queue_bytes", 0),
        "open_gaps": _open_gaps(status),
        "disk": outlook.disk.as_json() if outlook.disk is not None else None,
        "clock_off_s": _rounded(outlook.clock_off_s),
    }


def _open_gaps(status: Mapping[str, Any]) -> int | None:
    """Holes that the ledger knows of now, over all shards; None where no ledger runs."""
    parts = [status, *(shard.get("status") or {} for shard in _shards(status))]
    counts = [part["ledger"]["open_gaps"] for part in parts if part.get("ledger")]
    return sum(counts) if counts else None


def _shards(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return status.get("shards") or ()


def _doing(state: str, facts: Mapping[str, Any]) -> str:
    if state != "running":
        return state
    age = facts["last_frame_age_s"]
    frame = "no market data yet" if age is None else f"the last market data {age:,.0f} s ago"
    behind = max(facts["lag_records"].values(), default=0)
    gaps = "" if facts["open_gaps"] is None else f", {facts['open_gaps']:,} gaps open"
    return f"collecting: {facts['records']:,} records, {frame}, {behind:,} records behind the log{gaps}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
