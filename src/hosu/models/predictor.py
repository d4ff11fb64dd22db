"""From bars and their features to rows of ``predictions``: what is said, or why nothing is, and then nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.errors import FeatureSetError
from hosu.market.events import TIMESTAMP
from hosu.market.predictions import PREDICTION_SCHEMAS
from hosu.models.scores import predicted_class
from hosu.models.serve_facts import PRIOR_KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from hosu.features.panel import Flags, Floats, Ints
    from hosu.models.served import Served

    Texts = npt.NDArray[np.object_]

SCHEMA: Final = pa.schema([each for each in PREDICTION_SCHEMAS["predictions"] if each.name != "date"])
_LIKELY: Final = ("p_down", "p_flat", "p_up")


class Role(StrEnum):
    """For whom a model predicts."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"


@dataclass(frozen=True, slots=True)
class Seat:
    """A model in its place: which version answers, and as what."""

    served: Served
    version: int
    role: Role


@dataclass(frozen=True, slots=True)
class BarFacts:
    """Bars of one date that are decided on, ``n`` of them, and what is known of each beside its features.

    Attributes:
        date: business date, ``YYYY-MM-DD``.
        symbol: (n,) texts.
        ts: (n,) start of the bar, UTC microseconds.
        decided_at: (n,) t: the bar's close.
        price: (n,) P(t) in won, as traded.
        source: (n,) of the bars; None without a trade.
        stale: (n,) why the bar is too old to be decided on, in words; None where it is not.
        gapped: (n,) which hole its bars are known to have, in words; None where none is known. What looks at features
            abstains for it.
        uncertified: (n,) why its day is not certified, in words; None where it is. Only a model that was trained on
            certified days abstains for it.
        scope: whose hours.
        wal_id, lsn: of live bars: log and record of the close; None of others.
    """

    date: str
    symbol: Texts
    ts: Ints
    decided_at: Ints
    price: Floats
    source: Texts
    stale: Texts
    gapped: Texts
    uncertified: Texts
    scope: str = "KRX"
    wal_id: str | None = None
    lsn: int | None = None

    def __len__(self) -> int:
        return len(self.ts)


def feature_hash(features: Floats) -> list[str | None]:
    """(n,) 16 hex digits of the bits of each row (n, k): equal rows have equal ones, -0.0 and 0.0 differ. None where
    a feature is null."""
    rows = np.ascontiguousarray(features, np.float64)
    whole, size = np.asarray(np.isfinite(rows).all(axis=1)).tolist(), rows.shape[1] * rows.itemsize
    bits = rows.tobytes()
    return [
        hashlib.blake2b(bits[at * size : (at + 1) * size], digest_size=8).hexdigest() if known else None
        for at, known in enumerate(whole)
    ]


def predict(
    seat: Seat,
    bars: BarFacts,
    features: Floats,
    *,
    feature_set: str,
    names: tuple[str, ...],
    made_at: Callable[[], int],
    hashes: Sequence[str | None] | None = None,
) -> pa.Table:
    """Rows of ``predictions``, without ``date``: one a bar, in order.

    Args:
        seat: who answers.
        bars: (n,) what is decided on.
        features: (n, k); NaN is null.
        feature_set: what they are, as ``scale_free_v1/1``.
        names: k of them.
        made_at: tells now, UTC microseconds; asked once the answers are there.
        hashes: (n,) ``feature_hash`` of the features, which whoever asks several seats reckons once; None: it is
            reckoned here.

    Raises:
        FeatureSetError: the model learned from another set, or from the same one by other formulas.
        ModelDamagedError: the model fails where it runs.
    """
    facts = seat.served.facts
    if feature_set != facts.feature_set:
        raise FeatureSetError((facts.feature_set, *facts.names), (feature_set, *names))
    said = seat.served.predict(features, names)
    reasons = abstentions(seat, bars, features, said.abstained)
    silent = np.array([reason is not None for reason in reasons], bool)
    direction = predicted_class(said.probabilities)
    confidence = said.probabilities[np.arange(len(bars)), direction.astype(np.int64) + 1]
    moved = 0.0 if facts.persistence else said.expected
    columns = {
        **_who(seat, bars, made_at()),
        "price": pa.array(bars.price),
        "predicted_price": pa.array(bars.price * (1 + moved), mask=silent),
        "persistence": pa.array(np.full(len(bars), facts.persistence), mask=silent),
        "predicted_direction": pa.array(direction, mask=silent),
        "confidence": pa.array(confidence, mask=silent),
        **{
            f"p_{name}": pa.array(said.probabilities[:, at], mask=silent)
            for at, name in enumerate(("down", "flat", "up"))
        },
        "score": pa.array(said.probabilities[:, 2] - said.probabilities[:, 0], mask=silent),
        "abstained": pa.array(reasons, pa.string()),
        "verdict": _same(facts.verdict, len(bars), pa.string()),
        "feature_set": _same(feature_set, len(bars), pa.string()),
        "feature_hash": pa.array(feature_hash(features) if hashes is None else hashes, pa.string()),
        "source": pa.array(bars.source, pa.string()),
        "wal_id": _same(bars.wal_id, len(bars), pa.string()),
        "lsn": _same(bars.lsn, len(bars), pa.int64()),
    }
    return pa.table([columns[each.name] for each in SCHEMA], schema=SCHEMA)


def _who(seat: Seat, bars: BarFacts, made_at: int) -> dict[str, pa.Array]:
    facts, count = seat.served.facts, len(bars)
    return {
        "symbol": pa.array(bars.symbol, pa.string()),
        "scope": _same(bars.scope, count, pa.string()),
        "ts": pa.array(bars.ts).cast(TIMESTAMP),
        "interval": _same(facts.interval, count, pa.string()),
        "horizon": _same(facts.horizon, count, pa.int32()),
        "model": _same(facts.model, count, pa.string()),
        "model_version": _same(seat.version, count, pa.int64()),
        "role": _same(str(seat.role), count, pa.string()),
        "decided_at": pa.array(bars.decided_at).cast(TIMESTAMP),
        "made_at": pa.array(np.full(count, made_at)).cast(TIMESTAMP),
    }


def _same(value: object, count: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), count)


# --- why nothing is said ---------------------------------------------------------------------------------------------


def abstentions(seat: Seat, bars: BarFacts, features: Floats, unanswered: Flags) -> list[str | None]:
    """Why nothing is said of each bar, in words; None where something is. Of several reasons the gravest.

    A champion that failed G3 says nothing, whatever its verdict, for its probabilities are what people read. As
    challenger it is heard by the bets alone, which rank by its score and take no probability at its word.

    Args:
        seat: who answers, and as what.
        bars: (n,) what is decided on.
        features: (n, k) of them.
        unanswered: (n,) whether a feature is null or outside of training's range.
    """
    facts = seat.served.facts
    out: list[str | None] = list(bars.stale)
    if not facts.calibrated and seat.role is Role.CHAMPION:
        return [reason or "uncalibrated: the model's probabilities are not to be taken at their word" for reason in out]
    if facts.kind != PRIOR_KIND:
        out = [reason or hole for reason, hole in zip(out, bars.gapped, strict=True)]
    if facts.certified_only:
        out = [reason or doubt for reason, doubt in zip(out, bars.uncertified, strict=True)]
    for row in np.flatnonzero(unanswered).tolist():
        if out[row] is None:
            out[row] = _unusual(facts.names, features[row], facts.low, facts.high)
    return out


def _unusual(names: tuple[str, ...], row: Floats, low: Sequence[float], high: Sequence[float]) -> str:
    null = [name for name, value in zip(names, row.tolist(), strict=True) if not np.isfinite(value)]
    if null:
        return f"warming up: {', '.join(null)}"
    for name, value, least, most in zip(names, row.tolist(), low, high, strict=True):
        if not least <= value <= most:
            return f"outside training: {name} is {value:.6g}, seen were {least:.6g} to {most:.6g}"
    return "outside training"
