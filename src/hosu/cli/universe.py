"""Which symbols ``--symbols`` means: a list, a file, a market, the most traded, or all; in order of priority."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hosu.lake.lake import Lake

_LONGEST_NAME: Final = 255
_FORMS: Final = "give symbols, market:KOSPI, top:300, all, or a file of one symbol a line"


def symbols_of(text: str, lake: Callable[[], Lake], simulator: str | None) -> list[str]:
    """The symbols meant, each once: listed ones in their order, others by their turnover, the largest first.

    Parts are separated by commas, and earlier ones come first: ``005930,top:300`` is 005930 and then the 300 most
    traded. ``simulator`` is the REST address of one, whose market is then asked instead of the instruments of
    ``lake()``, which is opened only where it is asked.

    Raises:
        InputError: no such file or market, no universe, something that is no symbol, or nothing at all.
    """
    from hosu.market.instruments import validate_symbol

    parts = _parts(text)
    known: list[tuple[str, str, float]] | None = None
    chosen: list[str] = []
    for part in parts:
        kind, _, value = part.partition(":")
        if part != "all" and not value:
            chosen.append(validate_symbol(part))
            continue
        known = known if known is not None else _universe(lake, simulator, part)
        chosen += _of_kind(kind, value, known, part)
    if not chosen:
        raise InputError(f"--symbols {text[:60]}", "names none", _FORMS)
    return list(dict.fromkeys(chosen))


def _parts(text: str) -> list[str]:
    # A long list is no file name, and the system says so.
    if "," not in text and len(text) < _LONGEST_NAME and Path(text).is_file():
        listed = _lines(Path(text))
    else:
        listed = text.split(",")
    return [part.strip() for part in listed if part.strip()]


def _lines(file: Path) -> list[str]:
    try:
        return [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(str(file), f"is not UTF-8 text (byte {error.start})", "give one symbol a line") from None


def _of_kind(kind: str, value: str, known: Sequence[tuple[str, str, float]], part: str) -> list[str]:
    if part == "all":
        return [symbol for symbol, _, _ in known]
    if kind == "market":
        markets = sorted({market for _, market, _ in known})
        if value.upper() not in markets:
            raise InputError(part, "is a market without instruments here", f"choose from {', '.join(markets)}")
        return [symbol for symbol, market, _ in known if market == value.upper()]
    if kind == "top":
        if not value.isdecimal() or len(value) > 6 or int(value) < 1:
            raise InputError(part, "is no number of symbols", "write it like top:300")
        return [symbol for symbol, _, _ in known[: int(value)]]
    raise InputError(part, "is no way to name symbols", _FORMS)


def _universe(lake: Callable[[], Lake], simulator: str | None, part: str) -> list[tuple[str, str, float]]:
    """Symbol, market and turnover of every instrument, the most traded first."""
    from hosu.cli.instruments import fetch
    from hosu.lake.instruments import universe
    from hosu.lake.turnover import latest_turnover

    if simulator is not None:
        listed = fetch(simulator)
        return by_turnover((each.symbol, each.market.value, each.base_price * each.previous_volume) for each in listed)
    opened = lake()
    known = universe(opened, "9999-12-31")
    if not known.num_rows:
        raise InputError(f"--symbols {part}", "the lake knows no instruments", "run: hosu instruments sync")
    columns = (known.column(name).to_pylist() for name in ("symbol", "market", "base_price", "previous_volume"))
    estimates = [
        (str(symbol), str(market), float(price or 0) * int(volume or 0))
        for symbol, market, price, volume in zip(*columns, strict=True)
    ]
    return by_turnover(estimates, latest_turnover(opened))


def by_turnover(
    estimates: Iterable[tuple[str, str, float]], measured: Mapping[str, float] | None = None
) -> list[tuple[str, str, float]]:
    """The instruments with the largest turnover first; what was measured goes before what is estimated from the
    master file's price and volume of the day before. Equal ones go by their symbol."""
    found = [(symbol, market, (measured or {}).get(symbol, value)) for symbol, market, value in estimates]
    return sorted(found, key=lambda each: (-each[2], each[0]))
