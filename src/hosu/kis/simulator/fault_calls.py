"""Faults of REST calls: wrong answers, late ones, none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from hosu.kis.simulator.faults import RestFault
from hosu.kis.simulator.gateway_codes import GATEWAY

if TYPE_CHECKING:
    from hosu.kis.simulator.fault_events import EventFaults

_KINDS: Final = ("expire", "slow", "reset", "http", "gateway", "badjson")
# Each can be told from a reply without data, which is right where nothing was traded.
_WRONG: Final = (
    '{"rt_cd":"0","msg_cd":"MCA00000","msg1":"정상처리 되었습니다.","output":{"stck_prpr":"700',
    "<html><head><title>502 Bad Gateway</title></head><body></body></html>",
    "",
    "[]",
    "null",
)


def rest_fault(events: EventFaults, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:
    """As ``Faults.on_rest``: late by all that strike, wrong by the first."""
    delay_s, expires, wrong = 0.0, False, None
    names = (tr_id, path.rsplit("/", 1)[-1], symbol)
    for span in events.striking(_KINDS, now_us, names=names):
        clause = span.clause
        if clause.kind == "expire":
            expires = True
        elif clause.kind == "slow":
            delay_s += clause.number
        elif wrong is None:
            wrong = _answer(clause.kind, path, clause.code, int(clause.number), events.dice(span))
    if wrong is None and not expires and not delay_s:
        return None
    status, body = wrong or (None, "")
    return RestFault(status, body, delay_s, expires)


def _answer(kind: str, path: str, code: str, number: int, dice: int) -> tuple[int, str]:
    if kind == "reset":
        return 0, ""
    if kind == "http":
        return number, ""
    if kind == "badjson":
        return 200, _WRONG[dice % len(_WRONG)]
    if path.startswith("/oauth2/"):
        return 403, json.dumps({"error_description": GATEWAY[code], "error_code": code}, ensure_ascii=False)
    return 500, json.dumps({"rt_cd": "1", "msg_cd": code, "msg1": GATEWAY[code]}, ensure_ascii=False)
