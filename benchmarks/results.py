"""What a run has found, as it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.environments import CannotBeMade, Peer, environment_of
from benchmarks.figures import Round
from benchmarks.machine import commit, machine


@dataclass
class Results:
    """Of one run: where, of what, and what each round of each workload has found."""

    machine: dict[str, str]
    commit: str
    versions: dict[str, str]
    """Of the peers, by their names; why there is none, of one whose environment cannot be made."""
    rounds: int
    found: dict[str, dict[str, list[Round]]] = field(default_factory=dict)
    """Rounds, by placement and by workload."""
    growth: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, peers: Sequence[Peer], rounds: int) -> Results:
        """An empty one."""
        return cls(machine(), commit(), {peer.name: version_of(peer) for peer in peers}, rounds)

    def add(self, workload: str, placement: str, rounds: Sequence[Round]) -> None:
        """The rounds of a workload."""
        self.found.setdefault(placement, {})[workload] = list(rounds)


def version_of(peer: Peer) -> str:
    """The version of a peer, or why there is none."""
    try:
        return environment_of(peer).version
    except CannotBeMade as error:
        return f"not installed: {error}"
