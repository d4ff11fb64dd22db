"""The page on the simulator tells of every fault, and its examples are understood."""

import re
from pathlib import Path

from hosu.kis.simulator.fault_kinds import KINDS
from hosu.kis.simulator.fault_spec import parse_faults

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "simulator.md"
ROW = re.compile(r"^\| `([a-z]+)` \|[^|]*\| (`[^|]+`) \|[^|]+\|$", re.MULTILINE)


def test_every_fault_is_documented_with_examples_that_parse() -> None:
    rows = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert sorted(kind for kind, _ in rows) == sorted(KINDS)
    for kind, examples in rows:
        parsed = parse_faults("; ".join(re.findall(r"`([^`]+)`", examples)))
        assert {each.kind for each in parsed} == {kind}


def test_every_option_of_the_simulator_is_documented() -> None:
    import typer

    from hosu.cli.main import app

    command = typer.main.get_command(app).commands["simulator"]  # type: ignore[attr-defined]
    text = PAGE.read_text(encoding="utf-8")
    options = {name for each in command.params for name in each.opts if name.startswith("--")}
    assert {"--faults", "--linger"} <= options
    assert [name for name in sorted(options - {"--help"}) if f"`{name}" not in text] == []
