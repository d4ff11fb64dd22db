"""Where the broker listens, and the keys it knows us by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlsplit

from hosu.errors import InputError, SettingsError

HostName = Literal["live", "paper", "simulator"]


@dataclass(frozen=True, slots=True)
class Host:
    """One environment of the broker: ``rest`` is the base of REST paths, ``ws`` the whole WebSocket address.

    Raises:
        InputError: an address is not ``http(s)://host[:port]`` or ``ws(s)://host[:port][/path]``.
    """

    name: HostName
    rest: str
    ws: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "rest", self.rest.rstrip("/"))
        _check_address(self.rest, ("http", "https"))
        _check_address(self.ws, ("ws", "wss"))
        if urlsplit(self.rest).path:
            raise InputError(self.rest, "goes on behind host and port", "write it as http://host:port")


def _check_address(address: str, schemes: tuple[str, str]) -> None:
    next_step = f"write it as {schemes[0]}://host:port"
    try:
        parts = urlsplit(address)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as whoever looks it up will, and refuse it without a sentence
    except ValueError as error:
        raise InputError(address, str(error), next_step) from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise InputError(address, f"not an address of the kind {schemes[0]}://", next_step)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(f"{parts.scheme}://{parts.hostname}", "carries more than host, port and path", next_step)


# Addresses as in kis_devlp.yaml of koreainvestment/open-trading-api; the WebSocket is plain ws:// (wss fails in TLS).
LIVE: Final = Host("live", "https://openapi.koreainvestment.com:9443", "ws://ops.koreainvestment.com:21000/tryitout")
PAPER: Final = Host(
    "paper", "https://openapivts.koreainvestment.com:29443", "ws://ops.koreainvestment.com:31000/tryitout"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An application key, its secret, and who holds it: ``P`` a person, ``B`` a corporation.

    Neither key nor secret shows in ``repr``; ``fingerprint`` names the key in files and messages.

    Raises:
        SettingsError: a value is empty, or holds what cannot stand in an HTTP header. The value is not shown.
    """

    appkey: str = field(repr=False)
    appsecret: str = field(repr=False)
    custtype: str = "P"

    def __post_init__(self) -> None:
        for name, value in (("appkey", self.appkey), ("appsecret", self.appsecret)):
            if not value:
                raise SettingsError(name, "is empty")
            if not (value.isascii() and value.isprintable()) or " " in value:
                raise SettingsError(name, "holds blanks or characters that are not plain ASCII")
        if self.custtype not in ("P", "B"):
            raise SettingsError("custtype", f"is {self.custtype!r}, not P (person) or B (corporation)")

    @property
    def fingerprint(self) -> str:
        """The first 12 hexadecimal digits of the key's SHA-256: tells keys apart without giving them away."""
        return hashlib.sha256(self.appkey.encode()).hexdigest()[:12]

    def __repr__(self) -> str:
        return f"Credentials({self.fingerprint}, custtype={self.custtype!r})"
