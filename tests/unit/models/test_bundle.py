"""Models as files: they answer as the model did, and what is damaged says so."""

import json

import numpy as np
import pytest

from hosu.errors import FeatureSetError, ModelDamagedError
from hosu.models.bundle import EQUAL, check_equal, pack
from hosu.models.estimators import Configuration, Kind
from hosu.models.linear import Logistic
from hosu.models.serve_facts import SERVE
from hosu.models.served import DIRECTION, PRICE, Served
from hosu.models.walk import Learned
from model_cases import NAMES, SET, learned, packed, rows

pytest.importorskip("onnxruntime")
pytest.importorskip("lightgbm")
pytest.importorskip("sklearn")

KINDS = ("prior", "linear", "gbdt", "rf", "forest")


@pytest.mark.parametrize("kind", KINDS)
def test_files_answer_as_the_model_did_bare_and_mixed(kind):
    model, served = learned(kind), Served.load(packed(kind))
    features = rows(seed=7)[0]
    said, answered = model.predict(features, NAMES), served.predict(features, NAMES)
    assert np.abs(said.probabilities - answered.probabilities).max() < EQUAL
    assert np.abs(said.expected - answered.expected).max() < EQUAL
    assert (said.abstained == answered.abstained).all()
    assert np.abs(model.direction.probabilities(features) - served.direction(features)).max() < EQUAL


@pytest.mark.parametrize("kind", ["gbdt", "rf", "forest"])
def test_features_that_lie_on_a_threshold_or_beside_it_go_the_same_way(kind):
    model, served = learned(kind), Served.load(packed(kind))
    trees = model.direction.model.estimators_ if kind == "forest" else None
    if trees is None:
        edges = model.direction.booster.trees_to_dataframe()
        edges = edges[edges.split_feature == "Column_0"].threshold.to_numpy(float)
    else:
        edges = np.concatenate([tree.tree_.threshold[tree.tree_.feature == 0] for tree in trees])
    beside = [edges, np.nextafter(edges, 9), np.nextafter(edges, -9), edges.astype(np.float32).astype(float)]
    first = np.concatenate(beside)
    features = np.column_stack([first, np.zeros((len(first), 2))])
    assert np.abs(model.direction.probabilities(features) - served.direction(features)).max() < EQUAL


def test_a_class_that_never_happened_has_no_probability():
    for kind in ("linear", "forest"):
        model = learned(kind, classes=2)
        files = pack(model, Configuration(Kind(kind)), model="day-1", horizon=1, interval="day",
                     feature_set_version=SET, persistence=True, verdict="edge", calibrated=True,
                     certified_only=True, sample=rows(seed=1)[0])  # fmt: skip
        assert Served.load(files).direction(rows(seed=2)[0])[:, 0].max() < 1e-7


def test_a_null_and_what_training_has_not_seen_are_abstained_from():
    served = Served.load(packed())
    low, high = served.facts.low[0], served.facts.high[0]
    features = np.array([[0, 0, 0], [np.nan, 0, 0], [np.nextafter(low, -9), 0, 0], [low, 0, 0], [high, 0, 0]], float)
    said = served.predict(features)
    assert said.abstained.tolist() == [False, True, True, False, False]
    assert said.probabilities[1].tolist() == list(served.facts.prior)
    assert said.expected[1] == 0


def test_the_numbers_beside_the_files_are_read_back_to_the_last_bit():
    model, facts = learned("gbdt"), Served.load(packed("gbdt")).facts
    assert facts.prior == tuple(model.prior.tolist())
    assert facts.low == tuple(model.low.tolist())
    assert facts.high == tuple(model.high.tolist())
    assert (facts.mix, facts.price_mix, facts.names) == (0.75, 0.5, NAMES)
    assert facts.tenths[0] == tuple(np.quantile(rows(seed=1)[0][:, 0], np.arange(1, 10) / 10).tolist())
    assert facts.trees == 120


def test_another_feature_set_is_refused_by_name():
    with pytest.raises(FeatureSetError, match="learned from a, b, c and is given a, b, d"):
        Served.load(packed()).predict(np.zeros((1, 3)), ("a", "b", "d"))


def test_the_prior_needs_no_file_and_looks_at_no_feature():
    prior = Served.of_prior(model="day-1", horizon=1, interval="day", feature_set_version=SET, names=NAMES,
                            prior=(0.3, 0.5, 0.2))  # fmt: skip
    said = prior.predict(np.full((2, 3), np.nan), NAMES)
    assert said.probabilities.tolist() == [[0.3, 0.5, 0.2]] * 2
    assert said.expected.tolist() == [0, 0]
    assert not said.abstained.any()


def test_no_rows_have_no_answers():
    assert Served.load(packed("gbdt")).predict(np.empty((0, 3))).probabilities.shape == (0, 3)


def report(*checks):
    return json.dumps({"checks": [{"name": name, "passed": passed} for name, passed in checks]}).encode()


@pytest.mark.parametrize(
    ("verdict", "kept", "calibrated"),
    [
        ("no edge", report(("G1 signal", False), ("G3 calibration", False)), False),
        ("no edge", report(("G1 signal", False), ("G3 calibration", True)), True),
        ("signal, not tradable", b"no report", True),
        ("uncalibrated", b"no report", False),
    ],
)
def test_of_files_kept_before_they_said_so_the_report_tells_whether_g3_was_passed(verdict, kept, calibrated):
    files = packed(verdict=verdict)
    told = json.loads(files[SERVE])
    assert told.pop("calibrated") is True
    assert Served.load({**files, SERVE: json.dumps(told).encode(), "report.json": kept}).facts.calibrated is calibrated
    assert Served.load({**files, "report.json": kept}).facts.calibrated is True


@pytest.mark.parametrize("name", [DIRECTION, PRICE, SERVE])
def test_a_file_that_is_missing_cut_off_or_foreign_is_damage(name):
    files = packed("gbdt")
    for wrong in (b"", files[name][: len(files[name]) // 2], b"not a model", files[name][:-1], None):
        broken = {**files, name: wrong} if wrong is not None else {k: v for k, v in files.items() if k != name}
        with pytest.raises(ModelDamagedError, match="train it again or roll back"):
            Served.load(broken)


def test_a_file_of_another_model_is_damage():
    files = packed("gbdt")
    with pytest.raises(ModelDamagedError, match="it takes and gives"):
        Served.load({**files, DIRECTION: files[PRICE]})


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"mix": 1.5}, {"prior": [0.5, 0.5]}, {"low": ["a", 1, 2]}, {"names": ["a"]}, {"extra": 1},
     {"high": [1, 2, None]}, {"names": 7}, {"mix": float("nan")}],
)  # fmt: skip
def test_numbers_that_cannot_be_are_damage(change):
    files = packed()
    told = {**json.loads(files[SERVE]), **change}
    with pytest.raises(ModelDamagedError):
        Served.load({**files, SERVE: json.dumps(told).encode()})


def test_files_that_answer_otherwise_are_not_packed():
    model, served = learned("linear"), Served.load(packed())
    other = Logistic()
    other.scaler, other.coefficients = model.direction.scaler, model.direction.coefficients
    other.intercepts = model.direction.intercepts + np.array([0, 0, 1e-4])
    changed = Learned(NAMES, other, model.price, model.prior, 0.0, 0.5, model.low, model.high)
    features = rows()[0]
    with pytest.raises(ModelDamagedError, match=r"differ by .* in direction"):
        check_equal(changed, served, features, features)


def test_a_sample_without_a_complete_row_cannot_prove_anything():
    with pytest.raises(ModelDamagedError, match="no row of the sample"):
        packed(sample=np.full((5, 3), np.nan))
