"""Mends what a power cut, or a disk, broke of a lake: from what is there twice, and never by guessing.

delta-rs does not sync what it writes. What a power cut takes was therefore not relied on yet: the log still has it, or
the archive. So the end of a table's log may be set aside where it is torn, and the records be stored once more; rows
of a damaged data file are decoded again from the frames; a copy missing from the archive is made again from the log.
What the ledger's tables lost is judged again, at the end, from the records as they are by then.
Nothing is removed: what is damaged is moved below ``_hosu/aside``. What cannot be rebuilt is left as it is, and said.

The collector must not run meanwhile, nor anything else that writes to the lake.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hosu.clock import SystemClock
from hosu.collect.archivist import segment_date
from hosu.collect.segment import archive_name, compress, read_segment
from hosu.errors import (
    HosuError,
    InputError,
    LakeFullError,
    LakeReadOnlyError,
    LakeUnreachableError,
    TableCorruptError,
)
from hosu.lake.archive import FramesArchive
from hosu.lake.aside import Aside
from hosu.lake.delta_log import DeltaLog
from hosu.lake.frames import Frames
from hosu.lake.judge_again import has_records, judge_again, keep_waiting, leave_to_the_judge, waiting
from hosu.lake.lease import maintenance
from hosu.lake.repair_rows import RowRebuilder, last_records
from hosu.lake.sql import SqlConfig
from hosu.lake.tables import TABLES
from hosu.lake.verify import damaged_files
from hosu.lake.verify_archive import Finding
from hosu.lake.writer import LakeSink, WriterConfig
from hosu.market.ledger import LEDGER_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.lake.delta import DataFile, Table
    from hosu.lake.frames import Segment
    from hosu.lake.lake import Lake

_FROM_COPY: Final = "restore it from a copy"
_AGAIN: Final = dict.fromkeys(LEDGER_SCHEMAS, "its dates are judged again") | {
    "gap_events": "its dates are judged again; when repairs asked, and for what, is not known any more"
}
_MADE_ONCE: Final = {"predictions", "outcomes", "model_events", "model_trials"}
_WHEN_MENDED: Final = "the date is judged once that is mended: run this command again"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done, or would be: to which table (``frames`` for the archive), where, and what."""

    table: str
    path: str
    does: str


@dataclass(slots=True)
class Repair:
    """What is done, or would be, and what is beyond repair."""

    steps: list[Step] = field(default_factory=list)
    beyond: list[Finding] = field(default_factory=list)


def plan(
    lake: Lake,
    *,
    logs: Sequence[Path] = (),
    let_go: bool = False,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> Repair:
    """What ``repair`` would do now. Changes nothing.

    Of a table whose log is torn it cannot be said yet whether data files behind that are damaged too.
    """
    return _Repairer(lake, logs, config, None, progress, act=False, let_go=let_go).run()


def repair(
    lake: Lake,
    *,
    logs: Sequence[Path] = (),
    let_go: bool = False,
    config: SqlConfig | None = None,
    clock: Clock | None = None,
    progress: Callable[[str], None] | None = None,
) -> Repair:
    """Does it. Stopped in the middle, it may be called again.

    Args:
        logs: folders of logs of this lake's collectors, whose segments are not archived yet.
        let_go: data files of which nothing, or not all, can be rebuilt are taken out of their tables and set aside, and
            their dates judged again: rows are lost then, but nobody is refused the rest of the table for them.
        config: bounds for what is asked of rows.
        clock: names the folder that damaged files are moved to.
        progress: called with the name of what is worked on.

    Raises:
        LockedError: somebody maintains a table now.
        LakeError: the storage refuses.
    """
    return _Repairer(lake, logs, config, clock, progress, act=True, let_go=let_go).run()


class _Repairer:
    def __init__(
        self,
        lake: Lake,
        logs: Sequence[Path],
        config: SqlConfig | None,
        clock: Clock | None,
        progress: Callable[[str], None] | None,
        *,
        act: bool,
        let_go: bool,
    ) -> None:
        self._lake, self._logs, self._config = lake, logs, config or SqlConfig()
        self._clock: Clock = clock or SystemClock()
        self._progress: Callable[[str], object] = progress or str
        self._act, self._let_go = act, let_go
        self._aside = Aside(lake.storage, self._clock)
        self._result = Repair()
        self._frames = Frames(lake, logs, self._progress)
        self._to_judge = waiting(lake.storage)
        # Dates of which records were let go; of one that waits, a repair that was stopped may have.
        self._without = set(self._to_judge) if let_go else set()

    def run(self) -> Repair:
        with ExitStack() as held:
            if self._act:
                for name in TABLES:
                    held.enter_context(maintenance(self._lake.storage, name, self._clock))
            self._archive()
            for name in TABLES:
                if name not in LEDGER_SCHEMAS:
                    self._table(name)
            self._store_again()
            for name in LEDGER_SCHEMAS:
                self._table(name)
            self._judge_again()
        return self._result

    def _table(self, name: str) -> None:
        self._progress(name)
        if self._log(name):
            self._data(name)

    def _does(self, table: str, path: str, what: str) -> bool:
        """Notes a step; whether to do it."""
        self._result.steps.append(Step(table, self._lake.storage.address(path), what))
        return self._act

    def _cannot(self, table: str, path: str, fault: str, next_step: str) -> None:
        self._result.beyond.append(Finding(table, self._lake.storage.address(path), fault, next_step))

    # --- the archive ----------------------------------------------------------------------------------------------

    def _archive(self) -> None:
        own = {(each.wal_id, each.first_lsn, each.last_lsn): each for each in self._frames.local if each.sealed}
        for path, fault in sorted(self._frames.damaged.items()):
            name = path.rpartition("/")[2]
            if not any(archive_name(*facts) == name for facts in own):
                self._cannot("frames", path, fault, _FROM_COPY)
            elif self._does("frames", path, f"set aside, since it {fault}; stored again from the log"):
                self._aside.move([path])
        kept = {(each.wal_id, each.first_lsn, each.last_lsn) for each in self._frames.archived}
        for facts, segment in sorted(own.items()):
            if facts not in kept and (self._stored_before(segment) or self._was_damaged(facts)):
                self._copy(segment)
        if self._act:
            self._frames = Frames(self._lake, self._logs, self._progress)

    def _stored_before(self, segment: Segment) -> bool:
        local = segment.local
        return local is not None and local.with_name(f"{local.name}.stored").exists()

    def _was_damaged(self, facts: tuple[str, int, int]) -> bool:
        return any(path.endswith(f"/{archive_name(*facts)}") for path in self._frames.damaged)

    def _copy(self, segment: Segment) -> None:
        local = segment.local
        assert local is not None
        content = local.read_bytes()
        date = segment_date(read_segment(content))
        name = archive_name(segment.wal_id, segment.first_lsn, segment.last_lsn)
        if self._does("frames", f"raw/frames/date={date}/{name}", f"stored again from {local}"):
            FramesArchive(self._lake).store(name, date, compress(content))

    # --- a table's log --------------------------------------------------------------------------------------------

    def _log(self, name: str) -> bool:
        """Mends the end of a table's log; whether the table can be opened then."""
        spec = self._lake.spec(name)
        log = DeltaLog(self._lake.storage, spec)
        if log.base is None:
            return self._without_log(name, log)
        doomed = {log.commit_path(version) for version in log.beyond_end} | set(log.faults)
        if not doomed:
            return True
        if not self._may_rewind(name, log):
            return False
        for path in sorted(doomed):
            fault = log.faults.get(path, "follows one that is missing or damaged")
            again = _AGAIN.get(name) or _again_of(name)
            if spec.is_event_table:
                again = "what it held is stored again"
            if not path.endswith(".json"):
                again = "the commits say the same"
            self._does(name, path, f"set aside, since it {fault}; {again}")
        if name in LEDGER_SCHEMAS and log.beyond_end:
            self._judge_later({*self._claimed(log), *self._unclaimed(name, log)})
        if self._act:
            self._aside.move(sorted(doomed))
        return self._act

    def _may_rewind(self, name: str, log: DeltaLog) -> bool:
        """Whether what the commits behind the first damaged one say is still in the frames."""
        if name in LEDGER_SCHEMAS:  # its rows come of records, whichever log had told of them
            return True
        spec, sound = self._lake.spec(name), [version for version in log.beyond_end if log.commits[version]]
        if not spec.is_event_table and sound:
            fault = f"is damaged, and commits {sound[0]} to {sound[-1]} behind it are not"
            self._cannot(name, log.commit_path(log.end + 1), fault, _FROM_COPY)
            return False
        before = log.covered_at_end
        for app_id, covers in log.covered_beyond.items():
            # What has a colon is an application of ours, and no log.
            if ":" not in app_id and not self._frames.hold(app_id, before.get(app_id, -1), covers):
                fault = f"is damaged, and the frames lack records of log {app_id} that was covered behind it"
                self._cannot(name, log.commit_path(log.end + 1), fault, _FROM_COPY)
                return False
        return True

    def _without_log(self, name: str, log: DeltaLog) -> bool:
        """A table whose log makes no table: there never was one, or all of it is to be stored again."""
        spec = self._lake.spec(name)
        paths = sorted(entry.path for entry in self._lake.storage.list(f"{spec.location}/"))
        if not paths:
            return False
        files = [path for path in paths if path.endswith(".parquet") and "/_delta_log/" not in path]
        if name in LEDGER_SCHEMAS:
            return self._without_ledger(name, log, paths, {_date_of(path) for path in files})
        if files and spec.is_event_table and not self._hold_all_of(files):
            fault = "makes no table any more, and its data cannot all be rebuilt"
            self._cannot(name, log.folder, fault, _FROM_COPY)
            return False
        # Left there, what is derived from records would hold up for ever whoever adds to it: the collector too.
        again = "stored again" if spec.is_event_table or not files else _again_of(name)
        if self._does(name, spec.location, f"set aside as a whole, since its log makes no table; {again}"):
            self._aside.move(paths)
        return False

    def _hold_all_of(self, paths: list[str]) -> bool:
        """Whether the frames go back to the first record of every log that these data files know, and up to the last
        record they have of it. A file that cannot be read has nothing to lose."""
        last: dict[str, int] = {}
        for path in paths:
            for wal_id, lsn in last_records(self._lake.storage, path).items():
                last[wal_id] = max(lsn, last.get(wal_id, -1))
        return all(self._frames.hold(wal_id, -1, lsn) for wal_id, lsn in last.items())

    # --- data files -----------------------------------------------------------------------------------------------

    def _data(self, name: str) -> None:
        try:
            table = self._lake.find(name)
        except TableCorruptError as error:
            self._cannot(name, self._lake.spec(name).location, error.fault, _FROM_COPY)
            return
        if table is None:
            return
        found = list(damaged_files(self._lake, table, deep=True))
        if not found:
            return
        if name in LEDGER_SCHEMAS:
            self._take_out(table, found)
        elif not table.spec.is_event_table:
            self._lost(table, found, "build or fetch the data of its date again")
        else:
            self._rebuild(table, found)

    def _rebuild(self, table: Table, found: list[tuple[DataFile, str]]) -> None:
        rebuilder = RowRebuilder(self._lake, table, [file for file, _ in found], self._frames)
        try:
            result = rebuilder.store() if self._act else rebuilder.count()
        except (LakeFullError, LakeReadOnlyError, LakeUnreachableError):
            raise  # the rows can be made again: it is the disk that must be seen to, and then the repair run again
        except HosuError as error:
            self._lost(table, [(file, f"{fault}; {error}") for file, fault in found], _FROM_COPY)
            return
        lacking = f"of {result.wanted} rows the frames hold {result.found}" if result.found < result.wanted else None
        if lacking and not (self._let_go and result.found):
            rebuilder.discard(result)
            self._lost(table, [(file, f"{fault}; {lacking}") for file, fault in found], _FROM_COPY)
            return
        for file, fault in found:
            what = (
                f"{lacking}, the others are let go of"
                if lacking
                else f"its {file.rows} rows decoded again from the frames"
            )
            self._does(table.spec.name, table.path(file), f"{fault}: {what}")
        if lacking:
            self._judge_without({file.date for file, _ in found})
        if self._act:
            rebuilder.commit(result)
            self._aside.move(table.path(file) for file, _ in found)

    def _lost(self, table: Table, found: list[tuple[DataFile, str]], next_step: str) -> None:
        """Data files of which nothing comes back: listed, or let go of where that is wished."""
        for file, fault in found:
            if self._let_go:
                self._does(table.spec.name, table.path(file), f"{fault}: let go of, with its {file.rows} rows")
            else:
                self._cannot(table.spec.name, table.path(file), fault, f"{next_step}, or let it go: --let-go")
        if self._let_go:
            if table.spec.is_event_table:
                self._judge_without({file.date for file, _ in found})
            self._remove(table, [file for file, _ in found])

    def _remove(self, table: Table, files: list[DataFile]) -> None:
        if self._act and files:
            table.rewrite(files, [], data_change=True)
            table.sync()
            self._aside.move(table.path(file) for file in files)

    # --- the ledger -----------------------------------------------------------------------------------------------

    def _claimed(self, log: DeltaLog) -> set[str]:
        """The dates of the files that commits which are set aside name, as far as these can be read."""
        actions = [action for version in log.beyond_end for action in log.commits[version] or []]
        named = [action[kind] for action in actions for kind in ("add", "remove") if isinstance(action.get(kind), dict)]
        return {_date_of(str(each.get("path"))) for each in named}

    def _unclaimed(self, name: str, log: DeltaLog) -> set[str]:
        """The dates of data files that the sound part of the log does not know: a torn commit may have named them."""
        location = self._lake.spec(name).location
        known = {f"{location}/{path}" for path in log.named_at_end}
        paths = (entry.path for entry in self._lake.storage.list(f"{location}/") if "/_delta_log/" not in entry.path)
        return {_date_of(path) for path in paths if path.endswith(".parquet") and path not in known}

    def _without_ledger(self, name: str, log: DeltaLog, paths: list[str], dates: set[str]) -> bool:
        if not all(self._has_records(date) for date in dates):
            self._cannot(name, log.folder, "makes no table any more, and not all its dates can be judged", _FROM_COPY)
            return False
        what = f"set aside as a whole, since its log makes no table; {_AGAIN[name]}"
        if self._does(name, self._lake.spec(name).location, what):
            self._judge_later(dates)
            self._aside.move(paths)
        self._to_judge |= dates
        return False

    def _take_out(self, table: Table, found: list[tuple[DataFile, str]]) -> None:
        gone = []
        for file, fault in found:
            if self._has_records(file.date):
                gone.append(file)
                self._does(table.spec.name, table.path(file), f"set aside, since it {fault}; {_AGAIN[table.spec.name]}")
            else:
                lacking = f"{fault}; the lake has no records of {file.date} to judge it by"
                self._lost(table, [(file, lacking)], _FROM_COPY)
        self._judge_later({file.date for file in gone})
        self._remove(table, gone)

    def _has_records(self, date: str) -> bool:
        try:
            return has_records(self._lake, date)
        except TableCorruptError:
            return not self._act  # by then it would be mended, or said to be beyond repair

    def _judge_later(self, dates: set[str]) -> None:
        """Notes dates to be judged at the end, before anything of them is taken away."""
        self._to_judge |= dates - {""}
        if self._act:
            keep_waiting(self._lake.storage, self._to_judge)

    def _judge_without(self, dates: set[str]) -> None:
        """The same, of dates of which the logs know more than the lake will have."""
        self._without |= dates
        self._judge_later(dates)
        if self._act:
            leave_to_the_judge(self._lake, dates)

    def _judge_again(self) -> None:
        dates = sorted(self._to_judge)
        for date in dates:
            self._progress(f"judging {date}")
            self._judge(date)
        if self._act and dates:
            keep_waiting(self._lake.storage, self._to_judge)

    def _again(self, date: str) -> bool:
        def tell(text: str) -> None:
            self._progress(f"judging {text}")

        return judge_again(
            self._lake,
            date,
            self._frames,
            lost=date in self._without,
            config=self._config,
            clock=self._clock,
            progress=tell,
        )

    def _judge(self, date: str) -> None:
        what = f"{date} is judged again from the lake's records, and from the frames as far as they hold it"
        try:
            if self._act and not self._again(date):
                what = f"{date} is judged again from the lake's records; why shares are missing, the frames do not tell"
        except TableCorruptError as error:
            self._cannot(error.table, f"{self._lake.spec(error.table).location}/date={date}", error.fault, _WHEN_MENDED)
            return
        except InputError as error:
            if self._log_knows_more():
                what = f"{date} is told again by the collector, whose log holds records that the lake has not yet"
                self._does("coverage_days", f"raw/ledger/coverage_days/date={date}", what)
            else:
                self._cannot("coverage_days", f"raw/ledger/coverage_days/date={date}", error.fault, _FROM_COPY)
        else:
            self._does("coverage_days", f"raw/ledger/coverage_days/date={date}", what)
        if self._act:
            self._to_judge.discard(date)

    def _log_knows_more(self) -> bool:
        return any(self._behind(each.wal_id, each.last_lsn) for each in self._frames.local)

    # --- what tables lack -----------------------------------------------------------------------------------------

    def _store_again(self) -> None:
        """Stores what the archive holds and a table no longer covers; the collector goes on from there."""
        for wal_id in self._frames.logs:
            archived = max((each.last_lsn for each in self._frames.archived if each.wal_id == wal_id), default=-1)
            behind = self._behind(wal_id, archived)
            if not behind:
                continue
            what = f"records up to {archived} of log {wal_id} stored again from the archive"
            if self._does(", ".join(behind), "raw/frames", what):
                self._replay(wal_id, archived)

    def _behind(self, wal_id: str, archived: int) -> list[str]:
        found = []
        for name, spec in TABLES.items():
            if spec.is_event_table:
                try:
                    table = self._lake.find(name)
                except TableCorruptError:
                    continue
                if (table.covered(wal_id) if table is not None else -1) < archived:
                    found.append(name)
        return found

    def _replay(self, wal_id: str, last: int) -> None:
        sink = LakeSink(self._lake, WriterConfig(reserve_bytes=0), self._clock)
        reached = sink.resume_after(wal_id)
        if not self._frames.hold(wal_id, reached, last):
            fault = f"lacks records of log {wal_id} behind {reached}, which tables do not cover"
            self._cannot("frames", "raw/frames", fault, _FROM_COPY)
            return
        for batch in self._frames.numbered(wal_id, reached):
            sink.write(batch)
            if sink.due():
                sink.flush()
        sink.close()


def _again_of(name: str) -> str:
    """How what a table held that is neither record nor ledger comes back."""
    if name.startswith("features_served_"):
        return "the collector serves again what is not in its state yet; the rest can be read there"
    if name in _MADE_ONCE:
        return "what it held was made once and is not made again: it can be read there, or restored from a copy"
    return "build or fetch again what it held"


def _date_of(path: str) -> str:
    """The date that a data file's path names; empty where it names none."""
    return next((part.removeprefix("date=") for part in path.split("/") if part.startswith("date=")), "")
