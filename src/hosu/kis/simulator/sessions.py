"""What a WebSocket client asks and what the broker answers, without a socket: registrations, acks, codes, slots.

A request::

    {"header":{"approval_key":"...","custtype":"P","tr_type":"1","content-type":"utf-8"},
     "body":{"input":{"tr_id":"H0STCNT0","tr_key":"005930"}}}

and its ack::

    {"header":{"tr_id":"H0STCNT0","tr_key":"005930","encrypt":"N"},
     "body":{"rt_cd":"0","msg_cd":"OPSP0000","msg1":"SUBSCRIBE SUCCESS","output":{"iv":"...","key":"..."}}}
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hosu.kis.registrations import Registration

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.clock import Clock
    from hosu.kis.simulator.faults import AckFault

MESSAGES: Final[dict[str, str]] = {
    "OPSP0000": "SUBSCRIBE SUCCESS",
    "OPSP0001": "UNSUBSCRIBE SUCCESS",
    "OPSP0002": "ALREADY IN SUBSCRIBE",
    "OPSP0003": "UNSUBSCRIBE ERROR (not found!)",
    "OPSP0007": "SUBSCRIBE INTERNAL ERROR",
    "OPSP0008": "MAX SUBSCRIBE OVER",
    "OPSP0009": "SUBSCRIBE ERROR : mci send failed",
    "OPSP0010": "SUBSCRIBE WARNING : invalid appkey",
    "OPSP0011": "invalid approval(appkey) : NOT FOUND",
    "OPSP8991": "SUBSCRIBE ERROR : invalid tr_id",
    "OPSP8992": "SUBSCRIBE ERROR : invalid tr_key",
    "OPSP8993": "JSON PARSING ERROR : invalid tr_key",
    "OPSP8994": "JSON PARSING ERROR : personalseckey not found",
    "OPSP8995": "JSON PARSING ERROR : appsecret not found",
    "OPSP8996": "ALREADY IN USE appkey",
    "OPSP8997": "JSON PARSING ERROR : invalid tr_type",
    "OPSP8998": "JSON PARSING ERROR : invalid custtype",
    "OPSP8999": "resource not available (ALLOC_CALL_PARAM)",
    "OPSP9990": "JSON PARSING ERROR : tr_key not found",
    "OPSP9991": "JSON PARSING ERROR : input not found",
    "OPSP9992": "JSON PARSING ERROR : body not found",
    "OPSP9993": "JSON PARSING ERROR : internal error",
    "OPSP9994": "JSON PARSING ERROR : INVALID appkey",
    "OPSP9995": "JSON PARSING ERROR : resource not available",
    "OPSP9996": "JSON PARSING ERROR : appkey",
    "OPSP9997": "JSON PARSING ERROR : custtype not found",
    "OPSP9998": "JSON PARSING ERROR : header not found",
    "OPSP9999": "JSON PARSING ERROR : invalid json format",
}
"""Every code of the WebSocket server, with the broker's text (KIS portal, error codes)."""

NOTICES: Final = frozenset({"H0STCNI0", "H0STCNI9"})
"""TRs whose frames are encrypted with the iv and key of their ack."""

_PAPER_TRS: Final = frozenset({"H0STCNT0", "H0STASP0", "H0STCNI9"})
_STOCK_KEY: Final = re.compile(r"[0-9A-Z]{6}|Q[0-9A-Z]{6}")
_INDEX_KEY: Final = re.compile(r"[0-9]{4}")


@dataclass(frozen=True, slots=True)
class SlotConfig:
    """Limits of WebSocket sessions."""

    registrations: int = 41
    """Registrations a session may hold, over all TRs."""
    held_s: float = 0.0
    """How long the place of a session that broke off without a close stays taken."""
    paper: bool = False
    """Serve only what the broker's paper trading serves."""


@dataclass(slots=True)
class Slots:
    """Which connection each appkey's one session belongs to."""

    config: SlotConfig
    clock: Clock
    holders: dict[str, int] = field(default_factory=dict)
    held_until: dict[str, float] = field(default_factory=dict)
    on_held: Callable[[], None] = lambda: None
    """Told of everybody who is turned away because a place is still held."""

    def claim(self, appkey: str, connection: int) -> bool:
        """Whether ``connection`` now is, or already was, the session of ``appkey``."""
        holder = self.holders.get(appkey)
        if holder is not None:
            return holder == connection
        if self.held_until.get(appkey, 0.0) > self.clock.monotonic():
            self.on_held()
            return False
        self.holders[appkey] = connection
        return True

    def leave(self, appkey: str, connection: int, *, abrupt: bool) -> None:
        """The connection ended; after an ``abrupt`` end the place stays taken for a while."""
        if self.holders.get(appkey) != connection:
            return
        del self.holders[appkey]
        if abrupt:
            self.held_until[appkey] = self.clock.monotonic() + self.config.held_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client, and what changed for it."""

    text: bytes | None
    code: str
    registered: Registration | None = None
    released: Registration | None = None
    fault: AckFault | None = None


class _RefusedError(Exception):
    """A request that is answered with an error code."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(slots=True)
class Session:
    """One connection's registrations."""

    connection: int
    slots: Slots
    tr_ids: frozenset[str]
    appkey_of: Callable[[str], str | None]
    fault_of: Callable[[str, str], AckFault | None] = lambda tr_id, key: None  # noqa: ARG005  all is well
    appkey: str | None = None
    registrations: dict[Registration, tuple[str, str]] = field(default_factory=dict)
    """Registered keys, with the iv and key of their ack."""

    def answer(self, text: str) -> Answer:
        """What the broker answers to one text message; the echo of a PINGPONG is taken without an answer."""
        tr_id = tr_key = ""
        fault: AckFault | None = None
        try:
            request = _parse(text)
            header = _part(request, "header", "OPSP9998")
            if header.get("tr_id") == "PINGPONG":
                return Answer(None, "PINGPONG")
            asked = _part(_part(request, "body", "OPSP9992"), "input", "OPSP9991")
            tr_id, tr_key = _text(asked, "tr_id"), _text(asked, "tr_key")
            self._check_header(header)
            fault = self.fault_of(tr_id, tr_key)
            _refuse_on_purpose(fault)
            self._check_key(asked, tr_id, tr_key)
            self._claim(_text(header, "approval_key"))
            act = self._register if header.get("tr_type") == "1" else self._release
            return replace(act(Registration(tr_id, tr_key)), fault=fault)
        except _RefusedError as refused:
            return Answer(_refusal(refused.code, tr_id, tr_key), refused.code, fault=fault)

    def _check_header(self, header: dict[str, Any]) -> None:
        if _text(header, "tr_type") not in {"1", "2"}:
            raise _RefusedError("OPSP8997")
        if "custtype" not in header:
            raise _RefusedError("OPSP9997")
        if _text(header, "custtype") not in {"P", "B"}:
            raise _RefusedError("OPSP8998")

    def _check_key(self, asked: dict[str, Any], tr_id: str, tr_key: str) -> None:
        served = self.tr_ids & _PAPER_TRS if self.slots.config.paper else self.tr_ids - {"H0STCNI9"}
        if tr_id not in served:
            raise _RefusedError("OPSP8991")
        if "tr_key" not in asked:
            raise _RefusedError("OPSP9990")
        if not _key_fits(tr_id, tr_key):
            raise _RefusedError("OPSP8992")

    def _claim(self, approval_key: str) -> None:
        appkey = self.appkey_of(approval_key)
        if appkey is None:
            raise _RefusedError("OPSP0011")
        if not self.slots.claim(appkey, self.connection):
            raise _RefusedError("OPSP8996")
        self.appkey = appkey

    def _register(self, key: Registration) -> Answer:
        if key in self.registrations:
            raise _RefusedError("OPSP0002")
        if len(self.registrations) >= self.slots.config.registrations:
            raise _RefusedError("OPSP0008")
        secrets = _iv_and_key(f"{self.appkey}/{self.connection}/{key.tr_id}")
        self.registrations[key] = secrets
        return Answer(_ack("OPSP0000", key, {"iv": secrets[0], "key": secrets[1]}), "OPSP0000", registered=key)

    def _release(self, key: Registration) -> Answer:
        if self.registrations.pop(key, None) is None:
            raise _RefusedError("OPSP0003")
        return Answer(_ack("OPSP0001", key), "OPSP0001", released=key)


def _refuse_on_purpose(fault: AckFault | None) -> None:
    if fault is not None and fault.code is not None:
        raise _RefusedError(fault.code)


def pingpong(datetime_kst: str) -> bytes:
    """The broker's heartbeat; ``datetime_kst`` is YYYYMMDDHHMMSS of the market's clock."""
    return json.dumps({"header": {"tr_id": "PINGPONG", "datetime": datetime_kst}}, separators=(",", ":")).encode()


def _parse(text: str) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise _RefusedError("OPSP9999") from None
    if not isinstance(request, dict):
        raise _RefusedError("OPSP9999")
    return request


def _part(parent: dict[str, Any], name: str, code: str) -> dict[str, Any]:
    part = parent.get(name)
    if not isinstance(part, dict):
        raise _RefusedError(code)
    return part


def _text(parent: dict[str, Any], name: str) -> str:
    value = parent.get(name)
    return value if isinstance(value, str) else ""


def _key_fits(tr_id: str, tr_key: str) -> bool:
    if tr_id in NOTICES:
        return 0 < len(tr_key) <= 12
    return (_INDEX_KEY if tr_id.startswith("H0UP") else _STOCK_KEY).fullmatch(tr_key) is not None


def _ack(code: str, key: Registration, output: dict[str, str] | None = None) -> bytes:
    body: dict[str, Any] = {"rt_cd": "0", "msg_cd": code, "msg1": MESSAGES[code]}
    if output is not None:
        body["output"] = output
    header = {"tr_id": key.tr_id, "tr_key": key.key, "encrypt": "Y" if key.tr_id in NOTICES else "N"}
    return _dump(header, body)


def _refusal(code: str, tr_id: str, tr_key: str) -> bytes:
    if code == "OPSP8996":  # seen with rt_cd 9 and no TR named
        return _dump(
            {"tr_id": "(null)", "tr_key": tr_key, "encrypt": "N"},
            {"rt_cd": "9", "msg_cd": code, "msg1": MESSAGES[code]},
        )
    header = {"tr_id": tr_id or "(null)", "tr_key": tr_key, "encrypt": "N"}
    return _dump(header, {"rt_cd": "1", "msg_cd": code, "msg1": MESSAGES[code]})


def _dump(header: dict[str, str], body: dict[str, Any]) -> bytes:
    text = json.dumps({"header": header, "body": body}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _iv_and_key(seed: str) -> tuple[str, str]:
    """16 hex digits and 32 lower-case letters, as the broker's look; repeatable, since a run is."""
    digest = hashlib.sha512(seed.encode()).digest()
    return digest[:8].hex(), "".join(chr(ord("a") + byte % 26) for byte in digest[8:40])
