"""Options that several commands share, and the settings behind them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.output import Format

if TYPE_CHECKING:
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.settings import CollectSettings

LakeOption = Annotated[
    str | None,
    typer.Option(
        "--lake", metavar="ROOT", help="The lake: a folder or s3://bucket/prefix (HOSU_LAKE).", show_default=False
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How data is printed.")]


def day_of(text: str) -> dt.date:
    """The day that an option names; anything but YYYY-MM-DD is wrong usage."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no date; write it as YYYY-MM-DD") from None


def open_lake(root: str | None, *, create: bool = False) -> Lake:
    """The lake of ``--lake``, HOSU_LAKE or S3_BUCKET.

    Raises:
        NotALakeError: there is no lake and ``create`` is false, or what is there is somebody else's.
    """
    from hosu.lake.lake import Lake
    from hosu.settings import LakeSettings, load

    settings = load(LakeSettings, {"root": root})
    return Lake.open(settings.resolved_root(), storage_options=settings.storage_options(), create=create)


def sql_config() -> SqlConfig:
    """How much SQL may take: HOSU_SQL_MEMORY_MIB."""
    from hosu.lake.sql import SqlConfig
    from hosu.settings import LakeSettings, load

    return SqlConfig(memory_mib=load(LakeSettings).sql_memory_mib)


def lake_root(root: str | None) -> str:
    """Where the lake is, without opening it."""
    from hosu.settings import LakeSettings, load

    return load(LakeSettings, {"root": root}).resolved_root()


def state_folder(root: str, settings: CollectSettings) -> Path:
    """Where the log and the status of the lake at ``root`` stand: HOSU_STATE, else ``.hosu`` in a local lake, else
    a folder of the user's own, named after the lake so that two lakes never share a log."""
    from hosu.homes import at_home

    if settings.state is not None:
        return settings.state
    if "://" not in root:
        return at_home(root) / ".hosu"
    from hashlib import sha256

    return at_home("~/.local/state/hosu") / sha256(root.rstrip("/").encode()).hexdigest()[:12]
