"""The broker's REST replies as values.

Prices are won (half won and hundredths are exact in a float), sizes shares, values won, rates per cent; dates and
times as the broker writes them, ``YYYYMMDD`` and ``HHMMSS`` in KST. None means that the reply has no such field, or
nothing readable in it: fields come and go, numbers are text, and an object may come as a list of one. Field names as
on the KIS portal, 국내주식 기본시세.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hosu.errors import FrameError

Row = Mapping[str, Any]

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_LEVELS: Final = range(1, 11)


def read_body(body: str) -> dict[str, Any]:
    """The JSON object of a reply.

    Raises:
        FrameError: it is not one.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"the reply is not JSON ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise FrameError("the reply is not a JSON object")
    return message


def rows_of(message: Mapping[str, Any], *names: str) -> list[Row]:
    """The rows under the first of ``names`` that is there: a list's objects, an object as a list of one."""
    value = next((message[name] for name in names if name in message), None)
    if isinstance(value, dict):
        return [value] if value else []
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def text(row: Row, *names: str) -> str | None:
    """The first of the fields that is not blank, stripped of padding."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int | float) and (stripped := str(value).strip()):
            return stripped
    return None


def number(row: Row, *names: str) -> float | None:
    """The field as a number; commas between thousands are allowed, anything else than a number is None."""
    written = (text(row, *names) or "").replace(",", "")
    return float(written) if _NUMBER.fullmatch(written) and len(written) < 40 else None


def whole(row: Row, *names: str) -> int | None:
    """The field as a whole number; None where it has a fraction, or does not fit 64 bits as our tables do."""
    written = (text(row, *names) or "").replace(",", "")
    match = _NUMBER.fullmatch(written)
    if match is None or len(written) >= 40 or (match[1] or "").strip(".0"):
        return None
    value = int(written.partition(".")[0])
    return value if -(1 << 63) <= value < 1 << 63 else None


def flag(row: Row, *names: str) -> bool | None:
    """The field as yes or no: Y and N."""
    return {"Y": True, "N": False}.get((text(row, *names) or "").upper())


@dataclass(frozen=True, slots=True)
class Price:
    """inquire-price (FHKST01010100): where a symbol stands."""

    symbol: str | None
    price: float | None
    change: float | None
    change_rate: float | None
    open: float | None
    high: float | None
    low: float | None
    base_price: float | None
    upper_limit: float | None
    lower_limit: float | None
    tick: float | None
    cum_volume: int | None
    cum_value: int | None
    listed_shares: int | None
    status_code: str | None  # 58 halted, 51 administrative issue, ...
    halted: bool | None
    vi_code: str | None

    @classmethod
    def read(cls, row: Row) -> Price:
        return cls(
            symbol=text(row, "stck_shrn_iscd"),
            price=number(row, "stck_prpr"),
            change=number(row, "prdy_vrss"),
            change_rate=number(row, "prdy_ctrt"),
            open=number(row, "stck_oprc"),
            high=number(row, "stck_hgpr"),
            low=number(row, "stck_lwpr"),
            base_price=number(row, "stck_sdpr"),
            upper_limit=number(row, "stck_mxpr"),
            lower_limit=number(row, "stck_llam"),
            tick=number(row, "aspr_unit"),
            cum_volume=whole(row, "acml_vol"),
            cum_value=whole(row, "acml_tr_pbmn"),
            listed_shares=whole(row, "lstn_stcn"),
            status_code=text(row, "iscd_stat_cls_code"),
            halted=flag(row, "temp_stop_yn"),
            vi_code=text(row, "vi_cls_code"),
        )


@dataclass(frozen=True, slots=True)
class AskingPrice:
    """inquire-asking-price-exp-ccn (FHKST01010200): one order book, level 1 (best) first, ten levels a side."""

    symbol: str | None
    time: str | None
    ask_prices: tuple[float | None, ...]
    bid_prices: tuple[float | None, ...]
    ask_sizes: tuple[int | None, ...]
    bid_sizes: tuple[int | None, ...]
    ask_total: int | None
    bid_total: int | None
    price: float | None
    expected_price: float | None
    expected_volume: int | None
    vi_code: str | None

    @classmethod
    def read(cls, book: Row, state: Row) -> AskingPrice:
        return cls(
            symbol=text(state, "stck_shrn_iscd"),
            time=text(book, "aspr_acpt_hour"),
            ask_prices=tuple(number(book, f"askp{level}") for level in _LEVELS),
            bid_prices=tuple(number(book, f"bidp{level}") for level in _LEVELS),
            ask_sizes=tuple(whole(book, f"askp_rsqn{level}") for level in _LEVELS),
            bid_sizes=tuple(whole(book, f"bidp_rsqn{level}") for level in _LEVELS),
            ask_total=whole(book, "total_askp_rsqn"),
            bid_total=whole(book, "total_bidp_rsqn"),
            price=number(state, "stck_prpr"),
            expected_price=number(state, "antc_cnpr"),
            expected_volume=whole(state, "antc_vol"),
            vi_code=text(state, "vi_cls_code"),
        )


@dataclass(frozen=True, slots=True)
class Conclusion:
    """One trade: a row of inquire-ccnl (FHKST01010300, no cumulative volume, ask or bid) or of
    inquire-time-itemconclusion (FHPST01060000). Several trades share a second and none has a number; of the second
    call the cumulative volume tells them apart, of the first nothing does, so that it repairs nothing."""

    time: str | None
    price: float | None
    size: int | None
    cum_volume: int | None
    ask: float | None
    bid: float | None

    @classmethod
    def read(cls, row: Row) -> Conclusion:
        return cls(
            time=text(row, "stck_cntg_hour"),
            # The portal calls it stck_pbpr in one of the two, the service stck_prpr.
            price=number(row, "stck_prpr", "stck_pbpr"),
            size=whole(row, "cntg_vol", "cnqn"),
            cum_volume=whole(row, "acml_vol"),
            ask=number(row, "askp"),
            bid=number(row, "bidp"),
        )


@dataclass(frozen=True, slots=True)
class MultiPrice:
    """One symbol of intstock-multprice (FHKST11300006)."""

    symbol: str | None
    name: str | None
    price: float | None
    open: float | None
    high: float | None
    low: float | None
    base_price: float | None
    upper_limit: float | None
    lower_limit: float | None
    cum_volume: int | None
    cum_value: int | None
    ask1: float | None
    bid1: float | None
    ask1_size: int | None
    bid1_size: int | None
    ask_total: int | None
    bid_total: int | None

    @classmethod
    def read(cls, row: Row) -> MultiPrice:
        return cls(
            symbol=text(row, "inter_shrn_iscd"),
            name=text(row, "inter_kor_isnm"),
            price=number(row, "inter2_prpr"),
            open=number(row, "inter2_oprc"),
            high=number(row, "inter2_hgpr"),
            low=number(row, "inter2_lwpr"),
            base_price=number(row, "inter2_sdpr"),
            upper_limit=number(row, "inter2_mxpr"),
            lower_limit=number(row, "inter2_llam"),
            cum_volume=whole(row, "acml_vol"),
            cum_value=whole(row, "acml_tr_pbmn"),
            ask1=number(row, "inter2_askp"),
            bid1=number(row, "inter2_bidp"),
            ask1_size=whole(row, "seln_rsqn"),
            bid1_size=whole(row, "shnu_rsqn"),
            ask_total=whole(row, "total_askp_rsqn"),
            bid_total=whole(row, "total_bidp_rsqn"),
        )


@dataclass(frozen=True, slots=True)
class DailyBar:
    """A day, week or month: a row of inquire-daily-price (FHKST01010400, without value) or of
    inquire-daily-itemchartprice (FHKST03010100)."""

    date: str | None
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int | None
    value: int | None
    ex_code: str | None  # flng_cls_code: 00 none, 01 ex-rights, 02 ex-dividend, ...
    split_rate: float | None
    modified: bool | None

    @classmethod
    def read(cls, row: Row) -> DailyBar:
        return cls(
            date=text(row, "stck_bsop_date"),
            open=number(row, "stck_oprc"),
            high=number(row, "stck_hgpr"),
            low=number(row, "stck_lwpr"),
            close=number(row, "stck_clpr"),
            volume=whole(row, "acml_vol"),
            value=whole(row, "acml_tr_pbmn"),
            ex_code=text(row, "flng_cls_code"),
            split_rate=number(row, "prtt_rate", "acml_prtt_rate"),
            modified=flag(row, "mod_yn"),
        )


@dataclass(frozen=True, slots=True)
class MinuteBar:
    """A minute: a row of inquire-time-itemchartprice (FHKST03010200) or inquire-time-dailychartprice
    (FHKST03010230). ``day_value`` is the day's value up to that minute, not the minute's own."""

    date: str | None
    time: str | None
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: int | None
    day_value: int | None

    @classmethod
    def read(cls, row: Row) -> MinuteBar:
        return cls(
            date=text(row, "stck_bsop_date"),
            time=text(row, "stck_cntg_hour"),
            open=number(row, "stck_oprc"),
            high=number(row, "stck_hgpr"),
            low=number(row, "stck_lwpr"),
            close=number(row, "stck_prpr"),
            volume=whole(row, "cntg_vol"),
            day_value=whole(row, "acml_tr_pbmn"),
        )


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day of chk-holiday (CTCA0903R). ``open`` (opnd_yn) says whether orders are possible."""

    date: str | None
    weekday_code: str | None  # 01 Sunday .. 07 Saturday
    business: bool | None
    trading: bool | None
    open: bool | None
    settlement: bool | None

    @classmethod
    def read(cls, row: Row) -> Holiday:
        return cls(
            date=text(row, "bass_dt"),
            weekday_code=text(row, "wday_dvsn_cd"),
            business=flag(row, "bzdy_yn"),
            trading=flag(row, "tr_day_yn"),
            open=flag(row, "opnd_yn"),
            settlement=flag(row, "sttl_day_yn"),
        )


@dataclass(frozen=True, slots=True)
class ViStatus:
    """A volatility interruption of inquire-vi-status (FHPST01390000)."""

    symbol: str | None
    name: str | None
    date: str | None
    vi_code: str | None
    kind_code: str | None
    started: str | None
    released: str | None
    price: float | None
    static_base: float | None
    dynamic_base: float | None
    count: int | None

    @classmethod
    def read(cls, row: Row) -> ViStatus:
        return cls(
            symbol=text(row, "mksc_shrn_iscd"),
            name=text(row, "hts_kor_isnm"),
            date=text(row, "bsop_date"),
            vi_code=text(row, "vi_cls_code"),
            kind_code=text(row, "vi_kind_code"),
            started=text(row, "cntg_vi_hour"),
            released=text(row, "vi_cncl_hour"),
            price=number(row, "vi_prc"),
            static_base=number(row, "vi_stnd_prc"),
            dynamic_base=number(row, "vi_dmc_stnd_prc"),
            count=whole(row, "vi_count"),
        )


@dataclass(frozen=True, slots=True)
class StockInfo:
    """search-stock-info (CTPF1002R): names, and all fields as they came (67 on the portal)."""

    symbol: str | None
    name: str | None
    fields: Mapping[str, str]

    @classmethod
    def read(cls, row: Row) -> StockInfo:
        present = {field: value for field in row if (value := text(row, field)) is not None}
        return cls(text(row, "shtn_pdno", "pdno"), text(row, "prdt_abrv_name", "prdt_name"), present)


@dataclass(frozen=True, slots=True)
class VolumeRank:
    """A row of volume-rank (FHPST01710000)."""

    rank: int | None
    symbol: str | None
    name: str | None
    price: float | None
    cum_volume: int | None
    cum_value: int | None
    listed_shares: int | None

    @classmethod
    def read(cls, row: Row) -> VolumeRank:
        return cls(
            rank=whole(row, "data_rank"),
            symbol=text(row, "mksc_shrn_iscd"),
            name=text(row, "hts_kor_isnm"),
            price=number(row, "stck_prpr"),
            cum_volume=whole(row, "acml_vol"),
            cum_value=whole(row, "acml_tr_pbmn"),
            listed_shares=whole(row, "lstn_stcn"),
        )
