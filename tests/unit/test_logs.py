import json
import logging
import subprocess
import sys
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


WRITER = """
import logging, sys
from pathlib import Path
from hosu.logs import SharedRotatingFile
handler = SharedRotatingFile(Path(sys.argv[1]), max_bytes=4_000, kept=500)
log = logging.getLogger(); log.addHandler(handler); log.setLevel("INFO")
print("ready", flush=True); sys.stdin.readline()
for number in range(1_000):
    log.info("%s %04d %s", sys.argv[2], number, "x" * 20)
"""


def test_no_line_is_lost_when_several_processes_rotate_one_file(tmp_path: Path) -> None:
    path, names = tmp_path / "hosu.log", ("one", "two", "three")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n")
    files = sorted(tmp_path.glob("hosu.log*"))
    lines = [line.split() for file in files for line in file.read_text().splitlines()]
    for name in names:
        assert sorted(int(number) for who, number, _ in lines if who == name) == list(range(1_000))
    assert len(files) > 10
    assert all(file.stat().st_size < 8_000 for file in files)


def test_a_file_somebody_moved_away_is_begun_anew(logfile: Path) -> None:
    structlog.get_logger().info("one")
    logfile.rename(logfile.with_name("moved"))
    structlog.get_logger().info("two")
    assert [line["event"] for line in _lines(logfile)] == ["two"]


def test_a_disk_that_takes_no_line_is_told_of_once_and_the_program_goes_on() -> None:
    program = """
import logging, os
from pathlib import Path
from hosu.logs import SharedRotatingFile
handler = SharedRotatingFile(Path("/dev/full"), max_bytes=0, kept=0)
for _ in range(3):
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "line", None, None))
print("goes on", flush=True)
os._exit(0)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "goes on\n"
    assert ran.stderr == "hosu: /dev/full takes no lines ([Errno 28] No space left on device); stderr still does\n"


def test_stderr_gets_an_object_a_line_where_that_is_wanted(tmp_path: Path, logfile: Path) -> None:
    program = "from hosu import logs; import structlog; logs.configure('INFO', as_json=True); "
    program += "structlog.get_logger().info('registered', symbol='005930', appsecret='s')"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (line,) = [json.loads(each) for each in ran.stderr.splitlines()]
    assert (line["event"], line["symbol"], line["appsecret"], line["level"]) == ("registered", "005930", "***", "info")


@pytest.mark.parametrize(
    ("format_", "terminal", "expected"),
    [("auto", True, False), ("auto", False, True), ("text", False, False), ("json", True, True)],
)
def test_a_terminal_gets_lines_for_people_unless_told_otherwise(format_: str, terminal: bool, expected: bool) -> None:
    from hosu.settings import LogSettings, load

    assert load(LogSettings, {"format": format_}).as_json(terminal) is expected
