"""A histogram of latencies that costs a few microseconds a batch and never grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_BUCKETS_PER_DOUBLING: Final = 8
_DOUBLINGS: Final = 40  # 1 microsecond to 12 days


class Histogram:
    """Counts latencies in buckets whose edges grow by 2^(1/8), so that a quantile is at most 9 % too high.

    One thread observes; any thread may read, and then sees all but perhaps the last batch.
    """

    _EDGES: Final = 2.0 ** (np.arange(_BUCKETS_PER_DOUBLING * _DOUBLINGS + 1) / _BUCKETS_PER_DOUBLING)

    def __init__(self) -> None:
        self._counts = np.zeros(len(self._EDGES) + 1, np.int64)
        self._max_us = 0

    def observe(self, latencies_us: npt.NDArray[np.int64]) -> None:
        """Counts each of ``latencies_us`` (int64, microseconds); those below 1 count as 1."""
        if not len(latencies_us):
            return
        buckets = np.searchsorted(self._EDGES, latencies_us, side="left")
        self._counts += np.bincount(buckets, minlength=len(self._counts))[: len(self._counts)]
        self._max_us = max(self._max_us, int(latencies_us.max()))

    @property
    def count(self) -> int:
        """How many latencies were observed."""
        return int(self._counts.sum())

    @property
    def max_us(self) -> int:
        """The highest latency, exactly; 0 before the first."""
        return self._max_us

    def quantile_us(self, share: float) -> float | None:
        """The upper edge of the bucket that holds the quantile, never above the maximum; None before the first.

        ``share`` is 0.5 for the median, 0.99 for the 99th percentile.
        """
        cumulative = np.cumsum(self._counts)
        if cumulative[-1] == 0:
            return None
        bucket = int(np.searchsorted(cumulative, share * cumulative[-1], side="left"))
        edge = float(self._EDGES[min(bucket, len(self._EDGES) - 1)])
        return min(edge, float(max(self._max_us, 1)))
