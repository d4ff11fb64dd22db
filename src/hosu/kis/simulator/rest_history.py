"""What the quotation calls answer about minutes and days past, and about the instruments themselves. Pure."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from hosu.kis.simulator.rest_prices import Row, View, clock, price_reply, rate, sign_of, won
from hosu.kis.simulator.tape import DailyBar
from hosu.market.calendar import LAST_DAY, is_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.kis.simulator.state import MarketState
    from hosu.market.instruments import Instrument

Minute = tuple[int, int, int, int, int, int, int]

_PERIODS: dict[str, Callable[[date], object]] = {
    "D": lambda day: day,
    "W": lambda day: day.isocalendar()[:2],
    "M": lambda day: (day.year, day.month),
    "Y": lambda day: day.year,
}
_MOST_HISTORY = 400


def days_of(view: View, period: str) -> list[DailyBar]:
    """The symbol's days, weeks, months or years, newest first, today's so far included."""
    days = view.tape.history(view.instrument.symbol, _MOST_HISTORY)
    if view.trade:
        t = view.trade
        o, h, l, c = (t[name] // 100 for name in ("STCK_OPRC", "STCK_HGPR", "STCK_LWPR", "STCK_PRPR"))  # noqa: E741
        days = [DailyBar(view.tape.day, o, h, l, c, t["ACML_VOL"], t["ACML_TR_PBMN"]), *days]
    grouped = groupby(days, key=lambda bar: _PERIODS[period](bar.day))
    return [_together(list(bars)) for _, bars in grouped]


def _together(bars: Sequence[DailyBar]) -> DailyBar:
    newest, oldest = bars[0], bars[-1]
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    volume, value = sum(bar.volume for bar in bars), sum(bar.value for bar in bars)
    return DailyBar(newest.day, oldest.open, high, low, newest.close, volume, value)


def daily_reply(view: View | None, period: str) -> list[Row]:
    """inquire-daily-price: 30 periods, newest first."""
    if view is None:
        return []
    bars = days_of(view, period)[:31]
    return [_daily_row(bar, before) for bar, before in _pairs(bars, view.instrument)][:30]


def _daily_row(bar: DailyBar, before: tuple[int, int]) -> Row:
    close, volume = before
    return {
        "stck_bsop_date": f"{bar.day:%Y%m%d}",
        "stck_oprc": str(bar.open),
        "stck_hgpr": str(bar.high),
        "stck_lwpr": str(bar.low),
        "stck_clpr": str(bar.close),
        "acml_vol": str(bar.volume),
        "prdy_vrss_vol_rate": rate(bar.volume - volume, volume),
        "prdy_vrss": str(bar.close - close),
        "prdy_vrss_sign": sign_of(bar.close - close),
        "prdy_ctrt": rate(bar.close - close, close),
        "hts_frgn_ehrt": "0.00",
        "frgn_ntby_qty": "0",
        "flng_cls_code": "00",
        "acml_prtt_rate": "0.00",
    }


def _pairs(bars: list[DailyBar], instrument: Instrument) -> list[tuple[DailyBar, tuple[int, int]]]:
    """Each bar with the close and volume before it; the oldest with what is known of the day before."""
    before = [(bar.close, bar.volume) for bar in bars[1:]] + [(instrument.base_price, instrument.previous_volume)]
    return list(zip(bars, before, strict=False))


def chart_reply(view: View | None, period: str, first: str, last: str) -> tuple[Row, list[Row]]:
    """inquire-daily-itemchartprice: a summary, and at most 100 periods from ``first`` to ``last``, newest first."""
    if view is None:
        return {}, []
    pairs = _pairs(days_of(view, period), view.instrument)
    wanted = [pair for pair in pairs if first <= f"{pair[0].day:%Y%m%d}" <= last][:100]
    rows = []
    for bar, (close, _) in wanted:
        rows.append(
            {
                "stck_bsop_date": f"{bar.day:%Y%m%d}",
                "stck_clpr": str(bar.close),
                "stck_oprc": str(bar.open),
                "stck_hgpr": str(bar.high),
                "stck_lwpr": str(bar.low),
                "acml_vol": str(bar.volume),
                "acml_tr_pbmn": str(bar.value),
                "flng_cls_code": "00",
                "prtt_rate": "0.00",
                "mod_yn": "N",
                "prdy_vrss_sign": sign_of(bar.close - close),
                "prdy_vrss": str(bar.close - close),
                "revl_issu_reas": "",
            }
        )
    return _chart_head(view), rows


def _chart_head(view: View) -> Row:
    now = price_reply(view, view.instrument.symbol)
    shared = """prdy_vrss prdy_vrss_sign prdy_ctrt acml_vol acml_tr_pbmn stck_prpr stck_shrn_iscd stck_mxpr stck_llam
    stck_oprc stck_hgpr stck_lwpr vol_tnrt stck_fcam lstn_stcn cpfn hts_avls per eps pbr"""
    yesterday = next(iter(view.tape.history(view.instrument.symbol, 1)), None)
    previous = view.instrument.previous_volume
    return {name: now[name] for name in shared.split()} | {
        "stck_prdy_clpr": str(view.instrument.base_price),
        "hts_kor_isnm": view.instrument.name,
        "prdy_vol": str(previous),
        "stck_prdy_oprc": str(yesterday.open if yesterday else 0),
        "stck_prdy_hgpr": str(yesterday.high if yesterday else 0),
        "stck_prdy_lwpr": str(yesterday.low if yesterday else 0),
        "askp": view.won("ASKP1"),
        "bidp": view.won("BIDP1"),
        "prdy_vrss_vol": str(view.trade.get("ACML_VOL", 0) - previous),
        "itewhol_loan_rmnd_ratem": "0.00",
    }


def minutes_reply(
    view: View | None, minutes: list[Minute], hour: int, now_s: int, most: int, *, later: bool
) -> tuple[Row, list[Row]]:
    """The one-minute rows up to a time of the day, newest first, at most ``most``.

    With ``later`` a time after now gives rows at the current price, and the first row repeats the volume of the
    minute before until its minute has a trade, as the broker's call for the current day does.
    """
    if view is None or not minutes:
        return ({} if view is None else _minute_head(view)), []
    last = hour // 60 * 60
    if not later:
        last = min(last, now_s // 60 * 60)
    rows = {bar[0]: bar for bar in minutes}
    newest, first = minutes[-1], minutes[0][0]
    for second in range(newest[0] + 60, last + 60, 60):
        rows[second] = (second, *(newest[4],) * 4, 0, newest[6])
    wanted = sorted((bar for second, bar in rows.items() if first <= second <= last), reverse=True)[:most]
    replies = [_minute_row(bar, view.tape.day) for bar in wanted]
    if later and len(wanted) > 1 and wanted[0][5] == 0:
        replies[0]["cntg_vol"] = replies[1]["cntg_vol"]
    return _minute_head(view), replies


def _minute_head(view: View) -> Row:
    now = price_reply(view, view.instrument.symbol)
    shared = ("prdy_vrss", "prdy_vrss_sign", "prdy_ctrt", "acml_vol", "acml_tr_pbmn", "stck_prpr")
    named = {"stck_prdy_clpr": str(view.instrument.base_price), "hts_kor_isnm": view.instrument.name}
    return {name: now[name] for name in shared} | named


def _minute_row(bar: Minute, day: date) -> Row:
    second, opening, high, low, close, volume, value = bar
    return {
        "stck_bsop_date": f"{day:%Y%m%d}",
        "stck_cntg_hour": clock(second),
        "stck_prpr": won(close),
        "stck_oprc": won(opening),
        "stck_hgpr": won(high),
        "stck_lwpr": won(low),
        "cntg_vol": str(volume),
        "acml_tr_pbmn": str(value),
    }


def holidays_reply(first: date) -> dict[str, Any]:
    """chk-holiday: the days from ``first`` on, a page of 24."""
    days = [first + timedelta(n) for n in range(24) if first + timedelta(n) <= LAST_DAY]
    following = days[-1] + timedelta(1) if days else first
    return {
        "ctx_area_nk": f"{following:%Y%m%d}".ljust(20),
        "ctx_area_fk": f"{first:%Y%m%d}".ljust(20),
        "output": [_holiday_row(day) for day in days],
    }


def _holiday_row(day: date) -> Row:
    opened, working = "Y" if is_session(day) else "N", "Y" if day.weekday() < 5 else "N"
    return {
        "bass_dt": f"{day:%Y%m%d}",
        "wday_dvsn_cd": f"{day.isoweekday() % 7 + 1:02d}",  # 01 is Sunday
        "bzdy_yn": opened,
        "tr_day_yn": working,
        "opnd_yn": opened,
        "sttl_day_yn": opened,
    }


def stock_info_reply(instrument: Instrument, *, nxt: bool) -> Row:
    """search-stock-info: what the simulated exchange knows of a listing, under the broker's names."""
    listed = f"{instrument.listed:%Y%m%d}" if instrument.listed is not None else ""
    return {
        "pdno": f"00000A{instrument.symbol}",
        "prdt_type_cd": "300",
        "mket_id_cd": "STK" if instrument.market == "KOSPI" else "KSQ",
        "scty_grp_id_cd": instrument.group or "ST",
        "excg_dvsn_cd": "02" if instrument.market == "KOSPI" else "03",
        "setl_mmdd": f"{instrument.fiscal_month:02d}31",
        "lstg_stqt": str(instrument.listed_shares),
        "lstg_cptl_amt": str(instrument.listed_shares * instrument.par_value),
        "cpta": str(instrument.listed_shares * instrument.par_value),
        "papr": str(instrument.par_value),
        "issu_pric": "0",
        "scts_mket_lstg_dt": listed if instrument.market == "KOSPI" else "",
        "kosdaq_mket_lstg_dt": listed if instrument.market == "KOSDAQ" else "",
        "std_pdno": instrument.isin,
        "prdt_name": instrument.name,
        "prdt_name120": instrument.name,
        "prdt_abrv_name": instrument.name,
        "prdt_eng_name": instrument.symbol,
        "prdt_eng_name120": instrument.symbol,
        "prdt_eng_abrv_name": instrument.symbol,
        "tr_stop_yn": "Y" if instrument.halted else "N",
        "admn_item_yn": "Y" if instrument.administrative else "N",
        "thdt_clpr": "0",
        "bfdy_clpr": str(instrument.base_price),
        "cptt_trad_tr_psbl_yn": "Y" if nxt else "N",
        "nxt_tr_stop_yn": "N",
    }


def product_info_reply(instrument: Instrument) -> Row:
    """search-info: the names of a listing."""
    info = stock_info_reply(instrument, nxt=False)
    names = ("prdt_type_cd", "prdt_name", "prdt_name120", "prdt_abrv_name", "prdt_eng_name", "prdt_eng_name120",
             "prdt_eng_abrv_name", "std_pdno")  # fmt: skip
    return {"pdno": instrument.symbol, "shtn_pdno": instrument.symbol} | {name: info[name] for name in names}


def minutes_of(state: MarketState, view: View | None) -> list[Minute]:
    """The day's minutes of what is viewed."""
    return state.minutes(view.name) if view is not None else []
