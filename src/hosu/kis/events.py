"""From the broker's records to the market's events: Arrow batches in our columns, without a loop over rows.

Every column of a table names the broker's fields it is filled from, in order of preference; where the layout has
none of them the column is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hosu.errors import FrameError
from hosu.kis.factor_kernel import factorize
from hosu.kis.records import NULL, pack, unpack
from hosu.market.calendar import KST_OFFSET_S
from hosu.market.events import EVENT_SCHEMAS, TIMESTAMP, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from hosu.kis.layouts import Layout
    from hosu.kis.records import Envelope, Ints, Records

STRINGS: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMAS: Final = {name: in_memory(schema) for name, schema in EVENT_SCHEMAS.items()}
SIDES: Final = {"1": "buy", "3": "pre_open", "5": "sell"}
"""체결구분: 1 매수, 3 장전, 5 매도. Any other code is kept as it came."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_FEW: Final = 4
_YES: Final = pack("Y")
_NO: Final = pack("N")


class _As(Enum):
    """What becomes of a broker's column."""

    WON = "won"
    SHARES = "shares"
    CODE = "code"
    SIDE = "side"
    FLAG = "flag"
    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: _As
    sources: tuple[str, ...]


def _columns(text: str) -> tuple[_Column, ...]:
    rows = (line.split() for line in text.strip().splitlines())
    return tuple(_Column(row[0], _As(row[1]), tuple(row[2:])) for row in rows)


_TOUCH: Final = """
ask1 won ASKP1
bid1 won BIDP1
ask1_size shares ASKP_RSQN1
bid1_size shares BIDP_RSQN1
"""
_MATCH: Final = """
ts_event time STCK_CNTG_HOUR
symbol code MKSC_SHRN_ISCD
price won STCK_PRPR
size shares CNTG_VOL
cum_volume shares ACML_VOL
cum_value shares ACML_TR_PBMN
mkop_code code NEW_MKOP_CLS_CODE
hour_code code HOUR_CLS_CODE
end_code code MRKT_TRTM_CLS_CODE
halted flag TRHT_YN
"""

_PLANS: Final = {
    "trades": _columns(f"""{_MATCH.strip()}{_TOUCH.rstrip()}
side side CCLD_DVSN CNTG_CLS_CODE
buy_count shares SHNU_CNTG_CSNU
sell_count shares SELN_CNTG_CSNU
market_code code MARKET_CLS_CODE
vi_price won VI_STND_PRC
"""),
    "expected": _columns(f"""{_MATCH.strip()}{_TOUCH.rstrip()}
ask_total shares TOTAL_ASKP_RSQN
bid_total shares TOTAL_BIDP_RSQN
reference_price won VI_STND_PRC F45
"""),
    # A unified book has two mid prices; the column takes the KRX one, the frames keep both.
    "quotes": _columns("""
ts_event time BSOP_HOUR
symbol code MKSC_SHRN_ISCD
ask_total shares TOTAL_ASKP_RSQN
bid_total shares TOTAL_BIDP_RSQN
after_hours_ask_total shares OVTM_TOTAL_ASKP_RSQN
after_hours_bid_total shares OVTM_TOTAL_BIDP_RSQN
expected_price won ANTC_CNPR
expected_size shares ANTC_CNQN
expected_volume shares ANTC_VOL
mid_price won MID_PRC KMID_PRC NMID_PRC
mid_size shares MIDP_TOTAL_RSQN KMID_TOTAL_RSQN NMID_TOTAL_RSQN
mid_side code MIDP_CLS_CODE KMID_CLS_CODE NMID_CLS_CODE
cum_volume shares ACML_VOL
hour_code code HOUR_CLS_CODE
market_code code MARKET_CLS_CODE
"""),
    "market_events": _columns("""
symbol code MKSC_SHRN_ISCD
halted flag TRHT_YN
halt_reason text TR_SUSP_REAS_CNTT
mkop_code code MKOP_CLS_CODE
expected_mkop_code code ANTC_MKOP_CLS_CODE
end_code code MRKT_TRTM_CLS_CODE
dividend_code code DIVI_APP_CLS_CODE
status_code code ISCD_STAT_CLS_CODE
vi_code code VI_CLS_CODE
after_hours_vi_code code OVTM_VI_CLS_CODE
exchange_code code EXCH_CLS_CODE
"""),
}

_LEVELS: Final = {
    "ask_prices": ("ASKP", True),
    "bid_prices": ("BIDP", True),
    "ask_sizes": ("ASKP_RSQN", False),
    "bid_sizes": ("BIDP_RSQN", False),
}


def to_events(records: Records, envelope: Envelope) -> tuple[str, pa.RecordBatch]:
    """The table's name and one row a record, in ``in_memory(EVENT_SCHEMAS[name])``.

    ``ts_event`` is the record's time of day on its business date; null, as ``date``, where that date is unknown.

    Raises:
        FrameError: no table takes the records' TR.
    """
    event = records.layout.event
    if event not in _PLANS:
        raise FrameError(f"no table takes {records.layout.label}", tr_id=records.layout.tr_id)
    arrays = _origin(records, envelope)
    for column, source in _sources(records.layout):
        arrays[column.name] = _filled(column, source, records, envelope)
    if event == "quotes":
        arrays.update({name: _levels(records, prefix, won) for name, (prefix, won) in _LEVELS.items()})
    if event == "trades":
        arrays["source"] = constant("ws", len(records))
    schema = SCHEMAS[event]
    return event, pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def _origin(records: Records, envelope: Envelope) -> dict[str, pa.Array]:
    n = len(records)
    return {
        "date": _dates(envelope.dates),
        "wal_id": constant(envelope.wal_id, n),
        "lsn": _array(envelope.lsn[records.frame], pa.int64()),
        "record_no": _array(records.record_no, pa.int32()),
        "ts_recv": _array(envelope.ts_recv_us[records.frame], TIMESTAMP),
        "scope": constant(records.layout.scope, n),
        "tail": strings(records.tails) if records.tails is not None else pa.nulls(n, STRINGS),
    }


@cache
def _sources(layout: Layout) -> list[tuple[_Column, str]]:
    """Each column of the layout's table and the broker's field that fills it; empty where none does."""
    return [(column, next(filter(layout.has, column.sources), "")) for column in _PLANS[layout.event]]


def _filled(column: _Column, source: str, records: Records, envelope: Envelope) -> pa.Array:
    if not source:
        return pa.nulls(len(records), SCHEMAS[records.layout.event].field(column.name).type)
    if column.kind is _As.TEXT:
        return strings(records.texts[source])
    if column.kind is _As.TIME:
        return _times(records.columns[source], envelope.dates)
    return _MAKERS[column.kind](records.columns[source])


# --- columns ----------------------------------------------------------------------------------------------------
# Arrays are made of buffers, not by pa.array: that costs several times more for a handful of rows, and loads pandas
# where it is installed.


def _array(values: npt.NDArray[Any], of: pa.DataType, null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """The numbers as they lie in memory; null where ``null`` says so."""
    validity = None
    if null is not None and np.count_nonzero(null):
        validity = pa.py_buffer(np.packbits(~null, bitorder="little"))
    return pa.Array.from_buffers(of, len(values), [validity, pa.py_buffer(np.ascontiguousarray(values))])


def _dictionary(codes: npt.NDArray[np.int32], texts: list[str], null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    # The few texts of codes are the same in batch after batch; the many of symbols are not worth keeping.
    values = _few(tuple(texts)) if len(texts) <= _FEW else pa.array(texts, pa.string())
    return pa.DictionaryArray.from_arrays(_array(codes, pa.int32(), null), values)


@lru_cache(maxsize=4096)
def _few(texts: tuple[str, ...]) -> pa.Array:
    return pa.array(texts, pa.string())


def constant(text: str, n: int) -> pa.Array:
    """``n`` times the same text, dictionary-encoded."""
    return _dictionary(np.zeros(n, np.int32), [text])


def strings(texts: list[str] | list[str | None]) -> pa.Array:
    """Texts, dictionary-encoded; None is null."""
    return pa.array(texts, pa.string()).dictionary_encode()


def _won(values: Ints) -> pa.Array:
    return _array(values / 100.0, pa.float64(), values == NULL)


def _shares(values: Ints) -> pa.Array:
    return _array(values, pa.int64(), values == NULL)


def _factors(values: Ints) -> tuple[npt.NDArray[np.int32], Ints]:
    codes = np.empty(len(values), np.int32)
    uniques = np.empty(len(values), np.int64)
    return codes, uniques[: factorize(np.ascontiguousarray(values), codes, uniques)]


def _named(values: Ints, names: Mapping[str, str] | None = None) -> pa.Array:
    codes, uniques = _factors(values)
    texts = [unpack(value) for value in uniques.tolist()]
    null = None
    if None in texts:
        place = texts.index(None)
        null = codes == place
        codes -= codes > place  # nothing refers to the null itself any more, so the codes behind it move up
        codes[null] = 0
    known = [text for text in texts if text is not None]
    return _dictionary(codes, known if names is None else [names.get(text, text) for text in known], null)


def _side(values: Ints) -> pa.Array:
    return _named(values, SIDES)


def _flag(values: Ints) -> pa.Array:
    yes = values == _YES
    null = ~yes & (values != _NO)
    validity = pa.py_buffer(np.packbits(~null, bitorder="little")) if null.any() else None
    return pa.Array.from_buffers(pa.bool_(), len(values), [validity, pa.py_buffer(np.packbits(yes, bitorder="little"))])


_MAKERS: Final[dict[_As, Callable[[Ints], pa.Array]]] = {
    _As.WON: _won,
    _As.SHARES: _shares,
    _As.CODE: _named,
    _As.SIDE: _side,
    _As.FLAG: _flag,
}


@lru_cache(maxsize=64)
def _day(value: int) -> date | None:
    try:
        return date(value // 10000, value // 100 % 100, value % 100)
    except ValueError:
        return None


def _days(dates: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], list[date | None]]:
    """Which of the different days each record has; None for -1 and for what is no date."""
    codes, uniques = _factors(dates.astype(np.int64))
    return codes, [_day(value) for value in uniques.tolist()]


def _dates(dates: npt.NDArray[np.int32]) -> pa.Array:
    codes, days = _days(dates)
    if None in days:
        return strings([days[code].isoformat() if days[code] is not None else None for code in codes.tolist()])
    return _dictionary(codes, [day.isoformat() for day in days if day is not None])


def _times(seconds: Ints, dates: npt.NDArray[np.int32]) -> pa.Array:
    codes, days = _days(dates)
    unknown = np.array([day is None for day in days], bool)[codes]
    midnights = [(day.toordinal() - _EPOCH) * 86400 - KST_OFFSET_S if day is not None else 0 for day in days]
    micros = (np.array(midnights, np.int64)[codes] + seconds) * 1_000_000
    return _array(micros, TIMESTAMP, unknown | (seconds == NULL))


def _levels(records: Records, prefix: str, won: bool) -> pa.Array:
    levels = np.stack([records.columns[f"{prefix}{i}"] for i in range(1, 11)], axis=1).reshape(-1)
    offsets = _array(np.arange(0, len(levels) + 1, 10, dtype=np.int32), pa.int32())
    return pa.ListArray.from_arrays(offsets, _won(levels) if won else _shares(levels))
