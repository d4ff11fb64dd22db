"""The faults there are: what each is called, when it may come, and what may be said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Value = Literal["", "close", "code", "gateway", "status", "seconds", "shift", "factor", "layout"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault.

    ``at`` names the events it may be tied to, beside the market's time (``time``); ``must`` says that it has to be
    tied to something. A fault that ``lasts`` goes on for a span of the market's time, another one happens at a moment.
    Spans are of the market's time, delays of the server's clock, which at speed 1 are the same.
    ``value`` is what stands behind ``=``, with its ``default`` (None: it has to be given). ``rated`` faults strike by
    chance where a rate is given, and always where not. ``only`` says what ``[...]`` may narrow it down to.
    """

    name: str
    does: str
    at: tuple[str, ...] = ("time",)
    must: bool = False
    lasts: bool = True
    value: Value = ""
    default: str | None = ""
    rated: bool = True
    only: Literal["", "frames", "requests", "calls"] = ""


_FRAME: Final = ("time", "frame", "connect")
_TALK: Final = ("time", "ack", "connect")
_PING: Final = ("time", "ping", "connect")
_REST: Final = ("time", "rest")
_DOOR: Final = ("time", "connect")

_ALL: Final = (
    Kind("drop", "market frames are not sent", _FRAME, only="frames"),
    Kind("duplicate", "market frames are sent twice", _FRAME, only="frames"),
    Kind("reorder", "market frames are sent a few frames too late", _FRAME, only="frames"),
    Kind("truncate", "market frames are cut off within their first half", _FRAME, only="frames"),
    Kind("garble", "some bytes of market frames are no text", _FRAME, only="frames"),
    Kind("stall", "market frames wait until the span is over", must=True, rated=False),
    Kind("lag", "market frames come so much later", value="seconds", default=None, rated=False),
    Kind("close", "connections end: 1006 without a close frame, else with that code", ("time", "frame", "ack"),
         lasts=False, value="close", default="1006"),
    Kind("silence", "connections that stand stay open, and nothing more comes", ("time", "frame"), must=True,
         rated=False),
    Kind("restart", "every connection drops, and none is taken until the span is over", must=True, rated=False),
    Kind("noconnect", "connections are refused with HTTP 503", _DOOR),
    Kind("mute", "connections are taken and their handshake is never answered", must=True, rated=False),
    Kind("held", "the place of a session that broke off stays taken for so long", (), lasts=False, value="seconds",
         default=None, rated=False),
    Kind("deaf", "answers to PINGPONG are not heard, and the connection is cut for it", rated=False),
    Kind("ackdelay", "acknowledgements come so much later", _TALK, value="seconds", default=None, only="requests"),
    Kind("noack", "requests are carried out but not acknowledged", _TALK, only="requests"),
    Kind("refuse", "requests are refused with this code", _TALK, value="code", default=None, only="requests"),
    Kind("noping", "PINGPONG is left out", _PING),
    Kind("clock", "the datetime of PINGPONG is off by so much", _PING, value="shift", default=None),
    Kind("http", "REST calls are answered with this HTTP status", _REST, value="status", default="500", only="calls"),
    Kind("gateway", "REST calls are refused with this code", _REST, value="gateway", default="EGW00201", only="calls"),
    Kind("reset", "REST calls end with a connection reset", _REST, only="calls"),
    Kind("badjson", "REST calls are answered with what is no JSON, or not of the right shape", _REST, only="calls"),
    Kind("slow", "REST calls are answered so much later", _REST, value="seconds", default=None, only="calls"),
    Kind("expire", "every access token ends", _REST, must=True, lasts=False, rated=False),
    Kind("layout", "frames have the widths of another date, or so many unknown fields more", must=True, lasts=True,
         value="layout", default=None, rated=False),
    Kind("burst", "the day passes so many times faster", must=True, value="factor", default="10", rated=False),
    Kind("nodata", "nothing is traded", rated=False),
)  # fmt: skip

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ALL}
"""Every fault by its name."""
