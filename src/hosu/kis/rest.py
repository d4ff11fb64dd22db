"""The broker's REST calls that a collector of market data needs, paced, retried and typed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from hosu.errors import BrokerReplyError, BrokerUnreachableError, FrameError, InputError
from hosu.kis.codes import Verdict, error_of, may_succeed_later, verdict
from hosu.kis.conclusions import CONCLUSIONS_TR
from hosu.kis.limits import Priority
from hosu.kis.reconnects import Backoff
from hosu.kis.replies import (
    AskingPrice,
    Conclusion,
    DailyBar,
    Holiday,
    MinuteBar,
    MultiPrice,
    Price,
    Row,
    StockInfo,
    ViStatus,
    VolumeRank,
    read_body,
    rows_of,
    text,
)
from hosu.kis.snapshots import MULTI_PRICE_TR, PRICE_TR

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from hosu.clock import Clock
    from hosu.kis.auth import Auth
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.http import Http
    from hosu.kis.limits import Governor
    from hosu.market.instruments import Market

Scope = Literal["KRX", "NXT", "UN"]

_MARKET: Final[dict[Scope, str]] = {"KRX": "J", "NXT": "NX", "UN": "UN"}
_QUOTATIONS: Final = "/uapi/domestic-stock/v1/quotations"
MULTI_PRICE_SYMBOLS: Final = 30
"""Symbols one intstock-multprice call may ask for."""
CHART_ROWS: Final = 100
"""Rows one inquire-daily-itemchartprice reply holds at most."""
MASTERS: Final = "https://new.real.download.dws.co.kr/common/master"
"""Where the master files lie; they need no key."""


@dataclass(frozen=True, slots=True)
class RestReply:
    """One reply as it goes to the log: what was asked, without keys or token, and what came back.

    ``day`` is the business date the caller knows the reply to be of, where the reply itself says none.
    """

    tr_id: str
    path: str
    params: Mapping[str, str]
    status: int
    body: str = field(repr=False)
    ts_recv_us: int
    day: date | None = None


@dataclass(frozen=True, slots=True)
class RestConfig:
    """``tries`` counts all attempts of a call, for each kind of trouble; delays in seconds.

    ``refused_tries`` counts those that are refused for pace: each slows everybody down, so that who is in no hurry
    rather tries once; None: as many as ``tries``.
    """

    tries: int = 5
    refused_tries: int | None = None
    backoff_min_s: float = 0.2
    backoff_max_s: float = 5.0


class RestClient:
    """Calls of one application key on one host.

    Every call waits for the governor, sends the token, and decides by the code in the body, not by the HTTP status:
    a refusal for pace (EGW00201) slows everybody down and is tried again, an expired token is replaced once, the
    broker's own trouble and broken connections are tried again on a new connection, anything else is raised.
    ``on_reply`` gets every reply, refusals too. Cancelling a call loses its reply only.

    All calls raise:
        BrokerUnreachableError: no reply after all tries.
        RateLimitedError, TokenExpiredError: as often refused for that as there are tries.
        BrokerReplyError: any other code.
        InputError: a symbol or another argument that cannot be sent.
    """

    def __init__(
        self,
        host: Host,
        credentials: Credentials,
        auth: Auth,
        governor: Governor,
        http: Http,
        *,
        clock: Clock,
        random: Random,
        config: RestConfig | None = None,
        on_reply: Callable[[RestReply], None] | None = None,
    ) -> None:
        self._host, self._credentials, self._auth, self._governor, self._http = host, credentials, auth, governor, http
        self._clock, self._random, self._on_reply = clock, random, on_reply
        self._config = config if config is not None else RestConfig()

    async def price(self, symbol: str, scope: Scope = "KRX", *, priority: Priority = Priority.LIVE) -> Price:
        """Where the symbol stands (inquire-price)."""
        message = await self._quotation(PRICE_TR, "inquire-price", _asked(symbol, scope), priority)
        return Price.read(_first(message, "output"))

    async def asking_price(
        self, symbol: str, scope: Scope = "KRX", *, priority: Priority = Priority.LIVE
    ) -> AskingPrice:
        """The order book now (inquire-asking-price-exp-ccn)."""
        path = "inquire-asking-price-exp-ccn"
        message = await self._quotation("FHKST01010200", path, _asked(symbol, scope), priority)
        return AskingPrice.read(_first(message, "output1"), _first(message, "output2"))

    async def conclusions(
        self, symbol: str, scope: Scope = "KRX", *, priority: Priority = Priority.LIVE
    ) -> list[Conclusion]:
        """The last 30 trades at most, newest first (inquire-ccnl).

        Good for a look, not for repair: no row has a cumulative volume, so none has the identity of a trade, and
        there is no way to the trades before the last thirty. ``time_conclusions`` has both.
        """
        message = await self._quotation("FHKST01010300", "inquire-ccnl", _asked(symbol, scope), priority)
        return [Conclusion.read(row) for row in rows_of(message, "output")]

    async def time_conclusions(
        self,
        symbol: str,
        until: time,
        scope: Scope = "KRX",
        *,
        day: date | None = None,
        priority: Priority = Priority.LIVE,
    ) -> list[Conclusion]:
        """A page of today's trades up to ``until`` (KST), newest first, with cumulative volume
        (inquire-time-itemconclusion).

        Neither rows nor reply name a date. ``day`` is the one that the broker is known to answer for (of
        ``minute_chart`` its rows say it): only then do the rows become trades, of that day.
        """
        params = {**_asked(symbol, scope), "FID_INPUT_HOUR_1": f"{until:%H%M%S}"}
        message = await self._quotation(CONCLUSIONS_TR, "inquire-time-itemconclusion", params, priority, day=day)
        return [Conclusion.read(row) for row in rows_of(message, "output2")]

    async def multi_price(
        self, symbols: Sequence[str], scope: Scope = "KRX", *, priority: Priority = Priority.LIVE
    ) -> list[MultiPrice]:
        """Where up to 30 symbols stand (intstock-multprice). Join by ``symbol``: neither order nor completeness is
        promised."""
        if not 1 <= len(symbols) <= MULTI_PRICE_SYMBOLS:
            raise InputError(f"{len(symbols)} symbols", "not between 1 and 30", "split them over several calls")
        params: dict[str, str] = {}
        for n, symbol in enumerate(symbols, 1):
            params[f"FID_COND_MRKT_DIV_CODE_{n}"] = _MARKET[scope]
            params[f"FID_INPUT_ISCD_{n}"] = _checked(symbol)
        message = await self._quotation(MULTI_PRICE_TR, "intstock-multprice", params, priority)
        return [MultiPrice.read(row) for row in rows_of(message, "output")]

    async def daily_price(
        self, symbol: str, scope: Scope = "KRX", *, adjusted: bool = False, priority: Priority = Priority.BACKFILL
    ) -> list[DailyBar]:
        """The last 30 days, newest first, without traded value (inquire-daily-price)."""
        # 1 means adjusted here and original in the chart call.
        params = {**_asked(symbol, scope), "FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "1" if adjusted else "0"}
        message = await self._quotation("FHKST01010400", "inquire-daily-price", params, priority)
        return [DailyBar.read(row) for row in rows_of(message, "output")]

    async def daily_chart(
        self,
        symbol: str,
        start: date,
        end: date,
        scope: Scope = "KRX",
        *,
        adjusted: bool = False,
        priority: Priority = Priority.BACKFILL,
    ) -> list[DailyBar]:
        """Days with ``start <= date < end``, oldest first, as many pages as it takes (inquire-daily-itemchartprice)."""
        bars: dict[str, DailyBar] = {}
        last = end - timedelta(days=1)
        while last >= start:
            page = await self._chart_page(symbol, start, last, scope, adjusted=adjusted, priority=priority)
            dated = {bar.date: bar for bar in page if bar.date is not None and f"{start:%Y%m%d}" <= bar.date}
            oldest = _day(min(dated, default=""))
            bars.update(dated)
            if len(page) < CHART_ROWS or oldest is None or oldest > last:
                break
            last = oldest - timedelta(days=1)
        return [bars[day] for day in sorted(bars) if day < f"{end:%Y%m%d}"]

    async def _chart_page(
        self, symbol: str, start: date, last: date, scope: Scope, *, adjusted: bool, priority: Priority
    ) -> list[DailyBar]:
        params = {
            **_asked(symbol, scope),
            "FID_INPUT_DATE_1": f"{start:%Y%m%d}",
            "FID_INPUT_DATE_2": f"{last:%Y%m%d}",
            "FID_PERIOD_DIV_CODE": "D",
            "FID_ORG_ADJ_PRC": "0" if adjusted else "1",
        }
        message = await self._quotation("FHKST03010100", "inquire-daily-itemchartprice", params, priority)
        return [DailyBar.read(row) for row in rows_of(message, "output2")]

    async def minute_chart(
        self, symbol: str, until: time, scope: Scope = "KRX", *, priority: Priority = Priority.BACKFILL
    ) -> list[MinuteBar]:
        """Today's last 30 minutes at most up to ``until`` (KST), newest first (inquire-time-itemchartprice).

        A time later than now brings rows at the current price; the first row shows the previous minute's volume
        until its own minute has traded.
        """
        params = {
            **_asked(symbol, scope),
            "FID_INPUT_HOUR_1": f"{until:%H%M%S}",
            "FID_PW_DATA_INCU_YN": "N",
            "FID_ETC_CLS_CODE": "",
        }
        message = await self._quotation("FHKST03010200", "inquire-time-itemchartprice", params, priority)
        return [MinuteBar.read(row) for row in rows_of(message, "output2")]

    async def dated_minute_chart(
        self, symbol: str, day: date, until: time, scope: Scope = "KRX", *, priority: Priority = Priority.BACKFILL
    ) -> list[MinuteBar]:
        """The last 120 minutes at most of ``day`` up to ``until`` (KST), newest first; kept for a year
        (inquire-time-dailychartprice)."""
        params = {
            **_asked(symbol, scope),
            "FID_INPUT_DATE_1": f"{day:%Y%m%d}",
            "FID_INPUT_HOUR_1": f"{until:%H%M%S}",
            "FID_PW_DATA_INCU_YN": "N",
            "FID_FAKE_TICK_INCU_YN": "",
        }
        message = await self._quotation("FHKST03010230", "inquire-time-dailychartprice", params, priority)
        return [MinuteBar.read(row) for row in rows_of(message, "output2")]

    async def holidays(self, start: date, *, pages: int = 1) -> list[Holiday]:
        """Days from ``start`` on, by date (chk-holiday); ask once a day at most, the broker says."""
        params = {"BASS_DT": f"{start:%Y%m%d}", "CTX_AREA_FK": "", "CTX_AREA_NK": ""}
        days: list[Holiday] = []
        next_page = ""
        for _ in range(pages):
            message, more = await self._call(
                "CTCA0903R", f"{_QUOTATIONS}/chk-holiday", params, Priority.BACKFILL, tr_cont=next_page
            )
            days += [Holiday.read(row) for row in rows_of(message, "output")]
            if more not in ("F", "M"):
                break
            areas = {name: str(message.get(name.lower(), "")) for name in ("CTX_AREA_FK", "CTX_AREA_NK")}
            params, next_page = {**params, **areas}, "N"
        return days

    async def vi_status(self, day: date, symbol: str = "") -> list[ViStatus]:
        """The day's volatility interruptions, of one symbol or of all (inquire-vi-status)."""
        params = {
            "FID_DIV_CLS_CODE": "0",
            "FID_COND_SCR_DIV_CODE": "20139",
            "FID_MRKT_CLS_CODE": "0",
            "FID_INPUT_ISCD": _checked(symbol) if symbol else "",
            "FID_RANK_SORT_CLS_CODE": "0",
            "FID_INPUT_DATE_1": f"{day:%Y%m%d}",
            "FID_TRGT_CLS_CODE": "",
            "FID_TRGT_EXLS_CLS_CODE": "",
        }
        message = await self._quotation("FHPST01390000", "inquire-vi-status", params, Priority.LIVE)
        return [ViStatus.read(row) for row in rows_of(message, "output")]

    async def stock_info(self, symbol: str) -> StockInfo:
        """Name and listing data of a symbol (search-stock-info)."""
        params = {"PRDT_TYPE_CD": "300", "PDNO": _checked(symbol)}
        message = await self._quotation("CTPF1002R", "search-stock-info", params, Priority.BACKFILL)
        return StockInfo.read(_first(message, "output"))

    async def volume_rank(self, scope: Scope = "KRX") -> list[VolumeRank]:
        """The most traded symbols, 30 at most (volume-rank)."""
        params = {
            "FID_COND_MRKT_DIV_CODE": _MARKET[scope],
            "FID_COND_SCR_DIV_CODE": "20171",
            "FID_INPUT_ISCD": "0000",
            "FID_DIV_CLS_CODE": "0",
            "FID_BLNG_CLS_CODE": "0",
            "FID_TRGT_CLS_CODE": "111111111",
            "FID_TRGT_EXLS_CLS_CODE": "000000",  # ten digits by the document, six by the broker's own sample
            "FID_INPUT_PRICE_1": "",
            "FID_INPUT_PRICE_2": "",
            "FID_VOL_CNT": "",
            "FID_INPUT_DATE_1": "",
        }
        message = await self._quotation("FHPST01710000", "volume-rank", params, Priority.BACKFILL)
        return [VolumeRank.read(row) for row in rows_of(message, "output")]

    async def _quotation(
        self, tr_id: str, path: str, params: dict[str, str], priority: Priority, *, day: date | None = None
    ) -> dict[str, Any]:
        message, _ = await self._call(tr_id, f"{_QUOTATIONS}/{path}", params, priority, day=day)
        return message

    async def _call(
        self,
        tr_id: str,
        path: str,
        params: Mapping[str, str],
        priority: Priority,
        *,
        tr_cont: str = "",
        day: date | None = None,
    ) -> tuple[dict[str, Any], str]:
        """The reply's JSON and its ``tr_cont``; tries again as the class says."""
        config = self._config
        backoff = Backoff(config.backoff_min_s, config.backoff_max_s, self._random)
        renewed = broken = False
        refused = 0
        for left in reversed(range(config.tries)):
            token = await self._auth.access_token()
            await self._governor.acquire(priority)
            try:
                message, cont = await self._once(
                    tr_id, path, params, token, tr_cont=tr_cont, new_connection=broken, day=day
                )
            except BrokerUnreachableError:
                broken = True
                if not left:
                    raise
            except BrokerReplyError as error:
                what = verdict(error.code)
                if what is Verdict.SLOW_DOWN:
                    self._governor.refused()
                    refused += 1
                if (
                    refused == config.refused_tries
                    or not left
                    or not may_succeed_later(error)
                    or (renewed and what is Verdict.NEW_TOKEN)
                ):
                    raise
                if what is Verdict.NEW_TOKEN:
                    renewed = True
                    await self._auth.invalidate(token)
                    continue
            else:
                return message, cont
            await self._clock.sleep(backoff.delay_s())
        raise AssertionError("the last try returns or raises")

    async def _once(
        self,
        tr_id: str,
        path: str,
        params: Mapping[str, str],
        token: str,
        *,
        tr_cont: str,
        new_connection: bool,
        day: date | None,
    ) -> tuple[dict[str, Any], str]:
        headers = {
            "content-type": "application/json; charset=utf-8",
            "authorization": f"Bearer {token}",
            "appkey": self._credentials.appkey,
            "appsecret": self._credentials.appsecret,
            "tr_id": tr_id,
            "tr_cont": tr_cont,
            "custtype": self._credentials.custtype,
        }
        address = f"{self._host.rest}{path}"
        reply = await self._http.get(address, params, headers, new_connection=new_connection)
        ts_recv_us = self._clock.now_us()
        body = self._censored(reply.body.decode(errors="replace"), token)
        if self._on_reply is not None:
            self._on_reply(RestReply(tr_id, path, dict(params), reply.status, body, ts_recv_us, day))
        return _accepted(reply.status, body, f"{path} {tr_id}", address), reply.headers.get("tr_cont", "").strip()

    def _censored(self, body: str, token: str) -> str:
        for secret in (token, self._credentials.appsecret, self._credentials.appkey):
            body = body.replace(secret, "***")
        return body


async def download_master(http: Http, market: Market, base: str = MASTERS) -> bytes:
    """The zip of a market's master file (``kis.masters.parse_master`` reads it); needs no key.

    Raises:
        BrokerUnreachableError: it cannot be had.
    """
    address = f"{base}/{market.lower()}_code.mst.zip"
    reply = await http.get(address)
    if reply.status != 200:
        raise BrokerUnreachableError(address, f"HTTP {reply.status}")
    return reply.body


def _accepted(status: int, body: str, call: str, address: str) -> dict[str, Any]:
    """The message if it is a success."""
    try:
        message = read_body(body)
    except FrameError as error:
        raise BrokerUnreachableError(address, f"HTTP {status}, {error}") from None
    # chk-holiday was seen without rt_cd, the token calls' errors come without it too.
    outcome = str(message.get("rt_cd", "0" if status < 400 and "error_code" not in message else "1")).strip()
    if outcome == "0":
        return message
    code = text(message, "msg_cd", "error_code") or f"HTTP {status}"
    raise error_of(code, text(message, "msg1", "error_description") or "", call=call, status=status)


def _first(message: Mapping[str, Any], name: str) -> Row:
    rows = rows_of(message, name)
    return rows[0] if rows else {}


def _asked(symbol: str, scope: Scope) -> dict[str, str]:
    return {"FID_COND_MRKT_DIV_CODE": _MARKET[scope], "FID_INPUT_ISCD": _checked(symbol)}


def _checked(symbol: str) -> str:
    if not (symbol.isascii() and symbol.isalnum() and len(symbol) <= 12):
        raise InputError(f"symbol {symbol[:20]!r}", "not a short code", "write it like 005930 or Q500001")
    return symbol


def _day(written: str) -> date | None:
    try:
        return datetime.strptime(written, "%Y%m%d").date()  # noqa: DTZ007 - a calendar day has no zone
    except ValueError:
        return None
