"""Runs the benchmarks and writes ``RESULTS.md``: ``make bench`` for all, ``make bench ARGS="decode lake"`` for some.

Some are only printed, unless ``--write`` puts them in the place of what ``RESULTS.md`` says of them. Each
``bench_<name>.py`` offers ``run()``, which returns rows ``{name, value, unit, peer, peer_value, ratio}``. What a ratio
means, ours over the peer's or the other way, follows from the unit and is said where it is not plain. Ratios count:
absolute figures drift with the machine and with whatever else it does.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"


def main(words: list[str]) -> int:
    wanted = [word for word in words if word != "--write"]
    known = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    if unknown := sorted(set(wanted) - set(known)):
        print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    sections = {} if not wanted else _sections(RESULTS.read_text())
    for name in wanted or known:
        module = importlib.import_module(f"benchmarks.bench_{name}")
        print(f"\n{name}: {(module.__doc__ or '').strip().splitlines()[0]}", flush=True)
        table = _table(module.run())
        print("\n".join(table), flush=True)
        sections[name] = _section(module, table)
    if not wanted or "--write" in words:
        RESULTS.write_text(_report(sections))
        print(f"\nwritten to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return 0


def _report(sections: dict[str, str]) -> str:
    head = [
        "# Results",
        "",
        f"Made by `make bench` on a machine with {_machine()}.",
        "",
        "Ratios are of one run and count; absolute figures drift with the machine.",
    ]
    return "\n".join([*head, *(f"\n## {name}\n\n{sections[name]}" for name in sorted(sections))]) + "\n"


def _section(module: ModuleType, table: list[str]) -> str:
    question = (module.__doc__ or "").strip().splitlines()[0]
    return "\n".join([f"{question} Measured on {datetime.now(UTC):%Y-%m-%d}.", "", *table])


def _sections(report: str) -> dict[str, str]:
    """The text of each benchmark in a report, by name."""
    parts = (part.partition("\n\n") for part in report.split("\n## ")[1:])
    return {name: text.rstrip("\n") for name, _, text in parts}


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| what | ours | unit | peer | peer's | ratio |", "|---|---:|---|---|---:|---:|"]
    for row in rows:
        peer_value, ratio = row.get("peer_value"), row.get("ratio")
        lines.append(
            f"| {row['name']} | {_number(row['value'])} | {row['unit']} | {row.get('peer') or ''} "
            f"| {'' if peer_value is None else _number(peer_value)} | {'' if ratio is None else f'{ratio:.2f}'} |"
        )
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _machine() -> str:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, {platform.system()}, Python {python}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
