"""An MLflow server: where it is, how it is asked, and what is said of it when it does not do as it should.

A server is outside. It may answer anything, as slowly as it likes, and may send back what it was sent, the password
among it: so no call waits longer than some seconds, and of an answer only its status is ever shown.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import SplitResult, unquote, urlsplit

from hosu.errors import HosuError, InputError, MirrorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALL_S: Final = 15.0
"""Of one call, all tries together: two of ``_MANNERS``' timeout and the wait between them."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_MANNERS: Final = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""As it comes, the library tries for minutes; whoever has just trained a model waits for it."""
_ALWAYS: Final = {
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for an hour
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # what is sent would arrive without its body, or somewhere else
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for data
}
_LOGGERS: Final = ("mlflow", "urllib3")  # they repeat answers and addresses
_ANSWERED: Final = (
    re.compile(r"API request to endpoint \S+ failed with error code (\d{3}) "),
    re.compile(r"too many (\d{3}) error responses"),
)
_UNREACHABLE: Final = ("ConnectionError", "Max retries", "Connection aborted", "InvalidURL", "Failed to parse")


@dataclass(frozen=True, slots=True)
class Server:
    """An MLflow server.

    Attributes:
        address: without user and password; may be shown.
        user, password: None for none; the password is in no repr.
        prefix: of the names of experiments and registered models.
    """

    address: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    prefix: str = "hosu"

    @classmethod
    def of(cls, uri: str, prefix: str = "hosu") -> Self:
        """From ``http://user:password@host:port``, user and password percent-encoded where they need be.

        Raises:
            InputError: it is no address of a server, or the prefix no name. Shows no user and no password.
        """
        parts, port = _parts(uri.strip())
        if _NAME.fullmatch(prefix) is None:
            raise InputError(f"HOSU_MLFLOW_NAME {prefix}", "is no name", "write letters, digits, dots or dashes")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        user, password = (None if each is None else unquote(each) for each in (parts.username, parts.password))
        if not ((user or "") + (password or "")).isprintable():  # no header and no environment takes these
            raise _no_address()
        return cls(f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}", user, password, prefix)


def _parts(uri: str) -> tuple[SplitResult, str]:
    try:
        parts = urlsplit(uri)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise _no_address() from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise _no_address()
    # A slash in a password that is not encoded ends the host: what follows is no path, and would be shown.
    if "@" in parts.path or not uri.isprintable() or " " in uri:
        raise _no_address()
    return parts, port


def _no_address() -> InputError:
    return InputError(
        "HOSU_MLFLOW_URI",
        "is no address of a server",
        "write it as http://user:password@host:5000, and / @ : ? # % in user and password as %2F %40 %3A %3F %23 %25",
    )


class InTime:
    """The library's client; what has not answered within ``CALL_S`` is given up.

    A timeout of the library is one between two bytes: a server that drips is within it for ever.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)
        return lambda *given, **named: _within(lambda: call(*given, **named), self._address)


def _within(call: Callable[[], Any], address: str) -> Any:
    """What the call returns or raises, from a thread that is left behind where it takes too long."""
    done: list[Any] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            done.append(call())
        except Exception as error:  # noqa: BLE001  raised again by whoever waits
            failed.append(error)

    thread = threading.Thread(target=run, name="mlflow", daemon=True)
    thread.start()
    thread.join(CALL_S)
    if failed:
        raise failed[0]
    if not done:
        raise MirrorError(address, f"it did not answer within {CALL_S:g} s")
    return done[0]


@contextmanager
def environment(server: Server) -> Iterator[None]:
    """What the library reads from the environment alone, for as long as it runs: its manners, user and password.

    They are not left in the address, since the library shows that in its messages.
    """
    wanted = {name: value for name, value in _MANNERS.items() if name not in os.environ} | _ALWAYS
    if server.user is not None:
        wanted |= {"MLFLOW_TRACKING_USERNAME": server.user, "MLFLOW_TRACKING_PASSWORD": server.password or ""}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def told_of(server: Server) -> Iterator[None]:
    """Whatever goes wrong within is told in one sentence; the library itself says nothing.

    Raises:
        MirrorError: whatever the library raised.
    """
    before = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    except HosuError:
        raise
    except Exception as error:  # noqa: BLE001  a server may answer anything, and the library then raises anything
        raise MirrorError(server.address, _cause(error)) from None
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _cause(error: Exception) -> str:
    """In our own words and with nothing of the answer but its status."""
    text = f"{type(error).__name__}: {error}"
    status = _status(error, text)
    if status in {401, 403}:
        return f"it refuses ({status}): set user and password as HOSU_MLFLOW_URI=http://user:password@host:port"
    if status is not None and 300 <= status < 400:
        return f"it answered {status}: it is somewhere else, set HOSU_MLFLOW_URI to where it leads"
    if status is not None:
        return f"it answered {status}{_code(error)}"
    if "timeout" in text.lower() or "timed out" in text.lower():
        return "it did not answer in time"
    if any(each in text for each in _UNREACHABLE):
        return "it cannot be reached"
    return f"it answers, but not as an MLflow server does ({type(error).__name__})"


def _code(error: Exception) -> str:
    """MLflow's own word for it, which is one of a list, not what was answered."""
    return f" {error.error_code}" if hasattr(error, "json") and hasattr(error, "error_code") else ""


def _status(error: Exception, text: str) -> int | None:
    """The HTTP status that was answered; None where none was, or where it was 200 with nonsense."""
    for pattern in _ANSWERED:
        if found := pattern.search(text):
            return int(found[1])
    if hasattr(error, "json"):  # an error in MLflow's own form, which says by its code what the status was
        return int(error.get_http_status_code())  # type: ignore[attr-defined]
    return None
