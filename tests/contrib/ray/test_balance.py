"""The picture of how evenly topics are spread over shards."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.balance import PICTURE, Chart, spread

ROOT = Path(__file__).parents[3]


def test_it_is_made_and_says_the_figures(tmp_path: Path) -> None:
    out = tmp_path / "balance.svg"
    command = [sys.executable, "-m", "benchmarks.balance", "--topics=2000", "--shards=20"]
    made = subprocess.run(
        [*command, f"--out={out}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stderr == ""
    assert made.stdout.splitlines()[0] == "2,000 topics on 20 shards: 100 a shard"
    assert out.read_text(encoding="utf-8") == Chart(spread(2000, 20), 2000).svg()


def test_each_shard_stands_in_one_bar() -> None:
    loads = [90, 95, 100, 100, 105, 110]
    chart = Chart(loads, 600)
    assert sum(chart.bars.values()) == len(loads)
    drawn = ElementTree.fromstring(chart.svg())
    bars = [node for node in drawn.iter() if node.get("class") == "bar"]
    assert len(bars) == len(chart.bars) == 5
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights[2] == max(heights)


def test_the_one_of_the_documentation_is_of_a_million_topics_and_asks_nobody() -> None:
    drawn = PICTURE.read_text(encoding="utf-8")
    assert "1,000,000 topics on 1,000 shards: fewest " in drawn
    assert set(re.findall(r"https?://[^\"' <]+", drawn)) == {"http://www.w3.org/2000/svg"}
    # Of 1,000 binomial draws around 1,000 nearly all lie within 150, if they are good ones.
    few, most = re.findall(r"(?:fewest|most) ([\d,]+)", drawn)[:2]
    assert int(few.replace(",", "")) > 850
    assert int(most.replace(",", "")) < 1150
