"""Percentiles and the histogram."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.cli.distribution import Bin, histogram, percentile, summary

TIMES = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=50)


def test_percentiles_are_values_that_there_were() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, p) for p in (0, 1, 50, 90, 99, 99.9, 100)] == [
        *(1, 1, 50, 90, 99, 100, 100)
    ]
    assert percentile([7.0], 50) == 7.0


def test_a_summary() -> None:
    assert summary([3.0, 1.0, 2.0]) == {
        "min": 1.0,
        "mean": 2.0,
        "p50": 2.0,
        "p90": 3.0,
        "p99": 3.0,
        "p99.9": 3.0,
        "max": 3.0,
    }


def test_bins_have_equal_ratios() -> None:
    assert histogram([5.0, 5.0], 3) == [Bin(5.0, 5.0, 2)]
    bins = histogram([1.0, 3.0, 30.0, 1000.0], 3)
    assert [each.size for each in bins] == [2, 1, 1]
    assert math.isclose(bins[0].end, 10.0)


@given(TIMES, st.integers(1, 20))
def test_every_value_is_in_a_bin(values: list[float], count: int) -> None:
    bins = histogram(values, count)
    assert sum(each.size for each in bins) == len(values)
    assert (bins[0].start, bins[-1].end) == (min(values), max(values))
