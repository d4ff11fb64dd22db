"""What is known at t does not change when later bars are taken away, nor a label when those behind its end are."""

import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "features"))

from panel_parts import midnight, rules_of, sessions

from effort import examples
from hosu.features.adjust import Known, Traded, adjustment
from hosu.features.labels import Reason, labelled_rows
from hosu.features.panel import BarPanel, LabelledRows

KNOWN_AT_T = ("symbol", "t", "price", "band", "half_spread", "value_20", "ret_last")
KNOWN_AT_T1 = ("t0", "t1", "ret_px", "ret_ex", "label", "reason")
MINUTE = 60_000_000


def made(symbols: list[list[tuple[int, int]]], chance: np.random.Generator) -> tuple[BarPanel, np.ndarray]:
    """Bars at these (date, ts), of random walks with halts, jumps and a base that moves now and then; and the bases."""
    starts = np.cumsum([0, *map(len, symbols)]).astype(np.int64)
    when = np.array([row for rows in symbols for row in rows], np.int64).reshape(-1, 2)
    n = len(when)
    steps = np.where(chance.random(n) < 0.02, chance.choice([0.3, -0.5, 0.25], n), chance.normal(0, 0.02, n))
    volume = np.where(chance.random(n) < 0.05, 0, chance.integers(1, 500, n))
    close = np.maximum(np.rint(100 * np.exp(np.cumsum(steps))), 1).astype(np.int64) * 10_000
    last = np.maximum.accumulate(np.where(volume > 0, np.arange(n), 0))
    close = close[last]
    opened = np.where(volume > 0, np.maximum(np.rint(close * (1 + chance.normal(0, 0.01, n))), 100), close)
    opened = opened.astype(np.int64)
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    base = np.where(chance.random(n) < 0.05, close, 0)
    panel = BarPanel(
        tuple(f"S{place:05d}" for place in range(len(symbols))), starts, when[:, 0], when[:, 1],
        opened, high, low, close, volume, np.full(n, np.nan), np.ones(n), np.zeros(n, np.bool_),
    )  # fmt: skip
    return with_factors(panel, base), base


def with_factors(panel: BarPanel, base: np.ndarray) -> BarPanel:
    bars = Traded(panel.starts, panel.date, panel.high, panel.low, panel.close, panel.volume)
    official = np.where(panel.close % 3 == 0, 0, panel.close)
    found = adjustment(bars, Known(base=base, official=official), rules_of(panel))
    columns = {name: getattr(panel, name) for name in BarPanel.__slots__}
    return BarPanel(**{**columns, "factor": found.factor, "masked": found.masked | found.doubtful})


def cut(panel: BarPanel, kept: np.ndarray) -> BarPanel:
    columns = {name: getattr(panel, name)[kept] for name in BarPanel.__slots__ if name not in {"symbols", "starts"}}
    starts = np.concatenate(([0], np.cumsum(kept)))[panel.starts].astype(np.int64)
    return BarPanel(symbols=panel.symbols, starts=starts, **columns)


def check(whole: LabelledRows, part: LabelledRows) -> None:
    """Each row of ``part`` is there in ``whole``; of what had matured label and reason are the same."""
    place = {key: at for at, key in enumerate(zip(whole.symbol.tolist(), whole.t.tolist(), strict=True))}
    at = np.array([place[key] for key in zip(part.symbol.tolist(), part.t.tolist(), strict=True)], np.int64)
    for name in KNOWN_AT_T:
        np.testing.assert_array_equal(getattr(whole, name)[at], getattr(part, name), err_msg=name)
    np.testing.assert_array_equal(whole.features[at], part.features)
    ended = np.flatnonzero(part.reason != Reason.NOT_MATURED)
    for name in KNOWN_AT_T1:
        np.testing.assert_array_equal(getattr(whole, name)[at][ended], getattr(part, name)[ended], err_msg=name)


def test_a_feature_that_knows_tomorrow_is_found() -> None:
    days = sessions(40)
    panel, _ = made([[(day, midnight(day)) for day in days]], np.random.default_rng(1))
    short = cut(panel, panel.date <= days[30])

    whole, part = (
        labelled_rows(bars, np.append(bars.close[1:], 0.0)[:, None], ("tomorrow",), 1) for bars in (panel, short)
    )

    with pytest.raises(AssertionError):
        check(whole, part)


def ended_by(whole: LabelledRows, instant: int) -> int:
    return int((whole.labelled & (whole.t1 <= instant)).sum())


@examples(30)
@given(seed=st.integers(0, 10_000), until=st.integers(10, 59), horizon=st.sampled_from([1, 5]))
def test_days(seed: int, until: int, horizon: int) -> None:
    chance = np.random.default_rng(seed)
    days = sessions(60)
    symbols = [[(day, midnight(day)) for day in days if chance.random() > 0.03] for _ in range(3)]
    panel, base = made(symbols, chance)
    whole = labelled_rows(panel, panel.close[:, None] / 7.0, ("close",), horizon)

    kept = panel.date <= days[until]
    short = with_factors(cut(panel, kept), base[kept])
    part = labelled_rows(short, short.close[:, None] / 7.0, ("close",), horizon)

    check(whole, part)
    assert int(part.labelled.sum()) == ended_by(whole, midnight(days[until], 86_400))


@examples(30)
@given(seed=st.integers(0, 10_000), until=st.integers(25, 600), horizon=st.sampled_from([10, 30]))
def test_minutes(seed: int, until: int, horizon: int) -> None:
    chance = np.random.default_rng(seed)
    days = sessions(3, date(2025, 11, 12))
    starts = [(day, midnight(day, 9 * 3600) + minute * MINUTE) for day in days for minute in range(200, 391)]
    symbols = [[row for row in starts if chance.random() > 0.08] for _ in range(2)]
    panel, base = made(symbols, chance)
    whole = labelled_rows(panel, panel.close[:, None] / 7.0, ("close",), horizon, interval="minute")
    instant = starts[min(until, len(starts) - 1)][1]

    kept = panel.ts <= instant
    short = with_factors(cut(panel, kept), base[kept])
    part = labelled_rows(short, short.close[:, None] / 7.0, ("close",), horizon, interval="minute")

    check(whole, part)
    # A bar starts before its first trade can be entered at, so what ends in the last bar is there already.
    assert ended_by(whole, instant) <= int(part.labelled.sum()) <= ended_by(whole, instant + MINUTE)
