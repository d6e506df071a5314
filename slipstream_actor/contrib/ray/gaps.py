"""How long a topic that moves is joined nowhere: told by its new owner, for whoever resizes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from slipstream_actor.client.runner import known_socket
from slipstream_actor.contrib.ray.hosting import Host
from slipstream_actor.contrib.ray.layout import Decision
from slipstream_actor.contrib.ray.placement import owner
from slipstream_actor.contrib.ray.store import Store, decode, encode
from slipstream_actor.errors import SlipstreamError

__all__ = ["GAPS", "LEFT", "Gaps", "left_key"]

# By version and shard: when the shard began to leave what is not its own any more, by its host's
# wall clock; and the seconds of each topic that the shard has joined.
LEFT = "left/"
GAPS = "gaps/"
# Seconds after which is told what is known by then: a server may refuse a join.
PATIENCE = 20.0


def left_key(version: int, shard: int) -> str:
    """Return the key of the time at which a shard began to leave."""
    return f"{LEFT}{version}/{shard}"


class Gaps:
    """Those of the topics that come to one shard."""

    def __init__(self, shard: int, store: Store, host: Host) -> None:
        self._shard = shard
        self._store = store
        self._host = host
        self._told: set[int] = set()
        # The latest version that brings changes, and the one that is to be told of.
        self._latest = 0
        self._version: int | None = None
        self._since = 0.0
        self._former: dict[str, int] = {}
        self._joined: dict[str, float] = {}

    @property
    def open(self) -> bool:
        """Whether there are joins to wait for, or something to be told."""
        return self._version is not None

    def changing(self, decision: Decision, layouts: Mapping[int, int]) -> None:
        """Topics are about to be left or joined."""
        version = decision.version
        if version is None or len(layouts) < 2 or version in self._told:
            return
        self._come_to(version)
        if decision.leave:
            now = str(time.time()).encode()
            self._store.put_first(left_key(version, self._shard), now)
        before = layouts[sorted(layouts)[-2]]
        for topic in decision.join:
            former = owner(topic, before)
            if former != self._shard:
                self._former[topic] = former

    def report(self, version: int) -> None:
        """All that this layout brings has been asked for: tell of it when it is joined."""
        if version in self._told or version < 2:
            return
        self._told.add(version)
        self._come_to(version)
        self._version, self._since = version, time.monotonic()
        self.look()

    def _come_to(self, version: int) -> None:
        """Forget what an earlier layout was to bring: nobody asks any more."""
        if version > self._latest:
            self._latest, self._version = version, None
            self._former, self._joined = {}, {}

    def look(self) -> None:
        """Note what has been joined since; tell when that is all."""
        if self._version is None:
            return
        try:
            socket = known_socket(self._host.handle.ref)
        except SlipstreamError:
            return
        now = time.time()
        for topic in self._former.keys() - self._joined.keys():
            if socket is not None and socket.joined(topic):
                self._joined[topic] = now
        late = time.monotonic() > self._since + PATIENCE
        if late or len(self._joined) == len(self._former):
            self._tell(self._version)

    def _tell(self, version: int) -> None:
        shards = set(self._former.values())
        left = self._store.get_many(left_key(version, shard) for shard in shards)
        began = {shard: left.get(left_key(version, shard)) for shard in shards}
        found = {
            topic: max(0.0, joined - decode(began[self._former[topic]] or b"0"))
            for topic, joined in self._joined.items()
            if began[self._former[topic]] is not None
        }
        self._store.put(f"{GAPS}{version}/{self._shard}", encode(found))
        self._version = None
        self._former, self._joined = {}, {}
