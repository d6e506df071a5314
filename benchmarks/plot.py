"""The plots: SVG, light or dark as whoever looks at them has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from benchmarks.environments import PEERS
from benchmarks.figures import BASE
from benchmarks.figures import ratios as ratios_of
from benchmarks.workloads import PINNED, WORKLOADS

if TYPE_CHECKING:
    from benchmarks.results import Results

STYLE = """
svg { font: 13px system-ui, sans-serif; }
.paper { fill: #ffffff; } text { fill: #1f2328; } .quiet { fill: #59636e; font-size: 12px; }
.grid { stroke: #d1d9e0; } .one { stroke: #59636e; stroke-width: 1.5; }
.bar { fill: #8c959f; } .ours { fill: #8250df; } .spread { stroke: #1f2328; stroke-width: 1.5; }
.line { fill: none; stroke-width: 2; }
.c0 { stroke: #8250df; fill: #8250df; } .c1 { stroke: #0969da; fill: #0969da; }
.c2 { stroke: #1a7f37; fill: #1a7f37; } .c3 { stroke: #bc4c00; fill: #bc4c00; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #f0f6fc; } .quiet { fill: #9198a1; }
  .grid { stroke: #3d444d; } .one { stroke: #9198a1; }
  .bar { fill: #656c76; } .ours { fill: #ab7df8; } .spread { stroke: #f0f6fc; }
  .c0 { stroke: #ab7df8; fill: #ab7df8; } .c1 { stroke: #4493f8; fill: #4493f8; }
  .c2 { stroke: #3fb950; fill: #3fb950; } .c3 { stroke: #f0883e; fill: #f0883e; }
}
""".strip()
COLOURS = 4
WIDTH = 860.0


class Scale:
    """A logarithmic axis: whole powers of ten around all values, from `start` to `end`."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        found = [value for value in values if value > 0] or [1.0]
        self._least = floor(log10(min(found)))
        self._most = max(ceil(log10(max(found))), self._least + 1)
        self._start, self._end = start, end

    def at(self, value: float) -> float:
        """Where a value is."""
        part = (log10(value) - self._least) / (self._most - self._least)
        return self._start + part * (self._end - self._start)

    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self._least, self._most + 1)]


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind} text-anchor="{anchor}">{escape(words)}</text>'


def line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" class="{kind}"/>'


def picture(title: str, height: float, parts: Sequence[str]) -> str:
    """The whole of an SVG, with paper of its own."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height:.0f}"'
        f' width="{WIDTH:.0f}" height="{height:.0f}" role="img">'
    )
    paper = f'<rect width="100%" height="100%" class="paper"/>{text(20, 30, title)}'
    return (
        "\n".join(
            [
                head,
                f"<title>{escape(title)}</title>",
                f"<style>{STYLE}</style>",
                paper,
                *parts,
                "</svg>",
            ]
        )
        + "\n"
    )


def shown(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value:,.0f}"


def ratios(results: Results) -> str:
    """A bar for each client at each workload: its rate by that of the bare loop."""
    groups = []
    for name, rounds in results.found.get(PINNED, {}).items():
        figure = WORKLOADS[name].figures[0]
        found = {
            peer: ratio
            for peer in results.versions
            if peer != BASE and (ratio := ratios_of(rounds, peer, figure.name))
        }
        if figure.more_is_better and found:
            groups.append((figure.title, found))
    every = [ratio for _, found in groups for ratio in found.values()]
    edges = [edge for ratio in every for edge in (ratio.least, ratio.most)]
    scale, y = Scale([*edges, 1.0], 290, WIDTH - 80), 66.0
    bars: list[str] = []
    for title, found in groups:
        bars.append(text(20, y + 12, title))
        y += 20
        for peer, ratio in found.items():
            kind = "ours" if peer == "ours" else "bar"
            left, right = sorted((scale.at(1.0), scale.at(ratio.middle)))
            bars.append(text(282, y + 11, PEERS[peer].title, kind="quiet", anchor="end"))
            bars.append(
                f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 1):.1f}" height="13"'
                f' class="{kind}"/>'
            )
            middle, end = y + 6.5, max(right, scale.at(ratio.most))
            bars.append(line(scale.at(ratio.least), middle, scale.at(ratio.most), middle, "spread"))
            bars.append(text(end + 6, y + 11, f"{ratio.middle:.2f}", kind="quiet"))
            y += 17
        y += 12
    grid = [line(scale.at(tick), 56, scale.at(tick), y, "grid") for tick in scale.ticks()]
    grid += [
        text(scale.at(tick), 50, f"{shown(tick)}", kind="quiet", anchor="middle")
        for tick in scale.ticks()
    ]
    one = line(scale.at(1.0), 56, scale.at(1.0), y, "one")
    title = "Rates by that of a bare websocket-client loop (1) in the same round"
    return picture(title, y + 10, [*grid, *bars, one])


def growth(found: dict[str, dict[str, float]]) -> str:
    """A line for each measure: what one costs, by how many there are."""
    top, bottom, legend = 56.0, 360.0, 400.0
    sizes = [float(size) for costs in found.values() for size in costs]
    across = Scale(sizes, 70, WIDTH - 30)
    up = Scale([cost for costs in found.values() for cost in costs.values()], bottom, top)
    parts = []
    for tick in up.ticks():
        parts.append(line(70, up.at(tick), WIDTH - 30, up.at(tick), "grid"))
        parts.append(text(62, up.at(tick) + 4, f"{shown(tick)} µs", kind="quiet", anchor="end"))
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(line(x, top, x, bottom, "grid"))
        parts.append(text(x, bottom + 18, shown(tick), kind="quiet", anchor="middle"))
    for number, (title, costs) in enumerate(found.items()):
        colour = f"c{number % COLOURS}"
        points = [(across.at(float(size)), up.at(cost)) for size, cost in costs.items()]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        # As an attribute it would lose against the colour's own fill.
        parts.append(f'<polyline points="{path}" class="{colour} line" style="fill: none"/>')
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="{colour}"/>' for x, y in points
        ]
        y = legend + 20 * number
        parts.append(line(70, y - 4, 100, y - 4, f"{colour} line"))
        parts.append(text(110, y, title))
    return picture("What one costs among so many", legend + 20 * len(found), parts)
