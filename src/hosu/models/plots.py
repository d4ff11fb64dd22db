"""Small plots as SVG text, for a page that needs nothing from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import Floats

WIDTH: Final = 460
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 12, 10, 30
_TICKS, _DATES = 5, 4
_CLOSE: Final = 1e-9  # of a step: the ends of a span are binary, its ticks decimal
COLOURS: Final = ("#1b6ca8", "#c0392b", "#7f8c8d", "#27ae60")


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its name in the legend, and its points; NaN breaks it. ``dots`` marks each point."""

    name: str
    x: Floats
    y: Floats
    dots: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float

    def at(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)


def _scale(values: Floats, begin: float, end: float) -> _Scale:
    kept = values[np.isfinite(values)]
    low, high = (float(kept.min()), float(kept.max())) if len(kept) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return _Scale(low, high, begin, end)


def lines(curves: Sequence[Line], *, x_name: str, y_name: str, percent: bool = False, names: Sequence[str] = ()) -> str:
    """Curves over one pair of axes.

    Args:
        curves: at least one; the legend is in their order.
        x_name: what the lower axis is.
        y_name: what the left one is.
        percent: the left axis counts in hundredths, and the lower one too where it has no ``names``.
        names: of the places 0, 1, 2 and so on along the lower axis, as dates; none: they are numbers.
    """
    x = _scale(np.concatenate([curve.x for curve in curves]), _LEFT, WIDTH - _RIGHT)
    y = _scale(np.concatenate([curve.y for curve in curves]), HEIGHT - _BOTTOM, _TOP)
    up = [(at, _number(at, percent=percent)) for at in ticks(y.low, y.high, _TICKS)]
    along = [(at, _number(at, percent=percent)) for at in ticks(x.low, x.high, _TICKS)]
    if names:
        along = [(at, names[int(at)]) for at in ticks(x.low, x.high, _DATES) if at == int(at)]
    parts = [_axes(y, x_name, y_name), *_marks(x, along, y, up)]
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(curves))]
    parts += [_curve(curve, x, y, colour) for curve, colour in zip(curves, colours, strict=True)]
    parts += [_legend(curve.name, number, colours[number]) for number, curve in enumerate(curves)]
    return _svg(parts)


def _number(value: float, *, percent: bool) -> str:
    return f"{value * 100:g}%" if percent else f"{value:g}"


def ticks(low: float, high: float, about: int) -> list[float]:
    """The round numbers within a span, some ``about`` of them: 1, 2 or 5 times a power of ten apart."""
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = int(np.ceil(low / step - _CLOSE)), int(np.floor(high / step + _CLOSE))
    return [number * step for number in range(first, last + 1)]


def _curve(curve: Line, x: _Scale, y: _Scale, colour: str) -> str:
    known = np.isfinite(curve.y)
    points = [(x.at(a), y.at(b)) for a, b in zip(curve.x[known], curve.y[known], strict=True)]
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.6" fill="{colour}"/>' for a, b in points)
    return line + (dots if curve.dots else "")


def _legend(name: str, number: int, colour: str) -> str:
    down = _TOP + 12 + 14 * number
    halo = 'paint-order="stroke" stroke="#fff" stroke-width="3"'  # it stays readable over a curve
    return f'<text x="{_LEFT + 8}" y="{down}" fill="{colour}" {halo}>{escape(name)}</text>'


def _axes(y: _Scale, x_name: str, y_name: str) -> str:
    frame = f'<path d="M{_LEFT},{_TOP}V{HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}" fill="none" stroke="#999"/>'
    zero = ""
    if y.low < 0 < y.high:
        zero = f'<path d="M{_LEFT},{y.at(0):.1f}H{WIDTH - _RIGHT}" stroke="#bbb" stroke-dasharray="3,3"/>'
    below = f'<text x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>'
    beside = (
        f'<text x="12" y="{HEIGHT / 2}" text-anchor="middle" '
        f'transform="rotate(-90 12 {HEIGHT / 2})">{escape(y_name)}</text>'
    )
    return frame + zero + below + beside


def _marks(x: _Scale, along: Sequence[tuple[float, str]], y: _Scale, up: Sequence[tuple[float, str]]) -> list[str]:
    floor = HEIGHT - _BOTTOM
    left = [
        f'<path d="M{_LEFT},{y.at(at):.1f}h-3" stroke="#999"/>'
        f'<text x="{_LEFT - 5}" y="{y.at(at) + 4:.1f}" text-anchor="end">{escape(name)}</text>'
        for at, name in up
    ]
    lower = [
        f'<path d="M{x.at(at):.1f},{floor}v3" stroke="#999"/>'
        f'<text x="{x.at(at):.1f}" y="{floor + 13}" text-anchor="middle">{escape(name)}</text>'
        for at, name in along
    ]
    return left + lower


def bars(names: Sequence[str], values: Sequence[float] | Floats) -> str:
    """One bar a name, lying, each with its value behind it; a negative one is drawn to the left of 0."""
    x = _scale(np.array([0.0, *values]), 140, WIDTH - 60)
    step = (HEIGHT - 20) / max(len(names), 1)
    parts = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        middle = 10 + step * (number + 0.5)
        left, right = sorted((x.at(0), x.at(value)))
        colour = COLOURS[0] if value >= 0 else COLOURS[1]
        parts += [
            f'<text x="132" y="{middle + 4:.1f}" text-anchor="end">{escape(name)}</text>',
            _bar(left, right, middle, step, colour),
            f'<text x="{right + 4:.1f}" y="{middle + 4:.1f}">{value:.3f}</text>',
        ]
    return _svg(parts)


def _bar(left: float, right: float, middle: float, step: float, colour: str) -> str:
    place = f'x="{left:.1f}" y="{middle - step * 0.35:.1f}" width="{right - left:.1f}" height="{step * 0.7:.1f}"'
    return f'<rect {place} fill="{colour}"/>'


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="11">{"".join(parts)}</svg>'
    )
