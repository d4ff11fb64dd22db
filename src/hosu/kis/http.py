"""HTTP with time-outs, bounded replies and no redirects; the only door to aiohttp on the client's side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import aiohttp

from hosu.errors import BrokerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Time-outs in seconds, and how we introduce ourselves.

    The broker has dropped connections by User-Agent and advised to change it, so it can be set.
    """

    user_agent: str = "hosu"
    connect_timeout_s: float = 5.0
    total_timeout_s: float = 15.0
    max_reply_bytes: int = MAX_REPLY_BYTES


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back: status, headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)  # the reply of the token call holds a secret


class Http:
    """Sends requests; an async context manager that owns its connections.

    Cancelling a call closes its connection; whether the broker acted on it is then unknown.
    """

    def __init__(self, config: HttpConfig | None = None) -> None:
        self._config = config if config is not None else HttpConfig()
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes every connection; a later request opens new ones."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        new_connection: bool = False,
    ) -> HttpReply:
        """The reply to a GET, whatever its status. ``new_connection`` makes sure that none is used again.

        Raises:
            BrokerUnreachableError: no connection, a time-out, a connection that broke, or a reply too large.
        """
        return await self._send("GET", url, params=params, headers=headers, new_connection=new_connection)

    async def post(self, url: str, body: Mapping[str, str], headers: Mapping[str, str] | None = None) -> HttpReply:
        """The reply to a POST of a JSON object, whatever its status. Raises as ``get``; never tried again here."""
        return await self._send("POST", url, json=body, headers=headers, new_connection=True)

    async def _send(
        self,
        method: str,
        url: str,
        *,
        new_connection: bool,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
    ) -> HttpReply:
        session = self._session(new_connection)
        try:
            # A redirect would carry the key to wherever it points.
            async with session.request(
                method, url, params=params, headers=headers, json=json, allow_redirects=False
            ) as response:
                body = await self._read(response, url)
                return HttpReply(
                    response.status, {name.lower(): value for name, value in response.headers.items()}, body
                )
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            # Not chained: errors of aiohttp carry the request's headers, and those carry the secret.
            raise BrokerUnreachableError(_address(url), _cause(error)) from None

    async def _read(self, response: aiohttp.ClientResponse, url: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > self._config.max_reply_bytes:
                raise BrokerUnreachableError(_address(url), f"the reply exceeds {self._config.max_reply_bytes} bytes")
        return bytes(body)

    def _session(self, new_connection: bool) -> aiohttp.ClientSession:
        if new_connection not in self._sessions:
            config = self._config
            self._sessions[new_connection] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=new_connection),
                timeout=aiohttp.ClientTimeout(total=config.total_timeout_s, connect=config.connect_timeout_s),
                headers={"User-Agent": config.user_agent},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._sessions[new_connection]


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _cause(error: Exception) -> str:
    match error:
        case TimeoutError() | asyncio.TimeoutError():
            return "no answer in time"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case aiohttp.ClientConnectorError():
            return error.strerror or str(error.os_error) or "no connection"
        case OSError():
            return error.strerror or type(error).__name__
        case UnicodeError():
            return "its name is none that can be looked up"
        case _:
            return type(error).__name__
