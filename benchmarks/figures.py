"""Statistics: rounds of figures of several peers, as medians and as ratios with their spread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

BASE = "bare"
"""The peer that the others are compared with."""

Round = Mapping[str, Mapping[str, Any]]
"""What each peer has found, peers that take turns."""


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the most."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        found = list(values)
        return cls(median(found), min(found), max(found)) if found else None


def values(rounds: Sequence[Round], peer: str, figure: str) -> Spread | None:
    """The figure itself, in all rounds in which the peer had one."""
    return Spread.of(each[peer][figure] for each in rounds if peer in each and figure in each[peer])


def ratios(rounds: Sequence[Round], peer: str, figure: str, base: str = BASE) -> Spread | None:
    """The figure by that of the base in the same round, which had the same weather."""
    return Spread.of(
        each[peer][figure] / each[base][figure]
        for each in rounds
        if all(figure in each.get(name, {}) for name in (peer, base)) and each[base][figure]
    )


def reason(rounds: Sequence[Round], peer: str) -> str | None:
    """Why a peer has no figure, if it has none."""
    found = [each[peer].get("unable") for each in rounds if peer in each]
    return found[0] if found and all(found) else None


def shares(rounds: Sequence[Round]) -> float | None:
    """The most of its core that the server needed beside any of the peers, in the median."""
    peers = {peer for each in rounds for peer in each}
    found = [values(rounds, peer, "server_share") for peer in peers]
    return max((spread.middle for spread in found if spread), default=None)
