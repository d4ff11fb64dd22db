"""Logs: one JSON object a line in a rotating file, readable lines on a terminal, secrets in neither."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

HIDDEN = "***"
_SECRET_NAMES = re.compile(r"secret|token|appkey|app_key|approval|authorization|password|access_key", re.IGNORECASE)
_known_secrets: set[str] = set()


def hide(*secrets: str | None) -> None:
    """From now on these texts never appear in a log line, whatever field or message they stand in."""
    _known_secrets.update(secret for secret in secrets if secret and len(secret) >= 8)


def configure(level: str = "INFO", file: Path | None = None, *, quiet: bool = False) -> None:
    """Sets up logging for the process.

    Args:
        level: DEBUG, INFO, WARNING or ERROR.
        file: where JSON lines go, rotated at 20 MB, five kept; None for no file.
        quiet: leave the terminal to warnings and worse, as when a live view is drawn there.
    """
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel("WARNING" if quiet else level)
    colors = sys.stderr.isatty()
    terminal.setFormatter(_formatter(shared, structlog.dev.ConsoleRenderer(colors=colors)))
    handlers: list[logging.Handler] = [terminal]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        rotating = logging.handlers.RotatingFileHandler(
            file, maxBytes=20_000_000, backupCount=5, encoding="utf-8", errors="backslashreplace"
        )
        rotating.setFormatter(_formatter(shared, structlog.processors.JSONRenderer(ensure_ascii=False)))
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
