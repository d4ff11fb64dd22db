"""How served models have done: per version, and per day, with intervals over sessions, beside the prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import ModelError
from hosu.models import bootstrap
from hosu.models.bootstrap import Interval
from hosu.models.matured import matured
from hosu.models.money import money
from hosu.models.registry import HORIZONS, PRIOR
from hosu.models.scores import MIN_SYMBOLS, brier, mean_by, rank_ic
from hosu.models.serve_facts import SERVE, read_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import Floats
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.models.matured import Matured
    from hosu.models.registry import Registry

FIGURES: Final = ("ic", "brier", "brier_over_prior", "net", "net_over_market")


@dataclass(frozen=True, slots=True)
class Day:
    """One session of one version.

    Attributes:
        date: of the decisions, ``YYYY-MM-DD``.
        rows, answered: labelled predictions, and those it did not abstain from.
        figures: by name as in ``Record``; NaN where there is none.
    """

    date: str
    rows: int
    answered: int
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Record:
    """How one version has done.

    Attributes:
        model, version: which; 0 is the prior.
        days: in order of time.
        figures: means over sessions with their one-sided bounds, which are NaN of a single session; None where no
            session has one. ``ic``: rank correlation of score and ``ret_ex``, the prior's being 0. ``brier``: of the
            three probabilities, where it answered. ``brier_over_prior``: minus the prior's on the same rows; below 0 is
            better. ``net``: return of the top tenth after cost. ``net_over_market``: minus the universe's, what the
            prior earns, who holds all alike and trades nothing.
    """

    model: str
    version: int
    days: tuple[Day, ...]
    figures: dict[str, Interval | None]


def records(
    lake: Lake,
    registry: Registry,
    models: Sequence[str] = tuple(HORIZONS),
    *,
    min_symbols: int = MIN_SYMBOLS,
    config: SqlConfig | None = None,
) -> list[Record]:
    """How every version with matured predictions has done, by model and number.

    Args:
        lake: whose journal.
        registry: of the same lake; knows the base rates.
        models: which.
        min_symbols: a cross-section of fewer gives no figure.
        config: what DuckDB may take.

    Raises:
        TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
        NotInstalledError: ``arch`` is missing.
    """
    return [record for model in models for record in _of_model(lake, registry, model, min_symbols, config)]


def _of_model(lake: Lake, registry: Registry, model: str, least: int, config: SqlConfig | None) -> list[Record]:
    prior: dict[int, Floats] = {}
    days: dict[int, list[Day]] = {}
    for versions in matured(lake, model, config):
        for each in versions:
            if each.version not in prior:
                prior[each.version] = _base_rates(registry, model, each.version)
            days.setdefault(each.version, []).extend(days_of(each, prior[each.version], least))
    return [record_of(model, version, days[version]) for version in sorted(days)]


def _base_rates(registry: Registry, model: str, version: int) -> Floats:
    """(3,) the prior of a version; NaN of version 0, which has no files, and of one whose files are damaged."""
    try:
        return np.array(read_facts(registry.load(model, version).get(SERVE, b"")).prior)
    except ModelError:
        return np.full(3, np.nan)


def record_of(model: str, version: int, days: Sequence[Day]) -> Record:
    """How one version has done on these days, in order of time."""
    horizon = HORIZONS[model][1] if HORIZONS[model][0] == "day" else 1
    series = {name: np.array([day.figures[name] for day in days]) for name in FIGURES}
    intervals = {name: _interval(values, horizon) for name, values in series.items()}
    return Record(model, version, tuple(days), intervals)


def days_of(each: Matured, prior: Floats, min_symbols: int = MIN_SYMBOLS) -> list[Day]:
    """How one version has done on each day.

    Args:
        each: its matured predictions.
        prior: (3,) base rates; version 0 is compared with itself, since its rates may have been counted later.
        min_symbols: a cross-section of fewer gives no figure.
    """
    rows, sessions = each.rows, len(each.rows.sessions)
    missed = np.where(each.answered, brier(each.probabilities, rows.label), np.nan)
    said = each.probabilities if each.version == PRIOR else np.tile(prior, (len(rows), 1))
    base = np.where(each.answered, brier(said, rows.label), np.nan)
    earned = money(rows, each.score, 1, min_symbols=min_symbols)  # of whole holdings, however long they last
    series = {
        "ic": rank_ic(each.score, rows.ret_ex, t=rows.t, session=rows.session, count=sessions, min_symbols=min_symbols),
        "brier": mean_by(rows.session, missed, sessions),
        "brier_over_prior": mean_by(rows.session, missed - base, sessions),
        "net": earned.absolute,
        "net_over_market": earned.excess,
    }
    return _days(each, series)


def _interval(series: Floats, horizon: int) -> Interval | None:
    known = series[np.isfinite(series)]
    if len(known) > 1:
        return bootstrap.of_mean(series, horizon=horizon)
    nan = float("nan")
    return Interval(float(known[0]), nan, nan, nan, nan, nan, 1) if len(known) else None


def _days(each: Matured, series: dict[str, Floats]) -> list[Day]:
    rows, sessions = each.rows, len(each.rows.sessions)
    count = np.bincount(rows.session, minlength=sessions)
    answered = np.bincount(rows.session, each.answered, minlength=sessions).astype(np.int64)
    return [
        Day(rows.sessions[at], int(count[at]), int(answered[at]), {name: float(v[at]) for name, v in series.items()})
        for at in np.flatnonzero(count).tolist()
    ]


def as_rows(found: Sequence[Record]) -> list[dict[str, object]]:
    """One row a version, for printing: the figures with their lower and upper bounds."""
    out = []
    for each in found:
        row: dict[str, object] = {"model": each.model, "version": each.version, "sessions": len(each.days)}
        row["predictions"] = sum(day.rows for day in each.days)
        row["answered"] = sum(day.answered for day in each.days)
        for name, interval in each.figures.items():
            row[name] = None if interval is None else _short(interval.value)
            row[f"{name}_95"] = _bounds(interval)
        out.append(row)
    return out


def _bounds(interval: Interval | None) -> str | None:
    if interval is None or not np.isfinite(interval.lower):
        return None
    return f"{_short(interval.lower)} .. {_short(interval.upper)}"


def _short(value: float) -> float:
    return round(value, 5)
