"""``hosu doctor``: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from hosu.cli.doctor_settings import Check, settings_checks
from hosu.cli.options import FormatOption, LakeOption, lake_root, state_folder
from hosu.cli.output import Format, emit_rows, note, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.kis.hosts import Host

_LIBRARIES: Final = ("numpy", "numba", "pyarrow", "deltalake", "duckdb", "picows", "obstore")
_FREE_BYTES: Final = 5 << 30
_SYNC_MS: Final = 20.0
_CLOCK_S: Final = 5.0
_STORE_S: Final = 10.0


def doctor(
    network: Annotated[bool, typer.Option("--network/--no-network", help="Try to reach the broker.")] = True,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Checks settings, keys, clock, lake, disk, network, Java and versions, and says what to do. Exits 1 if something
    will not work."""
    checks = [
        _python(),
        _libraries(),
        _event_loop(),
        *settings_checks(),
        *_looked("keys", lambda: [*_keys(), *_further_keys()]),
        _clock(network),
        *_looked("lake", lambda: [_lake(lake, network=network)]),
        *_looked("disk", lambda: _disk(lake_root(lake))),
        _descriptors(),
        _java(),
    ]
    if network:
        checks += _network()
    emit_rows([asdict(check) for check in checks], format_)
    failed = [check for check in checks if check.state == "fail"]
    if failed:
        note(f"hosu: {len(failed)} of {len(checks)} checks failed")
        raise typer.Exit(1)


def _looked(what: str, look: Callable[[], list[Check]]) -> list[Check]:
    """What a look finds; where a setting that it needs is malformed, which has a row of its own, that it cannot."""
    from hosu.errors import SettingsError

    try:
        return look()
    except SettingsError as error:
        return [Check(what, "note", "not looked at", f"mend {error.name} first")]


def _python() -> Check:
    import platform

    return Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _libraries() -> Check:
    from importlib.metadata import PackageNotFoundError, version

    found, missing = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("libraries", "fail", f"missing: {', '.join(missing)}", "run: make setup")
    return Check("libraries", "ok", ", ".join(found))


def _event_loop() -> Check:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Check("event loop", "ok", f"uvloop {version('uvloop')}")
    except PackageNotFoundError:
        return Check("event loop", "note", "asyncio", "uvloop is faster; there is none for this system")


def _keys() -> list[Check]:
    from hosu.cli.keys import LENGTHS
    from hosu.settings import KisSettings, load

    settings = load(KisSettings)
    accounts = {
        "LIVE": (settings.live_app_key, settings.live_app_secret),
        "PAPER": (settings.paper_app_key, settings.paper_app_secret),
    }
    checks = []
    for account, (key, secret) in accounts.items():
        for name, value in (("APP_KEY", key), ("APP_SECRET", secret)):
            variable = f"{account}_KIS_{name}"
            if value is None:
                how = "needed for --kis " + account.lower() + "; demo and simulator need none; set it in .env"
                checks.append(Check(variable, "note", "not set", how))
            elif len(value.get_secret_value()) != LENGTHS[name]:
                length = len(value.get_secret_value())
                checks.append(
                    Check(
                        variable,
                        "note",
                        f"{length} characters, usual are {LENGTHS[name]}",
                        "check what you pasted",
                    )
                )
            else:
                checks.append(Check(variable, "ok", "set"))
    return checks


def _further_keys() -> list[Check]:
    """Numbered live keys, where there are any."""
    from hosu.cli.keys import keys_of
    from hosu.errors import SettingsError
    from hosu.kis.registrations import SLOTS
    from hosu.settings import KisSettings, load

    settings = load(KisSettings)
    if settings.live_app_key is None or settings.live_app_secret is None:
        return []
    try:
        count = len(keys_of("live", settings))
    except SettingsError as error:
        return [Check("live keys", "fail", f"{error.name} {error.fault}", "each number needs a key and a secret")]
    return [Check("live keys", "ok", f"{count}, together {count * SLOTS} slots")] if count > 1 else []


def _clock(network: bool) -> Check:
    """The system's clock against the broker's; dates do not hang on it, but the expiry of tokens and latencies do."""
    from hosu.clock import SystemClock
    from hosu.market.calendar import business_day

    day, second = business_day(SystemClock().now_us())
    whole = int(second)
    text = f"{day} {whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02} in Korea"
    ahead_s = _ahead_of_broker_s() if network else None
    if ahead_s is None:
        return Check("clock", "ok", f"{text} (not compared with the broker's)")
    if abs(ahead_s) > _CLOCK_S:
        set_it = "set the system's clock (timedatectl set-ntp true)"
        return Check("clock", "fail", f"{text}, {ahead_s:+.0f} s from the broker's", set_it)
    return Check("clock", "ok", f"{text}, as the broker's")


def _ahead_of_broker_s() -> float | None:
    """Our clock minus the broker's, by the date of an HTTP reply (whole seconds); None if there is none."""
    import http.client
    from email.utils import parsedate_to_datetime

    from hosu.kis.hosts import LIVE

    address = urlsplit(LIVE.rest)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=3)
    try:
        connection.request("HEAD", "/")
        told = connection.getresponse().getheader("Date")
        return time.time() - parsedate_to_datetime(told).timestamp() if told else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def _lake(root: str | None, *, network: bool) -> Check:
    """What lies where the lake is or would be; nothing is made there."""
    from hosu.errors import HosuError
    from hosu.lake.lake import Lake
    from hosu.settings import LakeSettings, load

    settings = load(LakeSettings, {"root": root})
    place = settings.resolved_root()
    if _is_bucket(place) and not network:
        return Check("lake", "note", f"{place}, not looked at without the network")
    try:
        found = _within(_STORE_S, lambda: Lake.format_at(place, settings.storage_options()))
    except TimeoutError:
        return Check(
            "lake", "fail", f"{place} gives no answer in {_STORE_S:.0f} s", "check the address and the network"
        )
    except HosuError as error:
        fault, _, next_step = str(error).rpartition("; ")
        return Check("lake", "fail", fault, next_step)
    return Check("lake", "ok", f"{place}: {'new' if found is None else f'a lake of hosu, format {found}'}")


def _is_bucket(root: str) -> bool:
    return root.startswith("s3://")


def _within(seconds: float, call: Callable[[], int | None]) -> int | None:
    """What ``call`` gives. An object store is asked again for minutes; nobody waits for that.

    Raises:
        TimeoutError: it takes longer.
    """
    from concurrent.futures import Future
    from threading import Thread

    answer: Future[int | None] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001  it is raised where the answer is waited for
            answer.set_exception(error)

    Thread(target=run, name="hosu-doctor-lake", daemon=True).start()
    return answer.result(seconds)


def _disk(root: str) -> list[Check]:
    from hosu.settings import CollectSettings, load

    state = state_folder(root, load(CollectSettings))
    place = next((path for path in (state, *state.parents) if path.is_dir()), Path())
    if not os.access(place, os.W_OK):
        return [Check("disk", "fail", f"{place} cannot be written", "choose another folder with --lake or HOSU_STATE")]
    if _is_bucket(root):
        checks = [Check("disk", "ok", f"the lake is a bucket, which has no such bound; log and status lie in {state}")]
    else:
        free = shutil.disk_usage(place).free
        some = "a day of 41 registrations takes some GiB before it is compacted; free some"
        wanted = "" if free >= _FREE_BYTES else some
        checks = [Check("disk", "ok" if not wanted else "note", f"{size(free)} free at {place}", wanted)]
    median_ms = _sync_ms(place)
    slow = "" if median_ms < _SYNC_MS else "what is received is durable only after that; a local disk is faster"
    checks.append(Check("sync", "note" if slow else "ok", f"{median_ms:.1f} ms for one fdatasync", slow))
    return checks


def _sync_ms(folder: Path) -> float:
    import tempfile

    taken = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(15):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return sorted(taken)[len(taken) // 2] * 1000


def _descriptors() -> Check:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        return Check("open files", "note", f"{soft} allowed", f"raise it: ulimit -n {min(hard, 4096)}")
    return Check("open files", "ok", f"{soft} allowed")


def _java() -> Check:
    found = shutil.which("java")
    return Check("java", "ok", found or "none", "" if found else "nothing here needs it")


def _network() -> list[Check]:
    from hosu.kis.hosts import LIVE, PAPER

    return [_reach(host) for host in (LIVE, PAPER)]


def _reach(host: Host) -> Check:
    import socket

    address = urlsplit(host.rest)
    where = (address.hostname or "", address.port or 443)
    try:
        began = time.perf_counter()
        with socket.create_connection(where, timeout=3):
            taken = (time.perf_counter() - began) * 1000
    except OSError as error:
        reason = error.strerror or str(error)
        return Check(
            f"broker ({host.name})",
            "note",
            f"{where[0]}:{where[1]} not reached ({reason})",
            "check the network; demo and simulator need none",
        )
    return Check(f"broker ({host.name})", "ok", f"{where[0]}:{where[1]} reached in {taken:.0f} ms")
