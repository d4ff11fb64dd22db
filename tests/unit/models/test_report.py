"""The report: the verdict first, and nothing from elsewhere."""

import json
import re
from xml.etree import ElementTree as ET

import pytest

from hosu.models import report
from hosu.models.estimators import Configuration, Kind
from hosu.models.gate import judge
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
