"""The gate on worlds whose truth is known, and its checks by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hosu.models import checks
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.gate import Verdict, judge, price_skill, verdict_of
from hosu.models.money import Money, money
from hosu.models.trials import Trial, TrialsInMemory
from hosu.models.walk import FoldFacts, Prediction, Walked, walk
from hosu.models.worlds import flip_labels

TRIAL = Trial("KRX", "1d", "aa", "data-1")


@pytest.mark.parametrize(
    ("passed", "verdict"),
    [
        ((1, 1, 1, 1, 1), "edge"),
        ((1, 1, 0, 1, 1), "uncalibrated"),
        ((1, 1, 1, 0, 1), "signal, not tradable"),
        ((1, 1, 1, 1, 0), "signal, not tradable"),
        ((1, 1, 0, 0, 1), "signal, not tradable"),
        ((0, 1, 1, 1, 1), "no edge"),
        ((1, 0, 0, 0, 0), "no edge"),
    ],
)
def test_the_verdict_in_words(passed, verdict):
    assert verdict_of([bool(one) for one in passed]) == verdict


def walked_by(rows, score, expected=None):
    """As if a model had said the base rates, with half of each score moved from down to up."""
    kept = rows.labelled
    s = np.clip(score[kept], -0.6, 0.6)
    shares = np.array([(rows.label[kept] == k).mean() for k in (-1, 0, 1)])
    probabilities = shares + s[:, None] * np.array([-0.5, 0.0, 0.5])
    said = Prediction(probabilities, np.zeros(len(s)) if expected is None else expected[kept], np.zeros(len(s), bool))
    return Walked(rows.where(kept), said, np.tile(shares, (len(s), 1)), (), 1)


@pytest.mark.parametrize(
    ("strength", "verdict"), [(0.0, Verdict.NO_EDGE), (0.08, Verdict.NOT_TRADABLE), (0.4, Verdict.EDGE)]
)
def test_signals_of_three_strengths_end_in_three_verdicts(make_rows, strength, verdict):
    rows = make_rows(strength=strength)
    # The driver itself, as strong as a model may believe it: a deviation of it is worth so much probability.
    walked = walked_by(rows, rows.features[:, 0] * strength * 0.5)
    rival = walked_by(rows, rows.features[:, 1])
    found = judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=rival)
    assert found.verdict == verdict, found.sentence
    assert found.sentence.startswith(verdict.value)


def test_logistic_is_judged_without_itself_and_others_not_without_it(make_rows):
    rows = make_rows(strength=0.4)
    walked = walk(rows, Configuration(Kind.LINEAR))
    alone = judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=None)
    assert "logistic_ic" not in alone.checks[1].figures
    beside = judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=walked)
    assert not beside.checks[1].passed
    assert beside.checks[1].figures["logistic_gap"] == 0
    assert beside.verdict == Verdict.NO_EDGE


def test_baselines_are_ranked_on_the_rows_from_which_the_model_did_not_abstain(make_rows):
    rows = make_rows(strength=0.4)
    walked = walked_by(rows, rows.features[:, 0])
    abstained = walked.rows.symbol < 15  # 105 of 120 are left
    model = replace(walked, said=replace(walked.said, abstained=abstained))
    ic = checks.daily_ic(model, model.said.score, Rules())
    # On the rows the model says nothing of this one knows all, elsewhere nothing.
    knows = np.where(abstained, walked.rows.ret_ex * 1e3, walked.rows.features[:, 1])
    found = checks.beats_baselines(model, ic, {"rival": knows}, Rules())
    assert found.passed
    assert abs(found.figures["rival_ic"]) < 0.02
    same = checks.beats_baselines(
        walked, checks.daily_ic(walked, walked.said.score, Rules()), {"rival": knows}, Rules()
    )
    assert same.figures["rival_ic"] > 0.05
    assert found.figures["rival_gap"] > same.figures["rival_gap"]


def test_a_baseline_walked_on_other_rows_is_refused(make_rows):
    walked = walked_by(make_rows(), np.zeros(len(make_rows())))
    other = make_rows(sessions=341)
    with pytest.raises(ValueError, match="other rows"):
        judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=walked_by(other, np.zeros(len(other))))


def test_the_trial_is_logged_with_its_ratio_before_it_is_deflated(make_rows):
    rows, trials = make_rows(strength=0.4), TrialsInMemory()
    for number in range(9):
        trials.record(Trial("KRX", "1d", f"{number}", "data-0", 0.0))
    walked = walked_by(rows, rows.features[:, 0])
    found = judge(walked, trial=TRIAL, trials=trials, logistic=None)
    assert found.checks[4].figures["trials"] == 10
    assert trials.history("KRX", "1d")[-1].sharpe == pytest.approx(found.checks[4].figures["sharpe"])


def test_the_more_was_tried_the_less_a_ratio_is_worth():
    excess = 0.002 + 0.02 * np.random.default_rng(0).normal(size=300)
    found = Money(excess, np.zeros(300), np.zeros(300), 1)
    history = [Trial("KRX", "1d", f"{number}", "data") for number in range(200)]
    chances = [
        checks.survives_trials(found, history[:count], Rules()).figures["deflated_sharpe"] for count in (1, 20, 200)
    ]
    assert chances[0] > chances[1] > chances[2]


def money_of(walked):
    return money(walked.rows, walked.said.score, walked.horizon)


def ratios(*sharpes):
    return [Trial("KRX", "1d", f"{number}", "data", sharpe) for number, sharpe in enumerate(sharpes)]


def test_the_variance_of_trials_is_by_their_median_and_never_below_that_of_luck():
    # Median .3, deviations .2 .1 0 .1 and 5.8: the median one is .1, times 1.4826.
    assert checks.trials_variance(ratios(0.1, 0.2, 0.3, 0.4, -5.5, None), 1_001) == pytest.approx(0.14826**2)
    assert checks.trials_variance(ratios(0.1, 0.2, 0.3, 0.4, 0.5), 11) == pytest.approx(0.1)
    assert checks.trials_variance(ratios(0.1, -5.5, None), 101) == pytest.approx(0.01)


def test_trials_that_ordered_nobody_count_as_tried_and_not_in_the_spread_of_luck(make_rows):
    rows, trials = make_rows(strength=0.2), TrialsInMemory()
    good = walked_by(rows, rows.features[:, 0])
    for number in range(6):  # less and less of the signal
        score = rows.features[:, 0] + 0.2 * number * rows.features[:, 1]
        judge(walked_by(rows, score), trial=replace(TRIAL, dataset=f"{number}"), trials=trials, logistic=None)
    for number in range(5):
        flat = walked_by(rows, np.zeros(len(rows)))
        assert checks.holding_sharpe(money_of(flat)) < -5
        judge(flat, trial=replace(TRIAL, dataset=f"flat {number}"), trials=trials, logistic=None)
    kept = trials.history("KRX", "1d")
    assert [each.sharpe for each in kept[6:]] == [None] * 5
    found = judge(good, trial=replace(TRIAL, dataset="last"), trials=trials, logistic=None).checks[4]
    assert (found.figures["trials"], found.passed) == (12, True)
    # As it was with their ratios in the spread: nothing passes any more.
    ratio = checks.holding_sharpe(money_of(walked_by(rows, np.zeros(len(rows)))))
    poisoned = [replace(each, sharpe=ratio) if each.sharpe is None else each for each in kept]
    assert not checks.survives_trials(money_of(good), poisoned, Rules()).passed


def test_a_score_orders_somebody_once_two_of_one_time_differ(make_rows):
    rows = make_rows(symbols=5, sessions=10)
    by_day = walked_by(rows, 0.01 * rows.session)
    assert not checks.orders_somebody(by_day)
    silent = replace(by_day, said=replace(by_day.said, abstained=np.ones(len(by_day.rows), bool)))
    assert not checks.orders_somebody(silent)
    assert checks.orders_somebody(walked_by(rows, 0.01 * (np.arange(len(rows)) == 7)))


def test_overlapping_holdings_count_as_one_for_each_horizon():
    excess = 0.002 + 0.02 * np.random.default_rng(0).normal(size=300)
    one, five = (Money(excess, np.zeros(300), np.zeros(300), h) for h in (1, 5))
    first, second = (checks.survives_trials(m, [], Rules()).figures for m in (one, five))
    assert first["sharpe"] == second["sharpe"]
    assert first["deflated_sharpe"] > second["deflated_sharpe"]


def test_two_holdings_make_no_ratio():
    found = checks.survives_trials(Money(np.array([0.1, 0.2]), np.zeros(2), np.zeros(2), 1), [], Rules())
    assert not found.passed
    assert found.sentence == "too few holdings for a Sharpe ratio"


def test_worlds_turn_overlapping_sessions_together():
    means = checks.flipped_means(np.array([1.0, 1.0, 1.0, 1.0]), horizon=2, seed=0, worlds=400)
    assert set(means) == {-1.0, 0.0, 1.0}
    assert np.mean(means == 0) == pytest.approx(0.5, abs=0.1)


def test_refitted_worlds_are_asked_too_where_they_are_given(make_rows):
    rows = make_rows(strength=0.4)
    walked = walked_by(rows, rows.features[:, 0])
    ic = checks.daily_ic(walked, walked.said.score, Rules())
    without, beside = checks.signal(walked, ic, Rules()), checks.signal(walked, ic, Rules(), [0.01, 0.02])
    assert beside.passed
    assert beside.figures["highest_of_worlds"] == without.figures["highest_of_worlds"]
    assert (beside.figures["highest_refitted"], beside.figures["refitted"]) == (0.02, 2)
    assert beside.sentence == f"{without.sentence}, of 2 learned anew 0.0200"
    assert not checks.signal(walked, ic, Rules(), [0.01, 0.9]).passed


def test_overconfidence_fails_calibration_and_nothing_else(make_rows):
    rows = make_rows(strength=0.4)
    walked = walked_by(rows, np.sign(rows.features[:, 0]) * 0.5)
    assert not checks.calibrated(walked, Rules()).passed
    found = judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=walked_by(rows, rows.features[:, 1]))
    assert (found.verdict, found.calibrated) == (Verdict.UNCALIBRATED, False)
    weak = make_rows(strength=0.0)
    found = judge(
        walked_by(weak, np.sign(weak.features[:, 0]) * 0.5), trial=TRIAL, trials=TrialsInMemory(), logistic=None
    )
    assert (found.verdict, found.calibrated) == (Verdict.NO_EDGE, False)


def test_a_model_that_answers_too_rarely_is_not_calibrated(make_rows):
    rows = make_rows(strength=0.4)
    walked = walked_by(rows, rows.features[:, 0] * 0.2)
    assert checks.calibrated(walked, Rules()).passed
    abstained = np.arange(len(walked.rows)) % 10 > 1
    silent = replace(walked, said=replace(walked.said, abstained=abstained))
    assert checks.calibrated(silent, Rules()).figures["coverage"] == pytest.approx(0.2, abs=0.001)
    silenter = replace(walked, said=replace(walked.said, abstained=np.arange(len(walked.rows)) % 10 > 0))
    assert not checks.calibrated(silenter, Rules()).passed


def test_the_price_is_the_last_one_unless_the_return_is_really_foretold(make_rows):
    rows = make_rows(strength=0.4)
    good = price_skill(walked_by(rows, rows.features[:, 0], 0.008 * rows.features[:, 0]), Rules())
    # The driver has a deviation of 0.008 in returns of deviation sqrt(2 x 0.02² + 0.008²).
    assert good.value == pytest.approx(0.008**2 / (2 * 0.02**2 + 0.008**2), rel=0.15)
    assert good.lower > 0
    bad = price_skill(walked_by(rows, rows.features[:, 0], 0.008 * rows.features[:, 1]), Rules())
    assert bad.value < 0


def test_a_walk_over_turned_labels_finds_nothing(make_rows):
    rows = flip_labels(make_rows(strength=0.4), seed=1)
    walked = walk(rows, Configuration(Kind.GBDT, {"rounds": 15}))
    found = judge(walked, trial=TRIAL, trials=TrialsInMemory(), logistic=None)
    assert isinstance(walked.folds[0], FoldFacts)
    assert found.verdict == Verdict.NO_EDGE
