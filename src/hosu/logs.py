"""Logs: one JSON object a line in a rotating file, readable lines on a terminal, secrets in neither."""

from __future__ import annotations

import logging
import logging.handlers
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from hosu.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import MutableMapping

HIDDEN = "***"
_SECRET_NAMES = re.compile(r"secret|token|appkey|app_key|approval|authorization|password|access_key", re.IGNORECASE)
_known_secrets: set[str] = set()

_FILE_BYTES: Final = 20_000_000
_FILES_KEPT: Final = 5


def hide(*secrets: str | None) -> None:
    """From now on these texts never appear in a log line, whatever field or message they stand in."""
    _known_secrets.update(secret for secret in secrets if secret and len(secret) >= 8)


def configure(level: str = "INFO", file: Path | None = None, *, quiet: bool = False, as_json: bool = False) -> None:
    """Sets up logging for the process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        file: where JSON lines go, rotated at 20 MB, five kept; None for no file.
        quiet: leave the terminal to warnings and worse, as when a live view is drawn there.
        as_json: JSON lines on stderr too, for whoever gathers the logs of a container.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel("WARNING" if quiet else level)
    colors = sys.stderr.isatty()
    lines = structlog.processors.JSONRenderer(ensure_ascii=False)
    terminal.setFormatter(_formatter(shared, lines if as_json else structlog.dev.ConsoleRenderer(colors=colors)))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        rotating = SharedRotatingFile(file, max_bytes=_FILE_BYTES, kept=_FILES_KEPT)
        rotating.setFormatter(_formatter(shared, lines))
        handlers.append(rotating)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


class SharedRotatingFile(logging.handlers.RotatingFileHandler):
    """A file rotated by size that several processes may write: no line is lost when another one rotates it.

    Each looks before a line whether the name still means its file. One process at a time rotates; who finds it
    being done goes on in the file at hand. A disk that refuses lines is told of on stderr once, not line by line.
    """

    def __init__(self, path: Path, *, max_bytes: int, kept: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8", errors="backslashreplace")
        self._rotation = FileLock(path.with_name(f".{path.name}.lock"), f"the rotation of {path}")
        self._refused = False

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a line, to the file that has the name now."""
        with suppress(OSError):
            self._follow()
        super().emit(record)

    def _follow(self) -> None:
        if self.stream is None:
            return
        ours = os.fstat(self.stream.fileno())
        try:
            named = Path(self.baseFilename).stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino):
            self.stream.close()
            self.stream = self._open()

    def doRollover(self) -> None:  # noqa: N802 - the name of the library's
        """Rotates unless somebody else does, or just did."""
        if not self._rotation.try_acquire():
            return
        try:
            self._follow()
            if self.stream is None or os.fstat(self.stream.fileno()).st_size >= self.maxBytes // 2:
                super().doRollover()
        finally:
            self._rotation.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - as the library calls it
        """Says once that lines are lost, and why."""
        if not self._refused:
            self._refused = True
            sys.stderr.write(f"hosu: {self.baseFilename} takes no lines ({sys.exc_info()[1]}); stderr still does\n")


def _formatter(shared: list[Any], renderer: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            renderer,
        ],
    )


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        event[name] = _clean(name, value)
    return event


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    if isinstance(value, str):
        for secret in _known_secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", inner) for inner in value]
    return value
