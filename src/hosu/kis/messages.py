"""The JSON messages of the WebSocket as values; bytes in, bytes out, no socket.

A registration, an acknowledgement and a PINGPONG look like this (values made up)::

    {"header":{"approval_key":"…","custtype":"P","tr_type":"1","content-type":"utf-8"},
     "body":{"input":{"tr_id":"H0STCNT0","tr_key":"005930"}}}
    {"header":{"tr_id":"H0STCNT0","tr_key":"005930","encrypt":"N"},"body":{"rt_cd":"0","msg_cd":"OPSP0000",
     "msg1":"SUBSCRIBE SUCCESS","output":{"iv":"0123456789abcdef","key":"abcdefghijklmnopabcdefghijklmnop"}}}
    {"header":{"tr_id":"PINGPONG","datetime":"20250915090000"}}

The broker sends a key and a vector with the acknowledgement of every TR, encrypted or not; none of them is logged.
Source: KIS portal, 실시간시세 (request and response tables).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from hosu.errors import plain
from hosu.kis.codes import code_of

BLANK: Final = "***"
# Possessive (++, *+): with places to come back to, a text of 10 MB would take 1.7 GB.
_SECRET: Final = re.compile(rb'("(?:iv|key)"\s*:\s*")(?:[^"\\]++|\\.)*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class NoticeKey:
    """Key and vector with which the broker encrypts the notices of one session and TR id; not shown by ``repr``."""

    key: str = field(repr=False)
    iv: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to a registration or release. ``tr_id`` and ``key`` are "" where it names none (it
    writes ``(null)`` for a request it could not read)."""

    tr_id: str
    key: str
    code: str
    text: str
    notice_key: NoticeKey | None = None


@dataclass(frozen=True, slots=True)
class PingPong:
    """The broker asks whether we live; ``datetime`` is its KST clock, ``YYYYMMDDHHMMSS``."""

    datetime: str


def registration_message(tr_id: str, key: str, approval_key: str, custtype: str, *, release: bool = False) -> bytes:
    """The request to register ``key`` (a short code, an index code, an HTS id) with a TR, or to release it; it holds
    the approval key and must not be logged."""
    tr_type = "2" if release else "1"
    header = {"approval_key": approval_key, "custtype": custtype, "tr_type": tr_type, "content-type": "utf-8"}
    body = {"input": {"tr_id": tr_id, "tr_key": key}}
    return json.dumps({"header": header, "body": body}, separators=(",", ":")).encode()


def read_control(payload: bytes) -> tuple[Ack | PingPong | None, bytes]:
    """What a control message (first byte ``{``) says, and the message as it may be logged.

    The message is the same bytes, except that key and vector are blanked, whatever else it says. None for what is
    neither an acknowledgement nor a PINGPONG, garbage included.
    """
    loggable = _SECRET.sub(rb"\1" + BLANK.encode(), payload)
    try:
        return _read(payload, loggable)
    except (ValueError, RecursionError):
        return None, loggable


def _read(payload: bytes, loggable: bytes) -> tuple[Ack | PingPong | None, bytes]:
    message = json.loads(payload)
    header, body = _mapping(message, "header"), _mapping(message, "body")
    if _text(header, "tr_id") == "PINGPONG":
        return PingPong(_text(header, "datetime")), loggable
    if not body:
        return None, loggable
    output = _mapping(body, "output")
    encrypted = _text(header, "encrypt").upper() == "Y"
    notice_key = NoticeKey(_text(output, "key"), _text(output, "iv")) if encrypted and output else None
    text = _text(body, "msg1")
    ack = Ack(_text(header, "tr_id"), _text(header, "tr_key"), code_of(_text(body, "msg_cd"), text), text, notice_key)
    return ack, loggable if _is_blank(json.loads(loggable)) else _without_key(message, output)


def _is_blank(message: dict[str, Any]) -> bool:
    output = _mapping(message["body"], "output")
    return all(output.get(name, BLANK) == BLANK for name in ("iv", "key"))


def _without_key(message: dict[str, Any], output: dict[str, Any]) -> bytes:
    """The message written anew, for key or vector that are no plain text, or whose names are spelt with escapes."""
    blanked = {name: BLANK if name in ("iv", "key") else value for name, value in output.items()}
    body = {**message["body"], "output": blanked}
    return json.dumps({**message, "body": body}, separators=(",", ":")).encode()


def _mapping(value: object, name: str) -> dict[str, Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _text(mapping: dict[str, Any], name: str) -> str:
    value = mapping.get(name)
    text = "" if value is None else plain(str(value)).strip()
    return "" if text == "(null)" else text
