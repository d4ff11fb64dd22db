"""`hosu check lookahead` passes over a lake of minutes, and fails where a fault is planted."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from lake_parts import DAYS, minute_bars

from hosu.cli import check
from hosu.cli.output import Format
from hosu.features import proofs
from hosu.features.batch import indicators
from hosu.features.panel import BarPanel
from hosu.lake.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    for place, day in enumerate(DAYS[:3]):
        rng = np.random.default_rng(place)
        symbols = {name: 10_000.0 + 10 * rng.integers(-50, 50, 90) for name in ("A", "B")}
        minute_bars(made, day, {name: dict(enumerate(prices.tolist())) for name, prices in symbols.items()})
    return made


def found(lake: Lake, capsys: pytest.CaptureFixture[str], **more: object) -> dict[str, bool]:
    """What passes of the check of minutes."""
    try:
        check.lookahead(interval="minute", lake=lake.root, format_=Format.json, **more)  # type: ignore[arg-type]
        code = 0
    except typer.Exit as left:
        code = left.exit_code
    passes = {row["what"]: row["passes"] for row in json.loads(capsys.readouterr().out)}
    assert code == (0 if all(passes.values()) else 1)
    return passes


def each_days_last_close(bars: BarPanel) -> np.ndarray:
    outputs = indicators(bars)
    for day in np.unique(bars.date):
        outputs[bars.date == day] += bars.close[bars.date == day][-1]
    return outputs


def test_nothing_of_minutes_looks_ahead(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(lake, capsys) == {"features": True, "labels 10": True, "labels 30": True}


def test_minutes_that_are_given_their_days_last_close_fail(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "lookahead", partial(proofs.lookahead, outputs=each_days_last_close))
    assert found(lake, capsys) == {"features": False, "labels 10": True, "labels 30": True}
