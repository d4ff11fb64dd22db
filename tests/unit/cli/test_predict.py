"""What `hosu predict` prints of many predictions: the surest, and why there is none of others."""

from hosu.cli.predict import reasons, surest


def said(symbol, score, model="day-1", abstained=None):
    return {"symbol": symbol, "model": model, "model_version": 1, "score": score, "abstained": abstained}


ROWS = [
    said("a", 0.01),
    said("b", None, abstained="warming up: ma_50"),
    said("c", -0.2),
    said("d", 0.1),
    said("e", 0.3, "day-5"),
    said("f", None, abstained="outside training: rsi is 1, seen were 2 to 3"),
    said("g", None, abstained="warming up: macd"),
]


def test_the_surest_of_each_model_come_first_and_who_abstained_last():
    assert [row["symbol"] for row in surest(ROWS, 2)] == ["c", "d", "e"]
    assert [row["symbol"] for row in surest(ROWS, 100)] == ["c", "d", "a", "b", "f", "g", "e"]
    assert surest(ROWS, 0) == ROWS


def test_reasons_are_counted_without_their_figures():
    assert reasons(ROWS) == [("warming up", 2), ("outside training", 1)]
