"""What has been asked of the broker, so that a run that was killed goes on and a second one asks nothing again.

A file of JSON lines, one a finished task. A line is written once the replies of its task are durable in the log; a
last line that was cut off is passed over. A file that cannot be read otherwise stops the run: to forget it would ask
everything again.
"""

from __future__ import annotations

import json
import os
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, Self

from hosu.errors import InputError
from hosu.kis.rest import Scope

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["daily", "minutes"]
Series = tuple[Kind, Scope, str, bool]
"""Kind, scope, symbol, adjusted."""


class Progress:
    """The finished days of each series. A context manager that holds the file open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spans: dict[Series, list[tuple[int, int]]] = {}  # first and last day, as ordinals
        path.parent.mkdir(parents=True, exist_ok=True)
        self._read()
        self._file = path.open("a", encoding="utf-8")
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync()
        self._file.close()

    def days(self, kind: Kind, scope: Scope, symbol: str, *, adjusted: bool) -> frozenset[date]:
        """The days of a series that have been asked for and answered."""
        spans = self._spans.get((kind, scope, symbol, adjusted), [])
        return frozenset(date.fromordinal(n) for first, last in spans for n in range(first, last + 1))

    def add(self, series: Series, first: date, last: date, bars: int) -> None:
        """Notes that all days of a span are answered, with so many bars. Only for who holds the log of this run."""
        if not self._begun:
            self._begun = True
            self._cut_torn_line()
        kind, scope, symbol, adjusted = series
        line = {"kind": kind, "scope": scope, "symbol": symbol, "adjusted": adjusted, "bars": bars}
        self._file.write(json.dumps({**line, "first": first.isoformat(), "last": last.isoformat()}) + "\n")
        self._file.flush()
        self._note(series, first, last)

    def sync(self) -> None:
        """Returns when everything noted would survive a power cut."""
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                thing = f"{self._path}, line {number}"
                raise InputError(thing, "cannot be read", "move the file away to ask for everything again") from None

    def _cut_torn_line(self) -> None:
        # Not when it is read: somebody may be writing it then, and whoever only plans holds no lock.
        content = self._path.read_bytes()
        os.truncate(self._path, content.rfind(b"\n") + 1)

    def _take(self, line: dict[str, Any]) -> None:
        series = (line["kind"], line["scope"], line["symbol"], line["adjusted"])
        self._note(series, date.fromisoformat(line["first"]), date.fromisoformat(line["last"]))

    def _note(self, series: Series, first: date, last: date) -> None:
        self._spans.setdefault(series, []).append((first.toordinal(), last.toordinal()))
