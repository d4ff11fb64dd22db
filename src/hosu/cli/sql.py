"""``hosu sql``: SQL over all tables and views of the lake."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, emit_reader
from hosu.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from hosu.lake.sql import Session

_T = TypeVar("_T")


def sql(
    query: Annotated[str, typer.Argument(help="SQL of DuckDB; - reads it from stdin.")],
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """SQL over all tables and views of the lake; read-only, with bounded memory."""
    from hosu.lake.sql import Session

    with Session(open_lake(lake), sql_config()) as session:
        emit_reader(_Interruptible(session, _text(query)), format_)


def _text(query: str) -> str:
    if query == "-":
        query = sys.stdin.read() if sys.stdin is not None else ""
    try:
        query.encode()
    except UnicodeEncodeError:
        raise typer.BadParameter("the query is not UTF-8 text") from None
    if not query.strip():
        raise QueryError("the query is empty; write one, such as FROM trades LIMIT 5")
    return query


class _Interruptible:
    """The batches of a query that runs in a thread of its own, because Ctrl-C does not reach DuckDB's own code."""

    def __init__(self, session: Session, query: str) -> None:
        self._session = session
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hosu-sql")
        self._reader = self._run(lambda: session.reader(query))
        self.schema: pa.Schema = self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while (batch := self._run(self._next)) is not None:
            yield batch

    def _next(self) -> pa.RecordBatch | None:
        return next(self._reader, None)

    def _run(self, call: Callable[[], _T]) -> _T:
        future = self._thread.submit(call)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._session.interrupt()
            with suppress(Exception):  # that it was interrupted
                future.result(timeout=3)
            raise
