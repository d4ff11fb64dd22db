"""Each lock, held by one real process and wanted by another: refused with the holder's name, free once it is killed."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

LOCKS = {
    "the log": """
        from hosu.clock import SystemClock
        from hosu.collect.wal import Log
        log = Log.open(folder / "wal", SystemClock())
        hold()
    """,
    "maintenance of table trades": """
        from hosu.lake.lease import maintenance
        from hosu.lake.storage import Storage
        with maintenance(Storage.open(str(folder)), "trades"):
            hold()
    """,
    "the token cache of f1": """
        from hosu.locks import FileLock
        with FileLock(folder / "token.lock", "the token cache of f1"):
            hold()
    """,
    "the appkey f1": """
        import asyncio, random
        from types import SimpleNamespace
        from hosu.clock import SystemClock
        from hosu.kis.feed import Feed, FeedConfig
        from hosu.kis.hosts import Host
        host = Host("simulator", "http://127.0.0.1:1", "ws://127.0.0.1:1")
        keys = SimpleNamespace(credentials=SimpleNamespace(fingerprint="f1"))
        feed = Feed(FeedConfig(folder), host, keys, SystemClock(), None, expects_data=bool, random=random.Random(1))
        async def sessions(_): hold()  # the lock is held around them
        feed._run_sessions = sessions
        asyncio.run(feed.run([]))
    """,
}
"""How a process takes the lock of each name."""

_PROGRAM = """
import sys
from pathlib import Path
from hosu.errors import LockedError
folder, sys.argv = Path(sys.argv[1]), ["/usr/bin/hosu", "lake", "compact", "--table", "trades"]
def hold():
    print("held", flush=True)
    sys.stdin.read()
def take():
{take}
try:
    take()
except LockedError as error:
    print(error, flush=True)
"""


def _start(what: str, folder: Path) -> "subprocess.Popen[str]":
    take = "\n".join(f"    {line}" for line in dedent(LOCKS[what]).strip().splitlines())
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(take=take), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("what", list(LOCKS))
def test_a_second_process_is_told_the_holder_and_what_it_does_and_has_its_turn_once_that_is_killed(
    what: str, tmp_path: Path
):
    with _start(what, tmp_path) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with _start(what, tmp_path) as second:
                said, _ = second.communicate()
            assert said.startswith(what)
            assert f"is in use by process {holder.pid} (hosu lake compact); " in said
        finally:
            holder.kill()
    with _start(what, tmp_path) as third:
        said, _ = third.communicate()
    assert said == "held\n"
