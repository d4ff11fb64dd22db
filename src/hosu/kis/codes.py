"""What the broker's codes mean to us. One function, ``verdict``, decides between going on, retrying and giving up.

Codes and texts as in the error-code tables of the KIS portal (EGW…: REST gateway, OPSQ…: query server, OPSP…:
WebSocket). The HTTP status says little: EGW00201 comes as 500, EGW00123 as 200, 401, 403 or 500.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from hosu.errors import (
    AppkeyInUseError,
    BrokerError,
    BrokerReplyError,
    RateLimitedError,
    RegistrationLimitError,
    RegistrationRefusedError,
    TokenExpiredError,
    TokenIssueTooSoonError,
)


class Verdict(Enum):
    """What to do about an answer."""

    DONE = auto()  # success, or as good as
    RETRY = auto()  # the broker's own trouble: the same call may succeed in a moment
    SLOW_DOWN = auto()  # too many calls in a second: retry more slowly
    NEW_TOKEN = auto()  # get another access token, then retry once
    NEW_APPROVAL = auto()  # get another approval key, then connect once more
    WAIT_A_MINUTE = auto()  # a token was issued, or a session ended, a moment ago
    NO_SLOT = auto()  # no registration slot is left on this session
    REFUSED = auto()  # this request will never succeed; others may
    FATAL = auto()  # nothing will succeed until somebody changes the key or the settings


_CODES: Final[dict[Verdict, str]] = {
    Verdict.DONE: "OPSP0000 OPSP0001 OPSP0002 OPSP0003",
    Verdict.RETRY: "EGW00001 EGW00002 EGW00202 EGW00203 EGW00300 EGW00301 EGW00302 "
    "OPSQ0008 OPSQ0009 OPSQ0010 OPSQ0011 OPSQ1002 OPSP0007 OPSP0009 OPSP8999 OPSP9993 OPSP9995",
    Verdict.SLOW_DOWN: "EGW00201",
    Verdict.NEW_TOKEN: "EGW00121 EGW00122 EGW00123",
    Verdict.NEW_APPROVAL: "OPSP0010 OPSP0011",
    Verdict.WAIT_A_MINUTE: "EGW00133 OPSP8996",
    Verdict.NO_SLOT: "OPSP0008",
    Verdict.FATAL: "EGW00003 EGW00004 EGW00102 EGW00103 EGW00104 EGW00105 EGW00205 EGW00206 EGW00207 EGW00208 "
    "EGW00210 EGW00303 EGW00304 OPSP8998 OPSP9994 OPSP9996 OPSP9997",
}
_VERDICTS: Final = {code: what for what, codes in _CODES.items() for code in codes.split()}

_ADVICE: Final[dict[str, str]] = {
    "EGW00103": "check the application key",
    "EGW00105": "check the application secret",
    "EGW00206": "ask the broker to allow this API for the account",
    "EGW00210": "corporations cannot use the paper environment; use the live one",
    "EGW00213": "this call does not exist in the paper environment; use the live one",
    "EGW00201": "fewer calls a second; other programs with this key count too",
    "EGW00133": "a token is issued once a minute at most; wait, or share the token's cache folder between programs",
    "OPSP0008": "registrations of all data of this key count together; drop some or add another key",
    "OPSP8996": "another program or machine may hold a session with this key, or the slot of one that was cut is not "
    "free yet; it is tried again in a minute or more",
    "OPSP9994": "check the application key",
    "OPSP8991": "this TR id does not exist in this environment",
    "OPSP8992": "check the symbol",
}

# Some acknowledgements were seen without msg_cd; the text names the code then.
_CODE_OF_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("UNSUBSCRIBE SUCCESS", "OPSP0001"),
    ("ALREADY IN SUBSCRIBE", "OPSP0002"),
    ("UNSUBSCRIBE ERROR", "OPSP0003"),
    ("SUBSCRIBE SUCCESS", "OPSP0000"),
    ("MAX SUBSCRIBE OVER", "OPSP0008"),
    ("ALREADY IN USE", "OPSP8996"),
)


def verdict(code: str) -> Verdict:
    """What to do about a code; an unknown one refuses only the request it answers.

    An HTTP error without a code of the broker's goes by ``HTTP <status>``.
    """
    return Verdict.RETRY if code.startswith("HTTP 5") else _VERDICTS.get(code, Verdict.REFUSED)


def may_succeed_later(error: BrokerError) -> bool:
    """Whether the same call may succeed later without anybody changing anything."""
    return error.retryable or (isinstance(error, BrokerReplyError) and verdict(error.code) is Verdict.RETRY)


def code_of(code: str | None, text: str) -> str:
    """The code of a WebSocket acknowledgement, from its text where the broker left the code out; may be ""."""
    if code:
        return code
    return next((known for part, known in _CODE_OF_TEXT if part in text.upper()), "")


def error_of(code: str, message: str, *, call: str, status: int | None = None) -> BrokerReplyError:
    """The error for a code, with the broker's text and what to do.

    ``call`` names the request without secrets (path and TR id); ``status`` is the HTTP status, None on WebSocket.
    """
    return _error_class(code)(code, message, call=call, status=status, advice=_ADVICE.get(code, ""))


def _error_class(code: str) -> type[BrokerReplyError]:
    match code, verdict(code):
        case _, Verdict.SLOW_DOWN:
            return RateLimitedError
        case _, Verdict.NEW_TOKEN:
            return TokenExpiredError
        case "EGW00133", _:
            return TokenIssueTooSoonError
        case "OPSP8996", _:
            return AppkeyInUseError
        case _, Verdict.NO_SLOT:
            return RegistrationLimitError
        case _, Verdict.REFUSED if code.startswith("OPSP"):
            return RegistrationRefusedError
        case _:
            return BrokerReplyError
