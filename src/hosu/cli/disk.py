"""Measures what we put on the disks, now and then, in a thread that nobody waits for: a disk may not answer."""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from hosu.collect.disk import DiskBudget, DiskReport, Room, Usage, history_of_json, history_to_json
from hosu.errors import HosuError
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.clock import Clock
    from hosu.collect.disk import DiskConfig
    from hosu.lake.lake import Lake

_log = structlog.get_logger(__name__)

EVERY_S: Final = 300.0
_S3_EVERY: Final = 12
"""Raw tables on S3 are listed, which costs, only every so many measurements."""


class DiskWatch:
    """``report`` is what the last measurement meant; ``start`` keeps measuring until ``stop``.

    The history is kept in ``disk.json`` of the state folder.
    """

    def __init__(self, state: Path, lake: Lake, config: DiskConfig, clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._state, self._lake, self._clock, self._every_s = state, lake, clock, every_s
        self._path = state / "disk.json"
        self._budget = DiskBudget(config, _read_history(self._path))
        self._wants_raw = config.raw_budget_bytes is not None
        self._count = 0
        self._raw_bytes: int | None = None
        self._stopping = threading.Event()
        self._warned: frozenset[str] = frozenset()
        self.report = DiskReport()

    def start(self) -> None:
        """Starts the thread; it ends with the process, or a little after ``stop``."""
        threading.Thread(target=self._run, name="hosu-disk", daemon=True).start()

    def stop(self) -> None:
        """Measures no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.measure()
            except (OSError, HosuError) as error:  # it is only a forecast; the disk's own fault shows elsewhere
                _log.warning("disk not measured", error=str(error))
            self._stopping.wait(self._every_s)

    def measure(self) -> DiskReport:
        """Measures now; warns in the log of what was not warned of before."""
        usage = Usage(self._clock.now_us(), tuple(self._rooms()), self._raw())
        self._count += 1
        self.report = self._budget.take(usage)
        for about, text in self.report.warnings.items():
            if about not in self._warned:
                _log.warning("disk budget", warning=text)
        self._warned = frozenset(self.report.warnings)
        replace_file(self._path, json.dumps(history_to_json(self._budget.history)).encode(), durable=False)
        return self.report

    def _rooms(self) -> Iterator[Room]:
        """One for each disk that holds the state or the lake."""
        places = {"the log": self._state}
        folder = self._lake.storage.folder
        if folder is not None:
            if self._state.resolve().is_relative_to(folder.resolve()):
                places = {"log and lake": folder}
            elif folder.stat().st_dev == self._state.stat().st_dev:
                yield Room("log and lake", used_bytes(self._state) + used_bytes(folder), _free(folder))
                return
            else:
                places["the lake"] = folder
        for name, place in places.items():
            yield Room(name, used_bytes(place), _free(place))

    def _raw(self) -> int | None:
        """What the raw tables hold; measured where somebody set a budget for them."""
        if not self._wants_raw:
            return None
        storage = self._lake.storage
        if storage.folder is not None:
            return used_bytes(storage.folder / "raw")
        if self._count % _S3_EVERY == 0:
            self._raw_bytes = sum(entry.size for entry in storage.list("raw"))
        return self._raw_bytes


def used_bytes(folder: Path) -> int:
    """What a folder takes on its disk, links not followed; what vanishes meanwhile counts or not."""
    total, folders = 0, [str(folder)]
    while folders:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                with suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _free(place: Path) -> int:
    return shutil.disk_usage(place).free


def _read_history(path: Path) -> list[Usage]:
    try:
        return history_of_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return []
