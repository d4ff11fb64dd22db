"""Datagrams to a real socket, as systemd would listen to them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from hosu.cli.notify import Notifier

PATIENCE_S = 10


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A manager's socket and its name in NOTIFY_SOCKET."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@hosu-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1) if name[0] == "@" else name)
        listening.settimeout(PATIENCE_S)
        yield listening, name


def test_what_is_sent_arrives_as_one_datagram_of_assignments(manager: tuple[socket.socket, str]):
    listening, name = manager
    notifier = Notifier(name)
    assert notifier.listens
    assert notifier.send(READY=1, STATUS="둘: two\nlines, READY=0")
    assert listening.recv(4096).decode() == "READY=1\nSTATUS=둘: two lines, READY=0"
    notifier.send(STATUS="x" * 100_000)
    assert len(listening.recv(1 << 20)) == len("STATUS=") + 2_000


def test_the_environment_says_where_and_how_often_and_is_not_handed_on(manager: tuple[socket.socket, str]):
    listening, name = manager
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    notifier = Notifier.of_environment(environ)
    assert environ == {"HOME": "/"}
    assert notifier.watchdog_s == 3.0
    notifier.send(WATCHDOG=1)
    assert listening.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("3000000", "", 3.0),
        ("3000000", "1", None),
        ("", "", None),
        ("0", "", None),
        ("-3", "", None),
        ("soon", "", None),
    ],
)
def test_a_watchdog_is_fed_only_if_it_is_ours_and_says_when(usec: str, pid: str, expected: float | None):
    environ = {"NOTIFY_SOCKET": "/run/none", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    assert Notifier.of_environment(environ).watchdog_s == expected


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative/path", "@"])
def test_an_address_of_an_unknown_kind_is_said_and_nobody_is_told(address: str):
    with structlog.testing.capture_logs() as said:
        notifier = Notifier.of_environment({"NOTIFY_SOCKET": address})
    assert not notifier.send(READY=1)
    assert not notifier.listens
    assert [each["address"] for each in said] == [address]


@pytest.mark.parametrize("name", ["notify", "x" * 200])
def test_a_manager_that_is_not_there_is_no_reason_to_fail_and_is_told_once_it_is(name: str, tmp_path: Path):
    notifier = Notifier.of_environment({"NOTIFY_SOCKET": str(tmp_path / name)})
    with structlog.testing.capture_logs() as said:
        assert not notifier.send(READY=1)
        assert not notifier.send(READY=1)
    assert [each["event"] for each in said] == ["the service manager cannot be told"]
    if name == "notify":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(tmp_path / name))
            assert notifier.send(READY=1)


def test_without_a_manager_nothing_is_sent():
    notifier = Notifier.of_environment({})
    assert not notifier.listens
    assert not notifier.send(READY=1)


def test_a_manager_that_does_not_read_costs_a_message_and_not_the_listener(tmp_path: Path):
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        notifier = Notifier(name)
        while notifier.send(STATUS="x"):
            pass
        assert notifier.listens
        while True:
            try:
                listening.recv(10, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
        assert notifier.send(STATUS="y")
