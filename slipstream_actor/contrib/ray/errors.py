"""What shards raise beside the errors of clients, and what stands among messages."""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.errors import SlipstreamError

__all__ = [
    "Dropped",
    "RayNotInitializedError",
    "ShardLostError",
    "ShardRestarted",
    "ShardsDifferError",
    "StoreUnavailableError",
]


class ShardLostError(SlipstreamError):
    """The process of a topic's `shard` has died, or was replaced, before there was an outcome.

    `maybe_sent`: the server may have heard it; it is not sent again by itself. Delivered by the
    futures of `Shards.request` and `Shards.invoke`, raised by `Shards.call`.
    """

    def __init__(
        self,
        message: str,
        *,
        shard: int | None = None,
        maybe_sent: bool = False,
        reason: Any = None,
    ) -> None:
        super().__init__(message)
        self.shard = shard
        self.maybe_sent = maybe_sent
        self.reason = reason


class ShardsDifferError(SlipstreamError, ValueError):
    """Raised by `Shards(…)`: those of that name have another class, other arguments, or another
    number. `differences` says in words which; never the arguments, which may be secret."""

    def __init__(self, name: str, differences: list[str]) -> None:
        super().__init__(f"the shards {name!r} are there, and differ: {'; '.join(differences)}")
        self.name = name
        self.differences = differences


class RayNotInitializedError(SlipstreamError, RuntimeError):
    """Ray is not initialised in this process: raised by every use of shards. `ray.init` is the
    application's."""


class StoreUnavailableError(SlipstreamError, TimeoutError):
    """Ray's head, which keeps the wanted topics, has not answered in time."""


class Dropped(msgspec.Struct, frozen=True):
    """Stands in a subscription with `overflow="drop_oldest"`: `count` messages are missing here."""

    count: int


class ShardRestarted(msgspec.Struct, frozen=True):
    """Stands in a subscription: the process of `shard` is a new one, and messages of its topics may
    be missing here."""

    shard: int
