import os
import subprocess
import sys

import pytest

from hosu.errors import LockedError
from hosu.locks import FileLock

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
    assert str(caught.value).startswith(f"the log is in use by process {os.getpid()};")
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
