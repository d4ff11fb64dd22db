"""Instruments, their table, and the spelling of symbols."""

from dataclasses import FrozenInstanceError, fields, replace
from datetime import date

import pyarrow as pa
import pytest

from hosu.errors import InputError
from hosu.market.instruments import (
    INSTRUMENTS,
    Instrument,
    InstrumentType,
    Market,
    WarningLevel,
    from_arrow,
    to_arrow,
    validate_symbol,
)

DAY = date(2026, 2, 20)
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
HALTED = Instrument(
    symbol="Q530036",
    isin="KRG530000367",
    name="삼성 인버스 2X",
    market=Market.KOSPI,
    type=InstrumentType.ETN,
    halted=True,
    warning=WarningLevel.DANGER,
)


def test_the_table_begins_with_the_date_and_has_every_attribute() -> None:
    assert INSTRUMENTS.names[0] == "date"
    assert set(INSTRUMENTS.names[1:]) == {field.name for field in fields(Instrument)}


def test_a_universe_goes_to_arrow_sorted_and_comes_back_equal() -> None:
    table = to_arrow(DAY, [HALTED, SAMSUNG])
    assert table.schema == INSTRUMENTS
    assert table["date"].to_pylist() == ["2026-02-20", "2026-02-20"]
    assert table["base_price"].to_pylist() == [71_500.0, 0.0]
    assert from_arrow(table) == [SAMSUNG, HALTED]
    assert from_arrow(to_arrow(DAY, [])) == []


def test_a_symbol_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="symbol 005930: twice in the universe of 2026-02-20"):
        to_arrow(DAY, [SAMSUNG, replace(SAMSUNG, name="other")])


def test_a_table_that_is_not_ours_is_refused() -> None:
    with pytest.raises(InputError, match="lacks isin, name"):
        from_arrow(pa.table({"symbol": ["005930"]}))
    table = to_arrow(DAY, [SAMSUNG])
    market = table.schema.get_field_index("market")
    with pytest.raises(InputError, match="symbol 005930: 'NASDAQ' is not a valid Market"):
        from_arrow(table.set_column(market, "market", pa.array(["NASDAQ"])))


def test_an_instrument_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        SAMSUNG.halted = True  # type: ignore[misc]


@pytest.mark.parametrize("symbol", ["005930", "00104K", "0000J0", "Q530036", "F70100026"])
def test_symbols_are_six_characters_or_a_letter_and_more(symbol: str) -> None:
    assert validate_symbol(symbol) == symbol


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("5930", "has 4 digits instead of six; keep its leading zeros, as in 005930"),
        (" 00104k", "has blanks around it or small letters; write 00104K"),
        ("삼성전자", "is a name, not a code; look it up with: hosu instruments list"),
        ("1005930", "is not a code of six characters"),
        ("", "is not a code of six characters"),
        ("005930\n", "has blanks around it or small letters; write 005930"),
        ("AAPL", "is not a code of six characters"),
    ],
)
def test_a_misspelt_symbol_is_told_how_to_spell_it(symbol: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_symbol(symbol)
    assert said in str(caught.value)
    assert repr(symbol) in str(caught.value)


def test_an_instrument_checks_its_symbol() -> None:
    with pytest.raises(InputError, match="'593'"):
        replace(SAMSUNG, symbol="593")
