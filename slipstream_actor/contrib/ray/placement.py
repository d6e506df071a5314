"""Which shard a topic belongs to: rendezvous hashing, the same in every process and version.

Each shard draws a number for the topic, and the highest wins. Whoever is added draws beside the
others, so a topic moves to a new shard or stays; whoever goes leaves its topics to those who drew
the next highest.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

__all__ = ["owner", "owners"]

DRAW_BYTES = 8


def owner(topic: str, shards: int) -> int:
    """Return the number of the shard, from 0 to `shards - 1`, that a topic belongs to.

    Raises ValueError when there is no shard.
    """
    if shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    return _highest(topic, shards, struct.Struct(f"<{shards}Q"))


def owners(topics: Iterable[str], shards: int) -> dict[str, int]:
    """Return the shard of each topic; see `owner`."""
    if shards < 1:
        raise ValueError(f"shards must be at least 1, not {shards}")
    draws = struct.Struct(f"<{shards}Q")
    return {topic: _highest(topic, shards, draws) for topic in topics}


def _highest(topic: str, shards: int, draws: struct.Struct) -> int:
    # A longer output of SHAKE begins with the shorter one: what a shard draws does not depend on
    # how many there are.
    stream = hashlib.shake_128(topic.encode("utf-8", "surrogatepass"))
    drawn = draws.unpack(stream.digest(shards * DRAW_BYTES))
    return drawn.index(max(drawn))
