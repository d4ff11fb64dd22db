"""The coded part of a master file's line: which field is where, and what its characters mean.

Widths and order are those of the broker's own readers of the three files (KIS open-trading-api, stocks_info).
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from hosu.errors import InputError
from hosu.market.instruments import Instrument, InstrumentType, Market, WarningLevel

GROUPS: Final[dict[str, InstrumentType]] = {
    "ST": InstrumentType.STOCK,
    "FS": InstrumentType.FOREIGN_STOCK,
    "DR": InstrumentType.DEPOSITARY_RECEIPT,
    "RT": InstrumentType.REIT,
    "IF": InstrumentType.INFRASTRUCTURE_FUND,
    "MF": InstrumentType.FUND,
    "SC": InstrumentType.SHIP_FUND,
    "EF": InstrumentType.ETF,
    "FE": InstrumentType.FOREIGN_ETF,
    "EN": InstrumentType.ETN,
    "EW": InstrumentType.ELW,
    "SW": InstrumentType.WARRANT,
    "SR": InstrumentType.SUBSCRIPTION_RIGHT,
    "BC": InstrumentType.BENEFICIARY_CERTIFICATE,
}
"""The exchange's group codes. Seen in files: ST, EF, EN, RT, IF, DR, FS, MF; the others by the broker's list."""

Fields = tuple[tuple[str, int], ...]

# Names are attributes of Instrument, indices in capitals; what is not read has a name with an underscore.
_CLASSES: Final[Fields] = (
    ("group", 2),
    ("_size", 1),
    ("_sector_large", 4),
    ("_sector_middle", 4),
    ("_sector_small", 4),
)
_STATE: Final[Fields] = (
    ("base_price", 9),
    ("lot", 5),
    ("_after_hours_lot", 5),
    ("halted", 1),
    ("liquidation", 1),
    ("administrative", 1),
    ("warning", 2),
    ("warning_notice", 1),
    ("unfaithful", 1),
    ("backdoor", 1),
    ("_ex_rights", 2),
    ("_par_change", 2),
    ("_capital_increase", 2),
    ("_margin_rate", 3),
    ("_credit", 1),
    ("_credit_days", 3),
    ("previous_volume", 12),
    ("par_value", 12),
    ("listed", 8),
    ("listed_shares", 15),
    ("_capital", 21),
    ("fiscal_month", 2),
    ("_offer_price", 7),
    ("preferred", 1),
    ("_short_sale_overheated", 1),
    ("_unusual_rise", 1),
    ("KRX300", 1),
)
_ACCOUNTS: Final[Fields] = (
    ("_sales", 9),
    ("_operating_profit", 9),
    ("_ordinary_profit", 9),
    ("_net_income", 5),
    ("_roe", 9),
    ("_base_month", 8),
    ("market_cap", 9),
)
_CREDIT: Final[Fields] = (("_credit_limit", 1), ("_loan", 1), ("_stock_loan", 1))

FIELDS: Final[dict[Market, Fields]] = {
    Market.KOSPI: (
        *_CLASSES,
        ("_manufacturing", 1),
        ("low_liquidity", 1),
        ("_governance", 1),
        ("kospi200_sector", 1),
        ("KOSPI100", 1),
        ("KOSPI50", 1),
        ("_krx", 1),
        ("_etp", 1),
        ("_elw_issuer", 1),
        ("KRX100", 1),
        ("_krx_sectors_1", 4),  # cars, semiconductors, bio, banks
        ("spac", 1),
        ("_krx_sectors_2", 2),  # energy and chemistry, steel
        ("overheated", 1),
        ("_krx_sectors_3", 2),  # media, construction
        ("_unnamed", 1),
        ("_krx_sectors_4", 4),  # securities, ships, insurance, transport
        ("_sri", 1),
        *_STATE,
        ("_kospi", 1),
        *_ACCOUNTS,
        ("_business_group", 3),
        *_CREDIT,
    ),
    Market.KOSDAQ: (
        *_CLASSES,
        ("_venture", 1),
        ("low_liquidity", 1),
        ("_krx", 1),
        ("_etp", 1),
        ("KRX100", 1),
        ("_krx_sectors_1", 4),
        ("spac", 1),
        ("_krx_sectors_2", 2),
        ("overheated", 1),
        ("_krx_sectors_3", 2),
        ("_investment_caution", 1),
        ("_krx_sectors_4", 4),
        ("KOSDAQ150", 1),
        *_STATE,
        *_ACCOUNTS,
        ("_business_group", 3),
        *_CREDIT,
    ),
    Market.KONEX: (("group", 2), *_STATE, *_ACCOUNTS, *_CREDIT),
}
"""Name and width of every field, from the left: 227, 221 and 184 characters."""

_SCALES: Final = {
    "base_price": 1,
    "lot": 1,
    "previous_volume": 1,
    "par_value": 1,
    "listed_shares": 1_000,
    "fiscal_month": 1,
    "market_cap": 100_000_000,
}
_DIGIT_FLAGS: Final = frozenset({"preferred", "overheated"})  # 0 is no; the digits above it tell kinds apart
_WARNINGS: Final = ("00", "01", "02", "03")  # in the order of WarningLevel
_NO: Final = frozenset("N0 ")


def tail_fits(tail: str, market: Market) -> bool:
    """Whether ``tail`` looks like a coded part: a group code, then digits where numbers and the listing date are."""
    raw = _split(tail, market)
    numbers = (raw["base_price"], raw["lot"], raw["listed_shares"])
    dated = raw["listed"].isdigit() or not raw["listed"].strip()
    return _is_group(raw["group"]) and dated and all(text.strip().isdigit() for text in numbers)


def decode_tail(tail: str, market: Market) -> dict[str, Any]:
    """What ``Instrument`` takes of a coded part, by attribute. Characters after its known width are passed over.

    Raises:
        ValueError: a field holds what it cannot.
    """
    raw = _split(tail, market)
    if not _is_group(raw["group"]):
        raise ValueError(f"group is {raw['group']!r}, not two capital letters")
    values: dict[str, Any] = {name: _value(name, text) for name, text in raw.items() if name[0].islower()}
    members = [name for name, text in raw.items() if name[0].isupper() and text not in _NO]
    if values.get("kospi200_sector"):
        members.append("KOSPI200")
    values["type"] = GROUPS.get(values["group"], InstrumentType.OTHER)
    values["indices"] = tuple(sorted(members))
    return values


def _is_group(text: str) -> bool:
    return text.isascii() and text.isalpha() and text.isupper()


def _split(tail: str, market: Market) -> dict[str, str]:
    parts, at = {}, 0
    for name, width in FIELDS[market]:
        parts[name] = tail[at : at + width]
        at += width
    return parts


def _value(name: str, text: str) -> Any:
    if name in _SCALES:
        return _number(name, text) * _SCALES[name]
    if name == "listed":
        return _date(text)
    if name == "warning":
        return _warning(text)
    if name == "kospi200_sector":
        return "" if text in _NO else text
    return text if name == "group" else text not in _NO


def _number(name: str, text: str) -> int:
    digits = text.strip()
    if not digits:
        return 0
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{name} is {text!r}, not a number")
    return int(digits)


def _date(text: str) -> date | None:
    if not text.strip(" 0"):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise ValueError(f"listed is {text!r}, not a date") from None


def _warning(text: str) -> WarningLevel:
    code = text.strip() or _WARNINGS[0]
    if code not in _WARNINGS:
        raise ValueError(f"warning is {text!r}, not one of {', '.join(_WARNINGS)}")
    return tuple(WarningLevel)[_WARNINGS.index(code)]


# --- the way back -------------------------------------------------------------------------------------------------


def encode_tail(instrument: Instrument, market: Market) -> str:
    """The coded part of an instrument's line. A member of KOSPI200 without a sector gets sector 1.

    Raises:
        InputError: a value does not fit its field.
    """
    return "".join(_text(instrument, name, width) for name, width in FIELDS[market])


def _text(instrument: Instrument, name: str, width: int) -> str:
    if name.startswith("_"):
        return " " * width
    text = _spelled(instrument, name, width)
    if len(text) == width and text.isascii():
        return text
    value = getattr(instrument, name)
    raise InputError(
        f"instrument {instrument.symbol}", f"{name} {value!r} does not fit {width} characters", "correct it"
    )


def _spelled(instrument: Instrument, name: str, width: int) -> str:
    if name[0].isupper():
        return "Y" if name in instrument.indices else "N"
    value = getattr(instrument, name)
    if name in _SCALES:
        return f"{value // _SCALES[name]:0{width}d}"
    if name == "listed":
        return f"{value:%Y%m%d}" if value is not None else " " * width
    if name == "warning":
        return _WARNINGS[tuple(WarningLevel).index(value)]
    if name == "kospi200_sector":
        return value or ("1" if "KOSPI200" in instrument.indices else "0")
    if name == "group":
        return value or _group_of(instrument.type)
    return ("1" if value else "0") if name in _DIGIT_FLAGS else ("Y" if value else "N")


def _group_of(kind: InstrumentType) -> str:
    return next((group for group, known in GROUPS.items() if known is kind), "")
