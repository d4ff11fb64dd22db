"""Faults of what is said on a WebSocket beside market data: connecting, acknowledgements, heartbeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosu.kis.simulator.faults import AckFault

if TYPE_CHECKING:
    from hosu.kis.simulator.fault_events import EventFaults


def connect_allowed(events: EventFaults, connection: int, now_us: int) -> bool:
    """As ``Faults.on_connect``."""
    return next(events.striking(("noconnect",), now_us, connection=connection), None) is None


def ack_fault(events: EventFaults, connection: int, tr_id: str, key: str, now_us: int) -> AckFault | None:
    """As ``Faults.before_ack``; of several clauses each adds its own."""
    code, delay_s, lost, close = None, 0.0, False, None
    kinds = ("refuse", "noack", "ackdelay", "close")
    for span in events.striking(kinds, now_us, connection=connection, names=(tr_id, key)):
        clause = span.clause
        if clause.kind == "refuse":
            code = code or clause.code
        elif clause.kind == "noack":
            lost = True
        elif clause.kind == "ackdelay":
            delay_s += clause.number
        else:
            close = int(clause.number)
    return AckFault(code, delay_s, lost, close) if code or delay_s or lost or close else None


def ping_shift_s(events: EventFaults, connection: int, now_us: int) -> float | None:
    """As ``Faults.before_ping``."""
    shift_s = 0.0
    for span in events.striking(("noping", "clock"), now_us, connection=connection):
        if span.clause.kind == "noping":
            return None
        shift_s += span.clause.number
    return shift_s


def hears(events: EventFaults, connection: int, now_us: int) -> bool:
    """As ``Faults.hears``."""
    return next(events.striking(("deaf",), now_us, connection=connection), None) is None
