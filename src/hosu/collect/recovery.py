"""Opening a log's folder: which segments there are, and what to do with the last one of a writer that was killed.

The last segment may end in a commit that was never synced: cut off, or with holes, since a disk writes pages in any
order. That torn tail is cut, after its bytes are kept beside it as ``<segment>.<offset>.torn``. The last whole
commit is then written once more in place before anything is synced: after a failed sync the system may hold pages
that it takes for written and the disk never got.
"""

from __future__ import annotations

import json
import re
import secrets
import zlib
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from hosu import failpoints
from hosu.collect.files import read_whole, write_atomically
from hosu.collect.runs import COMMIT_START, RECORD_HEADER_BYTES, Run, is_torn_tail, read_run
from hosu.collect.segment import FORMAT_VERSION, HEADER_BYTES, SEAL_BYTES, Seal, SegmentHeader, segment_name
from hosu.errors import InputError, LogCorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.files import Files

_log = structlog.get_logger(__name__)

STATE_NAME: Final = "log.json"
_SEGMENT: Final = re.compile(r"\d{20}\.log")
_MAX_LSN: Final = 1 << 62  # numbers are of 64 bits, and a million records a second do not use them up
_WAL_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,24}")


@dataclass(frozen=True, slots=True)
class Extent:
    """A segment and how far it may be read: records ``first_lsn`` to ``last_lsn`` end before byte ``end``."""

    path: Path
    first_lsn: int
    last_lsn: int
    end: int


@dataclass(frozen=True, slots=True)
class LogState:
    """What ``log.json`` keeps. No record below ``next_lsn`` will be numbered again, though segments may be gone."""

    wal_id: str
    created_us: int
    next_lsn: int

    def store(self, files: Files, directory: Path) -> None:
        """Replaces ``log.json``, durably."""
        content = {
            "format": FORMAT_VERSION,
            "wal_id": self.wal_id,
            "created_us": self.created_us,
            "next_lsn": self.next_lsn,
        }
        write_atomically(files, directory / STATE_NAME, json.dumps(content).encode() + b"\n")


def recover(files: Files, directory: Path, clock: Clock) -> tuple[LogState, list[Extent]]:
    """Opens the folder of a log, creating one if it holds none; every segment listed is sealed and synced.

    Raises:
        LogCorruptError: something is damaged that no crash explains; nothing was changed.
        InputError: a newer hosu wrote the folder.
        OSError: the disk refuses.
    """
    files.make_dir(directory)
    paths = [directory / name for name in files.names(directory) if _SEGMENT.fullmatch(name)]
    known = _load_state(files, directory)
    wal_id = known.wal_id if known else _wal_id_of(files, paths)
    extents = [_sealed(files, path, wal_id) for path in paths[:-1]]
    if paths and failpoints.on:
        failpoints.reach("log.recovering")
    if paths and (last := _recover_last(files, paths[-1], wal_id, clock)):
        extents.append(last)
    _check_order(extents)
    next_lsn = max(known.next_lsn if known else 0, extents[-1].last_lsn + 1 if extents else 0)
    state = LogState(wal_id or secrets.token_hex(8), known.created_us if known else clock.now_us(), next_lsn)
    if paths and failpoints.on:
        failpoints.reach("log.recovered")
    state.store(files, directory)
    return state, extents


def _load_state(files: Files, directory: Path) -> LogState | None:
    path = directory / STATE_NAME
    if STATE_NAME not in files.names(directory):
        return None
    try:
        content = json.loads(read_whole(files, path))
        version = content["format"]
        state = LogState(content["wal_id"], content["created_us"], content["next_lsn"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LogCorruptError(path, 0, f"it is not what hosu writes: {str(error)[:200]}") from None
    if version != FORMAT_VERSION:
        raise InputError(str(path), f"a log of format {version}, this is {FORMAT_VERSION}", "update hosu")
    whole = isinstance(state.created_us, int) and isinstance(state.next_lsn, int)
    whole = whole and 0 <= state.next_lsn <= _MAX_LSN and 0 <= state.created_us <= _MAX_LSN
    if not (whole and isinstance(state.wal_id, str) and _WAL_ID.fullmatch(state.wal_id)):
        raise LogCorruptError(path, 0, "wal_id or numbers are not what hosu writes")
    return state


def _wal_id_of(files: Files, paths: list[Path]) -> str:
    """The log's name as the oldest readable segment tells it; empty where none does."""
    for path in paths:
        with suppress(LogCorruptError):
            return SegmentHeader.unpack(_head(files, path), path).wal_id
    return ""


def _head(files: Files, path: Path) -> bytes:
    head = bytearray(HEADER_BYTES)
    return bytes(head[: files.read(path, 0, memoryview(head))])


def _sealed(files: Files, path: Path, wal_id: str) -> Extent:
    """A segment that is not the last: it was sealed and synced before the next one was begun."""
    _check_header(SegmentHeader.unpack(_head(files, path), path), path, wal_id)
    size = files.size(path)
    tail = bytearray(min(size, SEAL_BYTES))
    files.read(path, size - len(tail), memoryview(tail))
    seal = Seal.unpack(bytes(tail))
    if seal is None or seal.bytes_before + SEAL_BYTES != size:
        raise LogCorruptError(path, size, "it has no seal of its length, though a later segment exists")
    if segment_name(seal.first_lsn) != path.name:
        raise LogCorruptError(path, size, f"its seal is that of {segment_name(seal.first_lsn)}")
    return Extent(path, seal.first_lsn, seal.last_lsn, seal.bytes_before)


def _check_header(header: SegmentHeader, path: Path, wal_id: str) -> None:
    if header.wal_id != wal_id:
        raise LogCorruptError(path, 0, f"it belongs to the log {header.wal_id}, not {wal_id}")
    if segment_name(header.first_lsn) != path.name:
        raise LogCorruptError(path, 0, f"its header is that of {segment_name(header.first_lsn)}")


def _check_order(extents: list[Extent]) -> None:
    for before, after in pairwise(extents):
        if after.first_lsn <= before.last_lsn:
            raise LogCorruptError(after.path, 0, f"it begins before {before.path.name} ends")
        if after.first_lsn > before.last_lsn + 1:
            # Retired out of turn, or moved away by somebody: whoever lacks them is told by the pump.
            _log.warning(
                "records are not in the log's folder",
                folder=str(after.path.parent),
                first_lsn=before.last_lsn + 1,
                last_lsn=after.first_lsn - 1,
            )


def _recover_last(files: Files, path: Path, wal_id: str, clock: Clock) -> Extent | None:
    """The last segment, sealed and synced; None if its writer was killed before the first record, and it is gone."""
    content = read_whole(files, path)
    first_lsn = int(path.name[:20])
    try:
        header = SegmentHeader.unpack(bytes(content[:HEADER_BYTES]), path)
    except LogCorruptError:
        # The header is synced before the first record is written.
        if len(content) and not is_torn_tail(np.frombuffer(content, np.uint8), 0, first_lsn):
            raise
        _remove_torn(files, path, content, 0)
        return None
    _check_header(header, path, wal_id)
    seal = Seal.unpack(bytes(content[-SEAL_BYTES:]))
    if seal is not None and seal.bytes_before + SEAL_BYTES == len(content):
        del content[-SEAL_BYTES:]
    run = read_run(wal_id, np.frombuffer(content, np.uint8), HEADER_BYTES, len(content), expected_lsn=first_lsn)
    stop, records, fault = run.stop, len(run.block), run.fault
    if fault and (seal is not None or not is_torn_tail(run.block.data, stop, first_lsn + records)):
        raise LogCorruptError(path, stop, fault)
    if records == 0:
        _remove_torn(files, path, content, HEADER_BYTES)
        return None
    if stop < len(content):
        _keep_torn(files, path, content, stop)
    again = _last_commit(run)
    sealed_us = seal.sealed_us if seal is not None else clock.now_us()
    crc = zlib.crc32(memoryview(content)[:stop])
    last = Seal(records, first_lsn, first_lsn + records - 1, stop, sealed_us, crc)
    descriptor = files.open(path)
    try:
        files.truncate(descriptor, stop)
        files.write(descriptor, [memoryview(content)[again:stop], last.pack()], again)
        files.fdatasync(descriptor)
    finally:
        files.close(descriptor)
    files.fsync_dir(path.parent)
    return Extent(path, first_lsn, last.last_lsn, stop)


def _last_commit(run: Run) -> int:
    """Offset at which the last commit of a run begins."""
    begins = np.flatnonzero(run.flags & COMMIT_START)
    return int(run.block.start[begins[-1]]) - RECORD_HEADER_BYTES if len(begins) else HEADER_BYTES


def _keep_torn(files: Files, path: Path, content: bytearray, offset: int) -> None:
    if any(memoryview(content)[offset:]):
        write_atomically(files, path.with_name(f"{path.name}.{offset}.torn"), bytes(content[offset:]))


def _remove_torn(files: Files, path: Path, content: bytearray, offset: int) -> None:
    _keep_torn(files, path, content, offset)
    files.remove(path)
    files.fsync_dir(path.parent)
