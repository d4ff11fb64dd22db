"""From a lake to a judged model: dataset, walk, gate, and the model that learned from all of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hosu.clock import SystemClock
from hosu.errors import InputError, UnusableRowsError
from hosu.features import dataset
from hosu.features.dataset_definition import Definition
from hosu.features.finished import last_whole
from hosu.features.source import KernelSource
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.gate import judge
from hosu.models.nulls import of_labels
from hosu.models.registry import HORIZONS
from hosu.models.scores import sections
from hosu.models.splits import whole
from hosu.models.trials import Trial
from hosu.models.walk import learn, walk
from hosu.models.worlds import flip_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.clock import Clock
    from hosu.features.dataset import Dataset
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import LabelledRows
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.models.gate import Judgement
    from hosu.models.trials import Trials
    from hosu.models.walk import Learned, Walked

    Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be trained.

    Attributes:
        model: one of ``HORIZONS``.
        configuration: what is learned, and how.
        features: the feature set.
        start, end: first and last day of rows, ``YYYY-MM-DD``; None: as far as the lake goes.
        days: ``certified``, ``assumed`` or ``all``; see ``dataset_definition.Definition``.
        view: ``repaired`` or ``as_served``.
        symbols: which; None: the universe of each day.
    """

    model: str
    configuration: Configuration
    features: FeatureSet
    start: str | None = None
    end: str | None = None
    days: str = "certified"
    view: str = "repaired"
    symbols: tuple[str, ...] | None = None

    @property
    def definition(self) -> Definition:
        """The dataset asked for.

        Raises:
            InputError: an unknown model, days or view.
        """
        if self.model not in HORIZONS:
            raise InputError(f"model {self.model!r}", "does not exist", f"choose one of {', '.join(HORIZONS)}")
        interval, horizon = HORIZONS[self.model]
        return Definition(
            horizon=horizon,
            interval=interval,
            symbols=self.symbols,
            start=self.start,
            end=self.end,
            days=self.days,
            view=self.view,
        )

    @property
    def trial_horizon(self) -> str:
        """As trials name it: ``1d``, ``10m``."""
        interval, horizon = HORIZONS[self.model]
        return f"{horizon}{interval[0]}"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A configuration walked through history and judged."""

    request: Request
    dataset: Dataset
    walked: Walked
    judgement: Judgement


def evaluate(
    lake: Lake,
    request: Request,
    trials: Trials,
    *,
    threads: int = 1,
    rules: Rules | None = None,
    config: SqlConfig | None = None,
    clock: Clock | None = None,
    progress: Progress = lambda *_: None,
    built: Callable[[Dataset], object] = lambda _: None,
    worlds: int = 0,
) -> Evaluated:
    """Makes the dataset, walks it, and judges. Counts as a trial. What lies from a session on that is not over, or
    was built before it was, teaches nothing.

    Args:
        lake: where the bars are.
        request: what is asked.
        trials: where it is counted.
        threads: of the libraries.
        rules: None are the gate's.
        config: what DuckDB may take.
        clock: for whether the newest session is over.
        progress: told what is done, the step from 0 and how many there are.
        built: given the dataset, before anything is learned from it.
        worlds: so many worlds of turned labels are learned anew, for G1.

    Raises:
        InputError: an unknown model or parameter, no bars, or days that were not allowed.
        NotEnoughDataError, UnusableRowsError: too little history, or rows that teach nothing.
        NotInstalledError: a library of the extra ``models`` is missing.
        LakeError: a table is damaged.
    """
    request.configuration.check()
    progress("dataset", 0, 1)
    if request.definition.interval == "day":
        request = replace(request, end=last_whole(lake, (clock or SystemClock()).now_us(), request.end))
    made = dataset.build(
        lake, KernelSource(request.features, request.definition.interval), request.definition, config=config
    )
    return judged(made, request, trials, threads=threads, rules=rules, progress=progress, built=built, worlds=worlds)


def judged(
    made: Dataset,
    request: Request,
    trials: Trials,
    *,
    threads: int = 1,
    rules: Rules | None = None,
    progress: Progress = lambda *_: None,
    built: Callable[[Dataset], object] = lambda _: None,
    worlds: int = 0,
) -> Evaluated:
    """As ``evaluate``, of a dataset that is there."""
    configuration = request.configuration
    _require_width(made.rows, (rules or Rules()).min_symbols)
    built(made)
    walked = walk(
        made.rows,
        configuration,
        threads=threads,
        progress=lambda number, count, month: progress(f"{configuration.kind} {month}", number, count),
    )
    logistic = None
    if configuration.kind is not Kind.LINEAR:
        linear = Configuration(Kind.LINEAR, feature_set=configuration.feature_set)
        logistic = walk(
            made.rows, linear, progress=lambda number, count, month: progress(f"logistic {month}", number, count)
        )
    turned = of_labels(
        made.rows,
        configuration,
        _counting(worlds, progress),
        turned=partial(flip_labels, horizon=walked.horizon),
        rules=rules,
        threads=threads,
    )
    progress("gate", 0, 1)
    trial = Trial("KRX", request.trial_horizon, configuration.key, made.id)
    refitted = [world.ic for world in turned]
    judgement = judge(walked, trial=trial, trials=trials, logistic=logistic, refitted=refitted, rules=rules)
    return Evaluated(request, made, walked, judgement)


def _counting(worlds: int, progress: Progress) -> Iterator[int]:
    """The seed of each world, told as it begins."""
    for number in range(worlds):
        progress("worlds learned anew", number, worlds)
        yield number


def _require_width(rows: LabelledRows, need: int) -> None:
    """Refuses before the walk what the gate could only refuse after it: a handful of symbols has no order of a day.

    Raises:
        UnusableRowsError: in fewer than two sessions so many symbols have a label at one time.
    """
    t, session = rows.t[rows.labelled], rows.session[rows.labelled]
    section, first = sections(t)
    size = np.bincount(section, minlength=len(first))
    wide = len(np.unique(session[first][size >= need]))
    if len(t) and wide < 2:
        raise UnusableRowsError(
            f"the gate needs sessions of {need} symbols or more, and {wide} are so wide (the widest has {size.max()})",
            "give more symbols",
        )


def learned(evaluated: Evaluated, *, threads: int = 1) -> Learned:
    """The model that is served: the same configuration, learned from the whole dataset.

    Raises:
        NotEnoughDataError, UnusableRowsError: as ``evaluate``.
    """
    rows = evaluated.dataset.rows
    return learn(rows, whole(rows), evaluated.request.configuration, threads=threads)
