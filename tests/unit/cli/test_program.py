"""The program's face: what it costs to ask for help, and that help is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup
from typer.testing import CliRunner

from hosu import __version__
from hosu.__main__ import run
from hosu.cli.main import app
from hosu.lake.lake import Lake

HEAVY = {
    "aiohttp",
    "arch",
    "asyncio",
    "deltalake",
    "duckdb",
    "exchange_calendars",
    "lightgbm",
    "mlflow",
    "numba",
    "numpy",
    "obstore",
    "onnx",
    "onnxruntime",
    "pandas",
    "picows",
    "pyarrow",
    "pydantic",
    "rich",
    "river",
    "scipy",
    "sklearn",
    "ssl",
    "structlog",
}
ROOT = typer.main.get_command(app)


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hosu", *words], capture_output=True, text=True, check=False)


def commands(group: TyperGroup, above: tuple[str, ...] = ()) -> dict[str, object]:
    """Every command that can be run, by its words."""
    found: dict[str, object] = {}
    for name, command in group.commands.items():
        words = (*above, name)
        if isinstance(command, TyperGroup):
            found |= commands(command, words)
        else:
            found[" ".join(words)] = command
    return found


COMMANDS = commands(ROOT)


def test_the_commands_are_these():
    assert sorted(COMMANDS) == [
        "backfill",
        "check lookahead",
        "check parity",
        "check recursive",
        "collect",
        "coverage",
        "decode",
        "demo",
        "doctor",
        "features build",
        "features scale",
        "features sets",
        "instruments list",
        "instruments sync",
        "lake bars",
        "lake compact",
        "lake tables",
        "lake verify",
        "ledger certify",
        "ledger gaps",
        "ledger repair",
        "ledger rules",
        "ledger show",
        "models drift",
        "models drop",
        "models evaluate",
        "models list",
        "models mirror",
        "models promote",
        "models rollback",
        "models show",
        "models train",
        "predict",
        "replay",
        "score",
        "service print",
        "simulator",
        "sql",
        "status",
        "synthetic",
    ]


def test_help_loads_no_heavy_library():
    script = f"""
import sys
sys.argv = ["hosu", "--help"]
from hosu.cli.main import run
try:
    run()
except SystemExit as ended:
    assert not ended.code
print("heavy:", sorted({HEAVY!r} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage: hosu" in ran.stdout
    assert ran.stdout.splitlines()[-1] == "heavy: []"


def test_version_is_that_of_the_package():
    ran = asked("--version")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{__version__}\n", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


@pytest.mark.parametrize("place", ["imports", "command"])
def test_ctrl_c_ends_with_130_wherever_it_comes(place: str, monkeypatch: pytest.MonkeyPatch, capsys):
    class Interrupted:
        """A module that Ctrl-C comes upon while it is imported."""

        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    def interrupted() -> None:
        raise KeyboardInterrupt

    if place == "imports":
        monkeypatch.setitem(sys.modules, "hosu.cli.main", Interrupted())
    else:
        monkeypatch.setattr("hosu.cli.main.app", interrupted)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "hosu: stopped\n"


def test_without_words_the_program_shows_its_commands():
    ran = asked()
    assert all(name.split()[0] in ran.stdout + ran.stderr for name in COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_and_each_of_its_options_says_what_it_is(words: str):
    command = COMMANDS[words]
    text = str(command.help)
    assert len(text.split()) > 3
    assert text.rstrip().endswith(".")
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{words}: {parameter.name}"


def test_a_scaler_is_of_bars_and_a_set_of_seconds_is_refused_with_what_it_is_made_of(tmp_path: Path):
    (interval,) = [each for each in COMMANDS["features scale"].params if each.name == "interval"]
    assert interval.metavar == "day|minute"
    Lake.open(str(tmp_path / "lake"))
    ran = asked("features", "scale", "--until", "2026-01-05", "--set", "book_v1", "--lake", str(tmp_path / "lake"))
    assert ran.returncode != 0
    assert "'book_v1': is made of a second, not of a day" in " ".join(ran.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-features",), "--seconds serves features, and --no-features makes none: leave out one of them"),
        (("--scope", "UN"), "made of KRX alone, and --scope is UN: leave out --seconds, or collect KRX in a process"),
    ],
)
def test_who_cannot_serve_seconds_is_told_so_before_anything_begins(words, said, tmp_path):
    ran = CliRunner().invoke(app, ["collect", "--seconds", *words, "--lake", str(tmp_path / "lake")])
    assert ran.exit_code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", ran.output).split())
    assert not (tmp_path / "lake").exists()


def test_parity_is_of_minutes_or_seconds_and_says_how_they_come_to_be_served(tmp_path):
    lake = tmp_path / "lake"
    Lake.open(str(lake))
    refused = asked("check", "parity", "--interval", "day", "--lake", str(lake))
    assert refused.returncode == 2
    assert "features are served of a minute and of a second" in " ".join(refused.stderr.split())
    none = asked("check", "parity", "--interval", "second", "--lake", str(lake))
    assert none.returncode == 1
    assert "collect a day with `hosu collect --seconds`" in " ".join(none.stderr.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-features",), "--predict answers on features, and --no-features makes none: leave out one of them"),
        (("--scope", "UN"), "made of KRX alone, and --scope is UN: leave out --predict, or collect KRX in a process"),
        (("--scope", "NXT"), "made of KRX alone, and --scope is NXT: leave out --predict, or collect KRX in a process"),
    ],
)
def test_who_cannot_predict_is_told_so_before_anything_begins(words, said, tmp_path):
    ran = CliRunner().invoke(app, ["collect", "--predict", *words, "--lake", str(tmp_path / "lake")])
    assert ran.exit_code == 2
    assert said in " ".join(re.sub("[│╭╮╰╯─]", " ", ran.output).split())
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("backfill", "weeks"), "Error: Invalid value for 'kind': 'weeks' is not one of 'daily', 'minutes'."),
        (
            ("ledger", "rules", "--format", "xml"),
            "Error: Invalid value for '--format': 'xml' is not one of 'table', 'json'.",
        ),
    ],
)
def test_a_wrong_value_is_named_without_the_words_of_a_library(words: tuple[str, ...], says: str):
    ran = CliRunner().invoke(app, words)
    assert (ran.exit_code, ran.stderr.splitlines()[-1]) == (2, says)


@pytest.mark.parametrize("word", ["--yes", "--let-go"])
def test_what_a_repair_does_is_said_of_a_repair_alone(word: str, tmp_path: Path):
    ran = CliRunner().invoke(app, ["lake", "verify", word, "--lake", str(tmp_path)])
    assert ran.exit_code == 2
    assert f"{word} goes with --repair" in ran.stderr
