"""Waiting for what may take too long, and leaving it behind when a stop leaves no time for it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from hosu.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hosu.collect.wal import Log

LOOK_S: Final = 0.02
"""Between looks whether a thread has ended, or a stop was asked for."""


async def until(condition: Callable[[], bool]) -> None:
    """Returns once the condition holds."""
    # Threads are looked at, not joined: a join in an executor could not be left when a stop is asked for again.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)


async def finished(work: Coroutine[object, object, object], give_up: Callable[[], bool]) -> bool:
    """Waits for ``work`` until it ends or ``give_up`` says so; whether it ended. What it raises is raised."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done() and not give_up():
            await asyncio.wait([task], timeout=LOOK_S)
        if task.done():
            task.result()
        return task.done()
    finally:
        task.cancel()


async def aside(call: Callable[[], object]) -> None:
    """Runs a blocking call in a thread of its own, and raises what it raises.

    Cancelling leaves the thread behind: unlike one of an executor, it keeps neither the loop nor the process.
    """
    failed: list[BaseException] = []
    thread = _started(call, failed)
    await until(lambda: not thread.is_alive())
    if failed:
        raise failed[0]


def close_within(log: Log, seconds: float) -> bool:
    """Closes a log, which may be closed already or be closing; whether that took no longer than ``seconds``.

    A fault of its disk is not raised: the log tells its owner when it happens.
    """

    def close() -> None:
        with suppress(LogError):
            log.close()

    thread = _started(close, [])
    thread.join(seconds)
    return not thread.is_alive()


def _started(call: Callable[[], object], failed: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits for it
            failed.append(error)

    thread = threading.Thread(target=run, name="hosu-aside", daemon=True)
    thread.start()
    return thread
