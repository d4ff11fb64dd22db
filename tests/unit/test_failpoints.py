"""Named places do nothing until somebody wants to know, and then just what was wanted."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hosu import failpoints
from hosu.errors import SettingsError

SOURCE = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def off_again():
    yield
    failpoints.install(None)


def test_every_place_is_in_the_program_once_and_every_one_in_the_program_is_listed():
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py") if path.name != "failpoints.py")
    assert sorted(re.findall(r'failpoints\.reach\("([a-z.]+)"\)', text)) == sorted(failpoints.POINTS)


def test_nothing_is_on_unless_it_is_asked_for():
    failpoints.arm({})
    assert failpoints.on is False
    failpoints.reach("log.synced")


def test_a_function_is_told_of_every_place():
    seen: list[str] = []
    failpoints.install(seen.append)
    assert failpoints.on is True
    failpoints.reach("log.synced")
    failpoints.reach("lake.stored")
    assert seen == ["log.synced", "lake.stored"]


@pytest.mark.parametrize("wanted", ["log.nowhere", "log.synced:0", "log.synced:-1", "log.synced:x", "log.synced:²"])
def test_what_names_no_place_or_no_count_is_refused(wanted: str):
    with pytest.raises(SettingsError, match="HOSU_FAILPOINT"):
        failpoints.arm({"HOSU_FAILPOINT": wanted})
    assert failpoints.on is False


def test_an_armed_process_dies_at_the_count_and_not_before():
    script = (
        "from hosu import failpoints\n"
        "failpoints.arm({'HOSU_FAILPOINT': 'log.synced:3'})\n"
        "for number in range(5):\n"
        "    failpoints.reach('log.written'); print(number, flush=True); failpoints.reach('log.synced')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"0\n1\n2\n")
