"""What the attendant tells the manager, the file and the endpoint, while the process tells it of itself or hangs."""

import asyncio
import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosu.cli.attended import Attendant, AttendantConfig
from hosu.cli.endpoint import Endpoint
from hosu.cli.notify import Notifier
from hosu.clock import SimulatedClock
from hosu.errors import InputError, PortInUseError


class Clock(SimulatedClock):
    """A clock set by the test."""

    def set(self, seconds: float) -> None:
        self._now_us = round(seconds * 1e6)

    offset = 0

    def offset_us(self) -> int:
        return self.offset


def status(beats: int = 0, *, frames: int = 0, state: str = "running", **facts: Any) -> dict[str, Any]:
    return {"state": state, "pid": 1, "frames": frames, "records": frames, "beats": {"lake": beats}, **facts}


class Listening:
    """A manager's socket, and what came over it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.name)

    def heard(self) -> list[str]:
        """What came since the last time; all of it is there, for who sent it has returned."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096, socket.MSG_DONTWAIT).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Listening]:
    listening = Listening(tmp_path / "notify")
    yield listening
    listening.close()


def made(manager: Listening, clock: Clock, path: Path | None = None) -> Attendant:
    return Attendant(
        path,
        Notifier(manager.name, watchdog_s=90.0),
        clock,  # type: ignore[arg-type]
        config=AttendantConfig(loop_s=60, stage_s=100),
    )


def test_the_manager_hears_ready_once_it_collects_and_a_ping_every_third_of_its_time(manager: Listening):
    clock = Clock()
    attendant = made(manager, clock)
    attendant.attend()
    assert manager.heard() == ["STATUS=it does not collect: starting", "WATCHDOG=1"]
    pings = []
    for second in range(1, 62):
        clock.set(second)
        attendant.take(status(beats=second, frames=second))
        attendant.attend()
        heard = manager.heard()
        if second == 1:
            assert heard[-1] == "READY=1"
        pings += [second for line in heard if line == "WATCHDOG=1"]
    assert pings == [30, 60]


def test_a_hanging_event_loop_is_not_pinged_for(manager: Listening):
    clock = Clock()
    attendant = made(manager, clock)
    attendant.take(status(beats=1))
    clock.set(60)
    assert attendant.attend().alive
    assert "WATCHDOG=1" in manager.heard()
    clock.set(121)
    health = attendant.attend()
    assert (health.alive, health.ready) == (False, False)
    assert health.sentence == "the event loop stands still for 121 s"
    assert manager.heard() == ["STATUS=the event loop stands still for 121 s"]
    attendant.take(status(beats=2))
    assert attendant.attend().alive
    assert "WATCHDOG=1" in manager.heard()


@pytest.mark.parametrize(
    ("stuck", "said", "after_s"),
    [
        ({"bytes_written": 10, "buffers": {"log_queue_bytes": 5}}, "the log's writer stands still for 61 s", 61),
        ({}, "the sink lake stands still for 301 s", 301),
    ],
    ids=["writer", "sink"],
)
def test_a_loop_that_turns_is_not_pinged_for_while_its_writer_or_a_sink_hangs(
    stuck: dict[str, Any], said: str, after_s: int, manager: Listening
):
    clock = Clock()
    attendant = made(manager, clock)
    for second in range(after_s + 30):
        clock.set(second)
        attendant.take(status(beats=1 if "sink" in said else second, **stuck))
        health = attendant.attend()
        if second >= after_s - 1:
            assert not health.alive
            manager_heard = manager.heard()
            assert "WATCHDOG=1" not in manager_heard
        else:
            manager.heard()
        if second == after_s:
            assert health.sentence == said


def test_waiting_is_ready_and_a_stage_may_take_its_time_and_no_more(manager: Listening):
    clock = Clock()
    attendant = made(manager, clock)
    attendant.enter("waiting for Monday", waits=True, at_most_s=300)
    health = attendant.attend()
    assert (health.ready, health.sentence) == (True, "waiting for Monday")
    assert manager.heard() == ["STATUS=waiting for Monday", "READY=1", "WATCHDOG=1"]
    attendant.enter("building bars")
    clock.set(100)
    assert attendant.attend().problems == ("it does not collect: building bars",)
    clock.set(101)
    health = attendant.attend()
    assert (health.alive, health.problems[0]) == (False, "building bars has taken 101 s")


def test_the_age_of_the_last_frame_counts_anew_for_each_collection(manager: Listening):
    clock = Clock()
    attendant = made(manager, clock)
    attendant.take(status(frames=0))
    assert attendant.health().facts["last_frame_age_s"] is None
    attendant.take(status(frames=5))
    clock.set(7)
    attendant.take(status(frames=5))
    assert attendant.health().facts["last_frame_age_s"] == 7.0
    attendant.enter("waiting", waits=True)
    attendant.take(status(frames=0))
    assert attendant.health().facts["last_frame_age_s"] is None
    attendant.take(status(frames=5))
    assert attendant.health().facts["last_frame_age_s"] == 0.0


def test_a_clock_that_was_set_is_warned_of_until_the_next_collection_and_readers_are_told_the_time_it_says(
    manager: Listening,
):
    class Idle:
        async def run(self) -> dict[str, Any]:
            return status()

        def status(self) -> dict[str, Any]:
            return status()

    clock = Clock()
    attendant = made(manager, clock)
    attendant.take(status())
    clock.set(10)
    attendant.take(status())
    clock.offset = 3_600_000_000
    health = attendant.health()
    assert health.warnings == ("the system's clock was set by +3,600 s since the start",)
    assert health.facts["updated_us"] == 3_610_000_000
    asyncio.run(attendant.watch(Idle()))
    assert attendant.health().warnings == ()


def test_a_stop_by_a_signal_is_told_when_it_begins_and_the_end_of_a_day_is_not_one(manager: Listening):
    attendant = made(manager, Clock())
    attendant.take(status(state="draining", reason="the market's day is over"))
    assert manager.heard() == []
    attendant.take(status(state="draining", reason="SIGTERM"))
    attendant.take(status(state="draining", reason="SIGTERM"))
    assert manager.heard() == ["STOPPING=1"]


def test_the_file_is_whole_and_names_the_end_and_its_cause(manager: Listening, tmp_path: Path):
    attendant = made(manager, Clock(), tmp_path / "health.json")
    attendant.take(status(frames=3))
    with pytest.raises(InputError), attendant:
        raise InputError("the disk", "is gone", "mount it")
    told = json.loads((tmp_path / "health.json").read_text())
    assert (told["alive"], told["ready"], told["records"]) == (True, False, 3)
    assert told["state"] == "ended (the disk: is gone; mount it)"
    assert manager.heard()[-1] == "STOPPING=1"


def test_a_folder_that_takes_no_file_ends_nothing(manager: Listening, tmp_path: Path):
    (tmp_path / "file").write_text("")
    attendant = made(manager, Clock(), tmp_path / "file" / "health.json")
    attendant.take(status())
    assert attendant.attend().ready


def test_it_watches_what_runs_and_returns_its_last_status(manager: Listening):
    class Running:
        state = "starting"

        async def run(self) -> dict[str, Any]:
            self.state = "running"
            await asyncio.sleep(0)
            self.state = "stopped"
            return self.status()

        def status(self) -> dict[str, Any]:
            return status(state=self.state, reason="done")

    attendant = made(manager, Clock())
    assert asyncio.run(attendant.watch(Running()))["state"] == "stopped"
    assert attendant.health().problems == ("it is stopped (done)",)


# --- the endpoint ---------------------------------------------------------------------------------------------------


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def attended(manager: Listening) -> Iterator[tuple[Attendant, Clock, int]]:
    clock = Clock()
    attendant = made(manager, clock)
    endpoint = Endpoint(0, attendant.health)
    yield attendant, clock, endpoint.port
    endpoint.close()


def test_the_endpoint_answers_alive_ready_and_all_of_it(attended: tuple[Attendant, Clock, int]):
    attendant, clock, port = attended
    assert asked(port, "/ready") == (503, "it does not collect: starting\n")
    assert asked(port, "/alive")[0] == 200
    attendant.take(status(frames=2))
    assert asked(port, "/ready?verbose=1")[0] == 200
    code, body = asked(port, "/health")
    assert (code, json.loads(body)["records"]) == (200, 2)
    clock.set(61)
    assert asked(port, "/alive") == (503, "the event loop stands still for 61 s\n")
    assert asked(port, "/passwd") == (404, "choose one of /alive, /ready, /health\n")


@pytest.mark.parametrize("rubbish", [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"G" * 100_000 + b"\r\n", b""])
def test_rubbish_and_silence_do_not_keep_others_from_an_answer(rubbish: bytes, attended: tuple[Attendant, Clock, int]):
    _, _, port = attended
    with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        with contextlib.suppress(ConnectionError):  # it may have seen enough
            silent.sendall(rubbish)
        assert asked(port, "/alive")[0] == 200
    assert threading.active_count() < 20


def test_a_port_that_is_taken_is_said_so(attended: tuple[Attendant, Clock, int]):
    attendant, _, port = attended
    with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use"):
        Endpoint(port, attendant.health)
