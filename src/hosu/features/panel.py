"""Bars of many symbols, and labelled rows, as arrays: what kernel, labels and models pass to each other."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]


_WHOLE = frozenset({"symbols", "starts"})


@dataclass(frozen=True, slots=True)
class BarPanel:
    """Bars of one interval, symbol after symbol, each symbol's in order of time; ``n`` rows.

    Attributes:
        symbols: each once, ascending.
        starts: (symbols + 1,); the rows of symbol ``i`` are ``starts[i] <= row < starts[i + 1]``.
        date: (n,) business date, yyyymmdd.
        ts: (n,) start of the bar, UTC microseconds; of a day midnight in Seoul.
        open, high, low, close: (n,) hundredths of a won, as traded. Without a trade all four are the last close.
        volume: (n,) shares; 0 without a trade.
        value: (n,) won; NaN unknown.
        factor: (n,) what earlier prices are multiplied with from this bar on (a split of one into five: 0.2; then
            earlier volumes are multiplied with 5); 1.0 nearly everywhere.
        masked: (n,) whether the move to this bar has no explanation (beyond the day's limit without a known event):
            no return over it means anything.
    """

    symbols: tuple[str, ...]
    starts: Ints
    date: Ints
    ts: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    value: Floats
    factor: Floats
    masked: Flags

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def symbol(self) -> Ints:
        """(n,) the place of each row's symbol in ``symbols``."""
        return np.repeat(np.arange(len(self.symbols)), np.diff(self.starts))


def select(bars: BarPanel, mask: Flags) -> BarPanel:
    """The bars where ``mask`` holds, in the same order; symbols without one stay, with no rows."""
    kept = np.concatenate([[0], np.cumsum(mask)])
    columns = {each.name: getattr(bars, each.name)[mask] for each in fields(bars) if each.name not in _WHOLE}
    return BarPanel(symbols=bars.symbols, starts=kept[bars.starts].astype(np.int64), **columns)


def keys(panel: BarPanel) -> npt.NDArray[np.void]:
    """One comparable key a bar, ascending: symbol and time."""
    kind = np.dtype([("symbol", "U12"), ("ts", np.int64)])
    keys = np.empty(len(panel), kind)
    keys["symbol"], keys["ts"] = np.array(panel.symbols, "U12")[panel.symbol], panel.ts
    return keys


def rows_at(panel: BarPanel, symbol: Ints, ts: Ints) -> Ints:
    """(m,) the rows of the bars of these symbols (places in ``panel.symbols``) that start then; -1 without one."""
    if not len(panel) or not len(ts):
        return np.full(len(ts), -1, np.int64)
    first, last = int(min(panel.ts.min(), ts.min())), int(max(panel.ts.max(), ts.max()))
    width = last - first + 1
    ours, wanted = panel.symbol * width + panel.ts - first, symbol * width + ts - first
    at = np.minimum(np.searchsorted(ours, wanted), len(ours) - 1)
    return np.where(ours[at] == wanted, at, -1)


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """What a model learns from and is judged by: one row a symbol and decision, in order of (t, symbol); ``n`` rows.

    Attributes:
        symbols: each once, ascending.
        sessions: every session of the span, ``YYYY-MM-DD``, ascending.
        names: of the features, in order.
        symbol: (n,) place in ``symbols``.
        session: (n,) place in ``sessions`` of the decision.
        t: (n,) when it is decided, UTC microseconds.
        t0, t1: (n,) the label's interval, entry and exit; 0 without a label.
        t1_session: (n,) place in ``sessions`` of t1; -1 without a label.
        features: (n, k); NaN is null.
        price: (n,) P(t) in won.
        ret_px: (n,) P(t1) / P(t) - 1; NaN without a label.
        ret_ex: (n,) the return that could be had, exit over entry - 1, before cost; NaN without a label.
        band: (n,) |ret_ex| up to this is a small move.
        label: (n,) int8: +1 if ret_ex > band, -1 if ret_ex < -band, else 0; 0 also without a label.
        reason: (n,) uint8: why there is no label (``features.labels.Reason``); 0 where there is one.
        weight: (n,) uniqueness, in (0, 1]; 0 without a label.
        half_spread: (n,) half the spread as a share of the price, one side.
        value_20: (n,) median value of the last 20 days in won, known at t; NaN unknown.
        ret_last: (n,) return of the last bar, known at t; NaN unknown.
    """

    symbols: tuple[str, ...]
    sessions: tuple[str, ...]
    names: tuple[str, ...]
    symbol: npt.NDArray[np.int32]
    session: npt.NDArray[np.int32]
    t: Ints
    t0: Ints
    t1: Ints
    t1_session: npt.NDArray[np.int32]
    features: Floats
    price: Floats
    ret_px: Floats
    ret_ex: Floats
    band: Floats
    label: npt.NDArray[np.int8]
    reason: npt.NDArray[np.uint8]
    weight: Floats
    half_spread: Floats
    value_20: Floats
    ret_last: Floats

    def __len__(self) -> int:
        return len(self.t)

    @property
    def labelled(self) -> Flags:
        """(n,) whether the row has a label."""
        return np.equal(self.reason, 0)

    def where(self, mask: Flags) -> LabelledRows:
        """The rows where ``mask`` holds, in the same order."""
        whole = ("symbols", "sessions", "names")
        kept = {f.name: getattr(self, f.name) if f.name in whole else getattr(self, f.name)[mask] for f in fields(self)}
        return LabelledRows(**kept)
