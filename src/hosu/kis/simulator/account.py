"""Who may use the simulator, and the tokens and approval keys it has given out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.clock import Clock

VALID_S: Final = 86_400
SAME_TOKEN_S: Final = 6 * 3600  # asking again within six hours brings the same token
_APPROVALS_PER_APPKEY: Final = 1000  # clients that ask for each message would otherwise grow it without end


@dataclass(slots=True)
class _Issued:
    token: str
    issued_us: int
    expires_us: int


@dataclass(slots=True)
class _Account:
    secret_digest: bytes
    token: _Issued | None = None
    last_issue_us: int | None = None
    approvals: list[str] = field(default_factory=list)


class Accounts:
    """Appkeys, their tokens and approval keys. Keeps digests of secrets, never the secrets."""

    def __init__(self, clock: Clock, known: Mapping[str, str] | None = None, *, token_interval_s: float = 60.0) -> None:
        """``known`` maps appkeys to secrets; None takes any appkey, and holds it to the secret it first came with.

        ``token_interval_s`` is the time before a second token may be asked for; 0 turns that rule off.
        """
        self._clock = clock
        self._open = known is None
        self._interval_us = round(token_interval_s * 1e6)
        self._accounts = {appkey: _Account(_digest(secret)) for appkey, secret in (known or {}).items()}
        self._appkey_by_token: dict[str, str] = {}
        self._appkey_by_approval: dict[str, str] = {}
        self._serial = 0

    def __repr__(self) -> str:
        return f"Accounts({len(self._accounts)} appkeys)"

    def check(self, appkey: str, secret: str) -> str | None:
        """None where the pair is right, else the gateway's code for what is wrong."""
        if not appkey:
            return "EGW00102"
        if not secret:
            return "EGW00104"
        account = self._accounts.get(appkey)
        if account is None and self._open:
            self._accounts[appkey] = _Account(_digest(secret))
            return None
        if account is None:
            return "EGW00103"
        return None if hmac.compare_digest(account.secret_digest, _digest(secret)) else "EGW00105"

    def issue_token(self, appkey: str) -> tuple[str, int] | None:
        """A token and the time it expires (UTC microseconds); None when asked too soon after the last time."""
        account, now = self._accounts[appkey], self._clock.now_us()
        if account.last_issue_us is not None and now - account.last_issue_us < self._interval_us:
            return None
        account.last_issue_us = now
        issued = account.token
        if issued is None or now - issued.issued_us >= SAME_TOKEN_S * 1_000_000 or issued.expires_us <= now:
            issued = _Issued(self._new_token(appkey), now, now + VALID_S * 1_000_000)
            account.token = issued
            self._appkey_by_token[issued.token] = appkey
        return issued.token, issued.expires_us

    def check_token(self, token: str, appkey: str) -> str | None:
        """None where the token is good for the appkey, else EGW00121 (unknown) or EGW00123 (expired)."""
        if self._appkey_by_token.get(token) != appkey:
            return "EGW00121"
        issued = self._accounts[appkey].token
        if issued is None or issued.token != token or issued.expires_us <= self._clock.now_us():
            return "EGW00123"
        return None

    def revoke(self, token: str, appkey: str) -> bool:
        """Whether there was such a token; from now on it is unknown."""
        if self._appkey_by_token.get(token) != appkey:
            return False
        del self._appkey_by_token[token]
        account = self._accounts[appkey]
        if account.token is not None and account.token.token == token:
            account.token = None
        return True

    def expire_tokens(self) -> None:
        """Ends every token now, as if its day were over: for tests of what a client does then."""
        for account in self._accounts.values():
            if account.token is not None:
                account.token.expires_us = self._clock.now_us()

    def approve(self, appkey: str) -> str:
        """A new approval key; each call brings another, and the earlier ones stay good."""
        self._serial += 1
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{appkey}/{self._serial}/{self._clock.now_us()}"))
        account = self._accounts[appkey]
        account.approvals.append(key)
        self._appkey_by_approval[key] = appkey
        if len(account.approvals) > _APPROVALS_PER_APPKEY:
            del self._appkey_by_approval[account.approvals.pop(0)]
        return key

    def appkey_of(self, approval_key: str) -> str | None:
        """The appkey an approval key belongs to; None when it is unknown."""
        return self._appkey_by_approval.get(approval_key)

    def _new_token(self, appkey: str) -> str:
        self._serial += 1
        digest = hashlib.sha512(f"{appkey}/{self._serial}/{self._clock.now_us()}".encode()).digest()
        return "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9." + base64.urlsafe_b64encode(digest * 3).decode()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
