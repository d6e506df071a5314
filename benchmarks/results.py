"""What a whole run has found, and the files that are made of it, by
`python -m benchmarks.results` anew."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import plot, table
from benchmarks.environments import CannotBeMade, Peer, environment_of
from benchmarks.figures import Round, ratios
from benchmarks.machine import commit, machine
from benchmarks.server import HERE, ROOT
from benchmarks.workloads import WORKLOADS

FOLDER = HERE / "results"
RAW = "results.json"
IN_README = re.compile(
    r"(?<=<!-- figures of the bench -->\n).*?(?=<!-- end of them -->)", re.DOTALL
)


@dataclass
class Results:
    """Of one run: where, of what, and what each round of each workload has found."""

    machine: dict[str, str]
    commit: str
    date: str
    versions: dict[str, str]
    """Of the peers, by their names; why there is none, of one whose environment cannot be made."""
    rounds: int
    found: dict[str, dict[str, list[Round]]] = field(default_factory=dict)
    """Rounds, by placement and by workload."""
    growth: dict[str, dict[str, float]] = field(default_factory=dict)
    """Microseconds that one costs, by measure and by how many there are."""

    @classmethod
    def of(cls, peers: Sequence[Peer], rounds: int) -> Results:
        """An empty one."""
        versions = {peer.name: version_of(peer) for peer in peers}
        return cls(machine(), commit(), datetime.now(UTC).date().isoformat(), versions, rounds)

    @classmethod
    def read(cls, folder: Path = FOLDER) -> Results:
        """That of the last whole run."""
        return cls(**json.loads((folder / RAW).read_text(encoding="utf-8")))

    def add(self, workload: str, placement: str, rounds: Sequence[Round]) -> None:
        """The rounds of a workload."""
        self.found.setdefault(placement, {})[workload] = list(rounds)

    def files(self) -> Mapping[str, str]:
        """The files of `results/`, by their names."""
        made = {
            RAW: json.dumps(asdict(self), indent=1) + "\n",
            "README.md": table.page(self),
            "ratios.svg": plot.ratios(self),
        }
        if self.growth:
            made["growth.svg"] = plot.growth(self.growth)
        return made

    def summary(self) -> dict[str, object]:
        """The entry of the history: medians of the ratios, of clients that have some."""
        kept: dict[str, dict[str, dict[str, float]]] = {}
        for placement, workloads in self.found.items():
            for name, rounds in workloads.items():
                figure = WORKLOADS[name].figures[0].name
                for peer in self.versions:
                    if ratio := ratios(rounds, peer, figure):
                        row = kept.setdefault(placement, {}).setdefault(name, {})
                        row[peer] = round(ratio.middle, 3)
        about = {"kind": "whole", "date": self.date, "commit": self.commit}
        return {**about, "machine": self.machine, "versions": self.versions, "ratios": kept}

    def write(self, folder: Path = FOLDER, readme: Path = ROOT / "README.md") -> None:
        """Write them, and the figures in the README."""
        folder.mkdir(exist_ok=True)
        for name, text in self.files().items():
            (folder / name).write_text(text, encoding="utf-8")
        before = readme.read_text(encoding="utf-8")
        made = IN_README.sub(lambda _: table.for_readme(self), before)
        readme.write_text(made, encoding="utf-8")


def version_of(peer: Peer) -> str:
    """The version of a peer, or why there is none."""
    try:
        return environment_of(peer).version
    except CannotBeMade as error:
        return f"not installed: {error}"


if __name__ == "__main__":
    # After a change of the table or the plots: they are made anew of what was found last.
    Results.read().write()
