import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from hosu import logs


@pytest.fixture
def logfile(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    path = tmp_path / "state" / "hosu.log"
    logs.configure("INFO", path, quiet=True)
    yield path
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_json_lines_with_level_and_time(logfile: Path) -> None:
    structlog.get_logger("kis").info("registered", symbol="005930", slots=41)
    (line,) = _lines(logfile)
    assert line["event"] == "registered"
    assert (line["symbol"], line["slots"], line["level"]) == ("005930", 41, "info")
    assert str(line["timestamp"]).endswith("Z")


def test_secret_fields_and_known_secret_texts_are_hidden_everywhere(logfile: Path) -> None:
    logs.hide("PSxxSECRETxx", None, "short")
    log = structlog.get_logger()
    log.warning("asked with PSxxSECRETxx", appsecret="a", headers={"authorization": "Bearer b", "x": ["PSxxSECRETxx"]})
    logging.getLogger("other.library").warning("GET /?key=%s", "PSxxSECRETxx")
    try:
        raise ValueError("PSxxSECRETxx")
    except ValueError:
        log.exception("failed")
    text = logfile.read_text()
    assert "PSxxSECRETxx" not in text
    assert "Bearer b" not in text
    first = _lines(logfile)[0]
    assert first["appsecret"] == "***"
    assert first["headers"] == {"authorization": "***", "x": ["***"]}
    assert "ValueError: ***" in str(_lines(logfile)[2]["exception"])


def test_level_is_kept(logfile: Path) -> None:
    structlog.get_logger().debug("noise")
    assert logfile.read_text() == ""
