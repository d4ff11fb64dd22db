"""The report: the verdict first, and nothing from elsewhere."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

from hosu.models import report
from hosu.models.estimators import Configuration, Kind
from hosu.models.gate import judge
from hosu.models.plots import ticks
from hosu.models.trials import Trial, TrialsInMemory
from hosu.models.walk import walk


@pytest.fixture(scope="module")
def judged():
    import importlib.util
    from pathlib import Path

    found = importlib.util.spec_from_file_location("worlds_of_tests", Path(__file__).parent / "conftest.py")
    made = importlib.util.module_from_spec(found)
    found.loader.exec_module(made)
    walked = walk(made.rows_of(symbols=110, strength=0.1), Configuration(Kind.LINEAR))
    trial = Trial("KRX", "1d", "aa", "data-1")
    return judge(walked, trial=trial, trials=TrialsInMemory(), logistic=None), walked


def test_the_first_figure_is_the_verdict_and_all_of_them_are_json(judged):
    text = report.as_json(*judged, {"dataset": "data-1"})
    told = json.loads(text)
    assert next(iter(told)) == "verdict"
    assert told["verdict"] == judged[0].verdict.value
    assert [check["name"][:2] for check in told["checks"]] == ["G1", "G2", "G3", "G4", "G5"]
    assert told["about"] == {"dataset": "data-1"}
    assert told["folds"][0]["name"] == "2024-07"
    assert sum(fold["test_rows"] for fold in told["folds"]) == told["sessions"]["rows"] == len(judged[1].rows)
    assert "NaN" not in text


def test_the_page_begins_with_the_verdict_and_asks_nobody(judged):
    page = report.as_html(*judged, {"dataset": "<script>alert(1)</script>"})
    assert re.search(r"<body>|<h1>(.*?)</h1>", page).group(1) == judged[0].verdict.value
    assert "<script>" not in page
    assert not re.search(r"(src|href)=|url\(|https?://", page)
    assert page.count("<svg") == 4


def test_the_plots_are_well_formed(judged):
    page = report.as_html(*judged, {})
    plots = [ET.fromstring(plot) for plot in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    assert [plot.tag.rpartition("}")[2] for plot in plots] == ["svg"] * 4


def test_the_price_says_whether_it_is_the_last_one(judged):
    assert ("persistence" in report.as_html(*judged, {})) == judged[0].persistence


def test_the_ticks_of_an_axis_are_round_and_within_it():
    assert ticks(0.183, 0.521, 5) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert ticks(0.0, 228.0, 4) == [0.0, 100.0, 200.0]
    assert ticks(-0.032, 1.514, 5) == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert ticks(1.0, 2.0, 5) == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8, 2.0])


def test_the_equity_is_drawn_over_dates_and_who_was_judged_is_said(judged):
    page = report.as_html(*judged, {"model": "day-1", "kind": "linear", "feature set": "scale_free_v1"})
    assert f"<p>day-1, linear, scale_free_v1, {judged[1].rows.sessions[judged[1].rows.session.min()]} to " in page
    texts = re.findall(r"<text[^>]*>(\d{4}-\d\d-\d\d)</text>", page)
    assert texts
    assert set(texts) <= set(judged[1].rows.sessions)
