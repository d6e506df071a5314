"""Clients that processes and machines share, on Ray (extra `ray`).

    rooms = Shards(Rooms, uri, name="rooms", shards=4)
    rooms.join("rooms:lobby")
    rooms.request("rooms:lobby", "new:msg", {"body": "hello"}).get().unwrap()

Open `shards.py` first, then `shard.py`; Ray is spoken to in `engine.py` alone. Uses what
`contrib` may use; imports Ray when it is used.
"""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("ray") is None:
    raise ImportError("Ray needs the extra: pip install 'slipstream_actor[ray]'")

from slipstream_actor.contrib.ray.errors import (
    Dropped,
    RayNotInitializedError,
    ShardLostError,
    ShardRestarted,
    ShardsDifferError,
    StoreUnavailableError,
)
from slipstream_actor.contrib.ray.everybody import ShardsStatus
from slipstream_actor.contrib.ray.shard import ShardStatus, generation, incarnation
from slipstream_actor.contrib.ray.shards import Shards
from slipstream_actor.contrib.ray.streams import ShardSubscription

__all__ = [
    "Dropped",
    "RayNotInitializedError",
    "ShardLostError",
    "ShardRestarted",
    "ShardStatus",
    "ShardSubscription",
    "Shards",
    "ShardsDifferError",
    "ShardsStatus",
    "StoreUnavailableError",
    "generation",
    "incarnation",
]
