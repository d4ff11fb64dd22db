"""Rows of predictions: what is said, and the reason in words where nothing is."""

import numpy as np
import pytest

from hosu.errors import FeatureSetError
from hosu.models.predictor import BarFacts, Role, Seat, feature_hash, predict
from hosu.models.served import Served
from model_cases import NAMES, SET, packed

pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

MINUTE = 60_000_000


def facts(count, **changes):
    told = {
        "date": "2026-01-02",
        "symbol": np.array([f"{at:06}" for at in range(count)], object),
        "ts": np.zeros(count, np.int64),
        "decided_at": np.full(count, MINUTE),
        "price": np.full(count, 1_000.0),
        "source": np.array(["trades"] * count, object),
        "stale": np.full(count, None, object),
        "gapped": np.full(count, None, object),
        "uncertified": np.full(count, None, object),
        **changes,
    }
    return BarFacts(**told)


def said(features, served=None, version=7, role=Role.CHAMPION, **changes):
    rows = np.asarray(features, float)
    seat = Seat(served or Served.load(packed(**changes.pop("pack", {}))), version, role)
    found = predict(seat, facts(len(rows), **changes), rows, feature_set=SET, names=NAMES, made_at=lambda: 2 * MINUTE)
    return found.to_pylist()


def test_a_row_holds_what_the_model_says_of_its_bar():
    served = Served.load(packed())
    features = np.array([[1.0, 0.5, -0.5]])
    answer = served.predict(features)
    (row,) = said(features, served, role=Role.CHALLENGER)
    down, flat, up = answer.probabilities[0]
    assert (row["p_down"], row["p_flat"], row["p_up"]) == (down, flat, up)
    assert row["predicted_direction"] == np.argmax([down, flat, up]) - 1
    assert row["confidence"] == max(down, flat, up)
    assert row["score"] == up - down
    assert row["predicted_price"] == 1_000.0 * (1 + answer.expected[0])
    assert (row["model"], row["model_version"], row["role"], row["verdict"]) == ("minute-10", 7, "challenger", "edge")
    assert (row["interval"], row["horizon"], row["persistence"], row["abstained"]) == ("minute", 10, False, None)
    assert row["feature_hash"] == feature_hash(features)[0]
    assert row["made_at"].second == 0
    assert row["made_at"].minute == 2


def test_equally_likely_classes_are_a_small_move():
    prior = Served.of_prior(model="day-1", horizon=1, interval="day", feature_set_version=SET, names=NAMES)
    (row,) = said([[0, 0, 0]], prior)
    assert (row["predicted_direction"], row["confidence"], row["score"]) == (0, 1 / 3, 0.0)
    assert (row["predicted_price"], row["persistence"], row["verdict"]) == (1_000.0, True, "no edge")


def test_without_skill_the_predicted_price_is_the_last_one_to_the_bit():
    (row,) = said([[1.0, 0.5, -0.5]], pack={"persistence": True}, price=np.array([12_345.0]))
    assert (row["predicted_price"], row["persistence"]) == (12_345.0, True)


def test_a_row_without_an_answer_says_nothing_but_why():
    (row,) = said([[np.nan, 0, 0]])
    silent = (
        "predicted_price",
        "persistence",
        "predicted_direction",
        "confidence",
        "p_down",
        "p_flat",
        "p_up",
        "score",
    )
    assert [row[name] for name in silent] == [None] * 8
    assert (row["price"], row["feature_hash"], row["abstained"]) == (1_000.0, None, "warming up: a")


def test_each_reason_is_told_in_words_and_the_gravest_first():
    doubt = np.array(["uncertified day: open"] * 4, object)
    stale = np.array([None, None, None, "stale: no trade in this minute"], object)
    features = [[0, 0, 0], [np.nan, 0, np.nan], [0, 99, 0], [0, 99, 0]]
    rows = said(features, stale=stale, uncertified=doubt)
    assert [row["abstained"] for row in rows[:2]] == [None, "warming up: a, c"]
    assert rows[2]["abstained"].startswith("outside training: b is 99, seen were -")
    assert rows[3]["abstained"] == "stale: no trade in this minute"


def test_only_a_model_of_certified_days_asks_for_certified_days():
    doubt = np.array([None, "uncertified day: open"], object)
    rows = said(np.zeros((2, 3)), uncertified=doubt, pack={"certified_only": True})
    assert [row["abstained"] for row in rows] == [None, "uncertified day: open"]
    rows = said(np.zeros((2, 3)), uncertified=doubt, pack={"certified_only": False})
    assert [row["abstained"] for row in rows] == [None, None]


def test_what_looks_at_features_says_nothing_over_a_hole_whatever_it_was_trained_on():
    hole = np.array([None, "gapped: 10 shares are missing so far"], object)
    for certified_only in (True, False):
        rows = said(np.zeros((2, 3)), gapped=hole, pack={"certified_only": certified_only})
        assert [row["abstained"] for row in rows] == list(hole)
    prior = Served.of_prior(model="day-1", horizon=1, interval="day", feature_set_version=SET, names=NAMES)
    assert [row["abstained"] for row in said(np.zeros((2, 3)), prior, gapped=hole)] == [None, None]


@pytest.mark.parametrize("verdict", ["uncalibrated", "no edge", "signal, not tradable"])
def test_a_champion_that_failed_g3_says_nothing_whatever_its_verdict(verdict):
    (row,) = said(np.zeros((1, 3)), pack={"verdict": verdict, "calibrated": False})
    assert row["abstained"].startswith("uncalibrated: ")
    assert (row["confidence"], row["score"], row["verdict"]) == (None, None, verdict)
    (row,) = said(np.zeros((1, 3)), pack={"verdict": verdict, "calibrated": True})
    assert row["abstained"] is None


def test_a_challenger_that_failed_g3_is_heard_by_the_bets():
    (row,) = said(np.zeros((1, 3)), pack={"verdict": "no edge", "calibrated": False}, role=Role.CHALLENGER)
    assert row["abstained"] is None
    assert row["score"] == row["p_up"] - row["p_down"]


def test_the_same_features_made_by_other_formulas_are_another_set():
    seat = Seat(Served.load(packed()), 1, Role.CHAMPION)
    with pytest.raises(FeatureSetError, match="letters_v1/1, a, b, c and is given letters_v1/2"):
        predict(seat, facts(1), np.zeros((1, 3)), feature_set="letters_v1/2", names=NAMES, made_at=lambda: 0)


def test_the_hash_tells_the_last_bit_and_the_sign_of_nothing():
    features = np.array([[1.0, 0.0], [np.nextafter(1.0, 2), 0.0], [1.0, -0.0], [1.0, 0.0]])
    hashes = feature_hash(features)
    assert hashes[0] == hashes[3]
    assert len(set(hashes)) == 3
    assert feature_hash(np.asfortranarray(features)) == hashes


def test_no_bars_give_no_rows():
    assert said(np.empty((0, 3))) == []
