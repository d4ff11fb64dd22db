"""The three calls that give out and take back keys, without HTTP: a body in, a status and a body out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.kis.simulator.account import Accounts

_KST: Final = ZoneInfo("Asia/Seoul")
_TEXTS: Final[dict[str, str]] = {
    "EGW00101": "유효하지 않은 요청입니다.",
    "EGW00102": "AppKey는 필수입니다.",
    "EGW00103": "유효하지 않은 AppKey입니다.",
    "EGW00104": "AppSecret은 필수입니다.",
    "EGW00105": "유효하지 않은 AppSecret입니다.",
    "EGW00115": "유효하지 않은 grant_type입니다.",
    "EGW00121": "유효하지 않은 token 입니다.",
    "EGW00133": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
}

Answer = tuple[int, dict[str, Any]]


def issue_token(body: Mapping[str, Any], accounts: Accounts, now_us: int) -> Answer:
    """Answer to POST /oauth2/tokenP. The expiry text is KST without a zone, as the broker writes it."""
    appkey, secret = _text(body, "appkey"), _text(body, "appsecret")
    fault = _grant_fault(body) or accounts.check(appkey, secret)
    if fault is not None:
        return _refuse(fault)
    issued = accounts.issue_token(appkey)
    if issued is None:
        return _refuse("EGW00133")
    token, expires_us = issued
    expires = datetime.fromtimestamp(expires_us / 1e6, UTC).astimezone(_KST)
    return 200, {
        "access_token": token,
        "access_token_token_expired": f"{expires:%Y-%m-%d %H:%M:%S}",
        "token_type": "Bearer",
        "expires_in": max(0, (expires_us - now_us) // 1_000_000),
    }


def revoke_token(body: Mapping[str, Any], accounts: Accounts) -> Answer:
    """Answer to POST /oauth2/revokeP."""
    appkey = _text(body, "appkey")
    fault = accounts.check(appkey, _text(body, "appsecret"))
    if fault is None and not accounts.revoke(_text(body, "token"), appkey):
        fault = "EGW00121"
    return _refuse(fault) if fault is not None else (200, {"code": 200, "message": "접근토큰 폐기에 성공하였습니다"})


def approve(body: Mapping[str, Any], accounts: Accounts) -> Answer:
    """Answer to POST /oauth2/Approval; here the secret is called ``secretkey``."""
    appkey = _text(body, "appkey")
    fault = _grant_fault(body) or accounts.check(appkey, _text(body, "secretkey"))
    return _refuse(fault) if fault is not None else (200, {"approval_key": accounts.approve(appkey)})


def _grant_fault(body: Mapping[str, Any]) -> str | None:
    return None if body.get("grant_type") == "client_credentials" else "EGW00115"


def _refuse(code: str) -> Answer:
    return 403, {"error_description": _TEXTS[code], "error_code": code}


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) and value.isprintable() else ""
