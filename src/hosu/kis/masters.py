"""The broker's master files: bytes to instruments and back, without a download.

Each market has one file, renewed daily, a zip around one text in cp949 with one instrument a line (KIS portal,
종목정보파일). A line is the short code (9 characters), the ISIN (12), the Korean name padded with blanks, and a coded
part of fixed width that ends the line; counted in characters, only the width from the right is constant. The start
of a KOSPI line, its name's padding and middle cut out::

    005930   KR7005930003삼성전자  ...  ST1002700130000...000071500 0000100001NNN00NNN...

The published widths of the coded part count a line end for two of the three markets, so it is found by its look and
a later widening at its end is passed over.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Final

from hosu.errors import InputError
from hosu.kis.master_fields import FIELDS, decode_tail, encode_tail, tail_fits
from hosu.market.instruments import Instrument, Market

_FOLDER: Final = "https://new.real.download.dws.co.kr/common/master"

MASTER_FILES: Final[dict[Market, str]] = {market: f"{_FOLDER}/{market.lower()}_code.mst.zip" for market in Market}
"""Where the files are; no key and no rate limit."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""More than this, unpacked, is no master file (KOSPI's is under 1 MiB)."""

MAX_LINES: Final = 100_000
"""More lines are no master file either (KOSPI has 2,500)."""

_CODE: Final = slice(0, 9)
_ISIN: Final = slice(9, 21)
_NAME_FROM: Final = 21
_NAME_BYTES: Final = 40  # how wide the name is padded, in bytes of cp949; only our encoder relies on it
_WIDER: Final = 64  # how many characters a future file may add at the end
_SAMPLE: Final = 200  # lines looked at to find the coded part
_AGAIN: Final = "download it again"


def parse_master(data: bytes, market: Market, source: str = "") -> list[Instrument]:
    """The instruments in a master file, in its order.

    Args:
        data: The file as downloaded (a zip), or the text within it.
        market: Which market's file it is.
        source: What to call it in errors; the market's file name if empty.

    Raises:
        InputError: it is not such a file, or a line of it is broken; the error names the line.
    """
    name = source or f"{market.lower()}_code.mst"
    lines = _lines(_text(_unpacked(data, name), name), name)
    width = _tail_width([line for _, line in lines], market, name)
    instruments = [_instrument(line, width, market, f"{name} line {number}") for number, line in lines]
    _check_unique(instruments, lines, name)
    return instruments


def encode_master(instruments: list[Instrument], market: Market) -> bytes:
    """A master file (zip) from which ``parse_master`` reads the same instruments again.

    What the file counts coarsely comes back coarsely: listed shares in thousands, the market value in 100 million.
    Fields that ``Instrument`` does not have are blank. The same instruments give the same bytes.

    Raises:
        InputError: an instrument is of another market, or a value does not fit its field.
    """
    text = b"".join(_line(instrument, market) for instrument in instruments)
    buffer = io.BytesIO()
    entry = zipfile.ZipInfo(f"{market.lower()}_code.mst", date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, text)
    return buffer.getvalue()


# --- bytes to lines -----------------------------------------------------------------------------------------------


_BROKEN_ZIP: Final = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
)


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(b"PK"):
        return _within_size(data, name)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [entry for entry in archive.infolist() if entry.filename.endswith(".mst")]
            if len(members) != 1:
                raise InputError(name, f"the zip holds {len(members)} .mst files instead of one", _AGAIN)
            # Of the other ways of packing, a few bytes may unpack to gigabytes before anybody can count them.
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(name, "the zip is packed in an unusual way", _AGAIN)
            with archive.open(members[0]) as member:
                # The size in the zip's own table may lie, so what counts is what comes out.
                return _within_size(member.read(MAX_BYTES + 1), name)
    except _BROKEN_ZIP as error:
        raise InputError(name, f"is not a readable zip ({error})", _AGAIN) from error


def _within_size(data: bytes, name: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise InputError(name, f"holds more than {MAX_BYTES:,} bytes", "check where it came from")
    return data


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("cp949")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        fault = f"byte {data[error.start]:#04x} is no cp949 text"
        raise InputError(f"{name} line {line}", fault, f"{_AGAIN}, and do not convert it") from error


def _lines(text: str, name: str) -> list[tuple[int, str]]:
    if text.count("\n") > MAX_LINES:
        raise InputError(name, f"has more than {MAX_LINES:,} lines", "check where it came from")
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), start=1)]
    filled = [(number, line) for number, line in lines if line.strip()]
    if not filled:
        raise InputError(name, "is empty", _AGAIN)
    return filled


# --- lines to instruments -----------------------------------------------------------------------------------------


def _tail_width(lines: list[str], market: Market, name: str) -> int:
    known = sum(width for _, width in FIELDS[market])
    sample = lines[:: max(1, len(lines) // _SAMPLE)]
    best = max(range(known, known + _WIDER + 1), key=lambda width: (_fitting(sample, width, market), -width))
    if 2 * _fitting(sample, best, market) <= len(sample):
        fault = f"its lines do not end in the {known} characters of a {market} master file"
        raise InputError(name, fault, f"check that it is {market}'s, and {_AGAIN}")
    return best


def _fitting(lines: list[str], width: int, market: Market) -> int:
    return sum(len(line) >= _NAME_FROM + width and tail_fits(line[-width:], market) for line in lines)


def _instrument(line: str, width: int, market: Market, place: str) -> Instrument:
    if len(line) < _NAME_FROM + width:
        fault = f"has {len(line)} characters, at least {_NAME_FROM + width} are needed"
        raise InputError(place, fault, f"the file is cut off: {_AGAIN}")
    try:
        values = decode_tail(line[-width:], market)
        return Instrument(
            symbol=line[_CODE].rstrip(),
            isin=line[_ISIN].strip(),
            name=line[_NAME_FROM:-width].rstrip(),
            market=market,
            **values,
        )
    except (InputError, ValueError) as error:
        raise InputError(place, str(error), _AGAIN) from error


def _check_unique(instruments: list[Instrument], lines: list[tuple[int, str]], name: str) -> None:
    seen: dict[str, int] = {}
    for instrument, (number, _) in zip(instruments, lines, strict=True):
        if instrument.symbol in seen:
            fault = f"symbol {instrument.symbol} was on line {seen[instrument.symbol]} already"
            raise InputError(f"{name} line {number}", fault, _AGAIN)
        seen[instrument.symbol] = number


# --- instruments to lines -----------------------------------------------------------------------------------------


def _line(instrument: Instrument, market: Market) -> bytes:
    place = f"instrument {instrument.symbol}"
    if instrument.market is not market:
        raise InputError(place, f"is listed on {instrument.market}", f"leave it out of {market}'s file")
    try:
        name = instrument.name.encode("cp949")
    except UnicodeEncodeError as error:
        raise InputError(place, f"name {instrument.name!r} is not cp949 text", "spell it in Korean or ASCII") from error
    if len(name) > _NAME_BYTES or len(instrument.isin) > 12 or not instrument.isin.isascii():
        raise InputError(place, "its name or ISIN is too long for the file", "shorten it")
    head = f"{instrument.symbol:<9}{instrument.isin:<12}".encode("ascii")
    return head + name.ljust(_NAME_BYTES) + encode_tail(instrument, market).encode("ascii") + b"\n"
