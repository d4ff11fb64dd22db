"""Master files: made by hand from the published widths, and by our encoder."""

import io
import zipfile
from dataclasses import replace
from datetime import date

import pytest

from hosu.errors import InputError
from hosu.kis import masters
from hosu.kis.master_fields import FIELDS
from hosu.kis.masters import MASTER_FILES, encode_master, parse_master
from hosu.market.instruments import Instrument, InstrumentType, Market, WarningLevel

SAMSUNG = Instrument(
    symbol="005930",
    isin="KR7005930003",
    name="삼성전자",
    market=Market.KOSPI,
    type=InstrumentType.STOCK,
    group="ST",
    listed=date(1975, 6, 11),
    base_price=71_500,
    previous_volume=12_345_678,
    listed_shares=5_919_638_000,
    par_value=100,
    market_cap=423_254_100_000_000,
    fiscal_month=12,
    kospi200_sector="5",
    indices=("KOSPI100", "KOSPI200", "KOSPI50", "KRX100", "KRX300"),
)
ETN = Instrument(
    symbol="Q530036",
    isin="KRG530000367",
    name="삼성 인버스 2X WTI원유 선물 ETN",
    market=Market.KOSPI,
    type=InstrumentType.ETN,
    group="EN",
    base_price=105,
    halted=True,
    warning=WarningLevel.DANGER,
    overheated=True,
)
KOSDAQ = Instrument(
    symbol="247540",
    isin="KR7247540008",
    name="에코프로비엠",
    market=Market.KOSDAQ,
    type=InstrumentType.STOCK,
    group="ST",
    listed=date(2019, 3, 5),
    base_price=121_000,
    liquidation=True,
    administrative=True,
    unfaithful=True,
    backdoor=True,
    warning_notice=True,
    warning=WarningLevel.CAUTION,
    low_liquidity=True,
    spac=True,
    indices=("KOSDAQ150", "KRX300"),
)
KONEX = Instrument(
    symbol="0000J0",
    isin="KR70000J0000",
    name="코넥스",
    market=Market.KONEX,
    type=InstrumentType.STOCK,
    group="ST",
    base_price=3_000,
    preferred=True,
)

# By hand: 227 characters, in the groups of the published widths.
TAIL = (
    "ST1002700130000"  # group, size, three sectors
    "YNN5YYYNNY"  # manufacturing, low liquidity, governance, KOSPI200, 100, 50, KRX, ETP, ELW, KRX100
    "NYNNNNN0NN NNNNN"  # four sectors, SPAC, two sectors, overheated, two sectors, unnamed, four sectors, SRI
    "000071500"  # base price
    "0000100001NNN00NNN"  # lots; halted, liquidation, administrative; warning; notice, unfaithful, back-door
    "000000"  # ex-rights, par change, capital increase
    "020Y090"  # margin rate, credit, its days
    "000012345678"  # volume of the day before
    "000000000100"  # par value
    "19750611"
    "000000005919638"  # thousands of shares
    "000000000000778046685"  # capital
    "12"
    "0000000"  # offer price
    "0NNYY"  # preferred, short-sale overheated, unusual rise, KRX300, KOSPI
    "000716247000089240000098345"  # sales, operating and ordinary profit
    "68432"
    "000000012"
    "20250630"
    "004232541"  # market value in 100 million won
    "   NNN"  # business group; credit limit, loan, stock loan
)


def line(tail: str = TAIL, symbol: str = "005930", name: str = "삼성전자") -> bytes:
    padded = name.encode("cp949").ljust(40)
    return f"{symbol:<9}KR7005930003".encode("ascii") + padded + tail.encode("ascii") + b"\n"


def zipped(content: bytes, name: str = "kospi_code.mst") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_the_published_widths() -> None:
    assert {market: sum(width for _, width in layout) for market, layout in FIELDS.items()} == {
        Market.KOSPI: 227,
        Market.KOSDAQ: 221,
        Market.KONEX: 184,
    }
    assert len(TAIL) == 227


def test_where_the_files_are() -> None:
    assert MASTER_FILES[Market.KOSDAQ] == ("https://new.real.download.dws.co.kr/common/master/kosdaq_code.mst.zip")


@pytest.mark.parametrize("wrap", [zipped, bytes])
def test_a_line_made_by_hand(wrap: object) -> None:
    assert parse_master(wrap(line()), Market.KOSPI) == [SAMSUNG]  # type: ignore[operator]


def test_line_ends_of_either_kind_and_blank_lines_do_not_matter() -> None:
    text = line().replace(b"\n", b"\r\n") + b"\r\n"
    assert parse_master(text, Market.KOSPI) == [SAMSUNG]


def test_a_name_is_counted_in_characters() -> None:
    wide = line(symbol="000001", name="가나다라마바사아자차카타파하가나다라마바")  # fills its 40 bytes
    narrow = line(symbol="000002", name="A")
    names = [instrument.name for instrument in parse_master(wide + narrow, Market.KOSPI)]
    assert names == ["가나다라마바사아자차카타파하가나다라마바", "A"]


def test_a_file_that_became_wider_at_its_end_is_still_read() -> None:
    text = b"".join(line(TAIL + "00NEW", symbol=f"{number:06d}") for number in range(300))
    instruments = parse_master(text, Market.KOSPI)
    assert len(instruments) == 300
    assert instruments[17] == replace(SAMSUNG, symbol="000017")


@pytest.mark.parametrize(
    ("market", "instruments"),
    [(Market.KOSPI, [SAMSUNG, ETN]), (Market.KOSDAQ, [KOSDAQ]), (Market.KONEX, [KONEX])],
)
def test_encoding_and_parsing_give_the_same_instruments(market: Market, instruments: list[Instrument]) -> None:
    data = encode_master(instruments, market)
    assert parse_master(data, market) == instruments
    assert encode_master(instruments, market) == data


def test_what_the_file_cannot_hold_comes_back_coarser() -> None:
    given = replace(ETN, group="", listed_shares=1_999, indices=("KOSPI200",), kospi200_sector="")
    (read,) = parse_master(encode_master([given], Market.KOSPI), Market.KOSPI)
    assert (read.group, read.listed_shares, read.kospi200_sector) == ("EN", 1_000, "1")


def test_a_group_that_is_new_to_us_is_kept_as_it_came() -> None:
    (read,) = parse_master(line("ZZ" + TAIL[2:]), Market.KOSPI)
    assert (read.type, read.group) == (InstrumentType.OTHER, "ZZ")


def test_blank_numbers_are_zero_and_blank_dates_none() -> None:
    blank = TAIL.replace("000012345678", " " * 12).replace("19750611", "00000000")
    (read,) = parse_master(line(blank), Market.KOSPI)
    assert (read.previous_volume, read.listed) == (0, None)


def hostile() -> list[tuple[str, bytes, str]]:
    good = line()
    second = line(symbol="000660")
    return [
        ("empty", b"", "kospi_code.mst: is empty; download it again"),
        ("blank", b"\n \r\n", "is empty"),
        ("web page", b"<html><body>404</body></html>", "do not end in the 227 characters of a KOSPI master file"),
        ("utf-8", "005930   삼성전자 가각갂\n".encode(), "line 1: byte "),
        ("wrong byte", good + b"\xff" + second, "kospi_code.mst line 2: byte 0xff is no cp949 text"),
        ("cut zip", zipped(good)[:-40], "is not a readable zip"),
        ("no zip", b"PK\x03\x04 and nothing else", "is not a readable zip"),
        ("other file", zipped(good, "readme.txt"), "holds 0 .mst files instead of one"),
        ("cut line", good + second + line(symbol="000270")[:200], "kospi_code.mst line 3: has "),
        ("lost byte", good + second + line(symbol="000270")[:-2], "line 3: group is ' S', not two capital letters"),
        ("bad symbol", good + line(symbol="삼성"[:0]), "line 2: symbol ''"),
        ("bad number", good + line(TAIL.replace("000012345678", "00001234567X")), "line 2: previous_volume is"),
        ("bad date", good + line(TAIL.replace("19750611", "19751311")), "line 2: listed is '19751311', not a date"),
        ("bad code", good + line(TAIL.replace("NNN00NNN", "NNN09NNN")), "line 2: warning is '09'"),
        ("twice", good + second + good, "line 3: symbol 005930 was on line 1 already"),
    ]


@pytest.mark.parametrize(("data", "said"), [row[1:] for row in hostile()], ids=[row[0] for row in hostile()])
def test_hostile_files_are_named_with_their_line(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_master(data, Market.KOSPI)
    assert said in str(caught.value)


def test_errors_name_the_source_they_were_given() -> None:
    with pytest.raises(InputError, match=r"downloads/k\.zip: is empty"):
        parse_master(b"", Market.KOSPI, source="downloads/k.zip")


def test_another_markets_file_is_refused() -> None:
    with pytest.raises(InputError, match="check that it is KOSPI's"):
        parse_master(encode_master([KONEX], Market.KONEX), Market.KOSPI)


def test_a_zip_that_unfolds_without_end_is_not_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masters, "MAX_BYTES", 1_000_000)
    bomb = zipped(b"0" * 2_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(InputError, match="holds more than 1,000,000 bytes"):
        parse_master(bomb, Market.KOSPI)
    with pytest.raises(InputError, match="holds more than 1,000,000 bytes"):
        parse_master(b"0" * 2_000_000, Market.KOSPI)


@pytest.mark.parametrize(
    ("instrument", "said"),
    [
        (KONEX, "instrument 0000J0: is listed on KONEX"),
        (replace(SAMSUNG, name="日本語🙂"), "is not cp949 text"),
        (replace(SAMSUNG, name="가" * 21), "its name or ISIN is too long"),
        (replace(SAMSUNG, base_price=10_000_000_000), "base_price 10000000000 does not fit 9 characters"),
        (replace(SAMSUNG, base_price=-1_000_000_000), "base_price -1000000000 does not fit 9 characters"),
        (replace(SAMSUNG, kospi200_sector="12"), "kospi200_sector '12' does not fit 1 characters"),
        (replace(SAMSUNG, group="", type=InstrumentType.OTHER), "group '' does not fit 2 characters"),
    ],
)
def test_what_does_not_fit_the_file_is_refused(instrument: Instrument, said: str) -> None:
    with pytest.raises(InputError) as caught:
        encode_master([instrument], Market.KOSPI)
    assert said in str(caught.value)
