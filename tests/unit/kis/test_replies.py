import pytest

from hosu.errors import FrameError
from hosu.kis.replies import AskingPrice, Conclusion, DailyBar, Price, flag, number, read_body, rows_of, text, whole


@pytest.mark.parametrize(
    ("value", "as_number", "as_whole"),
    [
        ("128500", 128500.0, 128500),
        (" 128500 ", 128500.0, 128500),
        ("-0.11", -0.11, None),
        ("5,000", 5000.0, 5000),
        ("129097.00", 129097.0, 129097),
        (86400, 86400.0, 86400),
        ("", None, None),
        ("   ", None, None),
        ("nan", None, None),
        ("1e5", None, None),
        ("٣", None, None),
        ("9" * 400, None, None),
        (None, None, None),
        ([1], None, None),
    ],
)
def test_numbers_are_text_and_anything_else_is_none(value, as_number, as_whole):
    assert number({"f": value}, "f") == as_number
    assert whole({"f": value}, "f") == as_whole


def test_the_first_field_that_is_there_counts():
    assert text({"a": " ", "b": " x "}, "a", "b") == "x"
    assert text({}, "a") is None
    assert (flag({"a": "y"}, "a"), flag({"a": "N"}, "a"), flag({"a": "?"}, "a")) == (True, False, None)


def test_an_object_and_a_list_are_both_rows():
    assert rows_of({"output": {"a": "1"}}, "output") == [{"a": "1"}]
    assert rows_of({"output": [{"a": "1"}, 5, None]}, "output") == [{"a": "1"}]
    assert rows_of({"output": {}}, "output") == rows_of({"output": ""}, "output") == rows_of({}, "output") == []


@pytest.mark.parametrize("body", ["", "<html>", "[]", "7", "[" * 100_000])
def test_a_body_that_is_no_object_is_an_error(body):
    with pytest.raises(FrameError, match="not"):
        read_body(body)


def test_a_price_without_fields_is_all_none():
    price = Price.read({})
    assert all(getattr(price, name) is None for name in Price.__slots__)


def test_an_order_book_has_ten_levels_a_side():
    row = {f"askp{n}": str(1000 + n) for n in range(1, 11)} | {"bidp1": "1000", "total_askp_rsqn": "830005"}
    book = AskingPrice.read(row, {"stck_shrn_iscd": "000660", "antc_cnpr": "128000"})
    assert book.ask_prices == tuple(1000.0 + n for n in range(1, 11))
    assert book.bid_prices == (1000.0, *[None] * 9)
    assert (book.symbol, book.ask_total, book.expected_price) == ("000660", 830005, 128000.0)


def test_the_price_of_a_trade_goes_by_two_names():
    assert Conclusion.read({"stck_pbpr": "78900", "cnqn": "2"}).price == 78900.0
    assert Conclusion.read({"stck_prpr": "78900", "cntg_vol": "2"}).size == 2


def test_a_daily_row_without_value_has_none():
    bar = DailyBar.read({"stck_bsop_date": "20220111", "stck_clpr": "128000", "acml_vol": "3908418"})
    assert (bar.date, bar.close, bar.volume, bar.value) == ("20220111", 128000.0, 3908418, None)
