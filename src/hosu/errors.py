"""Every error hosu raises on purpose.

::

    HosuError
    ├── SettingsError               a setting is missing or malformed
    ├── InputError                  a file or argument from outside is not what it should be
    ├── LockedError                 another process owns what only one may own
    ├── PortInUseError
    ├── ShardsFailedError           one of several collecting processes was given up
    ├── NotInstalledError           a library of an extra is missing or does not load
    ├── MarketError
    │   ├── CalendarRangeError      a date outside the known calendar
    │   └── NoSessionError          a date on which the venue does not trade
    ├── BrokerError
    │   ├── BrokerUnreachableError  (retryable) no connection, time-out, broken reply
    │   ├── BrokerReplyError        the broker answered with an error code
    │   │   ├── RateLimitedError    (retryable) EGW00201
    │   │   ├── TokenExpiredError   (retryable) EGW00121, EGW00123
    │   │   ├── TokenIssueTooSoonError  (retryable) EGW00133
    │   │   ├── RegistrationRefusedError
    │   │   ├── RegistrationLimitError  OPSP0008
    │   │   └── AppkeyInUseError    (retryable) OPSP8996
    │   └── FrameError              a frame or record that cannot be parsed
    ├── LogError
    │   ├── LogCorruptError         a segment that is damaged elsewhere than at its torn tail
    │   ├── LogGapError             records of a log are missing before what would be stored next
    │   └── LogWriteError           the disk refused a write or a sync
    ├── LakeError
    │   ├── NotALakeError           the folder is somebody else's
    │   ├── LakeReadOnlyError
    │   ├── LakeFullError
    │   ├── LakeUnreachableError    (retryable) the object store did not answer, or the disk failed for now
    │   ├── LakeRefusedError        the object store or the disk refused, and would again
    │   ├── ArchiveConflictError    another segment is archived under this segment's name
    │   ├── TableCorruptError       a Delta log or data file is damaged
    │   ├── CommitConflictError     (retryable) somebody else committed first
    │   ├── VersionGoneError        an old version of a table cannot be read any more
    │   ├── DatasetCorruptError     a saved dataset is not what was saved
    │   └── QueryError              DuckDB refused the SQL
    └── ModelError
        ├── NotEnoughDataError      too few sessions to learn from, or to judge by
        ├── UnusableRowsError       rows no model can learn from
        ├── FeatureSetError         a model is asked about other features than it learned from
        ├── ModelNotFoundError      a version that is not registered
        ├── PromotionRefusedError   a version that did not pass its gate
        ├── NotServableError        a version that could not answer if it served
        ├── ChallengerRunsError     a challenger is named while another one runs
        ├── HistoryMovedError       (retryable) somebody else has changed who serves, or who challenges, meanwhile
        ├── MirrorError             (retryable) the MLflow server does not take what is mirrored to it
        ├── MirrorNamesError        names on the MLflow server are not ours; other models are mirrored
        ├── DatasetLostError        what a version learned from is not kept, and cannot be made again
        └── ModelDamagedError       a model's file cannot be used, or does not answer as the model it was made of

``retryable`` says whether the same call may succeed later without anybody changing anything.
Each error keeps its facts as attributes and ends its sentence with what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


def plain(text: str) -> str:
    """Text from outside that may stand in a message, a log or a file: no control characters, no lone surrogates."""
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


def shown(text: object, most: int = 300) -> str:
    """The same, cut to what a sentence can hold."""
    whole = str(text)
    return plain(whole if len(whole) <= most else f"{whole[:most]}...")


class HosuError(Exception):
    """Base of all errors of hosu; its text is a sentence for the user, whatever the facts in it hold."""

    retryable: ClassVar[bool] = False

    def __init__(self, sentence: object = "") -> None:
        super().__init__(shown(sentence, 1_500))


class SettingsError(HosuError):
    """A setting is missing or malformed. Never shows a secret's value."""

    def __init__(self, name: str, fault: str, where: str = "the environment or .env") -> None:
        self.name, self.fault, self.where = name, fault, where
        super().__init__(f"{name} {shown(fault, 600)}; set it in {where}")


class InputError(HosuError):
    """A file or argument from outside is not what it should be."""

    def __init__(self, thing: str, fault: str, next_step: str) -> None:
        self.thing, self.fault, self.next_step = thing, fault, next_step
        super().__init__(f"{shown(thing)}: {shown(fault, 600)}; {next_step}")


class LockedError(HosuError):
    """Another process owns what only one may own."""

    def __init__(self, what: str, holder: str, next_step: str = "stop that process first") -> None:
        self.what, self.holder = what, holder
        super().__init__(f"{what} is in use by {holder}; {next_step}")


class PortInUseError(HosuError):
    """A server's address is taken."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(f"port {port} on {host} is in use; choose another, or 0 for a free one")


class ShardsFailedError(HosuError):
    """One or more of several collecting processes failed again and again, and were given up.

    ``status`` is the last one of all, those that ended in order included.
    """

    def __init__(self, causes: dict[int, str], status: dict[str, Any]) -> None:
        self.causes, self.status = causes, status
        told = "; ".join(f"[{number}] {cause}" for number, cause in causes.items())
        failed = f"{len(causes)} of {len(status['shards'])} shards failed again and again: {told}"
        super().__init__(f"{failed}; what they received is in their logs, start again once the cause is mended")


class NotInstalledError(HosuError):
    """A library that comes with an extra is missing, or is there and does not load."""

    def __init__(self, extra: str, cause: str) -> None:
        self.extra, self.cause = extra, cause
        super().__init__(f"a library is missing ({cause}); pip install 'hosu[{extra}]'")


# --- market -----------------------------------------------------------------------------------------------------


class MarketError(HosuError):
    """A question the market's vocabulary cannot answer."""


class CalendarRangeError(MarketError):
    """A date outside the known calendar."""

    def __init__(self, day: object, first: object, last: object) -> None:
        self.day, self.first, self.last = day, first, last
        super().__init__(f"{day} lies outside the known calendar ({first} to {last}); update hosu")


class NoSessionError(MarketError):
    """A date on which the venue does not trade."""

    def __init__(self, day: object, venue: str, reason: str) -> None:
        self.day, self.venue, self.reason = day, venue, reason
        super().__init__(f"{venue} does not trade on {day} ({reason}); choose a trading day")


# --- broker -----------------------------------------------------------------------------------------------------


class BrokerError(HosuError):
    """Something between us and the broker."""


class BrokerUnreachableError(BrokerError):
    """No connection, a time-out, or a reply that is not one."""

    retryable = True

    def __init__(self, address: str, cause: str) -> None:
        self.address, self.cause = address, cause
        super().__init__(f"{address} cannot be reached ({cause}); check the network and the address")


class BrokerReplyError(BrokerError):
    """The broker answered with an error code."""

    def __init__(self, code: str, message: str, *, call: str, status: int | None = None, advice: str = "") -> None:
        self.code, self.message, self.call, self.status = shown(code, 40), shown(message), call, status
        text = f"{call}: the broker answered {self.code} {self.message.strip()}"
        super().__init__(f"{text}; {advice}" if advice else text)


class RateLimitedError(BrokerReplyError):
    """EGW00201: more calls in a second than the broker allows."""

    retryable = True


class TokenExpiredError(BrokerReplyError):
    """EGW00121 or EGW00123: the access token is no longer valid."""

    retryable = True


class TokenIssueTooSoonError(BrokerReplyError):
    """EGW00133: a token was issued less than a minute ago."""

    retryable = True


class RegistrationRefusedError(BrokerReplyError):
    """The broker refused to register a (TR id, symbol)."""


class RegistrationLimitError(RegistrationRefusedError):
    """OPSP0008: no registration slot is left on this session."""


class AppkeyInUseError(BrokerReplyError):
    """OPSP8996: another session uses this appkey, or the slot of a dropped one is still held."""

    retryable = True


class FrameError(BrokerError):
    """A frame or record that cannot be parsed; it goes to quarantine with this reason."""

    def __init__(self, reason: str, *, tr_id: str = "", layout: str = "", record_no: int | None = None) -> None:
        self.reason, self.tr_id, self.layout, self.record_no = reason, tr_id, layout, record_no
        super().__init__(reason)


# --- log --------------------------------------------------------------------------------------------------------


class LogError(HosuError):
    """Something with the write-ahead log."""


class LogCorruptError(LogError):
    """A segment is damaged elsewhere than at its torn tail; or what is remembered of a log is damaged."""

    def __init__(
        self,
        path: object,
        offset: int,
        fault: str,
        next_step: str = (
            "it was left as it is, keep the file and restore it from a copy or move it away to go on without it"
        ),
    ) -> None:
        self.path, self.offset, self.fault, self.next_step = path, offset, fault, next_step
        super().__init__(f"{path} is damaged at byte {offset} ({fault}); {next_step}")


class LogGapError(LogError):
    """Records of a log are missing between what is stored of it and what would come next.

    Storing what comes next would claim them as stored, and they could never be added.
    """

    def __init__(
        self,
        wal_id: str,
        first_missing: int,
        last_missing: int,
        next_step: str = "replay them from the archive first: hosu replay <lake>/raw/frames --lake <lake>",
    ) -> None:
        self.wal_id, self.next_step = wal_id, next_step
        self.first_missing, self.last_missing = first_missing, last_missing
        missing = f"records {first_missing} to {last_missing} of log {wal_id} are missing"
        super().__init__(f"{missing}, and nothing behind them was stored; {next_step}")


class LogWriteError(LogError):
    """The disk refused a write or a sync; what was not reported durable may be lost."""

    def __init__(self, path: object, cause: str, durable_lsn: int) -> None:
        self.path, self.cause, self.durable_lsn = path, cause, durable_lsn
        safe = f"everything up to record {durable_lsn} is safe, " if durable_lsn >= 0 else ""
        super().__init__(f"{path} cannot be written ({cause}); {safe}free or repair the disk and start again")


# --- lake -------------------------------------------------------------------------------------------------------


class LakeError(HosuError):
    """Something with the lake."""


class NotALakeError(LakeError):
    """The folder or prefix is somebody else's, or of a newer hosu."""

    def __init__(self, root: str, found: str) -> None:
        self.root, self.found = root, found
        super().__init__(f"{root} is not a lake of hosu ({found}); name an empty folder or an existing lake")


class LakeReadOnlyError(LakeError):
    """The lake cannot be written."""

    def __init__(self, path: str, cause: str) -> None:
        self.path, self.cause = path, cause
        super().__init__(f"{path} cannot be written ({cause}); give this user write permission or choose another lake")


class LakeFullError(LakeError):
    """The lake's disk has no room; or less than ``reserve_bytes``, which is left to others."""

    def __init__(self, path: str, reserve_bytes: int = 0) -> None:
        self.path, self.reserve_bytes = path, reserve_bytes
        kept = f" but the {reserve_bytes >> 20:,} MiB of HOSU_DISK_RESERVE_MB" if reserve_bytes else ""
        super().__init__(f"no space left for {path}{kept}; free some and start again, nothing stored is lost")


class LakeUnreachableError(LakeError):
    """The object store, or the disk, did not do what was asked."""

    retryable = True

    def __init__(self, path: str, cause: str) -> None:
        self.path, self.cause = path, cause
        super().__init__(f"{path} cannot be reached ({cause}); check the disk, the address and the network")


class LakeRefusedError(LakeError):
    """The object store, or the disk, refused what was asked, and would refuse it again."""

    def __init__(self, path: str, cause: str) -> None:
        self.path, self.cause = path, cause
        super().__init__(f"{path} was refused ({cause}); check the address and the keys, then start again")


class ArchiveConflictError(LakeError):
    """Another sound segment is archived under the name of this one; both are kept where they are."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"{path} holds another segment than the one to be archived; move it out of the lake")


class TableCorruptError(LakeError):
    """A Delta log or data file is damaged."""

    def __init__(self, table: str, path: str, fault: str) -> None:
        self.table, self.path, self.fault = table, path, fault
        super().__init__(f"table {table} is damaged at {path} ({fault}); run: hosu lake verify --repair")


class CommitConflictError(LakeError):
    """Somebody else committed first."""

    retryable = True

    def __init__(self, table: str, cause: str) -> None:
        self.table, self.cause = table, cause
        super().__init__(f"table {table}: another writer committed first ({cause}); run the command again")


class VersionGoneError(LakeError):
    """An old version of a table is not there, or not whole any more: retention and vacuum remove old files."""

    def __init__(self, table: str, version: int, cause: str) -> None:
        self.table, self.version, self.cause = table, version, cause
        kept = "what was made of it exists only where it was saved, else make it anew from the table as it is now"
        super().__init__(f"version {version} of table {table} cannot be read ({cause}); {kept}")


class DatasetCorruptError(LakeError):
    """A saved dataset is incomplete, or its bytes are not those that were saved."""

    def __init__(self, dataset_id: str, path: str, fault: str) -> None:
        self.dataset_id, self.path, self.fault = dataset_id, path, fault
        again = "restore the file from a copy, or remove the folder and build the dataset again"
        super().__init__(f"dataset {dataset_id} is damaged at {path} ({fault}); {again}")


class QueryError(LakeError):
    """DuckDB refused the SQL; the text is DuckDB's own, of several lines where it points at the place."""

    def __init__(self, text: str) -> None:
        Exception.__init__(self, "\n".join(shown(line) for line in text.splitlines()[:6]))


# --- models -----------------------------------------------------------------------------------------------------


class ModelError(HosuError):
    """Something with a model: its data, its file, or what it is asked."""


class NotEnoughDataError(ModelError):
    """Too few sessions to learn from, or to judge by; no figure made of them would mean anything."""

    def __init__(self, what: str, have: int, need: int) -> None:
        self.what, self.have, self.need = what, have, need
        super().__init__(f"not enough data: {have} {what}, {need} are needed; give a longer history")


class UnusableRowsError(ModelError):
    """Rows no model can learn from, whatever their number."""

    def __init__(self, fault: str, next_step: str) -> None:
        self.fault, self.next_step = fault, next_step
        super().__init__(f"no model can be trained on these rows: {fault}; {next_step}")


class FeatureSetError(ModelError):
    """A model is asked about other features than it learned from."""

    def __init__(self, learned: tuple[str, ...], given: tuple[str, ...]) -> None:
        self.learned, self.given = learned, given
        fault = f"the model learned from {', '.join(learned)} and is given {', '.join(given)}"
        super().__init__(f"{fault}; serve the feature set it was trained on, or train it again")


class ModelDamagedError(ModelError):
    """A model's file cannot be used, or does not answer as the model it was made of."""

    def __init__(self, thing: object, fault: str) -> None:
        self.thing, self.fault = thing, fault
        super().__init__(f"{shown(thing)} is no usable model ({shown(fault, 600)}); train it again or roll back")


class ModelNotFoundError(ModelError):
    """A version that is not registered."""

    def __init__(self, model: str, version: int, known: list[int]) -> None:
        self.model, self.version, self.known = model, version, known
        there = f"there are {', '.join(map(str, known))}" if known else "none is registered yet"
        super().__init__(f"model {model} has no version {version}, {there}; see `hosu models list`")


class PromotionRefusedError(ModelError):
    """A version that did not pass its gate."""

    def __init__(self, model: str, version: int, verdict: str) -> None:
        self.model, self.version, self.verdict = model, version, verdict
        rule = "only 'edge' serves, or --override REASON, which is recorded"
        super().__init__(f"version {version} of {model} is not promoted: its verdict is {verdict!r}; {rule}")


class NotServableError(ModelError):
    """A version that could not answer if it served, or challenged: ``why`` says it in words."""

    def __init__(self, model: str, version: int, why: str) -> None:
        self.model, self.version, self.why = model, version, why
        super().__init__(f"version {version} of {model} is not servable: {why}; train another one")


class ChallengerRunsError(ModelError):
    """A challenger is named while another one runs."""

    def __init__(self, model: str, running: int) -> None:
        self.model, self.running = model, running
        end = f"let that one end first, or end it with `hosu models drop {model}`"
        super().__init__(f"model {model} has version {running} as its challenger; {end}")


class HistoryMovedError(ModelError):
    """Somebody else has acted between a decision and its commit; nothing was done."""

    retryable = True

    def __init__(self, model: str, cause: str) -> None:
        self.model, self.cause = model, cause
        again = f"look at `hosu models show {model}` and decide again"
        super().__init__(f"model {model} was changed by somebody else meanwhile ({cause}); {again}")


class MirrorError(ModelError):
    """The MLflow server does not take what is mirrored to it. The registry in the lake is untouched by that."""

    retryable = True

    def __init__(self, address: str, cause: str) -> None:
        self.address, self.cause = address, cause
        super().__init__(
            f"the MLflow server at {shown(address)} was not brought up to date ({shown(cause, 400)}); the registry in "
            "the lake is whole: put the server right and run `hosu models mirror`"
        )


class MirrorNamesError(ModelError):
    """Names on the MLflow server belong to somebody else, or were deleted; the other models were mirrored.

    ``causes`` has a sentence for each model that was not; ``done`` is what was done for the others.
    """

    def __init__(self, causes: dict[str, str], done: list[Any]) -> None:
        self.causes, self.done = causes, done
        told = "; ".join(f"{model}: {cause}" for model, cause in causes.items())
        others = f"; mirrored: {', '.join(each.model for each in done)}" if done else ""
        super().__init__(f"not mirrored: {told}{others}")


class DatasetLostError(ModelError):
    """What a version learned from is not kept, and cannot be made again."""

    def __init__(self, model: str, version: int, cause: str) -> None:
        self.model, self.version, self.cause = model, version, cause
        why = f"the dataset it learned from is not kept and cannot be made again ({shown(cause, 500)})"
        super().__init__(f"version {version} of {model} is not promoted: {why}; train it again, and promote that one")
