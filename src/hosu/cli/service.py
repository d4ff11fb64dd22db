"""``hosu service``: the collector under a service manager."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from hosu.errors import InputError

app = typer.Typer(help="The collector under systemd.", no_args_is_help=True, rich_markup_mode=None)

_UNIT: Final = Path(__file__).parent / "data" / "hosu-collect.service"
_PLACE: Final = re.compile(r"(/|%h/|s3://)[^\s\"'\\%$]*")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,30}")

_SYSTEM_PLACE: Final = """User=@ACCOUNT@
Group=@ACCOUNT@
StateDirectory=hosu
CacheDirectory=hosu
WorkingDirectory=/var/lib/hosu
Environment=HOSU_LAKE=@LAKE@ HOSU_STATE=/var/lib/hosu/state HOSU_CACHE=/var/cache/hosu
Environment=NUMBA_CACHE_DIR=/var/cache/hosu/numba PYTHONDONTWRITEBYTECODE=1@WRITABLE@"""
_USER_PLACE: Final = "WorkingDirectory=%h\nEnvironment=HOSU_LAKE=@LAKE@"

# What of the system a user's own manager may not shut off.
_SYSTEM_HARDENING: Final = """ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
CapabilityBoundingSet=
SystemCallFilter=@system-service
"""


@app.callback()
def _root() -> None:
    """The collector under systemd."""


@app.command("print")
def print_(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Options of `hosu collect`, behind --.")
    ] = None,
    user: Annotated[bool, typer.Option("--user", help="For the user's own manager instead of the system's.")] = False,
    account: Annotated[str, typer.Option("--account", metavar="NAME", help="The account it runs as.")] = "hosu",
    lake: Annotated[
        str | None, typer.Option("--lake", metavar="ROOT", help="The lake: an absolute folder or s3://bucket/prefix.")
    ] = None,
    environment: Annotated[
        str | None, typer.Option("--environment", metavar="FILE", help="Keys and settings, as in .env.")
    ] = None,
) -> None:
    """Prints a systemd unit for `hosu collect --daily`, with this program's own path; nothing is installed.

    Keys belong into the environment file, never on the command line, which everybody on the machine may read.
    """
    print(unit(options or (), user=user, account=account, lake=lake, environment=environment), end="")


def unit(
    options: tuple[str, ...] | list[str] = (),
    *,
    user: bool = False,
    account: str = "hosu",
    lake: str | None = None,
    environment: str | None = None,
) -> str:
    """The unit's text.

    Raises:
        InputError: a place is not absolute, an account no name, or an option holds what a unit file cannot.
    """
    if not _NAME.fullmatch(account):
        raise InputError(f"--account {account}", "is no name of an account", "use small letters and digits")
    root = lake or ("%h/hosu/lake" if user else "/var/lib/hosu/lake")
    file = environment or ("%h/.config/hosu/hosu.env" if user else "/etc/hosu/hosu.env")
    for name, place in (("--lake", root), ("--environment", file)):
        if not _PLACE.fullmatch(place):
            raise InputError(f"{name} {place}", "is no absolute place without blanks, quotes and %", "name one")
    command = [sys.executable, "-m", "hosu", "collect", "--daily", *options]
    writable = f"\nReadWritePaths={root}" if root.startswith("/") and not root.startswith("/var/lib/hosu/") else ""
    filled = {
        "PLACE": _USER_PLACE if user else _SYSTEM_PLACE,
        "HARDENING": "" if user else _SYSTEM_HARDENING,
        "TARGET": "default.target" if user else "multi-user.target",
        "COMMAND": " ".join(map(_quoted, command)),
        "ENVIRONMENT": file,
        "ACCOUNT": account,
        "LAKE": root,
        "WRITABLE": writable,
    }
    text = _UNIT.read_text(encoding="utf-8")
    for name, value in filled.items():  # in this order: what is filled in first holds names filled in later
        text = text.replace(f"@{name}@", value)
    return text


def _quoted(word: str) -> str:
    """A word of a command line as systemd reads it: % and $ mean something there, and control characters nothing."""
    if not word.isprintable():
        raise InputError(f"option {word!r}", "holds what no unit file can", "leave control characters out")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if not word or re.search(r"[\s\"'\\;]", word) else escaped
