"""What a training run ends with: the verdict first, then its reasons, as JSON and as one page with plots."""

from __future__ import annotations

import json
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from hosu.models.plots import Line, bars, lines
from hosu.models.scores import reliability

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.models.gate import Judgement
    from hosu.models.walk import Walked

_CLASSES = ((0, -1, "down"), (1, 0, "small move"), (2, 1, "up"))


def figures(judgement: Judgement, walked: Walked, about: Mapping[str, str]) -> dict[str, Any]:
    """All figures by name; None where there is none. ``about`` is what the run says of itself: dataset, model."""
    sessions = _tested(walked)
    told = {
        "verdict": judgement.verdict.value,
        "sentence": judgement.sentence,
        "about": dict(about),
        "sessions": {"first": sessions[0], "last": sessions[-1], "count": len(sessions), "rows": len(walked.rows)},
        "horizon_sessions": walked.horizon,
        "checks": [
            {"name": check.name, "passed": check.passed, "sentence": check.sentence, "figures": dict(check.figures)}
            for check in judgement.checks
        ],
        "price": {
            "r2_of_returns": judgement.price.value,
            "r2_lower": judgement.price.lower,
            "persistence": judgement.persistence,
        },
        "reported": dict(judgement.reported),
        "folds": _folds(judgement, walked),
        "features": list(walked.rows.names),
    }
    return _plain(told)  # type: ignore[no-any-return]


def as_json(judgement: Judgement, walked: Walked, about: Mapping[str, str]) -> str:
    """The figures; its first line of content is the verdict."""
    return json.dumps(figures(judgement, walked, about), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_html(judgement: Judgement, walked: Walked, about: Mapping[str, str]) -> str:
    """One page that needs nothing from elsewhere; its first line is the verdict."""
    told = figures(judgement, walked, about)
    rows = "".join(
        f"<tr><td>{'passed' if check['passed'] else '<b>failed</b>'}</td><td>{escape(check['name'])}</td>"
        f"<td>{escape(check['sentence'])}</td></tr>"
        for check in told["checks"]
    )
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in told["about"].items())
    beside = "".join(
        f"<dt>{escape(name)}</dt><dd>{'-' if value is None else f'{value:.4f}'}</dd>"
        for name, value in told["reported"].items()
    )
    plots = "".join(
        f"<figure>{plot}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, plot in _plots(judgement, walked)
    )
    return _PAGE.format(
        verdict=escape(told["verdict"]),
        lead=escape(_lead(told)),
        rows=rows,
        price=escape(_price(judgement)),
        plots=plots,
        facts=facts,
        beside=beside,
    )


def _lead(told: Mapping[str, Any]) -> str:
    about, sessions = told["about"], told["sessions"]
    who = [about[name] for name in ("model", "kind", "feature set") if name in about]
    return ", ".join(
        [*who, f"{sessions['first']} to {sessions['last']}", f"{sessions['count']} sessions out of sample"]
    )


def _price(judgement: Judgement) -> str:
    found = judgement.price
    said = f"R² of the return, beside a return of 0: {found.value:.5f} (lower 95 % bound {found.lower:.5f})"
    return f"{said}. " + (
        "The predicted price is the last one (persistence)." if judgement.persistence else "The return is predicted."
    )


def _tested(walked: Walked) -> list[str]:
    return [walked.rows.sessions[place] for place in np.unique(walked.rows.session)]


def _folds(judgement: Judgement, walked: Walked) -> list[dict[str, Any]]:
    month = np.array([session[:7] for session in walked.rows.sessions])
    told = []
    for fold in walked.folds:
        ic = judgement.ic[month == fold.name]
        known = ic[np.isfinite(ic)]
        told.append(
            {
                "name": fold.name,
                "fit_sessions": fold.fit_sessions,
                "calibrate_sessions": fold.calibrate_sessions,
                "test_sessions": fold.test_sessions,
                "fit_rows": fold.fit_rows,
                "test_rows": fold.test_rows,
                "ic": float(known.mean()) if len(known) else None,
                "mix": fold.mix,
                "price_mix": fold.price_mix,
                "prior": fold.prior.tolist(),
                "importance": fold.importance.tolist(),
            }
        )
    return told


def _plots(judgement: Judgement, walked: Walked) -> list[tuple[str, str]]:
    folds = _folds(judgement, walked)
    importance = np.mean([fold.importance for fold in walked.folds], axis=0) if walked.folds else np.zeros(0)
    by_fold = bars([fold["name"] for fold in folds], [fold["ic"] or 0.0 for fold in folds])
    return [
        ("Reliability: what happened, by what was said; on the diagonal they agree", _reliability(walked)),
        ("Growth of 1, minus 1: the top tenth beside the universe, by session", _equity(judgement, walked)),
        ("Mean daily rank IC, fold by fold", by_fold),
        ("Share of each feature in the trees' or planes' gain, mean of the folds", bars(walked.rows.names, importance)),
    ]


def _reliability(walked: Walked) -> str:
    curves = []
    for column, label, name in _CLASSES:
        said, gap, _ = reliability(walked.said.probabilities[:, column], walked.rows.label == label)
        curves.append(Line(name, said, np.asarray(said + gap), dots=True))
    ends = np.concatenate([curve.x for curve in curves])
    diagonal = np.array([ends.min(), ends.max()])
    return lines([*curves, Line("as said", diagonal, diagonal)], x_name="said", y_name="happened", percent=True)


def _equity(judgement: Judgement, walked: Walked) -> str:
    tested = np.unique(walked.rows.session)
    money = judgement.money
    curves = []
    for name, series in (
        ("net of cost", money.excess),
        ("before cost", money.gross),
        ("net, absolute", money.absolute),
    ):
        earned = np.nan_to_num(money.a_session(series)[tested[0] : tested[-1] + 1])
        curves.append(Line(name, np.arange(len(earned), dtype=np.float64), np.asarray(np.cumprod(1 + earned) - 1)))
    names = walked.rows.sessions[tested[0] : tested[-1] + 1]
    return lines(curves, x_name="session", y_name="grown by", percent=True, names=names)


def _plain(value: Any) -> Any:
    """Only what JSON has; a number that is none is None."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{verdict}</title>
<style>
body {{ font: 15px/1.5 sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse }} td {{ border-top: 1px solid #ddd; padding: .35rem .6rem; vertical-align: top }}
figure {{ display: inline-block; margin: .6rem }} figcaption {{ font-size: 12px; color: #555; max-width: 460px }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem }} dd {{ margin: 0 }}
</style>
<h1>{verdict}</h1>
<p>{lead}.</p>
<table>{rows}</table>
<p>{price}</p>
{plots}
<h2>Beside</h2><dl>{beside}</dl>
<h2>Of what</h2><dl>{facts}</dl>
</html>
"""
