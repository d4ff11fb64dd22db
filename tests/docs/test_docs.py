"""Every command and code block in the documents runs, and the documents say all there is to say."""

import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "README.ko.md", "ARCHITECTURE.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENDS_A_COMMAND = re.compile(r"[\n;|]|&&|\$\(")


def _blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in _BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


def _distinct() -> list[Path]:
    """The pages with code, without those whose code stands in another one: a translation differs in comments alone."""
    pages: dict[str, Path] = {}
    for page in PAGES:
        code = "\n".join([*_blocks(page, "sh"), *_blocks(page, "python")])
        if code:
            pages.setdefault(re.sub(r"\s*(?:^|\s)#.*", "", code, flags=re.MULTILINE), page)
    return list(pages.values())


def _free_pair() -> tuple[int, int]:
    """Two neighbouring free ports, as the documents' 8800 and 8801."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port, port + 1
    raise AssertionError("no two neighbouring ports are free")


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOSU_CACHE": str(folder / "cache"),
        "LOG_LEVEL": "WARNING",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", _distinct(), ids=lambda page: page.name)
def test_code_blocks_run_one_after_another_in_an_empty_folder(page: Path, tmp_path: Path) -> None:
    """First those of the shell, then those of Python, which see what the former left in the folder."""
    rest, ws = _free_pair()
    shell, python = (
        "\n".join(_blocks(page, language)).replace("8800", str(rest)).replace("8801", str(ws))
        for language in ("sh", "python")
    )
    for command in (["bash", "-euo", "pipefail", "-c", shell], [sys.executable, "-W", "error", "-c", python]):
        done = _run(command, tmp_path)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_and_commands_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z]+)\b(?=[`\s]|$)", "\n".join(_blocks(page, "console"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    from hosu.cli.main import app

    for words in _commands_in(text):
        _require(typer.main.get_command(app), words)


def _commands_in(text: str) -> list[list[str]]:
    """The words behind ``hosu`` of every command line in the text and in its blocks."""
    code = "\n".join(block.replace("\\\n", " ") for language, block in _BLOCK.findall(text) if language != "python")
    lines = (re.search(r"(?:^|\s)hosu (?=[a-z])(.*)", line.split("#")[0]) for line in _ENDS_A_COMMAND.split(code))
    written = [*re.findall(r"`hosu ([a-z][^`]*)`", text), *(found[1] for found in lines if found)]
    return [_split(line) for line in written]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quotation that goes on in the next line
        return line.split()


def _require(command: Any, words: list[str]) -> None:
    """That there is such a command, and that it takes the options named."""
    line = " ".join(words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        named = [command.commands.get(name) for name in words[0].split("|")]
        assert all(named), f"hosu {line}"
        command, words = named[0], words[1:]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    own = words[: words.index("--")] if "--" in words else words
    assert {word.partition("=")[0] for word in own if word.startswith("--")} <= known, f"hosu {line}"


def test_a_command_or_an_option_that_is_none_would_be_noticed() -> None:
    from hosu.cli.main import app

    for line in ("lake retain", "sql --quickly 'SELECT 1'", "ledger show|holes"):
        (words,) = _commands_in(f"`hosu {line}`")
        with pytest.raises(AssertionError, match="hosu"):
            _require(typer.main.get_command(app), words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target, _, place in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]+))?", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not place or place in _headings(file), f"{target}#{place}"


def _headings(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("readme", ["README.md", "README.ko.md"])
def test_every_command_is_in_the_readme(readme: str) -> None:
    from hosu.cli.main import app

    text = (ROOT / readme).read_text(encoding="utf-8")
    for command in (*app.registered_commands, *app.registered_groups):
        assert f"hosu {command.name}" in text, command.name


def test_the_two_readmes_show_the_same_blocks_and_figures() -> None:
    english, korean = (ROOT / name for name in ("README.md", "README.ko.md"))
    assert _blocks(english, "sh") == _blocks(korean, "sh")
    figures = [
        re.findall(r"^\|.*?\| ([\d.,]+[^|]*)\|", page.read_text(encoding="utf-8"), re.MULTILINE)
        for page in (english, korean)
    ]
    numbers = [[re.findall(r"\d[\d.,]*", cell) for cell in cells] for cells in figures]
    assert numbers[0] == numbers[1]


def test_every_table_and_column_of_the_lake_is_documented() -> None:
    from hosu.lake.tables import TABLES

    text = (ROOT / "docs" / "reference" / "tables.md").read_text(encoding="utf-8")
    for name, spec in TABLES.items():
        assert f"## {name}" in text, name
        assert f"| [{name}](#{name}) | `{spec.location}` |" in text, name
        section = text.split(f"## {name}\n", 1)[1].split("\n## ", 1)[0]
        for column in spec.schema.names:
            assert f"`{column}`" in section, f"{name}.{column}"
