"""Schemas of what is predicted, what became of it, and what happened to models. Nothing here is computed."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from hosu.market.events import TIMESTAMP

_KEY: Final = (
    pa.field("date", pa.string()),  # business date of the decision
    pa.field("symbol", pa.string()),
    pa.field("scope", pa.string()),
    pa.field("ts", TIMESTAMP),  # start of the bar at whose close it was decided
    pa.field("interval", pa.string()),  # day, minute
    pa.field("horizon", pa.int32()),  # sessions or minutes
    pa.field("model", pa.string()),  # day-1, day-5, minute-10, minute-30
    pa.field("model_version", pa.int64()),  # 0: the prior
)
_PREDICTIONS: Final = pa.schema(
    [
        *_KEY,
        pa.field("role", pa.string()),  # champion, challenger
        pa.field("decided_at", TIMESTAMP),  # t: the bar's close
        pa.field("made_at", TIMESTAMP),  # when it was written
        pa.field("price", pa.float64()),  # P(t), won
        pa.field("predicted_price", pa.float64()),  # P(t) (1 + r), unrounded; null where it abstains
        pa.field("persistence", pa.bool_()),  # the price model has no skill: predicted_price is P(t)
        pa.field("predicted_direction", pa.int8()),  # -1, 0 (a small move), 1; null where it abstains
        pa.field("confidence", pa.float64()),  # calibrated probability of that direction
        pa.field("p_down", pa.float64()),
        pa.field("p_flat", pa.float64()),
        pa.field("p_up", pa.float64()),
        pa.field("score", pa.float64()),  # p_up - p_down
        pa.field("abstained", pa.string()),  # why; null where it does not
        pa.field("verdict", pa.string()),  # of the model's gate: edge, no edge, …
        pa.field("feature_set", pa.string()),
        pa.field("feature_hash", pa.string()),  # of the features' bits
        pa.field("source", pa.string()),  # of the bars
        pa.field("wal_id", pa.string()),  # of live predictions: log and number of the bar's close
        pa.field("lsn", pa.int64()),
    ]
)
_OUTCOMES: Final = pa.schema(
    [
        *_KEY,
        pa.field("entered_at", TIMESTAMP),  # t0
        pa.field("left_at", TIMESTAMP),  # t1
        pa.field("ret_px", pa.float64()),  # P(t1) / P(t) - 1
        pa.field("ret_ex", pa.float64()),  # exit / entry - 1, before cost
        pa.field("band", pa.float64()),  # |ret_ex| up to this is a small move
        pa.field("direction", pa.int8()),  # what it was: -1, 0, 1; null without a label
        pa.field("reason", pa.string()),  # why there is no label; null where there is
        pa.field("half_spread", pa.float64()),  # at t, one side, as a share of the price
        pa.field("value_20", pa.float64()),  # median value of 20 days known at t, won
        pa.field("brier", pa.float64()),  # of the three probabilities; null where it abstained
        pa.field("scored_at", TIMESTAMP),
    ]
)
_MODEL_EVENTS: Final = pa.schema(
    [
        pa.field("date", pa.string()),  # UTC date of ``at``
        pa.field("model", pa.string()),
        pa.field("revision", pa.int64()),  # of the model's history: 1, 2, …
        pa.field("event", pa.string()),  # counted, registered, promoted, rolled_back, challenger, dropped, kept
        pa.field("version", pa.int64()),  # whom it concerns
        pa.field("champion", pa.int64()),  # who serves from then on; 0: the prior
        pa.field("challenger", pa.int64()),  # who runs beside it from then on; null nobody
        pa.field("verdict", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("override", pa.bool_()),  # promoted past the gate
        pa.field("card", pa.string()),  # JSON, of a registration or a count
        pa.field("at", TIMESTAMP),
    ]
)
_TRIALS: Final = pa.schema(
    [
        pa.field("date", pa.string()),  # UTC date of ``at``
        pa.field("market", pa.string()),
        pa.field("horizon", pa.string()),  # 1d, 5d, 10m, 30m
        pa.field("number", pa.int64()),  # 0, 1, … of the market and horizon
        pa.field("configuration", pa.string()),  # hash of kind, parameters, seed and feature set
        pa.field("dataset", pa.string()),  # id
        pa.field("sharpe", pa.float64()),  # of the net excess per holding; null where it cannot be reckoned
        pa.field("at", TIMESTAMP),
    ]
)

PREDICTION_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "predictions": _PREDICTIONS,
    "outcomes": _OUTCOMES,
    "model_events": _MODEL_EVENTS,
    "model_trials": _TRIALS,
}
"""By the names of the tables."""
