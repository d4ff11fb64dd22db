"""The walk through history: each month predicted by models that learned from what had ended before it.

What is learned in one fold is what would be served: the model, its scaler, the prior, the mix of the two and the
range of each feature in training, fitted together, and predicting in one place, so that what the gate judges is what
is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import FeatureSetError, NotEnoughDataError
from hosu.models.baselines import LastPrice, base_rates
from hosu.models.calibration import by_session, mix_of
from hosu.models.estimators import check_learnable
from hosu.models.scores import DOWN, UP
from hosu.models.splits import walk_forward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from hosu.features.panel import Flags, Floats, LabelledRows
    from hosu.models.estimators import Configuration, DirectionModel, PriceModel
    from hosu.models.splits import Fold

OUTSIDE: Final = 0.001
"""A feature below this quantile of training, or above one minus it, is one the model has hardly seen."""

_CLASSES: Final = np.array([-1, 0, 1])


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is said of ``n`` rows.

    Attributes:
        probabilities: (n, 3) calibrated, of -1, 0 and 1; those of the prior where abstained.
        expected: (n,) expected ``ret_px``; 0 where abstained.
        abstained: (n,) whether a feature is null, or outside of what training has seen.
    """

    probabilities: Floats
    expected: Floats
    abstained: Flags

    @property
    def score(self) -> Floats:
        """(n,) s = p(+1) - p(-1), what is ranked and traded by; NaN where abstained."""
        return np.where(self.abstained, np.nan, self.probabilities[:, UP] - self.probabilities[:, DOWN])


@dataclass(frozen=True, slots=True)
class Learned:
    """All that is needed to predict, of one fold.

    Attributes:
        names: of the features, in order.
        prior: (3,) base rates, each session weighing the same.
        mix, price_mix: the model's share beside the prior; 0 is the prior, and says so.
        low, high: (k,) the range of each feature within which the model answers.
    """

    names: tuple[str, ...]
    direction: DirectionModel
    price: PriceModel
    prior: Floats
    mix: float
    price_mix: float
    low: Floats
    high: Floats

    def predict(self, features: Floats, names: tuple[str, ...] | None = None) -> Prediction:
        """What is said of rows of features.

        Raises:
            FeatureSetError: ``names`` are not those it learned from.
        """
        if names is not None and names != self.names:
            raise FeatureSetError(self.names, names)
        with np.errstate(invalid="ignore"):
            answered = np.asarray(
                ((features >= self.low) & (features <= self.high)).all(axis=1)
            )  # of NaN neither holds
        probabilities, expected = np.tile(self.prior, (len(features), 1)), np.zeros(len(features))
        if answered.any():
            inside = features[answered]
            said = self.direction.probabilities(inside)
            probabilities[answered] = self.mix * said + (1 - self.mix) * self.prior
            expected[answered] = self.price_mix * self.price.expected(inside)
        return Prediction(probabilities, expected, ~answered)


def learn(
    rows: LabelledRows, fold: Fold, configuration: Configuration, *, threads: int = 1, with_price: bool = True
) -> Learned:
    """Everything that is fitted, on the fold's training rows. Without ``with_price`` the price stays the last one.

    Raises:
        NotEnoughDataError: after purging nothing is left to fit on: a horizon about as long as the data.
        UnusableRowsError: a feature is null in every row, or all rows are of one class.
        InputError: a parameter is unknown to the kind of model.
        NotInstalledError: a library of the extra ``models`` is missing.
    """
    if not len(fold.fit) or not len(fold.calibrate):
        raise NotEnoughDataError("rows to fit on whose labels have ended", min(len(fold.fit), len(fold.calibrate)), 1)
    x, label = rows.features[fold.fit], rows.label[fold.fit]
    check_learnable(rows.names, x, label)
    weight, seed = rows.weight[fold.fit], configuration.seed
    prior = base_rates(label, by_session(rows.session[fold.fit]))
    direction = configuration.direction(threads).fit(x, label, weight, seed)
    expecting: PriceModel = configuration.price(threads) if with_price else LastPrice()
    price = expecting.fit(x, rows.ret_px[fold.fit], weight, seed)
    low, high = np.quantile(x, [OUTSIDE, 1 - OUTSIDE], axis=0)
    mix, price_mix = _mixes(rows, fold.calibrate, direction, price, prior)
    return Learned(rows.names, direction, price, prior, mix, price_mix, low, high)


def _mixes(
    rows: LabelledRows, places: npt.NDArray[np.int64], direction: DirectionModel, price: PriceModel, prior: Floats
) -> tuple[float, float]:
    x, equal = rows.features[places], by_session(rows.session[places])
    happened = (rows.label[places][:, None] == _CLASSES).astype(np.float64)
    ret = rows.ret_px[places]
    return (
        mix_of(direction.probabilities(x), prior, happened, equal),
        mix_of(price.expected(x), np.zeros(len(x)), ret, equal),
    )


@dataclass(frozen=True, slots=True)
class FoldFacts:
    """What is told of one fold.

    Attributes:
        name: the month tested.
        fit_sessions, calibrate_sessions, test_sessions: how many.
        fit_rows, test_rows: how many.
        prior, mix, price_mix: as in ``Learned``.
        importance: (k,) of the direction's features, adding up to 1 or all 0.
    """

    name: str
    fit_sessions: int
    calibrate_sessions: int
    test_sessions: int
    fit_rows: int
    test_rows: int
    prior: Floats
    mix: float
    price_mix: float
    importance: Floats


@dataclass(frozen=True, slots=True)
class Walked:
    """Out-of-sample predictions of a whole walk.

    Attributes:
        rows: the tested rows, in order; all have a label.
        said: of each of them, by the fold that tested it.
        prior: (n, 3) of that fold.
        folds: in order of time.
        horizon: sessions the longest label spans, at least 1.
    """

    rows: LabelledRows
    said: Prediction
    prior: Floats
    folds: tuple[FoldFacts, ...]
    horizon: int


def walk(
    rows: LabelledRows,
    configuration: Configuration,
    *,
    folds: Sequence[Fold] | None = None,
    threads: int = 1,
    with_price: bool = True,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Walked:
    """Both models through all folds. The same rows and configuration give the same numbers.

    Args:
        rows: labelled ones and others, in order of (t, symbol).
        configuration: what is learned, and how.
        folds: None are those of ``walk_forward``. Others are there to show what a wrong split does.
        threads: of the libraries.
        with_price: whether the price model is learned too; worlds without signal are judged by the direction only.
        progress: called before each fold with its number from 0, the number of folds and its name.

    Raises:
        NotEnoughDataError, UnusableRowsError, InputError, NotInstalledError: as ``walk_forward`` and ``learn``.
    """
    labelled = rows.labelled
    if labelled.any():
        check_learnable(rows.names, rows.features[labelled], rows.label[labelled])
    steps = walk_forward(rows) if folds is None else tuple(folds)
    tested = np.zeros(len(rows), bool)
    for fold in steps:
        tested[fold.test] = True
    n = len(rows)
    said = Prediction(np.full((n, 3), np.nan), np.full(n, np.nan), np.ones(n, bool))
    prior, facts = np.full((n, 3), np.nan), []
    for number, fold in enumerate(steps):
        progress(number, len(steps), fold.name)
        learned = learn(rows, fold, configuration, threads=threads, with_price=with_price)
        _put(said, fold.test, learned.predict(rows.features[fold.test]))
        prior[fold.test] = learned.prior
        facts.append(_facts(rows, fold, learned))
    kept = Prediction(said.probabilities[tested], said.expected[tested], said.abstained[tested])
    return Walked(rows.where(tested), kept, prior[tested], tuple(facts), horizon_of(rows))


def horizon_of(rows: LabelledRows) -> int:
    """Sessions the longest label spans: 1 where all end within the session after the decision or in its own."""
    labelled = rows.labelled
    spans = rows.t1_session[labelled] - rows.session[labelled]
    return max(int(spans.max(initial=1)), 1)


def _put(said: Prediction, places: npt.NDArray[np.int64], part: Prediction) -> None:
    said.probabilities[places] = part.probabilities
    said.expected[places] = part.expected
    said.abstained[places] = part.abstained


def _facts(rows: LabelledRows, fold: Fold, learned: Learned) -> FoldFacts:
    def sessions(places: npt.NDArray[np.int64]) -> int:
        return len(np.unique(rows.session[places]))

    return FoldFacts(
        name=fold.name,
        fit_sessions=sessions(fold.fit),
        calibrate_sessions=sessions(fold.calibrate),
        test_sessions=sessions(fold.test),
        fit_rows=len(fold.fit),
        test_rows=len(fold.test),
        prior=learned.prior,
        mix=learned.mix,
        price_mix=learned.price_mix,
        importance=learned.direction.importance(),
    )
