"""The program ``hosu``: noun, then verb. Commands import what they need when they run, so that help is instant."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from hosu import __version__, failpoints
from hosu.cli import (
    backfill,
    check,
    collect,
    coverage,
    decode,
    demo,
    doctor,
    features,
    instruments,
    lake,
    ledger,
    models,
    predict,
    replay,
    score,
    service,
    simulator,
    sql,
    status,
    synthetic,
)
from hosu.cli.output import note
from hosu.errors import HosuError


class _Program(TyperGroup):
    """The commands; what is wrong with an option is said without the words of the library that found it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


app = typer.Typer(
    name="hosu",
    cls=_Program,
    help="Korean stocks, from the broker's wire to an ACID lake, with a count that proves nothing was lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Korean stocks, from the broker's wire to an ACID lake, with a count that proves nothing was lost."""


app.command("demo")(demo.demo)
app.command("simulator")(simulator.simulator)
app.command("collect")(collect.collect)
app.command("replay")(replay.replay)
app.command("backfill")(backfill.backfill)
app.command("decode")(decode.decode)
app.command("sql")(sql.sql)
app.command("coverage")(coverage.coverage)
app.command("synthetic")(synthetic.synthetic)
app.command("predict")(predict.predict)
app.command("score")(score.score)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.add_typer(instruments.app, name="instruments")
app.add_typer(lake.app, name="lake")
app.add_typer(ledger.app, name="ledger")
app.add_typer(features.app, name="features")
app.add_typer(check.app, name="check")
app.add_typer(models.app, name="models")
app.add_typer(service.app, name="service")


def run() -> None:
    """Runs the program: 0 on success, 2 on wrong usage, 130 after Ctrl-C, 1 with one sentence on anything else."""
    try:
        _require_streams()
        failpoints.arm(os.environ)
        app()
    except HosuError as error:
        note(f"hosu: {error}")
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has gone (head, less); stdout must not be flushed again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except TimeoutError as error:  # is an OSError too, but says nothing about a file
        note(
            f"hosu: something took too long{f' ({error})' if str(error) else ''}; try again, LOG_LEVEL=DEBUG says more"
        )
        sys.exit(1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        note(f"hosu: {error.strerror or error}{where}; check the path, its permissions and the disk")
        sys.exit(1)
    except KeyboardInterrupt:
        note("hosu: stopped")
        sys.exit(130)
    except Exception as error:  # the last door: one sentence for the user, the rest on request
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            raise
        note(f"hosu: a fault of its own: {type(error).__name__}: {error}; LOG_LEVEL=DEBUG shows where")
        sys.exit(1)


def _require_streams() -> None:
    """Whoever closed stdout or stderr wants nothing from it; where a letter cannot be shown, its code is."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it lasts as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
