"""The tables: figures of peers beside each other, as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.environments import PEERS
from benchmarks.figures import BASE, Round, Spread, ratios, reason, shares, values
from benchmarks.workloads import PINNED, QUICK, UNPINNED, WORKLOADS, Figure

if TYPE_CHECKING:
    from benchmarks.results import Results

NARROW = 0.7
"""The share of its core above which the server may be what is measured."""
LIMITED = " **!**"
NONE = "-"
SECTIONS = {
    PINNED: "One core for the client, one for the server",
    UNPINNED: "All cores for both",
}


def number(value: float) -> str:
    """With as many digits as say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.4f}"


def spread(ratio: Spread) -> str:
    """A ratio, with the least and the most of the rounds if there were some."""
    if ratio.least == ratio.most:
        return f"**{ratio.middle:.2f}**"
    return f"**{ratio.middle:.2f}** ({ratio.least:.2f} to {ratio.most:.2f})"


class Notes:
    """Footnotes: the same text is the same note."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        """The mark of a note."""
        if text not in self._texts:
            self._texts.append(text)
        return f"<sup>{self._texts.index(text) + 1}</sup>"

    def lines(self) -> list[str]:
        return [f"{number}. {text}" for number, text in enumerate(self._texts, 1)]


def cell(rounds: Sequence[Round], peer: str, figure: Figure, notes: Notes) -> str:
    """A figure of a peer: the median, and the ratio to the base."""
    found = values(rounds, peer, figure.name)
    if found is None:
        why = reason(rounds, peer)
        return NONE + (notes.mark(why) if why else "")
    share = values(rounds, peer, "server_share")
    shown = number(found.middle) + (LIMITED if share and share.middle > NARROW else "")
    if peer == BASE or not figure.compared:
        return shown
    ratio = ratios(rounds, peer, figure.name)
    return f"{shown}<br>{spread(ratio)}" if ratio else shown


def server_cell(rounds: Sequence[Round]) -> str:
    """The share of its core that the server needed at most."""
    found = shares(rounds)
    if found is None:
        return NONE
    return f"{found:.0%}"


def section(found: dict[str, list[Round]], peers: Sequence[str], notes: Notes) -> list[str]:
    """A table: a row for each figure, a column for each peer."""
    heads = ["", *(PEERS[peer].title for peer in peers), "server's core"]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for name, rounds in found.items():
        for figure in WORKLOADS[name].figures:
            if all(values(rounds, peer, figure.name) is None for peer in peers):
                continue
            cells = [cell(rounds, peer, figure, notes) for peer in peers]
            title = f"{figure.title}, {figure.unit}"
            lines.append(f"| {title} | {' | '.join(cells)} | {server_cell(rounds)} |")
    return lines


def growth(found: dict[str, dict[str, float]]) -> list[str]:
    """What one costs, by how many there are."""
    sizes = sorted({int(size) for costs in found.values() for size in costs})
    lines = [
        f"| µs | {' | '.join(f'{size:,}' for size in sizes)} |",
        "|---" + "|---:" * len(sizes) + "|",
    ]
    for title, costs in found.items():
        cells = [number(costs[str(size)]) if str(size) in costs else NONE for size in sizes]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def page(results: Results) -> str:
    """The whole page of `results/`."""
    notes, peers = Notes(), list(results.versions)
    where = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    lines = [
        "<!-- Written by `make bench`. -->",
        "# Results of the bench",
        "",
        f"{results.date}, commit {results.commit}. {where}. Medians of {results.rounds} rounds, in"
        " which the clients take turns. **Bold** is the ratio to the bare loop in the same round,"
        " with the least and the most of all rounds. Of the rates more is better, of all else less."
        f"{LIMITED} marks what the server may have limited, which needed more than {NARROW:.0%} of"
        " its core; the last column is the most that it needed beside any client.",
        "",
        "![Ratios to the bare loop](ratios.svg)",
        "",
    ]
    for placement, found in results.found.items():
        lines += [f"## {SECTIONS[placement]}", "", *section(found, peers, notes), ""]
    lines += [*notes.lines(), ""]
    if results.growth:
        lines += ["## Growth", "", "What one of them costs among so many others.", ""]
        lines += ["![Growth](growth.svg)", "", *growth(results.growth), ""]
    lines += ["## Versions", "", "| client | version |", "|---|---|"]
    lines += [f"| {PEERS[peer].title} | {version} |" for peer, version in results.versions.items()]
    return "\n".join([*lines, ""])


def for_readme(results: Results) -> str:
    """A few figures, for whom they are enough."""
    found = results.found.get(PINNED, {})
    lines = ["", "| on one core | bare loop | slipstream_actor | ratio |", "|---|---:|---:|---:|"]
    for name in QUICK:
        figure, rounds = WORKLOADS[name].figures[0], found.get(name, [])
        bare, ours = (values(rounds, peer, figure.name) for peer in (BASE, "ours"))
        ratio = ratios(rounds, "ours", figure.name)
        if bare and ours and ratio:
            cells = (number(bare.middle), number(ours.middle), f"{ratio.middle:.1f}")
            lines.append(f"| {figure.title}, {figure.unit} | {' | '.join(cells)} |")
    where = f"{results.machine['processor']}, Python {results.machine['Python']}, medians of"
    return "\n".join([*lines, "", f"{where} {results.rounds} rounds.", "", ""])
