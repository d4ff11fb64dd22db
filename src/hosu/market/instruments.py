"""What is traded (종목), as of a day: the instrument, its Arrow schema, and the spelling of symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date


class Market(StrEnum):
    """Where an instrument is listed."""

    KOSPI = "KOSPI"
    KOSDAQ = "KOSDAQ"
    KONEX = "KONEX"


class InstrumentType(StrEnum):
    """What kind of security it is. The comment gives the exchange's group code (증권그룹구분코드)."""

    STOCK = "stock"  # ST, preferred shares included
    FOREIGN_STOCK = "foreign_stock"  # FS
    DEPOSITARY_RECEIPT = "depositary_receipt"  # DR
    REIT = "reit"  # RT
    INFRASTRUCTURE_FUND = "infrastructure_fund"  # IF
    FUND = "fund"  # MF, a listed investment company
    SHIP_FUND = "ship_fund"  # SC
    ETF = "etf"  # EF
    FOREIGN_ETF = "foreign_etf"  # FE
    ETN = "etn"  # EN
    ELW = "elw"  # EW
    WARRANT = "warrant"  # SW
    SUBSCRIPTION_RIGHT = "subscription_right"  # SR
    BENEFICIARY_CERTIFICATE = "beneficiary_certificate"  # BC
    OTHER = "other"  # a group code that is new to us


class WarningLevel(StrEnum):
    """How loudly the exchange warns of an instrument (시장경고)."""

    NONE = "none"
    CAUTION = "caution"  # 투자주의
    WARNING = "warning"  # 투자경고
    DANGER = "danger"  # 투자위험


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """One instrument as the broker's master file has it on a day."""

    symbol: str  # the short code: six characters, or a letter and six to eight (ETN: Q530036)
    isin: str
    name: str  # Korean
    market: Market
    type: InstrumentType
    venue: str = "KRX"  # where it is listed; whether NXT trades it too is not in the master files
    group: str = ""  # the exchange's group code as it came
    listed: date | None = None  # None where the file leaves it blank
    base_price: int = 0  # won; what the day's limits are reckoned from
    previous_volume: int = 0  # shares traded on the day before
    lot: int = 1  # shares an order must be a multiple of
    listed_shares: int = 0  # shares; the file counts thousands, so this is rounded to them
    par_value: int = 0  # won
    market_cap: int = 0  # won; the file counts in 100 million
    fiscal_month: int = 0  # the month in which the business year ends; 0 if unknown
    halted: bool = False  # 거래정지
    liquidation: bool = False  # 정리매매: the last days before delisting, without price limits
    administrative: bool = False  # 관리종목
    warning: WarningLevel = WarningLevel.NONE
    warning_notice: bool = False  # 경고예고
    unfaithful: bool = False  # 불성실공시
    backdoor: bool = False  # 우회상장
    overheated: bool = False  # 단기과열
    low_liquidity: bool = False
    preferred: bool = False
    spac: bool = False
    kospi200_sector: str = ""  # the sector's code; empty if no member of KOSPI200
    indices: tuple[str, ...] = ()  # indices it is a member of, sorted: KOSDAQ150, KOSPI100, KOSPI200, KRX300, ...

    def __post_init__(self) -> None:
        validate_symbol(self.symbol)


INSTRUMENTS: Final = pa.schema(
    [
        pa.field("date", pa.string()),  # the day this is true of, KST
        pa.field("symbol", pa.string()),
        pa.field("isin", pa.string()),
        pa.field("name", pa.string()),
        pa.field("market", pa.string()),
        pa.field("type", pa.string()),
        pa.field("venue", pa.string()),
        pa.field("group", pa.string()),
        pa.field("listed", pa.date32()),
        pa.field("base_price", pa.float64()),  # won, as all prices of the lake
        pa.field("previous_volume", pa.int64()),
        pa.field("lot", pa.int64()),
        pa.field("listed_shares", pa.int64()),
        pa.field("par_value", pa.float64()),
        pa.field("market_cap", pa.int64()),
        pa.field("fiscal_month", pa.int32()),
        pa.field("halted", pa.bool_()),
        pa.field("liquidation", pa.bool_()),
        pa.field("administrative", pa.bool_()),
        pa.field("warning", pa.string()),
        pa.field("warning_notice", pa.bool_()),
        pa.field("unfaithful", pa.bool_()),
        pa.field("backdoor", pa.bool_()),
        pa.field("overheated", pa.bool_()),
        pa.field("low_liquidity", pa.bool_()),
        pa.field("preferred", pa.bool_()),
        pa.field("spac", pa.bool_()),
        pa.field("kospi200_sector", pa.string()),
        pa.field("indices", pa.list_(pa.string())),
    ]
)
"""The table ``instruments``: one row an instrument and day, the columns those of ``Instrument``."""


def to_arrow(day: date, instruments: Iterable[Instrument]) -> pa.Table:
    """The universe of ``day`` as rows of ``INSTRUMENTS``, sorted by symbol.

    Raises:
        InputError: a symbol occurs twice.
    """
    ordered = sorted(instruments, key=lambda instrument: instrument.symbol)
    for one, other in pairwise(ordered):
        if one.symbol == other.symbol:
            raise InputError(f"symbol {one.symbol}", f"twice in the universe of {day}", "give each instrument once")
    columns: dict[str, list[Any]] = {
        field.name: [getattr(instrument, field.name) for instrument in ordered] for field in fields(Instrument)
    }
    columns["date"] = [day.isoformat()] * len(ordered)
    return pa.table({name: pa.array(columns[name], INSTRUMENTS.field(name).type) for name in INSTRUMENTS.names})


def from_arrow(table: pa.Table) -> list[Instrument]:
    """The instruments of ``table``, in its order; of the columns it needs those of ``INSTRUMENTS`` but ``date``.

    Raises:
        InputError: a column is missing, or a value is none of ours.
    """
    names = [field.name for field in fields(Instrument)]
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise InputError("instruments table", f"lacks {', '.join(missing)}", "read the lake's table instruments")
    return [_instrument(row) for row in table.select(names).to_pylist()]


def _instrument(row: dict[str, Any]) -> Instrument:
    try:
        return Instrument(
            **{
                **row,
                "market": Market(row["market"]),
                "type": InstrumentType(row["type"]),
                "warning": WarningLevel(row["warning"]),
                "base_price": int(row["base_price"]),
                "par_value": int(row["par_value"]),
                "indices": tuple(row["indices"]),
            }
        )
    except (TypeError, ValueError) as error:
        thing = f"instruments table, symbol {row['symbol']}"
        raise InputError(thing, str(error), "run: hosu instruments sync") from error


_SYMBOL: Final = re.compile(r"[0-9A-Z]{6}|[A-Z][0-9A-Z]{6,8}")


def validate_symbol(text: str) -> str:
    """``text`` itself if it is spelled like a short code: six characters, or a letter and six to eight more.

    Whether such an instrument exists is the master file's matter.

    Raises:
        InputError: it is not.
    """
    if _SYMBOL.fullmatch(text):
        return text
    raise InputError(f"symbol {text!r}", *_symbol_fault(text))


def _symbol_fault(text: str) -> tuple[str, str]:
    look_up = "look it up with: hosu instruments list"
    if _SYMBOL.fullmatch(text.strip().upper()):
        return "has blanks around it or small letters", f"write {text.strip().upper()}"
    if text.isascii() and text.isdigit() and len(text) < 6:
        return f"has {len(text)} digits instead of six", f"keep its leading zeros, as in {text.zfill(6)}"
    if any(not character.isascii() for character in text):
        return "is a name, not a code", look_up
    return "is not a code of six characters (nor of a letter and six to eight, as ETNs have)", look_up
