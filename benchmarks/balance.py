"""How evenly topics are spread over shards, and how many move, as a picture for the documentation.

    python -m benchmarks.balance                     # writes docs/assets/balance.svg (2 minutes)
    python -m benchmarks.balance --topics 10000 --shards 8 --out /tmp/balance.svg

A topic draws its shard (`slipstream_actor.contrib.ray.placement`), so the number of topics of a
shard is binomial, if the draws are good ones; that is the line in the picture. It always comes out
the same.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, pstdev

from slipstream_actor.contrib.ray.placement import owner, owners

PICTURE = Path(__file__).parents[1] / "docs" / "assets" / "balance.svg"
SAMPLE = 10_000
WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 56, 736, 64, 288
BARS = 40


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--topics", type=int, default=1_000_000)
    arguments.add_argument("--shards", type=int, default=1_000)
    arguments.add_argument("--out", type=Path, default=PICTURE)
    given = arguments.parse_args()
    loads = spread(given.topics, given.shards)
    expected = math.sqrt(given.topics / given.shards * (1 - 1 / given.shards))
    print(f"{given.topics:,} topics on {given.shards:,} shards: {fmean(loads):,.0f} a shard")
    print(f"fewest {min(loads):,}, most {max(loads):,}")
    print(f"standard deviation {pstdev(loads):.1f}; of ideal draws {expected:.1f}")
    for other in (given.shards + 1, given.shards * 2):
        share = moved(min(given.topics, SAMPLE), given.shards, other)
        print(f"to {other:,} shards {share:.2%} move; ideal {1 - given.shards / other:.2%}")
    given.out.write_text(Chart(loads, given.topics).svg(), encoding="utf-8")


def names(count: int) -> Iterator[str]:
    return (f"room:{number}" for number in range(count))


def spread(topics: int, shards: int) -> list[int]:
    """Return how many topics each shard has."""
    counted = Counter(owner(topic, shards) for topic in names(topics))
    return [counted[shard] for shard in range(shards)]


def moved(topics: int, before: int, after: int) -> float:
    """Return the share of topics that change their shard."""
    first, then = owners(names(topics), before), owners(names(topics), after)
    return sum(then[topic] != shard for topic, shard in first.items()) / topics


class Chart:
    """The loads as bars, and what they are expected to be as a line."""

    def __init__(self, loads: list[int], topics: int) -> None:
        self.loads = loads
        self.topics = topics
        self.mean = topics / len(loads)
        self.deviation = math.sqrt(self.mean * (1 - 1 / len(loads))) or 1.0
        self.low = math.floor(min(*loads, self.mean - 3.6 * self.deviation))
        # Loads are whole numbers: as many of them under each bar.
        most = max(*loads, self.mean + 3.6 * self.deviation)
        self.step = math.ceil((most - self.low + 1) / BARS)
        self.high = self.low + self.step * BARS
        self.bars = Counter((load - self.low) // self.step for load in loads)
        self.highest = max(*self.bars.values(), self.density(self.mean)) * 1.05

    def density(self, load: float) -> float:
        """Return how many shards a bar would have there, by the normal distribution."""
        distance = (load - self.mean) / self.deviation
        share = math.exp(-distance * distance / 2) / self.deviation / math.sqrt(math.tau)
        return len(self.loads) * self.step * share

    def x(self, load: float) -> float:
        return LEFT + (load - self.low) / (self.high - self.low) * (RIGHT - LEFT)

    def y(self, count: float) -> float:
        return BOTTOM - count / self.highest * (BOTTOM - TOP)

    def svg(self) -> str:
        head = (
            f'<svg class="balance" viewBox="0 0 {WIDTH} {HEIGHT}" font-size="13"'
            ' font-family="system-ui, -apple-system, sans-serif"'
            ' role="img" aria-labelledby="balance-title" xmlns="http://www.w3.org/2000/svg">'
        )
        return "\n".join([head, *self.titles(), *self.drawn_bars(), *self.axes(), "</svg>\n"])

    def titles(self) -> Iterator[str]:
        few, most, deviation = min(self.loads), max(self.loads), pstdev(self.loads)
        title = f"{self.topics:,} topics on {len(self.loads):,} shards"
        facts = f"fewest {few:,}, most {most:,}, standard deviation {deviation:.1f}"
        yield f'<title id="balance-title">{title}: {facts}</title>'
        yield STYLE
        yield f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
        yield f'<text class="name" x="{LEFT}" y="28">{title}</text>'
        ideal = f"the line: ideal draws, {self.deviation:.1f}"
        yield f'<text class="soft" x="{LEFT}" y="47">{facts}; {ideal}</text>'

    def drawn_bars(self) -> Iterator[str]:
        width = (RIGHT - LEFT) / BARS - 1
        for bar, count in sorted(self.bars.items()):
            x, y = self.x(self.low + bar * self.step) + 0.5, self.y(count)
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BOTTOM - y:.1f}"'
            yield f'<rect class="bar" {place}/>'
        loads = (self.low + (self.high - self.low) * i / 120 for i in range(121))
        points = " ".join(f"{self.x(load):.1f},{self.y(self.density(load)):.1f}" for load in loads)
        yield f'<polyline class="line" points="{points}"/>'

    def axes(self) -> Iterator[str]:
        yield f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>'
        for load in ticks(self.low, self.high, 8):
            yield label(self.x(load), BOTTOM + 18, f"{load:,}")
        for count in ticks(0, self.highest, 5):
            yield label(LEFT - 18, self.y(count) + 4, f"{count:,}")
        yield label((LEFT + RIGHT) / 2, HEIGHT - 14, "topics of a shard")
        middle = (TOP + BOTTOM) / 2
        yield label(16, middle, "shards", f' transform="rotate(-90 16 {middle})"')


def label(x: float, y: float, text: str, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text class="soft" {place} text-anchor="middle"{more}>{text}</text>'


STYLE = """<style>
  .balance text { fill: #1f2430; }
  .balance .name { font-weight: 600; font-size: 15px; }
  .balance .soft { fill: #5b6472; font-size: 12px; }
  .balance .paper { fill: #ffffff; }
  .balance .bar { fill: #b39ddb; }
  .balance .line { fill: none; stroke: #5e35b1; stroke-width: 2; }
  .balance .axis { stroke: #5b6472; }
  @media (prefers-color-scheme: dark) {
    .balance text { fill: #e6e6ef; }
    .balance .soft { fill: #a3a9b8; }
    .balance .paper { fill: #1e2129; }
    .balance .bar { fill: #7e57c2; }
    .balance .line { stroke: #d1c4e9; }
    .balance .axis { stroke: #a3a9b8; }
  }
</style>"""


def ticks(low: float, high: float, count: int) -> Iterator[int]:
    """Yield round numbers, about so many, between two others."""
    rough = (high - low) / count
    size = 10 ** math.floor(math.log10(max(rough, 1)))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    yield from range(math.ceil(low / step) * step, math.floor(high) + 1, step)


if __name__ == "__main__":
    main()
