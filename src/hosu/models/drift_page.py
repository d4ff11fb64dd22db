"""Drift as one page: the features that have moved most, and the errors, session by session."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.models.drift import MOVED
from hosu.models.plots import Line, lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.models.live_drift import FeatureHistory, VersionDrift

_CURVES: Final = 3
"""Features in the picture; with the line above which one has moved it has a colour for each."""


def as_html(found: Sequence[VersionDrift]) -> str:
    """One page that needs nothing from elsewhere: of each version what is said, and its pictures."""
    return _PAGE.format(body="".join(_version(each) for each in found))


def _version(each: VersionDrift) -> str:
    drifting = [f"{feature.feature} drifts since {feature.since}" for feature in each.features if feature.since]
    changed = [f"errors changed on {change.date}: {change.before:.4f} to {change.after:.4f}" for change in each.errors]
    said = "".join(f"<li>{escape(text)}</li>" for text in [*drifting, *changed, *each.unsaid] or ["nothing has moved"])
    pictures = "".join(
        f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>" for plot, caption in _pictures(each)
    )
    return f"<h2>{escape(each.model)} {each.version}, {escape(each.role)}</h2><ul>{said}</ul>{pictures}"


def _pictures(each: VersionDrift) -> list[tuple[str, str]]:
    out = []
    if each.features:
        first, last = each.features[0].days[0][0], each.features[0].days[-1][0]
        curves = [_curve(feature) for feature in sorted(each.features, key=_most, reverse=True)[:_CURVES]]
        sessions = curves[0].x
        curves.append(Line(f"moved from {MOVED:g} on", sessions, np.full(len(sessions), MOVED)))
        plot = lines(curves, x_name=f"sessions from {first} to {last}", y_name="stability index")
        out.append((plot, "Inputs: the features that have moved most, beside their training."))
    if each.error_days:
        errors = np.array([error for _, error in each.error_days])
        span = f"sessions from {each.error_days[0][0]} to {each.error_days[-1][0]}"
        curve = Line("mean directional error", np.arange(1.0, len(errors) + 1), errors, dots=len(errors) == 1)
        out.append((lines([curve], x_name=span, y_name="error"), "Errors: of the sessions whose outcomes are known."))
    return out


def _most(feature: FeatureHistory) -> float:
    """Its highest index; of one that is never known -1."""
    return max((found.psi for _, found in feature.days if np.isfinite(found.psi)), default=-1.0)


def _curve(feature: FeatureHistory) -> Line:
    index = np.array([found.psi for _, found in feature.days])
    return Line(feature.feature, np.arange(1.0, len(index) + 1), index, dots=True)


_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>hosu: drift</title>
<style>body{{font:14px sans-serif;max-width:60em;margin:2em auto}}figure{{display:inline-block;margin:1em}}</style>
<h1>Drift</h1>{body}
"""
