"""The figures that README shows are those that ``make bench`` wrote down, rounded."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_HEAD = {"README.md": "| what | figure |", "README.ko.md": "| 항목 | 값 |"}
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_HIGHEST = "held without loss: the lake, durable and exactly once; the peer splits into dicts"

FIGURES: list[tuple[str, str, str]] = [
    ("path", "100,000/s: lost", "ours"),
    ("path", "200,000/s, 1.8 a frame: lost", "ours"),
    ("path", "burst: lost", "ours"),
    ("path", "100,000/s: peak memory", "ours"),
    ("path", "10,000/s: socket to durable, median", "ours"),
    ("path", "10,000/s: socket to durable, 99th percentile", "ours"),
    ("sinks", "10,000/s: socket to all sinks, median", "ours"),
    ("path", _HIGHEST, "ratio"),
    ("decode", "parse, 1,000 frames of one record", "ours ratio"),
    ("receive", "frames received a CPU second", "ratio"),
    ("polling", "live, limit 18/s: longest of all symbols", "ours"),
    ("ledger", "holes in 5 million trades by volume, CPU time", "ratio"),
    ("lake", "trades, whole row", "ours ratio"),
    ("bars", "one-minute bars of 20 million trades", "ours ratio"),
    ("lake", "open a table after 20000 commits", "ours"),
    ("start", "hosu --help, best of 30", "ours ratio"),
    ("features", "2,700 symbols x 1,000 days, all indicators", "ours ratio"),
    ("online", "a close of 2,700 symbols, median", "ours"),
    ("serving", "one prediction, p50 (gbdt", "ours"),
    ("serving", "2,700 predictions (gbdt", "ours"),
    ("path", "10,000/s with predictions: close of a bar to its predictions, median", "ours"),
]
"""For each row of README's table, in its order: section and beginning of the first such row of the results, and which
of its figures are shown."""


def measured(section: str, begins: str) -> dict[str, float]:
    text = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    rows = text.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0].splitlines()
    cells = next(row for row in rows if row.startswith(f"| {begins}")).strip("| ").split(" | ")
    found = {"ours": float(cells[1].replace(",", ""))}
    ratio = cells[-1].strip()
    return found | ({"ratio": float(ratio)} if _NUMBER.fullmatch(ratio) else {})


def shown(readme: str) -> list[str]:
    lines = (ROOT / readme).read_text(encoding="utf-8").splitlines()
    (start,) = (at for at, line in enumerate(lines) if line == _HEAD[readme])
    end = next(at for at in range(start, len(lines)) if not lines[at].startswith("|"))
    return [line.strip("| ").rpartition(" | ")[2] for line in lines[start + 2 : end]]


@pytest.mark.parametrize("readme", _HEAD)
def test_what_the_readme_shows_was_measured(readme: str) -> None:
    figures = shown(readme)
    assert len(figures) == len(FIGURES)
    for figure, (section, begins, which) in zip(figures, FIGURES, strict=True):
        known = measured(section, begins)
        numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(figure)]
        for name in which.split():
            value = known[name]
            # Rounded to two places that count; millions may be written out.
            right = any(abs(times * number - value) <= 0.05 * value for number in numbers for times in (1, 1e4, 1e6))
            assert right, (
                f"{readme} shows {figure}, RESULTS.md has {value} for {begins}: mend the one or restore the other"
            )
