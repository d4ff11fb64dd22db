import os
import subprocess
import sys

import pytest

from hosu.errors import LockedError
from hosu.locks import FileLock, doing

HOLD = """
import sys
from pathlib import Path
from hosu.locks import FileLock
with FileLock(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_told_who_holds_it(tmp_path):
    with FileLock(tmp_path / "a.lock", "the log"), pytest.raises(LockedError) as caught:
        FileLock(tmp_path / "a.lock", "the log").acquire()
    assert str(caught.value).startswith(f"the log is in use by process {os.getpid()} (a program);")
    with FileLock(tmp_path / "a.lock", "the log") as lock:
        assert lock.held
    assert not lock.held


def test_another_process_is_excluded_until_it_is_killed(tmp_path):
    path = tmp_path / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=f"process {holder.pid}"):
            FileLock(path, "it").acquire()
        holder.kill()
        holder.wait()
        with FileLock(path, "it"):
            pass


def test_the_folder_is_made_private_and_the_lock_is_not_reentrant(tmp_path):
    path = tmp_path / "cache" / "a.lock"
    with FileLock(path, "it") as lock:
        assert not lock.try_acquire()
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert path.stat().st_mode & 0o777 == 0o600
    lock.release()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["/usr/bin/hosu", "lake", "compact", "--lake", "secret"], "hosu lake compact"),
        (["/x/hosu/__main__.py", "collect", "--kis", "live"], "hosu collect"),
        (["/x/hosu/cli/shard.py"], "hosu shard"),
        (["/x/pytest/__main__.py", "tests"], "a program"),
        (["hosu", "SELECT 1"], "hosu"),
        ([], "a program"),
    ],
)
def test_a_holder_is_called_by_the_words_of_its_command(argv, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    assert doing() == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"77 on another-box as hosu collect\n", "process 77 (hosu collect) on another-box"),
        (b"77\n", "process 77"),
        (b"", "another process"),
        (b"\x1b[2J evil\xff", "another process"),
        (b"77 on \x1b[2J as hosu \x07", "process 77"),
    ],
)
def test_whatever_the_file_says_the_message_is_plain(text, said, tmp_path):
    path = tmp_path / "a.lock"
    with FileLock(path, "it"):
        path.write_bytes(text)
        with pytest.raises(LockedError) as refused:
            FileLock(path, "it").acquire()
    assert str(refused.value) == f"it is in use by {said}; stop that process first"
