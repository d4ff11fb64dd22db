"""What the demo asks the lake."""

import re

from hosu.cli.demo import _QUESTIONS


def test_no_question_counts_a_repeated_trade_twice() -> None:
    asked = [query for _, query in _QUESTIONS]
    assert not [query for query in asked if re.search(r"\bFROM trades\b", query)]
    assert [query for query in asked if re.search(r"\bFROM trades_unique\b", query)]
