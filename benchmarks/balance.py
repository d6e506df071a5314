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
    given.out.write_text(picture(loads, given.topics), encoding="utf-8")


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


def picture(loads: list[int], topics: int) -> str:
    """Return the loads as bars, and what they are expected to be as a line."""
    shards = len(loads)
    mean = topics / shards
    deviation = math.sqrt(mean * (1 - 1 / shards)) or 1.0
    low, high = min(*loads, mean - 3.6 * deviation), max(*loads, mean + 3.6 * deviation)
    step = (high - low) / BARS
    bars = Counter(min(int((load - low) / step), BARS - 1) for load in loads)

    def density(load: float) -> float:
        """The normal distribution, in shards a bar."""
        distance = (load - mean) / deviation
        return shards * step * math.exp(-distance * distance / 2) / deviation / math.sqrt(math.tau)

    highest = max(*bars.values(), density(mean)) * 1.05

    def x(load: float) -> float:
        return LEFT + (load - low) / (high - low) * (RIGHT - LEFT)

    def y(count: float) -> float:
        return BOTTOM - count / highest * (BOTTOM - TOP)

    points = (low + (high - low) * i / 120 for i in range(121))
    line = " ".join(f"{x(load):.1f},{y(density(load)):.1f}" for load in points)
    title = f"{topics:,} topics on {shards:,} shards"
    facts = f"fewest {min(loads):,}, most {max(loads):,}, standard deviation {pstdev(loads):.1f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
            ' aria-labelledby="balance-title"'
            ' font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" font-size="13">',
            f'<title id="balance-title">{title}: {facts}</title>',
            STYLE,
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
            f'<text class="name" x="{LEFT}" y="28">{title}</text>',
            f'<text class="soft" x="{LEFT}" y="47">{facts}; the line: ideal draws</text>',
            *(
                f'<rect class="bar" x="{x(low + bar * step) + 0.5:.1f}" y="{y(count):.1f}"'
                f' width="{(RIGHT - LEFT) / BARS - 1:.1f}" height="{BOTTOM - y(count):.1f}"/>'
                for bar, count in sorted(bars.items())
            ),
            f'<polyline class="line" points="{line}"/>',
            f'<path class="axis" d="M{LEFT} {BOTTOM}H{RIGHT}"/>',
            *(
                f'<text class="soft" x="{x(load):.1f}" y="{BOTTOM + 18}" text-anchor="middle">'
                f"{load:,}</text>"
                for load in ticks(low, high, 8)
            ),
            *(
                f'<text class="soft" x="{LEFT - 8}" y="{y(count) + 4:.1f}" text-anchor="end">'
                f"{count}</text>"
                for count in ticks(0, highest, 5)
            ),
            f'<text class="soft" x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">'
            "topics of a shard</text>",
            f'<text class="soft" x="16" y="{(TOP + BOTTOM) / 2}" text-anchor="middle"'
            f' transform="rotate(-90 16 {(TOP + BOTTOM) / 2})">shards</text>',
            "</svg>\n",
        ]
    )


STYLE = """<style>
  svg { --ink: #1f2430; --soft: #5b6472; --paper: #ffffff; --bar: #b39ddb; --line: #5e35b1; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6e6ef; --soft: #a3a9b8; --paper: #1e2129; --bar: #7e57c2; --line: #d1c4e9; }
  }
  text { fill: var(--ink); }
  .name { font-weight: 600; font-size: 15px; }
  .soft { fill: var(--soft); font-size: 12px; }
  .paper { fill: var(--paper); }
  .bar { fill: var(--bar); }
  .line { fill: none; stroke: var(--line); stroke-width: 2; }
  .axis { stroke: var(--soft); }
</style>"""


def ticks(low: float, high: float, count: int) -> Iterator[int]:
    """Yield round numbers, about so many, between two others."""
    rough = (high - low) / count
    size = 10 ** math.floor(math.log10(max(rough, 1)))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    yield from range(math.ceil(low / step) * step, math.floor(high) + 1, step)


if __name__ == "__main__":
    main()
