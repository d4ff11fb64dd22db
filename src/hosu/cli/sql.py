"""``hosu sql``: SQL over all tables and views of the lake."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake
from hosu.cli.output import Format, emit_reader


def sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB; - reads it from stdin.")],
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """SQL over all tables and views of the lake; read-only, with bounded memory."""
    from hosu.cli.options import sql_config
    from hosu.lake.sql import Session

    text = sys.stdin.read() if query == "-" else query
    with Session(open_lake(lake), sql_config()) as session:
        emit_reader(session.reader(text), format_)
