"""``hosu decode``: frames to JSON, one line a record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hosu.cli.output import counted, emit_json, note

if TYPE_CHECKING:
    from collections.abc import Iterator

_LINE_BYTES: Final = 16 << 20
"""More than the largest message a feed takes; a file without line ends must not fill the memory."""


def decode(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Frames, one a line, or JSON lines with a field `raw`; stdin when left out.", show_default=False
        ),
    ] = None,
) -> None:
    """Frames to JSON lines, one a record: what the broker named each field, and the columns of our tables.

    A frame that cannot be parsed becomes a line with `error`; how many there were is said at the end, and the exit code
    is then 1.
    """
    from hosu.kis.codec import describe

    frames, failed = 0, 0
    for line in frame_lines(file):
        records = list(describe(line))
        frames += 1
        failed += any("error" in record for record in records)
        for record in records:
            emit_json(record)
    if failed:
        note(f"hosu: {failed:,} of {counted(frames, 'frame')} could not be parsed")
        raise typer.Exit(1)


def frame_lines(file: Path | None) -> Iterator[bytes]:
    """The frames of a text file, one a line; of stdin for None. Empty lines are passed over.

    Raises:
        InputError: the file cannot be read.
    """
    from hosu.errors import InputError

    try:
        with sys.stdin.buffer if file is None else file.open("rb") as stream:
            while line := stream.readline(_LINE_BYTES):
                if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
                    raise InputError(
                        str(file or "stdin"), f"has a line of over {_LINE_BYTES:,} bytes", "give one frame a line"
                    )
                if stripped := line.rstrip(b"\r\n"):
                    yield _unwrapped(stripped)
    except OSError as error:
        raise InputError(str(file), error.strerror or str(error), "name a readable file") from error


def _unwrapped(line: bytes) -> bytes:
    """The frame itself where a line is a JSON object that carries one under ``raw``."""
    import json

    if not line.startswith(b"{"):
        return line
    try:
        wrapped = json.loads(line)
    except (ValueError, RecursionError):
        return line
    raw = wrapped.get("raw") if isinstance(wrapped, dict) else None
    return raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else line
