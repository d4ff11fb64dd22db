"""Access token and approval key: asked for seldom, kept on disk, shared by all processes of one application key.

The broker issues a token once a minute at most (EGW00133), wants it used for a day, and tells the account's holder by
message each time: a process that asks at every start is a nuisance. Both live 24 hours. Source: KIS portal, OAuth.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import BrokerReplyError, BrokerUnreachableError, TokenIssueTooSoonError
from hosu.kis.codes import error_of
from hosu.locks import FileLock
from hosu.market.calendar import KST
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.http import Http
    from hosu.kis.limits import Governor

_LOG: Final = logging.getLogger(__name__)
_MARGIN_US: Final = 600_000_000  # ten minutes before the end it counts as ended
_DAY_US: Final = 86_400_000_000
_ISSUE_GAP_S: Final = 61.0  # once a minute, and a second for the difference of two clocks
_LOCK_POLL_S: Final = 0.05
_NEVER_US: Final = 1 << 60  # the year 38505
_LONGEST_SECRET: Final = 4_096  # a token has about 350 characters; servers take 8 KiB of header


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the cache file holds. Times are UTC microseconds; 0 and "" mean never and none."""

    token: str = field(default="", repr=False)
    token_expires_us: int = 0
    token_issued_us: int = 0
    approval: str = field(default="", repr=False)
    approval_issued_us: int = 0


class Auth:
    """Hands out the access token (REST) and the approval key (WebSocket) of one application key on one host.

    Calls of one process are joined into one issue by a lock, those of several by a lock on the cache file
    (``cache_dir``, made with mode 0700; the file has mode 0600). Cancelling a call loses nothing: an issue that the
    broker has answered is on disk before anybody gets it.
    """

    def __init__(
        self, host: Host, credentials: Credentials, http: Http, governor: Governor, *, cache_dir: Path, clock: Clock
    ) -> None:
        self.host, self.credentials = host, credentials
        self._http, self._governor, self._clock = http, governor, clock
        place = hashlib.sha256(host.rest.encode()).hexdigest()[:8]
        name = f"auth-{host.name}-{place}-{credentials.fingerprint}"
        self._path = cache_dir / f"{name}.json"
        self._lock_path = cache_dir / f"{name}.lock"
        self._single = asyncio.Lock()
        self._kept = _Kept()

    def __repr__(self) -> str:
        return f"Auth({self.host.name}, {self.credentials.fingerprint})"

    async def access_token(self) -> str:
        """A token valid for ten minutes or more, from memory, disk or the broker (in this order).

        Waits up to 61 s of the clock where another was issued within the last minute.

        Raises:
            BrokerUnreachableError: the broker does not answer.
            TokenIssueTooSoonError: somebody else's issues keep us from ours, also after waiting.
            BrokerReplyError: the broker refuses the key.
        """
        if not self._token_valid(self._kept):
            async with self._shared():
                if not self._token_valid(self._kept):
                    await self._issue_token()
        return self._kept.token

    async def invalidate(self, token: str) -> None:
        """Forgets ``token``, which the broker called expired or invalid; the next ``access_token`` gets another.

        Harmless when it was replaced already: of many calls that failed with one token, the first does the work.
        """
        async with self._shared():
            if self._kept.token == token:
                self._keep(replace(self._kept, token="", token_expires_us=0))

    async def approval_key(self) -> str:
        """A key to open a WebSocket session with, less than a day old. Raises as ``access_token``."""
        if not self._approval_valid(self._kept):
            async with self._shared():
                if not self._approval_valid(self._kept):
                    await self._issue_approval()
        return self._kept.approval

    async def invalidate_approval(self, key: str) -> None:
        """Forgets the approval key ``key``, which the broker did not find; the next call gets another."""
        async with self._shared():
            if self._kept.approval == key:
                self._keep(replace(self._kept, approval="", approval_issued_us=0))

    def _token_valid(self, kept: _Kept) -> bool:
        return bool(kept.token) and kept.token_expires_us - _MARGIN_US > self._clock.now_us()

    def _approval_valid(self, kept: _Kept) -> bool:
        age_us = self._clock.now_us() - kept.approval_issued_us
        return bool(kept.approval) and 0 <= age_us < _DAY_US - _MARGIN_US

    @contextlib.asynccontextmanager
    async def _shared(self) -> AsyncIterator[None]:
        """Holds the lock of this process and of the file; what is on disk is in memory inside."""
        async with self._single:
            lock = FileLock(self._lock_path, f"the token cache of {self.credentials.fingerprint}")
            while not lock.try_acquire():  # its holder may be waiting out the broker's minute
                await self._clock.sleep(_LOCK_POLL_S)
            try:
                self._kept = _read(self._path)
                yield
            finally:
                lock.release()

    def _keep(self, kept: _Kept) -> None:
        self._kept = kept
        replace_file(self._path, json.dumps({"version": 1, **asdict(kept)}).encode(), private=True)

    async def _issue_token(self) -> None:
        await self._wait_out_the_minute()
        try:
            reply = await self._ask_token()
        except TokenIssueTooSoonError:
            self._keep(replace(self._kept, token_issued_us=self._clock.now_us()))
            await self._wait_out_the_minute()
            reply = await self._ask_token()
        token = _required(reply, "access_token", "/oauth2/tokenP")
        now = self._clock.now_us()
        self._keep(replace(self._kept, token=token, token_expires_us=_expiry_us(reply, now), token_issued_us=now))

    async def _wait_out_the_minute(self) -> None:
        since_s = (self._clock.now_us() - self._kept.token_issued_us) / 1e6
        if 0 <= since_s < _ISSUE_GAP_S:
            _LOG.info("a token was issued %.0f s ago; waiting until a minute has passed", since_s)
            await self._clock.sleep(_ISSUE_GAP_S - since_s)

    async def _ask_token(self) -> dict[str, Any]:
        credentials = self.credentials
        secrets = {"appkey": credentials.appkey, "appsecret": credentials.appsecret}
        return await self._post("/oauth2/tokenP", {"grant_type": "client_credentials", **secrets})

    async def _issue_approval(self) -> None:
        credentials = self.credentials
        # The same secret goes by another name here.
        secrets = {"appkey": credentials.appkey, "secretkey": credentials.appsecret}
        reply = await self._post("/oauth2/Approval", {"grant_type": "client_credentials", **secrets})
        key = _required(reply, "approval_key", "/oauth2/Approval")
        self._keep(replace(self._kept, approval=key, approval_issued_us=self._clock.now_us()))

    async def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        await self._governor.acquire()
        reply = await self._http.post(f"{self.host.rest}{path}", body)
        try:
            answer = json.loads(reply.body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise BrokerUnreachableError(f"{self.host.rest}{path}", f"HTTP {reply.status} without a JSON object")
        code = str(answer.get("error_code") or answer.get("msg_cd") or "")
        if "error_code" in answer or reply.status >= 400:
            text = str(answer.get("error_description") or answer.get("msg1") or "")
            raise error_of(code or f"HTTP {reply.status}", self._censored(text), call=path, status=reply.status)
        return answer

    def _censored(self, text: str) -> str:
        for secret in (self.credentials.appsecret, self.credentials.appkey):
            text = text.replace(secret, "***")
        return text


def _required(reply: dict[str, Any], name: str, call: str) -> str:
    value = reply.get(name)
    if not isinstance(value, str) or not value or not _fits_a_header(value):
        raise BrokerReplyError("", f"no usable {name}", call=call, advice="check the REST address")
    return value


def _expiry_us(reply: dict[str, Any], now_us: int) -> int:
    """When the token ends. The text is the truth: ``expires_in`` was seen wrong by more than an hour."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        end = datetime.strptime(reply["access_token_token_expired"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=KST)
        return int(end.timestamp() * 1e6)
    lifetime = reply.get("expires_in")
    seconds = lifetime if isinstance(lifetime, int | float) and 0 < lifetime < 86_400 else 86_400
    return now_us + int(seconds * 1e6)


def _read(path: Path) -> _Kept:
    try:
        content = json.loads(path.read_bytes())
        return _Kept(**{f.name: _usable(content[f.name], f.default) for f in fields(_Kept)})
    except FileNotFoundError:
        return _Kept()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _LOG.warning("%s cannot be used (%s); it is written anew", path, type(error).__name__)
        return _Kept()


def _usable(value: object, like: object) -> Any:
    if type(value) is not type(like):
        raise TypeError(type(value).__name__)
    if isinstance(value, str) and not _fits_a_header(value):
        raise ValueError("no secret of the broker's")
    if isinstance(value, int) and not 0 <= value < _NEVER_US:
        raise ValueError("no time")
    return value


def _fits_a_header(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and len(secret) <= _LONGEST_SECRET
