"""The quotation calls the simulator answers: path, TR id, parameters, answer. No HTTP here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import CalendarRangeError
from hosu.kis.simulator import rest_history as history
from hosu.kis.simulator import rest_prices as prices
from hosu.market.calendar import business_day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.kis.simulator.prints import Print
    from hosu.kis.simulator.rest_prices import View
    from hosu.kis.simulator.state import MarketState
    from hosu.kis.simulator.tape import Tape

QUOTATIONS: Final = "/uapi/domestic-stock/v1/quotations/"
_MARKET, _SYMBOL = "FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD"


class BadQueryError(Exception):
    """A query the broker refuses; ``code`` is one of OPSQ."""

    def __init__(self, code: str, text: str) -> None:
        self.code, self.text = code, text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Market:
    """What a call may look at."""

    tape: Tape
    state: MarketState
    now_us: Callable[[], int]

    def view(self, query: Mapping[str, str]) -> View | None:
        """The symbol a query asks for; None where it is not traded."""
        return prices.view_of(self.tape, self.state, query[_SYMBOL], query[_MARKET])

    def second(self) -> int:
        """The market's time, second of the day."""
        return int(business_day(self.now_us())[1])


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call. ``answer`` gives the body's fields beside rt_cd, msg_cd and msg1."""

    tr_id: str
    required: tuple[str, ...]
    answer: Callable[[Market, Mapping[str, str]], dict[str, Any]]
    paper: bool = True


def _price(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    return {"output": prices.price_reply(market.view(query), query[_SYMBOL])}


def _price_2(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    return {"output": prices.price_2_reply(market.view(query), query[_SYMBOL])}


def _book(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    output1, output2 = prices.book_reply(market.view(query))
    return {"output1": output1, "output2": output2}


def _prints(market: Market, view: View | None, until_s: int) -> list[Print]:
    return [] if view is None else market.state.prints(view.name, until_s, prices.PAGE)


def _trades(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    view = market.view(query)
    return {"output": prices.trades_reply(view, _prints(market, view, 86_400))}


def _trades_before(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    view = market.view(query)
    output1, output2 = prices.trades_before_reply(view, _prints(market, view, _hour(query)))
    return {"output1": output1, "output2": output2}


def _daily(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    return {"output": history.daily_reply(market.view(query), _period(query, "DWM"))}


def _chart(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    first, last = query["FID_INPUT_DATE_1"], query["FID_INPUT_DATE_2"]
    output1, output2 = history.chart_reply(market.view(query), _period(query, "DWMY"), first, last)
    return {"output1": output1, "output2": output2}


def _minutes(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    view = market.view(query)
    rows = history.minutes_of(market.state, view)
    output1, output2 = history.minutes_reply(view, rows, _hour(query), market.second(), 30, later=True)
    return {"output1": output1, "output2": output2}


def _dated_minutes(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    view = market.view(query)
    today = query["FID_INPUT_DATE_1"] == f"{market.tape.day:%Y%m%d}"
    rows = history.minutes_of(market.state, view) if today else []
    output1, output2 = history.minutes_reply(view, rows, _hour(query), market.second(), 120, later=False)
    return {"output1": output1, "output2": output2}


def _many(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    rows = []
    for i in range(1, 31):
        symbol, scope = query.get(f"{_SYMBOL}_{i}"), query.get(f"{_MARKET}_{i}", "J")
        view = prices.view_of(market.tape, market.state, symbol, scope) if symbol else None
        if view is not None:
            rows.append(prices.multi_reply(view))
    return {"output": rows}


def _rank(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    scope = {"UN": "UN", "NX": "NXT"}.get(query[_MARKET], "KRX")
    return {"output": prices.rank_reply(market.tape, market.state.by_volume(scope))}


def _interruptions(market: Market, query: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG001  one shape for all
    return {"output": prices.interruptions_reply(market.tape, market.state)}


def _holidays(market: Market, query: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG001
    try:
        return history.holidays_reply(_date(query["BASS_DT"]))
    except CalendarRangeError:
        return {"output": []}


def _stock_info(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    instrument = market.tape.instruments.get(query["PDNO"])
    on_nxt = query["PDNO"] in market.tape.nxt
    return {"output": history.stock_info_reply(instrument, nxt=on_nxt) if instrument is not None else {}}


def _product_info(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    instrument = market.tape.instruments.get(query["PDNO"])
    return {"output": history.product_info_reply(instrument) if instrument is not None else {}}


CALLS: Final[dict[str, Call]] = {
    "inquire-price": Call("FHKST01010100", (_MARKET, _SYMBOL), _price),
    "inquire-price-2": Call("FHPST01010000", (_MARKET, _SYMBOL), _price_2, paper=False),
    "inquire-asking-price-exp-ccn": Call("FHKST01010200", (_MARKET, _SYMBOL), _book),
    "inquire-ccnl": Call("FHKST01010300", (_MARKET, _SYMBOL), _trades),
    "inquire-daily-price": Call("FHKST01010400", (_MARKET, _SYMBOL, "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC"), _daily),
    "inquire-daily-itemchartprice": Call(
        "FHKST03010100",
        (_MARKET, _SYMBOL, "FID_INPUT_DATE_1", "FID_INPUT_DATE_2", "FID_PERIOD_DIV_CODE", "FID_ORG_ADJ_PRC"),
        _chart,
    ),
    "inquire-time-itemchartprice": Call(
        "FHKST03010200", (_MARKET, _SYMBOL, "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN"), _minutes
    ),
    "inquire-time-dailychartprice": Call(
        "FHKST03010230", (_MARKET, _SYMBOL, "FID_INPUT_DATE_1", "FID_INPUT_HOUR_1"), _dated_minutes
    ),
    "inquire-time-itemconclusion": Call("FHPST01060000", (_MARKET, _SYMBOL, "FID_INPUT_HOUR_1"), _trades_before),
    "intstock-multprice": Call("FHKST11300006", (f"{_MARKET}_1", f"{_SYMBOL}_1"), _many, paper=False),
    "volume-rank": Call("FHPST01710000", (_MARKET, "FID_COND_SCR_DIV_CODE"), _rank, paper=False),
    "inquire-vi-status": Call("FHPST01390000", ("FID_COND_SCR_DIV_CODE",), _interruptions, paper=False),
    "chk-holiday": Call("CTCA0903R", ("BASS_DT",), _holidays, paper=False),
    "search-stock-info": Call("CTPF1002R", ("PRDT_TYPE_CD", "PDNO"), _stock_info),
    "search-info": Call("CTPF1604R", ("PRDT_TYPE_CD", "PDNO"), _product_info),
}
"""By the last part of the path."""


def answer(call: Call, market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    """The body of a call; parameter names in any case, as clients write them.

    Raises:
        BadQueryError: a parameter is missing or makes no sense.
    """
    named = {name.upper(): value for name, value in query.items()}
    for name in call.required:
        if name not in named:
            raise BadQueryError("OPSQ2001", f"ERROR : INPUT FIELD NOT FOUND [{name}]")
    if named.get(_MARKET, "J") not in {"J", "NX", "UN", "W"}:
        raise BadQueryError("OPSQ2001", f"ERROR : INPUT INVALID_CHECK_MRKT_DIV_CODE [{named[_MARKET][:8]}]")
    return call.answer(market, named)


def _hour(query: Mapping[str, str]) -> int:
    text = query["FID_INPUT_HOUR_1"]
    if re.fullmatch(r"\d{6}", text) is None:
        raise BadQueryError("OPSQ2002", "ERROR : INPUT INVALID_CHECK_FIELD_LENGTH [FID_INPUT_HOUR_1]")
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + int(text[4:])


def _period(query: Mapping[str, str], known: str) -> str:
    period = query["FID_PERIOD_DIV_CODE"]
    if len(period) != 1 or period not in known:
        raise BadQueryError("OPSQ2002", "ERROR : INPUT INVALID_CHECK_FIELD_LENGTH [FID_PERIOD_DIV_CODE]")
    return period


def _date(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007  a date has no zone
    except ValueError:
        raise BadQueryError("OPSQ2002", "ERROR : INPUT INVALID_CHECK_FIELD_LENGTH [BASS_DT]") from None
