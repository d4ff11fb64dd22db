"""Bets against "no better": when a challenger replaces the champion, and when the champion has ceased to be one.

A block is one session, or one cross-section of a minute; it gives one difference D of information coefficients. Who
claims that D has no positive mean is bet against: of a capital that begins at 1 a share lambda is staked on each
block, and wins Z = clip(D / 4 sigma, -1, 1) times the stake. Sigma and lambda are reckoned from earlier blocks only.

*What this controls.* If, given everything before, E[Z] <= 0 in every block, the capital E is a nonnegative
supermartingale, and Ville's inequality bounds the chance that it ever reaches c by 1/c, however often one looks. The
k-th challenger needs 20 k (k + 1), so that all challengers together, without end, replace a champion that is no worse
with a chance of at most 1/20. The detector M has under the same condition, of -IC, a mean of at least 1,000 blocks to a
false alarm (it is a sum of such processes, one begun at each block; Shin, Ramdas and Rinaldo, E-detectors, 2023).

*What it does not.* Equal on average is not enough where blocks depend on each other: if a good block makes a good next
one likely, bets that follow the past win, although nobody is better in the long run. As simulated (the tests do so
again), where neighbouring blocks have a correlation of:

====================================================================== ===== ===== ===== =====
..                                                                       0    0.1   0.2   0.4
an equal first challenger is promoted (2.5 % were promised)            0.4 % 0.7 % 1.7 % 5.6 %
blocks to the detector's alarm, mean, about an IC of 0 (deviation .08) 1,040   870   730   520
an IC of 0.02 is rolled back within 2,000 blocks                         0 %   0 % 0.7 %   8 %
====================================================================== ===== ===== ===== =====

Clipping shifts the mean of a skewed D. It says that a challenger ranks better, not that it earns money: that is the
gate's business. And it knows no reason: a champion that is dropped may have been unlucky.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from hosu.features.panel import Floats

THRESHOLD: Final = 20.0
"""Capital at which a challenger is dropped; and, times k (k + 1), at which the k-th one is promoted."""
MIN_BLOCKS: Final = 20
MAX_BLOCKS: Final = 250
ALARM: Final = 1_000.0
"""Of the detector: blocks, on average, to an alarm about a champion that is still good, at the least."""

MAX_BET: Final = 0.5
MIN_BET: Final = 0.1
"""Of the detector. It must stake something: on no stake M grows by 1 a block, and alarms at 1,000 whatever happens."""
WINDOW: Final = 60
"""Blocks the detector's bets look back: a champion that was good for years is to be doubted within weeks."""
SIGMA: Final = 0.08
"""Deviation of a daily IC as measured on two years of KRX; worth ``SIGMA_BLOCKS`` blocks until there are more."""
SIGMA_BLOCKS: Final = 5
_SIGMA_SPAN: Final = 4.0


def standardized(differences: Floats) -> Floats:
    """(n,) Z of each block, in [-1, 1]; sigma is of the blocks before it, so that the last D changes no other Z.

    Args:
        differences: (n,) D in order of time, finite.
    """
    before = np.arange(len(differences))
    total = np.concatenate([[0.0], np.cumsum(differences)[:-1]])
    square = np.concatenate([[0.0], np.cumsum(differences**2)[:-1]])
    mean = total / np.maximum(before, 1)
    spread = np.maximum(square - before * mean**2, 0.0)
    sigma = np.sqrt((SIGMA_BLOCKS * SIGMA**2 + spread) / (SIGMA_BLOCKS + before))
    return np.asarray(np.clip(differences / (_SIGMA_SPAN * sigma), -1.0, 1.0))


def bets(z: Floats, *, least: float = 0.0, window: int | None = None) -> Floats:
    """(n,) lambda of each block, from ``least`` to 0.5: what would have grown best on the blocks before it, about.

    Args:
        z: (n,) in order of time.
        least: staked at the least.
        window: blocks looked back; None: all.
    """
    total = np.concatenate([[0.0], np.cumsum(z)])
    square = np.concatenate([[0.0], np.cumsum(z**2)])
    at = np.arange(len(z))
    since = np.zeros(len(z), np.int64) if window is None else np.maximum(at - window, 0)
    won, moved = total[at] - total[since], square[at] - square[since]
    return np.asarray(np.clip(won / (1.0 + moved), least, MAX_BET))


def capital(differences: Floats) -> Floats:
    """(n,) E after each block; see the head of this page."""
    z = standardized(differences)
    return np.asarray(np.cumprod(1.0 + bets(z) * z))


def detector(differences: Floats) -> Floats:
    """(n,) M after each block, of D = -IC(champion): M = (M + 1)(1 + lambda Z), begun at 0."""
    z = standardized(differences)
    gains = 1.0 + bets(z, least=MIN_BET, window=WINDOW) * z
    out, held = np.empty(len(z)), 0.0
    for at, gain in enumerate(gains.tolist()):
        held = (held + 1.0) * gain
        out[at] = held
    return out


def needed(challenge: int) -> float:
    """What the ``challenge``-th challenger of a model, counted from 1, must reach: 20 k (k + 1)."""
    return THRESHOLD * challenge * (challenge + 1)


class Outcome(StrEnum):
    """How a challenge stands."""

    OPEN = "open"
    PROMOTE = "promote"
    DROP = "drop"
    KEEP = "keep"  # the champion


@dataclass(frozen=True, slots=True)
class Standing:
    """How a challenge stands, or ended.

    Attributes:
        outcome: what is to be done.
        blocks: after how many it was so.
        capital, reverse: E of "better", and of "worse", then.
        needed: what E must reach.
        silent: blocks until then beside those, without a figure: one of the two did not answer.
    """

    outcome: Outcome
    blocks: int
    capital: float
    reverse: float
    needed: float
    silent: int = 0


def challenge(differences: Floats, number: int) -> Standing:
    """How the ``number``-th challenge stands after these blocks; what comes after its end changes nothing.

    It has ``MAX_BLOCKS`` of them, answered or not: one that never answers would else keep all later ones out for ever.

    Args:
        differences: (n,) IC(challenger) - IC(champion) in order of time; on NaN blocks nothing is bet.
        number: of the challenge, from 1.
    """
    begun = differences[:MAX_BLOCKS]
    place = np.flatnonzero(np.isfinite(begun))
    known = begun[place]
    better, worse, enough = capital(known), capital(-known), needed(number)
    for at in range(len(known)):
        outcome = _ended(at + 1, better[at] >= enough, worse[at] >= THRESHOLD)
        if outcome is not Outcome.OPEN:
            return Standing(outcome, at + 1, float(better[at]), float(worse[at]), enough, int(place[at]) - at)
    last = (float(better[-1]), float(worse[-1])) if len(known) else (1.0, 1.0)
    outcome = Outcome.KEEP if len(begun) == MAX_BLOCKS else Outcome.OPEN
    return Standing(outcome, len(known), *last, enough, len(begun) - len(known))


def _ended(blocks: int, is_better: bool, is_worse: bool) -> Outcome:
    if is_worse:
        return Outcome.DROP
    return Outcome.PROMOTE if is_better and blocks >= MIN_BLOCKS else Outcome.OPEN


def alarm(champion: Floats) -> int | None:
    """After how many blocks the detector is sure that the champion is none any more; None: it is not.

    Args:
        champion: (n,) its IC in order of time, since it was promoted; NaN blocks are left out, and not counted.
    """
    known = champion[np.isfinite(champion)]
    reached = np.flatnonzero(detector(-known) >= ALARM)
    return int(reached[0]) + 1 if len(reached) else None
