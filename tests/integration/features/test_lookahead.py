"""`hosu check lookahead` passes over a lake, and fails where a fault is planted."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from drawn_days import drawn, fill
from lake_parts import DAYS, calm_days, minute_bars

from hosu.cli import check
from hosu.cli.output import Format
from hosu.errors import InputError
from hosu.features import label_facts, label_minutes, labels, proofs
from hosu.features.batch import indicators
from hosu.features.facts_of_lake import DayFacts, FactsOfLake
from hosu.features.panel import BarPanel
from hosu.lake.lake import Lake

Output = pytest.CaptureFixture[str]
MINUTE = 60_000_000
LABELS = ("labels 10", "labels 30")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two mornings of trades, books and interruptions."""
    return fill(tmp_path_factory.mktemp("lookahead") / "lake", {day: drawn(at) for at, day in enumerate(DAYS[:2])})


def found(lake: Lake, capsys: Output, interval: str = "minute", **more: Any) -> dict[str, bool]:
    """What passes of the check."""
    try:
        check.lookahead(interval=interval, lake=lake.root, format_=Format.json, **more)
        code = 0
    except typer.Exit as left:
        code = left.exit_code
    rows = json.loads(capsys.readouterr().out)
    passes = {row["what"]: row["passes"] for row in rows}
    assert code == (0 if all(passes.values()) else 1)
    assert all(row["cuts"] for row in rows if row["passes"])
    return passes


@pytest.mark.slow
def test_nothing_of_minutes_looks_ahead(lake: Lake, capsys: Output) -> None:
    assert found(lake, capsys) == {"features": True, "labels 10": True, "labels 30": True}


@pytest.mark.parametrize("seed", [1, 2])
def test_one_date_of_minutes_is_enough(tmp_path: Path, capsys: Output, seed: int) -> None:
    one = Lake.open(str(tmp_path / "lake"))
    prices = 10_000.0 + 10 * np.random.default_rng(seed).integers(-50, 50, 90)
    minute_bars(one, DAYS[0], {"A": dict(enumerate(prices.tolist())), "B": dict(enumerate(prices[::-1].tolist()))})

    assert found(one, capsys, seed=seed) == {"features": True, "labels 10": True, "labels 30": True}


# --- planted faults --------------------------------------------------------------------------------------------------


def each_days_last_close(bars: BarPanel) -> np.ndarray:
    outputs = indicators(bars)
    for day in np.unique(bars.date):
        outputs[bars.date == day] += bars.close[bars.date == day][-1]
    return outputs


@pytest.mark.slow
def test_features_that_are_given_their_days_last_close_fail(
    lake: Lake, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "lookahead", partial(proofs.lookahead, outputs=each_days_last_close))
    assert found(lake, capsys) == {"features": False, "labels 10": True, "labels 30": True}


def exit_priced(later_us: int) -> Callable[..., Any]:
    """The exit at the price of the first trade so much later, if there is one; its time is left as it was."""
    first = label_minutes._first_trades

    def found(panel: BarPanel, beside: Any, since: Any, latency_us: int) -> Any:
        fills = first(panel, beside, since, latency_us)
        if (since == panel.ts + MINUTE).all():
            return fills
        late = first(panel, beside, since + later_us, latency_us)
        return fills._replace(price=np.where(late.row >= 0, late.price, fills.price))

    return found


def of_the_whole_day(panel: BarPanel, *words: Any, **more: Any) -> Any:
    """What is known at t, with the band of all returns of its day."""
    from dataclasses import replace

    from hosu.features.label_parts import facts

    known = facts(panel, *words, **more)
    band = known.band.copy()
    for day in np.unique(panel.date):
        band[panel.date == day] = np.nanstd(known.ret_last[panel.date == day])
    return replace(known, band=band)


def interrupted_until(later_us: int) -> Callable[..., Any]:
    """Masks what is interrupted up to so long after the exit."""
    overlaps = label_minutes._interrupted
    return lambda panel, known, t, t1: overlaps(panel, known, t, t1 + later_us)


def standing_at(later_us: int) -> Callable[..., Any]:
    """The last book before so long after the decision."""
    standing = label_facts._standing
    return lambda day, place, symbol, t: standing(day, place, symbol, t + later_us)


def told_before_it_was(self: FactsOfLake, date: int) -> DayFacts:
    """An interruption begins a quarter of an hour before the message that tells of it."""
    day = READ(self, date)
    return day._replace(stops=day.stops._replace(start_us=day.stops.start_us - 15 * MINUTE))


READ = FactsOfLake._read
FAULTS = {
    "the exit at a price of 20 minutes later": (label_minutes, "_first_trades", exit_priced(20 * MINUTE)),
    "the exit at a price of 20 seconds later": (label_minutes, "_first_trades", exit_priced(20_000_000)),
    "the band from the whole day's returns": (labels, "facts", of_the_whole_day),
    "a mask of what happens in the next 20 minutes": (label_minutes, "_interrupted", interrupted_until(20 * MINUTE)),
    "an interruption before it was told of": (FactsOfLake, "_read", told_before_it_was),
    "the spread of a minute later": (label_facts, "_standing", standing_at(MINUTE)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_labels_with_a_fault_fail(lake: Lake, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    found = check._of_labels(lake.root, "minute", cuts=10, seed=1)
    assert not all(each.passes for each in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_says_so(lake: Lake, capsys: Output, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    monkeypatch.setattr(*FAULTS[fault])
    passes = found(lake, capsys)
    assert passes["features"]
    assert not all(passes[name] for name in LABELS)


# --- days ------------------------------------------------------------------------------------------------------------


def test_of_few_days_features_are_told_all_the_same(tmp_path: Path, capsys: Output) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    calm_days(lake, DAYS[:3], ("A",), {})
    with pytest.raises(typer.Exit):
        check.lookahead(interval="day", lake=lake.root, format_=Format.json)

    told = capsys.readouterr()
    rows = {row["what"]: (row["cuts"], row["passes"]) for row in json.loads(told.out)}
    assert rows == {"features": (2, True), "labels 1": (0, False), "labels 5": (0, False)}
    assert "labels 1: nothing to compare, none has ended before the last place to cut at" in told.err


def test_days_in_which_labels_have_ended_pass(tmp_path: Path, capsys: Output) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    calm_days(lake, DAYS[:40], ("A", "B"), {})
    assert found(lake, capsys, "day") == {"features": True, "labels 1": True, "labels 5": True}


def test_an_interval_that_there_is_not_names_those_that_there_are(lake: Lake) -> None:
    with pytest.raises(InputError, match="interval 'week': is unknown; choose day, minute or second"):
        check.lookahead(interval="week", lake=lake.root)
