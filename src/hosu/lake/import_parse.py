"""A file's fields as numbers: codes, instants, prices. What cannot be read is marked, not guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import InputError, plain
from hosu.market.calendar import KST_OFFSET_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from hosu.lake.import_file import Source

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

PRICES: Final = ("open", "high", "low", "close")
_NUMBER: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
_DATE: Final = r"^(?P<y>\d{4})[-/.]?(?P<m>\d\d)[-/.]?(?P<d>\d\d)$"
_TIME: Final = r"^(?P<h>\d{1,2}):?(?P<i>\d\d)(?::?(?P<s>\d\d)(?:\.\d+)?)?$"
_STAMP: Final = (
    r"^(?P<y>\d{4})[-/.]?(?P<m>\d\d)[-/.]?(?P<d>\d\d)[T ]?(?P<h>\d\d):?(?P<i>\d\d)(?::?(?P<s>\d\d)(?:\.\d+)?)?"
    r"\s*(?P<zone>Z|[+-]\d\d:?\d\d)?$"
)
_DAY_S: Final = 86_400
_US: Final = 1_000_000
_UNITS: Final = ("price", "volume", "value")


@dataclass(frozen=True, slots=True)
class RawBars:
    """One entry a row of the file, in its order.

    ``code`` is the place of the row's code in ``codes``, -1 without one. ``ts_us`` is meaningless where ``readable``
    says no; prices, volume and value are NaN where there is nothing readable. ``second`` and ``day`` (days since
    1970) are those of the start in Seoul.
    """

    codes: list[str]
    code: Ints
    ts_us: Ints
    readable: Flags
    prices: dict[str, Floats]
    volume: Floats
    value: Floats | None

    def __len__(self) -> int:
        return len(self.code)

    @property
    def day(self) -> Ints:
        return (self.ts_us // _US + KST_OFFSET_S) // _DAY_S

    @property
    def second(self) -> Ints:
        return (self.ts_us // _US + KST_OFFSET_S) % _DAY_S


def parse(source: Source, kind: str, zone: str, units: Mapping[str, str] | None = None) -> RawBars:
    """The rows of a file as numbers; prices in won, volume in shares, value in won.

    Args:
        source: the file.
        kind: ``daily`` or ``minutes``; of a daily bar only the day in Seoul counts.
        zone: of times that name none, as in ``Asia/Seoul``.
        units: what to multiply ``price``, ``volume`` and ``value`` by.

    Raises:
        InputError: the zone or a unit is none.
    """
    factor = _factors(units or {})
    codes, code = _codes(source)
    ts_us, readable = _instants(source, kind, zone)
    value = _numbers(source, "value")
    return RawBars(
        codes=codes,
        code=code,
        ts_us=ts_us,
        readable=readable,
        prices={name: _required(source, name) * factor["price"] for name in PRICES},
        volume=_required(source, "volume") * factor["volume"],
        value=None if value is None else value * factor["value"],
    )


def _factors(units: Mapping[str, str]) -> dict[str, float]:
    factors = dict.fromkeys(_UNITS, 1.0)
    for name, text in units.items():
        try:
            factors[name] = float(text) if name in factors else float("nan")
        except ValueError:
            factors[name] = float("nan")
        if not 0 < factors[name] < float("inf"):
            fault = f"{plain(name)}={plain(text)} is no unit"
            raise InputError("--units", fault, f"give a number more than 0 to {', '.join(_UNITS)}, as in value=1000")
    return factors


def _codes(source: Source) -> tuple[list[str], Ints]:
    column = source.column("symbol")
    assert column is not None, "read_source asks for it"
    if pa.types.is_integer(column.type):  # numbers have lost their zeros, and nothing else
        column = pc.utf8_lpad(column.cast(pa.string()), 6, "0")
    encoded = pc.utf8_trim_whitespace(column.cast(pa.string())).dictionary_encode()
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return encoded.dictionary.to_pylist(), places


# --- numbers ------------------------------------------------------------------------------------------------------


def _required(source: Source, name: str) -> Floats:
    numbers = _numbers(source, name)
    assert numbers is not None, "read_source asks for it"
    return numbers


def _numbers(source: Source, name: str) -> Floats | None:
    column = source.column(name)
    if column is None:
        return None
    if _is_text(column):
        text = pc.replace_substring(pc.utf8_trim_whitespace(column.cast(pa.string())), ",", "")
        column = pc.if_else(pc.match_substring_regex(text, _NUMBER), text, None).cast(pa.float64())
    try:
        numbers = column.cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.full(len(column), np.nan)
    found: Floats = np.array(numbers.fill_null(float("nan")).to_numpy(zero_copy_only=False), np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _is_text(column: pa.Array) -> bool:
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


# --- times --------------------------------------------------------------------------------------------------------


def _instants(source: Source, kind: str, zone: str) -> tuple[Ints, Flags]:
    stamp, date, time = (source.column(name) for name in ("ts", "date", "time"))
    if stamp is not None:
        us, ok = _stamps(stamp, zone)
        if kind == "daily":
            us = ((us // _US + KST_OFFSET_S) // _DAY_S) * _DAY_S * _US - KST_OFFSET_S * _US
        return us, ok
    assert date is not None, "read_source asks for it"
    days, ok = _days(date)
    if kind == "daily":
        return (days * _DAY_S - KST_OFFSET_S) * _US, ok
    assert time is not None, "read_source asks for it"
    seconds, timed = _seconds(time)
    return _utc((days * _DAY_S + seconds) * _US, zone), ok & timed


def _stamps(column: pa.Array, zone: str) -> tuple[Ints, Flags]:
    if pa.types.is_timestamp(column.type):
        us = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
        ok = _valid(us)
        local = _ints(us)
        return (local if column.type.tz else _utc(local, zone)), ok
    if pa.types.is_date(column.type):
        days, ok = _days(column)
        return _utc(days * _DAY_S * _US, zone), ok
    parts = pc.extract_regex(_text(column), _STAMP)
    days, ok = _civil(*(_part(parts, name) for name in "ymd"))
    seconds, timed = _clock(*(_part(parts, name) for name in "his"))
    local = (days * _DAY_S + seconds) * _US
    offset, own = _offsets(pc.struct_field(parts, "zone"))
    return np.where(own, local - offset * _US, _utc(local, zone)), ok & timed


def _days(column: pa.Array) -> tuple[Ints, Flags]:
    if pa.types.is_timestamp(column.type):
        naive = column if column.type.tz is None else pc.local_timestamp(column)
        column = naive.cast(pa.date32(), safe=False)
    if pa.types.is_date(column.type):
        days = column.cast(pa.date32()).cast(pa.int32())
        return _ints(days), _valid(days)
    parts = pc.extract_regex(_text(column), _DATE)
    return _civil(*(_part(parts, name) for name in "ymd"))


def _seconds(column: pa.Array) -> tuple[Ints, Flags]:
    if pa.types.is_time(column.type):
        us = column.cast(pa.time64("us")).cast(pa.int64())
        return _ints(us) // _US, _valid(us)
    if pa.types.is_integer(column.type):
        # 900 to 1530 are hours and minutes; with seconds even one o'clock is more.
        whole, ok = _ints(column), _valid(column)
        clock = whole if len(whole) and whole.max() > 2400 else whole * 100
        seconds, timed = _clock(clock // 10_000, clock // 100 % 100, clock % 100)
        return seconds, ok & timed
    parts = pc.extract_regex(_text(column), _TIME)
    return _clock(*(_part(parts, name) for name in "his"))


def _text(column: pa.Array) -> pa.Array:
    try:
        return pc.utf8_trim_whitespace(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(len(column), pa.string())


def _part(parts: pa.Array, name: str) -> Ints:
    """The digits matched, as numbers; -1 where the text did not match, 0 where an optional part is left out."""
    text = pc.struct_field(parts, name)
    digits = pc.if_else(pc.equal(text, ""), "0", text).cast(pa.int64())
    return np.array(digits.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def _civil(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Flags]:
    ok = (year >= 1900) & (year < 2200) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(ok, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (np.where(ok, day, 1) - 1)
    ok &= days.astype("datetime64[M]") == months
    return days.astype(np.int64), ok


def _clock(hour: Ints, minute: Ints, second: Ints) -> tuple[Ints, Flags]:
    ok = (hour >= 0) & (hour < 24) & (minute >= 0) & (minute < 60) & (second >= 0) & (second < 60)
    return np.where(ok, hour * 3600 + minute * 60 + second, 0), ok


def _offsets(text: pa.Array) -> tuple[Ints, Flags]:
    """Seconds east of UTC, and where there are any."""
    own = _flags(pc.not_equal(text, ""))
    parts = pc.extract_regex(text, r"^(?P<sign>[+-])(?P<h>\d\d):?(?P<i>\d\d)$")
    seconds = np.maximum(_part(parts, "h"), 0) * 3600 + np.maximum(_part(parts, "i"), 0) * 60
    return np.where(_flags(pc.equal(pc.struct_field(parts, "sign"), "-")), -seconds, seconds), own


def _utc(local_us: Ints, zone: str) -> Ints:
    try:
        stamps = pa.array(local_us).cast(pa.timestamp("us"))
        # A minute that a change of clocks repeats or leaves out has no better answer, and no market is open then.
        return _ints(pc.assume_timezone(stamps, zone, ambiguous="earliest", nonexistent="earliest").cast(pa.int64()))
    except (pa.ArrowException, ValueError):
        raise InputError(f"--zone {plain(zone)}", "is no time zone", "write it as Asia/Seoul or UTC") from None


def _ints(column: pa.Array) -> Ints:
    return np.array(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _valid(column: pa.Array) -> Flags:
    return _flags(column.is_valid())


def _flags(column: Any) -> Flags:
    return np.array(column.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)
