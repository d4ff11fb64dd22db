"""The collector under a supervisor: what it tells, how it stops, and what it refuses before anything starts."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import PATIENCE_S, PROGRAM, Simulator, Started, environment, hosu, rows_of, simulator, until

pytestmark = pytest.mark.slow

SYMBOLS = "005930,000660"
MARKET = ("--synthetic", "--date", "2026-09-15", "--symbols", SYMBOLS, "--token-interval", 0)


@contextmanager
def collecting(home: Path, broker: Simulator, *words: object, **variables: str) -> Iterator[Started]:
    """A collector that is gone afterwards."""
    command = ("collect", *broker.addresses, "--symbols", SYMBOLS, "--lake", home / "lake", "--no-bars", *words)
    started = Started(home, "collector", *command, "--format", "json", **variables)
    try:
        yield started
    finally:
        started.kill()


class Manager:
    """Stands in for systemd: a datagram socket of the kernel's, and all that came over it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.name)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            self.heard += self._socket.recv(65_536).decode().splitlines()


def test_systemd_hears_ready_pings_and_stopping_and_a_monitor_one_sentence(tmp_path: Path):
    manager = Manager(tmp_path / "notify")
    variables = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "3000000"}
    with (
        simulator(tmp_path, *MARKET, "--rate", 100, "--records", 100_000, "--expect", 4) as broker,
        collecting(tmp_path, broker, "--health-port", 0, **variables) as collector,
    ):
        collector.until(lambda: "READY=1" in manager.heard, "it was ready")
        pinged = manager.heard.count("WATCHDOG=1")
        collector.until(lambda: manager.heard.count("WATCHDOG=1") > pinged + 2, "it had pinged three times more")
        told = tmp_path / "lake" / ".hosu" / "health.json"
        collector.until(lambda: json.loads(told.read_text())["records"] > 0, "it told of records")
        address = re.search(r"http://127\.0\.0\.1:\d+", collector.err)
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}/health", timeout=PATIENCE_S) as reply:
            assert json.loads(reply.read())["ready"] is True
        well = hosu(tmp_path, "status", "--check", "--lake", tmp_path / "lake")
        assert (well.code, well.out.count("\n")) == (0, 1)
        assert well.out.startswith("hosu: OK: collecting: ")
        whole = hosu(tmp_path, "status", "--lake", tmp_path / "lake", "--format", "json").json()
        assert whole["health"]["disk"]["disks"][0]["free_bytes"] > 0
        assert "STOPPING=1" not in manager.heard
        collector.signal(signal.SIGTERM)
        ended = collector.finish()
    assert (ended.code, ended.json()["reason"]) == (0, "SIGTERM")
    until(lambda: "STOPPING=1" in manager.heard, "it had said that it stops")
    after = hosu(tmp_path, "status", "--check", "--lake", tmp_path / "lake")
    assert (after.code, after.err) == (1, "")
    assert f"process {collector.process.pid} has ended: it does not collect: ended (SIGTERM)" in after.out


def test_where_nothing_collects_a_check_says_so(tmp_path: Path):
    asked = hosu(tmp_path, "status", "--check", "--lake", tmp_path / "lake")
    assert (asked.code, asked.out) == (
        1,
        f"hosu: NOT OK: nothing collects into {tmp_path / 'lake' / '.hosu'}; start `hosu collect`\n",
    )


def test_logs_on_a_stderr_that_is_no_terminal_are_json_and_lines_if_wanted(tmp_path: Path):
    market = (*MARKET, "--rate", 2_000, "--records", 2_000, "--expect", 4)
    with simulator(tmp_path, *market) as broker, collecting(tmp_path, broker) as collector:
        said = collector.finish().err.splitlines()
    events = [json.loads(line)["event"] for line in said if not line.startswith("hosu: ")]
    assert "collector stops" in events
    again = tmp_path / "again"
    again.mkdir()
    with simulator(again, *market) as broker, collecting(again, broker, HOSU_LOG_FORMAT="text") as collector:
        said = collector.finish().err.splitlines()
    assert not [line for line in said if line.startswith("{")]
    assert any("collector stops" in line for line in said)


def test_a_second_collector_of_a_state_folder_is_told_of_the_first_and_harms_nothing_of_it(tmp_path: Path):
    with (
        simulator(tmp_path, *MARKET, "--rate", 100, "--records", 100_000, "--expect", 4) as broker,
        collecting(tmp_path, broker) as first,
    ):
        told = tmp_path / "lake" / ".hosu" / "health.json"
        first.until(lambda: told.exists() and json.loads(told.read_text())["ready"], "it collected")
        second = hosu(
            tmp_path, "collect", *broker.addresses, "--symbols", SYMBOLS, "--lake", tmp_path / "lake", "--daily"
        )
        assert second.code == 1
        assert f"the state folder {told.parent} is in use by process {first.process.pid} (hosu collect)" in second.err
        assert json.loads(told.read_text())["pid"] == first.process.pid


def test_a_port_that_is_taken_is_said_before_the_broker_is_asked_for_anything(tmp_path: Path):
    with simulator(tmp_path, *MARKET, "--rate", 100, "--expect", 4) as broker, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with collecting(tmp_path, broker, "--health-port", port) as collector:
            ended = collector.finish()
        assert ended.code == 1
        assert f"port {port} on 127.0.0.1 is in use; choose another, or 0 for a free one" in ended.err
        broker.signal(signal.SIGINT)
        assert broker.report()["connections"] == []


@pytest.mark.parametrize("words", [("--state", "/sys/hosu"), ("--state", "/dev/null/hosu"), ("--lake", "/sys/lake")])
def test_a_folder_that_cannot_be_written_is_one_sentence(words: tuple[str, str], tmp_path: Path):
    addresses = ("--kis", "simulator", "--rest", "http://127.0.0.1:1", "--ws", "ws://127.0.0.1:1")
    lake = () if words[0] == "--lake" else ("--lake", tmp_path / "lake")
    refused = hosu(tmp_path, "collect", *addresses, "--symbols", SYMBOLS, *lake, *words)
    assert refused.code == 1
    assert "Traceback" not in refused.err
    assert refused.err.startswith("hosu: ")
    assert words[1] in refused.err


def test_an_unknown_manager_is_said_once_and_collecting_goes_on(tmp_path: Path):
    with (
        simulator(tmp_path, *MARKET, "--rate", 2_000, "--records", 2_000, "--expect", 4) as broker,
        collecting(tmp_path, broker, NOTIFY_SOCKET="/no/such/socket", WATCHDOG_USEC="soon") as collector,
    ):
        ended = collector.finish()
    assert ended.code == 0
    assert ended.err.count("the service manager cannot be told") == 1
    assert ended.err.count("WATCHDOG_USEC is no number") == 1


def test_several_shards_stop_on_one_sigterm_and_commit_what_they_received(tmp_path: Path):
    with (
        simulator(tmp_path, *MARKET, "--rate", 500, "--records", 100_000, "--expect", 2, "--slots", 1) as broker,
        collecting(
            tmp_path, broker, "--keys", 2, "--slots", 1, "--feeds", "trades", "--no-poll", HOSU_LOG_FORMAT="json"
        ) as collector,
    ):
        states = tmp_path / "lake" / ".hosu" / "status.json"
        collector.until(
            lambda: (
                states.exists()
                and [shard["status"].get("records", 0) > 100 for shard in json.loads(states.read_text())["shards"]]
                == [True, True]
            ),
            "both shards received",
        )
        pids = [shard["pid"] for shard in json.loads(states.read_text())["shards"]]
        collector.signal(signal.SIGTERM)
        ended = collector.finish()
    assert (ended.code, ended.json()["state"], ended.json()["reason"]) == (0, "stopped", "SIGTERM")
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    shards = ended.json()["shards"]
    assert [shard["state"] for shard in shards] == ["ended", "ended"]
    assert [shard["status"]["buffers"]["uncommitted_records"]["lake"] for shard in shards] == [0, 0]
    (row,) = rows_of(tmp_path / "lake", "SELECT count(*) AS n, count(DISTINCT wal_id) AS logs FROM trades")
    assert (row["n"], row["logs"]) == (ended.json()["records"], 2)
    for line in ended.err.splitlines():
        assert line.startswith("hosu: ") or "event" in json.loads(line), line


# --- the first process of a container ---------------------------------------------------------------------------------


def _can_make_a_namespace() -> bool:
    try:
        asked = subprocess.run(["unshare", "-pf", "true"], capture_output=True, check=False, timeout=PATIENCE_S)
    except OSError:
        return False
    return asked.returncode == 0


def test_as_the_first_process_it_hears_sigterm_and_leaves_no_dead_shard_behind(tmp_path: Path):
    if not _can_make_a_namespace():
        pytest.skip("making a process namespace, as a container has, is not allowed here")
    with simulator(tmp_path, *MARKET, "--rate", 500, "--records", 100_000, "--expect", 2, "--slots", 1) as broker:
        command = [
            *("unshare", "-pf", "--kill-child", *PROGRAM, "collect", *broker.addresses, "--symbols", SYMBOLS),
            *("--lake", str(tmp_path / "lake"), "--keys", "2", "--slots", "1", "--feeds", "trades", "--no-poll"),
            *("--no-bars", "--format", "json"),
        ]
        with (tmp_path / "err").open("wb") as err:
            outer = subprocess.Popen(
                command, env=environment(), cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err
            )
        try:
            states = tmp_path / "lake" / ".hosu" / "status.json"
            until(lambda: _received(states) >= 2, "both shards received")
            (first,) = _children(outer.pid)
            assert re.search(r"^NSpid:.*\t1$", Path(f"/proc/{first}/status").read_text(), re.MULTILINE)
            shards = _children(first)
            assert len(shards) == 2
            os.kill(shards[0], signal.SIGKILL)
            until(lambda: _received(states, restarts=1) >= 2, "the killed shard received again")
            assert not [pid for pid in _children(first) if _is_dead(pid)]
            os.kill(first, signal.SIGTERM)
            out, _ = outer.communicate(timeout=PATIENCE_S)
        finally:
            outer.kill()
            outer.wait()
    assert outer.returncode == 0, (tmp_path / "err").read_text()
    assert json.loads(out)["reason"] == "SIGTERM"


def _received(states: Path, restarts: int = 0) -> int:
    """How many shards have received trades, once they were started again so often."""
    if not states.exists():
        return 0
    shards = json.loads(states.read_text())["shards"]
    if sum(shard["restarts"] for shard in shards) < restarts or any(shard["state"] != "running" for shard in shards):
        return 0
    return sum(shard["status"].get("records", 0) > 0 and shard["status"]["pid"] == shard["pid"] for shard in shards)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_dead(pid: int) -> bool:
    return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
