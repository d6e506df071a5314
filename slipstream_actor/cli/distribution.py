"""Percentiles and a histogram of times, pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Bin", "histogram", "percentile", "summary"]

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}


class Bin(NamedTuple):
    """`size` values are at least `start` and less than `end`; the last bin has its end too."""

    start: float
    end: float
    size: int


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the least of some ordered values that so many percent of them do not exceed."""
    rank = math.ceil(len(ordered) * percent / 100)
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return the least, the mean, the percentiles and the greatest of values."""
    ordered = sorted(values)
    shown = {"min": ordered[0], "mean": sum(ordered) / len(ordered)}
    shown |= {name: percentile(ordered, percent) for name, percent in PERCENTILES.items()}
    return {**shown, "max": ordered[-1]}


def histogram(values: Sequence[float], bins: int) -> list[Bin]:
    """Return values above 0 in bins of equal ratio, from the least value to the greatest."""
    least, greatest = min(values), max(values)
    if least == greatest:
        return [Bin(least, greatest, len(values))]
    width = math.log(greatest / least) / bins
    counts = [0] * bins
    for value in values:
        counts[min(int(math.log(value / least) / width), bins - 1)] += 1
    edges = [least * math.exp(width * number) for number in range(bins)] + [greatest]
    return [Bin(edges[number], edges[number + 1], counts[number]) for number in range(bins)]
