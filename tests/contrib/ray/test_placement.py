"""Which shard a topic belongs to."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter

import pytest

from slipstream_actor.contrib.ray.placement import owner, owners

TOPICS = [f"room:{number}" for number in range(10_000)]


def test_a_topic_has_the_same_owner_in_every_version() -> None:
    """Shards of two versions would join one topic twice, or never."""
    named = ["rooms:lobby", "", "Räume:1", "user:\ud800", "room:1"]
    assert [owner(topic, 8) for topic in named] == [5, 7, 3, 4, 3]
    assert [owner(topic, 1000) for topic in named] == [860, 360, 282, 854, 51]


def test_a_topic_has_the_same_owner_in_every_process() -> None:
    code = (
        "from slipstream_actor.contrib.ray.placement import owner\n"
        "print(*(owner(f'room:{number}', 5) for number in range(100)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert [int(word) for word in said.split()] == [owner(topic, 5) for topic in TOPICS[:100]]


def test_many_at_once_are_owned_as_each_alone() -> None:
    assert owners(TOPICS[:200], 7) == {topic: owner(topic, 7) for topic in TOPICS[:200]}


@pytest.mark.parametrize("shards", [1, 2, 3, 8, 13])
def test_topics_are_spread_evenly(shards: int) -> None:
    counted = Counter(owners(TOPICS, shards).values())
    assert set(counted) == set(range(shards))
    even = len(TOPICS) / shards
    assert all(abs(count - even) < 5 * even**0.5 for count in counted.values())


def test_half_move_from_four_to_eight() -> None:
    before, after = owners(TOPICS, 4), owners(TOPICS, 8)
    moved = [topic for topic in TOPICS if after[topic] != before[topic]]
    assert 0.48 < len(moved) / len(TOPICS) < 0.52
    assert {after[topic] for topic in moved} == {4, 5, 6, 7}


@pytest.mark.parametrize("shards", [1, 2, 5, 9])
def test_another_shard_takes_its_part_and_nobody_else_anything(shards: int) -> None:
    before, after = owners(TOPICS, shards), owners(TOPICS, shards + 1)
    moved = [topic for topic in TOPICS if after[topic] != before[topic]]
    assert abs(len(moved) / len(TOPICS) - 1 / (shards + 1)) < 0.02
    assert {after[topic] for topic in moved} == {shards}


def test_it_does_not_depend_on_how_topics_are_named() -> None:
    """Numbers, one prefix, one character more: none of these makes a pattern."""
    drawn = random.Random(1)
    kinds = [
        [f"{number}" for number in range(4000)],
        ["x" * number for number in range(4000)],
        [f"tenant:{number:032x}:orders" for number in range(4000)],
        [drawn.randbytes(9).hex() for _ in range(4000)],
    ]
    for topics in kinds:
        counted = Counter(owners(topics, 4).values())
        assert all(abs(count - 1000) < 150 for count in counted.values())


@pytest.mark.parametrize("shards", [0, -1])
def test_no_shard_owns_nothing(shards: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        owner("room:1", shards)
    with pytest.raises(ValueError, match="at least 1"):
        owners(["room:1"], shards)
