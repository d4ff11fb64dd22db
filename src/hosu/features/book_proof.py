"""Proof that no feature of the order book looks ahead: what came later is cut off, and nothing before changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError
from hosu.features import book_kernel as kernel
from hosu.features.book_build import fingerprints, seconds_of
from hosu.features.proofs import Difference, Lookahead
from hosu.lake.sql import SqlConfig, query_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from hosu.features.definitions import FeatureSet
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Made = tuple[list[tuple[str, str]], Ints, Floats]

_NAMED: Final = 5
_RECEIVED: Final = "SELECT epoch_us(min(ts_recv)) AS first, epoch_us(max(ts_recv)) AS last FROM rows"


def lookahead(
    lake: Lake,
    sets: Sequence[FeatureSet],
    *,
    cuts: int = 10,
    seed: int = 1,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
    seconds: Callable[..., Made] = seconds_of,
) -> Lookahead:
    """Computes random dates again as if nothing had been received after a random instant, and compares bit for bit.

    The last second before a cut was not yet closed, and is not compared.

    Args:
        lake: whose quotes and trades.
        sets: whose features are compared.
        cuts: how many.
        seed: of the draw.
        config: what DuckDB may take.
        progress: told each date.
        seconds: makes a date's seconds, of what was received before ``until_us``.

    Raises:
        InputError: the lake has no quotes.
    """
    result, whole, at = Lookahead(), None, ""
    for date, cut in _drawn(lake, sets, cuts, seed, config or SqlConfig()):
        if progress is not None:
            progress(date)
        if date != at:
            whole, at = _Day(seconds(lake, date, config=config), sets, date), date
        assert whole is not None
        result.cuts.append(cut)
        whole.compare(result, _Day(seconds(lake, date, until_us=cut, config=config), sets, date))
    return result


def _drawn(
    lake: Lake, sets: Sequence[FeatureSet], cuts: int, seed: int, config: SqlConfig
) -> Iterator[tuple[str, int]]:
    """(date, instant in UTC microseconds), by date: an instant between the date's first quote and its last."""
    dates, quotes = list(fingerprints(lake, sets)), lake.find("quotes")
    if quotes is None or not dates:
        raise InputError("order books", "are not in this lake", "collect a day with `hosu collect`")
    chance = np.random.default_rng(seed)
    for date in sorted(chance.choice(dates, cuts).tolist()):
        (span,) = query_files(lake.storage, quotes, quotes.files(date), _RECEIVED, config=config)
        yield date, int(chance.integers(span["first"], span["last"] + 1))


@dataclass(frozen=True, slots=True)
class _Part:
    """One series: its seconds, what else their rows hold, and by name its features."""

    rows: Ints
    columns: dict[str, Floats]


class _Day:
    def __init__(self, made: Made, sets: Sequence[FeatureSet], date: str) -> None:
        names, rows, outputs = made
        self._date = int(date.replace("-", ""))
        both = rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK]
        columns = {
            f"{each.name}.{name}": column
            for each in sets
            for name, column in zip(each.features, each.make(outputs, both / 200.0).T, strict=True)
        }
        starts = np.searchsorted(rows[:, kernel.ROW_SERIES], np.arange(len(names) + 1)).tolist()
        self._parts = {
            name: _Part(rows[first:end, 1:], {key: column[first:end] for key, column in columns.items()})
            for name, first, end in zip(names, starts[:-1], starts[1:], strict=True)
        }

    def compare(self, result: Lookahead, cut: _Day) -> None:
        """Adds to the result where a day that was cut off differs from this one, but for each series' last second."""
        for (symbol, scope), past in cut._parts.items():
            closed = len(past.rows) - 1
            mine = self._parts.get((symbol, scope))
            if mine is None or len(mine.rows) < closed or (mine.rows[:closed] != past.rows[:closed]).any():
                result.differing["seconds"] = result.differing.get("seconds", 0) + 1
                continue
            for key, column in past.columns.items():
                result.compared += closed
                before, now = mine.columns[key][:closed], column[:closed]
                differs = _differing(before, now)
                if differs:
                    result.differing[key] = result.differing.get(key, 0) + len(differs)
                for at in differs[: max(0, _NAMED - len(result.examples))]:
                    ts_us = int(mine.rows[at, kernel.ROW_SECOND - 1]) * 1_000_000
                    values = float(before[at]), float(now[at])
                    result.examples.append(Difference(key, symbol, self._date, ts_us, *values))


def _differing(whole: Floats, cut: Floats) -> list[int]:
    """Where the bits differ; null is null, whatever its bits."""
    ours, theirs = (np.ascontiguousarray(each).view(np.int64) for each in (whole, cut))
    found: list[int] = np.flatnonzero((ours != theirs) & ~(np.isnan(whole) & np.isnan(cut))).tolist()
    return found
