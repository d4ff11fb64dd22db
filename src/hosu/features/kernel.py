"""The one kernel: a compiled ``step`` takes a bar into a symbol's state and gives its indicators.

Stream and batch call the same ``step``, so they cannot differ. Windows of prices and volumes are int64 and their sums
exact; what is summed as float64 is summed oldest first, so that a value over a finite window has the same bits from
whatever bar the state was begun.

A state is one row of ``ints`` (``INTS`` wide) and one of ``floats`` (``FLOATS`` wide), all zero before the first bar.
The layout below is stored with every state: whoever changes it, or any formula, raises ``VERSION``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

VERSION: Final = 1
"""Of formulas and state; a state of another version is not resumed."""

# The outputs, by place.
MA_20: Final = 0
MA_50: Final = 1
RSI: Final = 2
MACD: Final = 3
MACD_SIGNAL: Final = 4
BOLLINGER_UPPER: Final = 5
BOLLINGER_LOWER: Final = 6
BOLLINGER_POSITION: Final = 7
VOLUME_MA: Final = 8
VOLUME_MA_RATIO: Final = 9
PRICE_CHANGE: Final = 10
PRICE_CHANGE_PCT: Final = 11
VOLATILITY: Final = 12
OUTPUTS: Final = 13

# ints
_COUNT: Final = 0  # bars since the state was begun
_RETURNS: Final = 1  # returns since then
_SUM_20: Final = 2
_SUM_50: Final = 3
_VOLUME_SUM: Final = 4
_CLOSES: Final = 5  # the last 50, a ring
_VOLUMES: Final = 55  # the last 20, a ring
INTS: Final = 75

# floats
_GAIN: Final = 0
_LOSS: Final = 1
_FAST: Final = 2
_SLOW: Final = 3
_SIGNAL: Final = 4
_CHANGES: Final = 5  # the last 20 returns, a ring
FLOATS: Final = 25

_LONG: Final = 50
_SHORT: Final = 20
_RSI: Final = 14
_FAST_N: Final = 12
_SLOW_N: Final = 26
_SIGNAL_N: Final = 9
_FIRST_SIGNAL: Final = _SLOW_N + _SIGNAL_N - 1


@njit
def _rescale(ints, floats, factor):  # type: ignore[no-untyped-def]
    """Brings what is remembered to the level of prices after a corporate action."""
    for at in range(min(ints[_COUNT], _LONG)):
        ints[_CLOSES + at] = max(1, np.int64(np.rint(ints[_CLOSES + at] * factor)))
    for at in range(min(ints[_COUNT], _SHORT)):
        ints[_VOLUMES + at] = np.int64(np.rint(ints[_VOLUMES + at] / factor))
    ints[_SUM_20], ints[_SUM_50], ints[_VOLUME_SUM] = 0, 0, 0
    for back in range(min(ints[_COUNT], _LONG)):
        close = ints[_CLOSES + (ints[_COUNT] - 1 - back) % _LONG]
        ints[_SUM_50] += close
        if back < _SHORT:
            ints[_SUM_20] += close
            ints[_VOLUME_SUM] += ints[_VOLUMES + (ints[_COUNT] - 1 - back) % _SHORT]
    for at in (_GAIN, _LOSS, _FAST, _SLOW, _SIGNAL):
        floats[at] *= factor


@njit
def _mean_of_last(ints, bars):  # type: ignore[no-untyped-def]
    total = np.int64(0)
    for back in range(bars):
        total += ints[_CLOSES + (ints[_COUNT] - 1 - back) % _LONG]
    return total / (100.0 * bars)


@njit
def _averages(ints, close, volume, out):  # type: ignore[no-untyped-def]
    """Moving averages; the bar goes into the rings."""
    seen = ints[_COUNT]
    at_50, at_20 = _CLOSES + seen % _LONG, _VOLUMES + seen % _SHORT
    if seen >= _LONG:
        ints[_SUM_50] -= ints[at_50]
    if seen >= _SHORT:
        ints[_SUM_20] -= ints[_CLOSES + (seen - _SHORT) % _LONG]
        ints[_VOLUME_SUM] -= ints[at_20]
    ints[at_50], ints[at_20] = close, volume
    ints[_SUM_50] += close
    ints[_SUM_20] += close
    ints[_VOLUME_SUM] += volume
    ints[_COUNT] = seen + 1
    if seen + 1 >= _LONG:
        out[MA_50] = ints[_SUM_50] / (100.0 * _LONG)
    if seen + 1 >= _SHORT:
        out[MA_20] = ints[_SUM_20] / (100.0 * _SHORT)
        out[VOLUME_MA] = ints[_VOLUME_SUM] / float(_SHORT)
        if ints[_VOLUME_SUM] > 0:
            out[VOLUME_MA_RATIO] = volume * float(_SHORT) / ints[_VOLUME_SUM]


@njit
def _bollinger(ints, close, out):  # type: ignore[no-untyped-def]
    seen, total = ints[_COUNT], ints[_SUM_20]
    if seen < _SHORT:
        return
    squares = 0.0
    for back in range(_SHORT - 1, -1, -1):
        off = float(_SHORT * ints[_CLOSES + (seen - 1 - back) % _LONG] - total)  # exact: twenty times the deviation
        squares += off * off
    deviation = np.sqrt(squares / _SHORT) / (100.0 * _SHORT)
    middle = total / (100.0 * _SHORT)
    out[BOLLINGER_UPPER] = middle + 2.0 * deviation
    out[BOLLINGER_LOWER] = middle - 2.0 * deviation
    # Without any deviation the bands are one line, and the price lies on it.
    out[BOLLINGER_POSITION] = 0.5 if squares == 0.0 else 0.5 + (close / 100.0 - middle) / (4.0 * deviation)


@njit
def _rsi(ints, floats, change, out):  # type: ignore[no-untyped-def]
    """Wilder's, begun with the plain mean of the first 14 changes."""
    seen = ints[_RETURNS]
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if seen <= _RSI:
        floats[_GAIN] += gain / _RSI
        floats[_LOSS] += loss / _RSI
    else:
        floats[_GAIN] = (floats[_GAIN] * (_RSI - 1) + gain) / _RSI
        floats[_LOSS] = (floats[_LOSS] * (_RSI - 1) + loss) / _RSI
    if seen >= _RSI:
        both = floats[_GAIN] + floats[_LOSS]
        out[RSI] = 50.0 if both == 0.0 else 100.0 * floats[_GAIN] / both


@njit
def _macd(ints, floats, close, out):  # type: ignore[no-untyped-def]
    """Both averages begin at bar 26, with the plain means of the 12 and 26 closes up to it, as in TA-Lib."""
    seen, price = ints[_COUNT], close / 100.0
    if seen < _SLOW_N:
        return
    if seen == _SLOW_N:
        floats[_FAST], floats[_SLOW] = _mean_of_last(ints, _FAST_N), _mean_of_last(ints, _SLOW_N)
    else:
        floats[_FAST] += (price - floats[_FAST]) * (2.0 / (_FAST_N + 1))
        floats[_SLOW] += (price - floats[_SLOW]) * (2.0 / (_SLOW_N + 1))
    macd = floats[_FAST] - floats[_SLOW]
    out[MACD] = macd
    if seen <= _FIRST_SIGNAL:
        floats[_SIGNAL] += macd / _SIGNAL_N
    else:
        floats[_SIGNAL] += (macd - floats[_SIGNAL]) * (2.0 / (_SIGNAL_N + 1))
    if seen >= _FIRST_SIGNAL:
        out[MACD_SIGNAL] = floats[_SIGNAL]


@njit
def _volatility(ints, floats, out):  # type: ignore[no-untyped-def]
    """The sample deviation (n - 1) of the last 20 returns."""
    seen = ints[_RETURNS]
    if seen < _SHORT:
        return
    mean = 0.0
    for back in range(_SHORT - 1, -1, -1):
        mean += floats[_CHANGES + (seen - 1 - back) % _SHORT]
    mean /= _SHORT
    squares = 0.0
    for back in range(_SHORT - 1, -1, -1):
        off = floats[_CHANGES + (seen - 1 - back) % _SHORT] - mean
        squares += off * off
    out[VOLATILITY] = np.sqrt(squares / (_SHORT - 1))


@njit
def step(ints, floats, close, volume, factor, masked, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Takes one bar into one symbol's state and writes its indicators; NaN is null.

    Args:
        ints, floats: the symbol's state; updated.
        close: hundredths of a won, above 0; a bar without a trade repeats the last.
        volume: shares.
        factor: what earlier prices are multiplied with from this bar on; 1.0 but at a corporate action.
        masked: the move to this bar has no explanation: the state is begun anew with it.
        out: (OUTPUTS,); overwritten.
    """
    out[:] = np.nan
    if masked:
        ints[:] = 0
        floats[:] = 0.0
    elif factor != 1.0:
        _rescale(ints, floats, factor)
    seen = ints[_COUNT]
    before = ints[_CLOSES + (seen - 1) % _LONG]
    _averages(ints, close, volume, out)
    _bollinger(ints, close, out)
    _macd(ints, floats, close, out)
    if seen == 0:
        return
    change = (close - before) / 100.0
    out[PRICE_CHANGE] = change
    out[PRICE_CHANGE_PCT] = close / before - 1.0
    floats[_CHANGES + ints[_RETURNS] % _SHORT] = out[PRICE_CHANGE_PCT]
    ints[_RETURNS] += 1
    _rsi(ints, floats, change, out)
    _volatility(ints, floats, out)


@njit(
    "void(int64[:,::1], float64[:,::1], int64[::1], int64[::1], int64[::1], float64[::1], boolean[::1], "
    "float64[:,::1])",
    cache=True,
    nogil=True,
)
def step_symbols(ints, floats, symbol, close, volume, factor, masked, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """``step`` for one bar each of several symbols, or several bars in order of time: row i is of state symbol[i]."""
    for row in range(len(symbol)):
        at = symbol[row]
        step(ints[at], floats[at], close[row], volume[row], factor[row], masked[row], out[row])


@njit(
    "void(int64[:,::1], float64[:,::1], int64[::1], int64, int64, int64[::1], int64[::1], float64[::1], boolean[::1], "
    "float64[:,::1])",
    cache=True,
    nogil=True,
)
def step_panel(ints, floats, starts, first, end, close, volume, factor, masked, out):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """``step`` over all bars of symbols ``first`` to ``end``, one symbol after the other; see ``panel.BarPanel``."""
    for at in range(first, end):
        for row in range(starts[at], starts[at + 1]):
            step(ints[at], floats[at], close[row], volume[row], factor[row], masked[row], out[row])


def last_closes(ints: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n,) the last close in each of n states, hundredths of a won; 0 before the first bar.

    Args:
        ints: (n, INTS).
    """
    counts = ints[:, _COUNT]
    places = _CLOSES + (counts - 1) % _LONG
    closes: npt.NDArray[np.int64] = np.take_along_axis(ints, places[:, None], axis=1)[:, 0]
    return np.where(counts > 0, closes, 0)
