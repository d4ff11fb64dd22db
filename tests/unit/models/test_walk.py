"""The walk: what is learned, when it abstains, and that a wrong split is found out by a world without signal."""

from dataclasses import replace

import numpy as np
import pytest

from hosu.errors import FeatureSetError, InputError, NotEnoughDataError, UnusableRowsError
from hosu.models import checks
from hosu.models.calibration import by_session, mix_of
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.splits import Fold, walk_forward, whole
from hosu.models.walk import learn, walk

SMALL = {"rounds": 15}


@pytest.mark.parametrize(
    ("kind", "params"),
    [(Kind.LINEAR, {}), (Kind.GBDT, SMALL), (Kind.RF, {"rounds": 30, "leaves": 15}), (Kind.FOREST, {"trees": 20})],
)
def test_every_kind_finds_a_planted_signal_and_says_probabilities(make_rows, kind, params):
    rows = make_rows(symbols=40, sessions=200, strength=0.5)
    fold = walk_forward(rows, min_train=120, min_test=1)[0]
    learned = learn(rows, fold, Configuration(kind, params))
    said = learned.predict(rows.features[fold.test])
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1)
    assert (said.probabilities >= 0).all()
    answered = ~said.abstained
    assert np.corrcoef(said.score[answered], rows.features[fold.test, 0][answered])[0, 1] > 0.7
    assert np.corrcoef(said.expected[answered], rows.features[fold.test, 0][answered])[0, 1] > 0.6
    importance = learned.direction.importance()
    assert importance.sum() == pytest.approx(1)
    assert importance.argmax() == 0


def test_the_prior_says_base_rates_and_the_last_price_and_orders_nothing(make_rows):
    rows = make_rows(symbols=40, sessions=200, strength=0.5)
    fold = walk_forward(rows, min_train=120, min_test=1)[0]
    said = learn(rows, fold, Configuration(Kind.PRIOR)).predict(rows.features[fold.test])
    shares = [(rows.label[fold.fit] == k).mean() for k in (-1, 0, 1)]
    np.testing.assert_allclose(said.probabilities, np.tile(shares, (len(fold.test), 1)), atol=1e-12)
    assert (said.expected == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_a_row_with_a_feature_that_is_null_or_never_seen_gets_the_prior_and_is_marked(make_rows, value):
    rows = make_rows(symbols=40, sessions=200, strength=0.5)
    learned = learn(rows, whole(rows), Configuration(Kind.LINEAR))
    said = learned.predict(np.array([[0.5, value, 0.0], [0.5, 0.0, 0.0]]), rows.names)
    assert said.abstained.tolist() == [True, False]
    assert said.probabilities[0].tolist() == learned.prior.tolist()
    assert said.expected[0] == 0
    assert np.isnan(said.score[0])


def test_other_features_than_learned_from_are_refused(make_rows):
    rows = make_rows(symbols=40, sessions=200)
    learned = learn(rows, whole(rows), Configuration(Kind.PRIOR))
    with pytest.raises(FeatureSetError, match="learned from a, b, c and is given b, a, c"):
        learned.predict(rows.features[:1], ("b", "a", "c"))


def test_a_walk_tests_each_labelled_row_of_its_months_once_and_repeats_itself(make_rows):
    rows = make_rows(symbols=20, sessions=340, strength=0.3)
    seen = []
    walked = walk(rows, Configuration(Kind.GBDT, SMALL), progress=lambda *step: seen.append(step))
    again = walk(rows, Configuration(Kind.GBDT, SMALL))
    assert seen[0] == (0, len(walked.folds), "2024-07")
    assert walked.rows.sessions[walked.rows.session[0]] == "2024-07-01"
    assert len(walked.rows) == int((rows.labelled & (rows.session >= walked.rows.session[0])).sum())
    assert walked.said.probabilities.tobytes() == again.said.probabilities.tobytes()
    assert walked.said.expected.tobytes() == again.said.expected.tobytes()


def test_nothing_behind_a_folds_first_decision_changes_what_it_says(make_rows):
    rows = make_rows(symbols=20, sessions=340, strength=0.3)
    walked = walk(rows, Configuration(Kind.LINEAR))
    july = walked.rows.session == walked.rows.session[0]
    later = rows.session >= walked.rows.session[0]
    other = replace(rows, label=np.where(later, -rows.label, rows.label), ret_px=np.where(later, -9.0, rows.ret_px))
    changed = walk(other, Configuration(Kind.LINEAR))
    assert changed.said.probabilities[july].tobytes() == walked.said.probabilities[july].tobytes()
    assert changed.said.expected[july].tobytes() == walked.said.expected[july].tobytes()


def shuffled_folds(rows, count=5, seed=0):
    """What tutorials do: rows dealt at random, so that those of one day, and overlapping labels, are on both sides."""
    usable = np.flatnonzero(rows.labelled)
    part = np.random.default_rng(seed).integers(0, count, len(usable))
    folds = []
    for k in range(count):
        train = usable[part != k]
        folds.append(Fold(f"{k}", train[train % 5 > 0], train[train % 5 == 0], usable[part == k]))
    return folds


def world_without_signal(make_rows):
    """Labels of ten sessions, which overlap, and features that tell symbol and time of the year: a row's neighbours
    in time have its features and nearly its label."""
    rows = make_rows(symbols=12, sessions=330, horizon=10, seed=3)
    angle = 2 * np.pi * rows.session / 165
    return replace(rows, features=np.column_stack([rows.symbol, np.sin(angle), np.cos(angle)]).astype(float))


def test_shuffled_folds_find_skill_in_a_world_without_any_and_ours_do_not(make_rows):
    rows, rules = world_without_signal(make_rows), Rules(min_symbols=12)
    configuration = Configuration(Kind.GBDT, {"rounds": 30, "leaves": 127, "rate": 0.3})
    wrong = walk(rows, configuration, folds=shuffled_folds(rows, 2))
    ours = walk(rows, configuration)
    alarm = checks.signal(wrong, checks.daily_ic(wrong, wrong.said.score, rules), rules)
    quiet = checks.signal(ours, checks.daily_ic(ours, ours.said.score, rules), rules)
    assert alarm.passed
    assert alarm.figures["ic"] > 0.2
    assert not quiet.passed
    assert quiet.figures["ic"] < 0.05


def test_a_null_feature_one_class_and_too_long_a_horizon_are_told_by_name(make_rows):
    rows = make_rows(symbols=20, sessions=340)
    empty = rows.features.copy()
    empty[:, 1] = np.nan
    with pytest.raises(UnusableRowsError, match="b null in every row"):
        walk(replace(rows, features=empty), Configuration(Kind.LINEAR))
    with pytest.raises(UnusableRowsError, match="all labels are 1"):
        walk(replace(rows, label=np.ones_like(rows.label)), Configuration(Kind.LINEAR))
    with pytest.raises(NotEnoughDataError, match="training sessions"):
        walk(make_rows(symbols=20, sessions=340, horizon=335), Configuration(Kind.LINEAR))
    with pytest.raises(InputError, match="depth"):
        walk(rows, Configuration(Kind.LINEAR, {"depth": 3}))


def test_the_mix_is_the_models_share_that_fits_best_each_session_weighing_the_same():
    session = np.array([0, 1, 1, 1])
    np.testing.assert_allclose(by_session(session), [1 / 2, 1 / 6, 1 / 6, 1 / 6])
    # Session 0: said 1, was 1. Session 1: said 1, was 0, three times. Equal weights: half is best; by rows a quarter.
    said, truth = np.ones(4), np.array([1.0, 0, 0, 0])
    assert mix_of(said, np.zeros(4), truth, by_session(session)) == pytest.approx(0.5)


@pytest.mark.parametrize(("truth", "mix"), [(3.0, 1.0), (-1.0, 0.0)])
def test_the_mix_stays_between_prior_and_model(truth, mix):
    assert mix_of(np.ones(2), np.zeros(2), np.full(2, truth), np.full(2, 0.5)) == mix


def test_configurations_differ_by_all_that_is_tried():
    base = Configuration(Kind.GBDT, {"rounds": 80})
    assert base.key == Configuration(Kind.GBDT, {"rounds": 80}).key
    others = [
        Configuration(Kind.RF, {"rounds": 80}),
        Configuration(Kind.GBDT, {"rounds": 81}),
        Configuration(Kind.GBDT, {"rounds": 80}, seed=1),
        Configuration(Kind.GBDT, {"rounds": 80}, feature_set="spec_v1"),
    ]
    assert len({base.key, *(other.key for other in others)}) == 5
