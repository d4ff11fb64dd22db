"""The log of trials in the lake: rows are only added, and stay when datasets and models go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import CommitConflictError
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine
from hosu.models.trials import Trial

if TYPE_CHECKING:
    from hosu.clock import Clock
    from hosu.lake.lake import Lake

TABLE: Final = "model_trials"
_TRIES: Final = 20
_ALL: Final = "SELECT configuration, dataset, sharpe FROM trials WHERE market = '{}' AND horizon = '{}' ORDER BY number"


class LakeTrials:
    """Implements ``trials.Trials``.

    Args:
        lake: whose trials.
        clock: dates them.
    """

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock

    def record(self, trial: Trial) -> None:
        """Adds the trial, unless it is there.

        Raises:
            LakeError: the lake takes nothing.
        """
        app_id = f"hosu:trials:{trial.market}:{trial.horizon}"
        for _ in range(_TRIES):
            if any(trial.key == kept.key for kept in self.history(trial.market, trial.horizon)):
                return
            table = self._lake.table(TABLE)
            number = table.covered(app_id) + 1
            at = pa.array([self._clock.now_us()]).cast(pa.timestamp("us", "UTC"))
            values = {
                "market": trial.market,
                "horizon": trial.horizon,
                "number": number,
                "configuration": trial.configuration,
                "dataset": trial.dataset,
                "sharpe": trial.sharpe,
            }
            schema = table.spec.file_schema
            columns = [at if each.name == "at" else pa.array([values[each.name]], each.type) for each in schema]
            date = pc.strftime(at, "%Y-%m-%d")[0].as_py()
            file = table.store(date, live_name(), encode(table.spec, pa.table(columns, schema=schema)))
            try:
                table.append([file], {app_id: number})
            except CommitConflictError:
                continue
            table.sync()
            return
        raise CommitConflictError(TABLE, "others log trials all the time")

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """Every trial of that market and horizon, in the order they were recorded."""
        table = self._lake.find(TABLE)
        if table is None:
            return ()
        files = {"trials": (table, table.files())}
        rows = combine(
            self._lake.storage, _ALL.format(market, horizon), files=files, beside={}, config=SqlConfig()
        ).to_pylist()
        return tuple(Trial(market, horizon, row["configuration"], row["dataset"], row["sharpe"]) for row in rows)
