"""Quantiles from buckets: never too low, at most 9 % too high."""

import numpy as np
import pytest

from hosu.collect.latency import Histogram


def test_an_empty_histogram_knows_no_quantile():
    histogram = Histogram()
    histogram.observe(np.array([], np.int64))
    assert (histogram.count, histogram.max_us, histogram.quantile_us(0.5)) == (0, 0, None)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_a_quantile_is_at_most_nine_percent_too_high(share: float):
    latencies = np.random.default_rng(1).lognormal(7, 2, 10_000).astype(np.int64)
    histogram = Histogram()
    for part in np.array_split(latencies, 7):
        histogram.observe(part)
    exact = max(1, np.sort(latencies)[int(np.ceil(share * len(latencies))) - 1])
    found = histogram.quantile_us(share)
    assert found is not None
    assert exact <= found <= exact * 1.0906
    assert histogram.count == 10_000
    assert histogram.max_us == latencies.max()


def test_times_that_went_backwards_count_as_the_shortest_and_huge_ones_are_kept():
    histogram = Histogram()
    histogram.observe(np.array([-5, 0, 1, 2**60], np.int64))
    assert histogram.quantile_us(0.5) == 1.0
    assert histogram.max_us == 2**60
