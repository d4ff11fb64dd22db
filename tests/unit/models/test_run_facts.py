"""A version as a run: figures from its report, whatever state that is in."""

import json

import pytest

from hosu.models.history import Event, Version
from hosu.models.run_facts import checks_of, run_of, story_of


def version(**card):
    return Version("minute-10", 3, "edge", card, 1_767_312_000_000_000, serves=False)


def test_a_card_that_tells_little_gives_what_it_tells():
    facts = run_of(version(kind="rf", params={"wings": 2, "odd name!": 1}), {"direction.onnx": b"1"})
    assert facts.params == {
        "kind": "rf",
        "param.wings": "2",
        "param.odd name_": "1",
        "interval": "minute",
        "horizon": "10",
    }
    assert facts.metrics == []
    assert facts.tags["mlflow.note.content"] == "edge"
    assert set(facts.files) == {"card.json", "model/direction.onnx"}
    assert facts.at_ms == 1_767_312_000_000


@pytest.mark.parametrize(
    "report",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"checks": 3, "price": [], "folds": {"ic": 1}}',
        b'{"checks": [1, null], "folds": [7]}',
        b"[" * 100_000,
        b'{"price": {"r2": NaN, "words": "x", "none": null}}',
        b'{"reported": {"r": 1e999}}',
    ],
)
def test_a_report_that_is_none_gives_no_metrics_and_no_error(report):
    assert run_of(version(), {"report.json": report}).metrics == []


def test_figures_have_the_name_of_their_check_and_folds_are_a_series():
    report = {
        "checks": [{"name": "G2: baselines", "passed": True, "figures": {"beside yesterday's": 0.01}}],
        "folds": [{"ic": 0.1}, {"ic": None}, {"ic": 0.3}],
    }
    assert run_of(version(), {"report.json": json.dumps(report).encode()}).metrics == [
        ("G2_ baselines/passed", 1.0, 0),
        ("G2_ baselines/beside yesterday_s", 0.01, 0),
        ("folds/ic", 0.1, 0),
        ("folds/ic", 0.3, 2),
    ]


def test_a_long_history_is_told_from_its_end_as_far_as_there_is_room():
    events = [
        Event("day-1", at + 1, "promoted", at, at, None, "edge", "r" * 100, False, None, at * 86_400_000_000)
        for at in range(100)
    ]
    story = story_of(events)
    assert story.splitlines()[0].startswith("1970-04-10 00:00 promoted 99: rrr")
    assert 3_500 < len(story) <= 4_000
    assert story_of([]) == ""


def test_the_checks_are_told_in_words_and_none_where_there_is_no_report():
    told = {"name": "G1 signal", "passed": False, "figures": {"p": 0.5}, "sentence": "no order"}
    said = {"name": "G1 signal", "passed": False, "sentence": "no order"}
    assert checks_of({"report.json": json.dumps({"checks": [told, 7]}).encode()}) == [said]
    for data in (b"", b"[]", b"\xff", b'{"checks": 3}'):
        assert checks_of({"report.json": data}) == []
    assert checks_of({}) == []
