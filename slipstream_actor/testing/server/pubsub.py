"""Who hears a broadcast: Phoenix.PubSub, and Phoenix.Channel.Server's way of handing it out.

A broadcast is encoded by the broadcaster, once per serializer, and goes straight to the connections
of the subscribers. So one that cannot be encoded raises in the broadcaster, after those before it
in the line have got theirs (docs/protocol.md#note-28).
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from slipstream_actor.testing.server.codec import Codec


class Broadcast:
    """One event on its way to many."""

    def __init__(self, topic: str, event: str, payload: Any) -> None:
        self.topic = topic
        self.event = event
        self.payload = payload
        self._frames: dict[Codec, str | bytes] = {}

    def frame(self, codec: Codec) -> str | bytes:
        """The frame for one serializer. Raises what `encode_broadcast` raises."""
        if codec not in self._frames:
            self._frames[codec] = codec.encode_broadcast(self.topic, self.event, self.payload)
        return self._frames[codec]


class Subscriber(Protocol):
    """What may subscribe: a channel to its topic, a connection to its socket's id."""

    def on_broadcast(self, broadcast: Broadcast) -> None:
        """Runs in the broadcaster's thread."""


class Hub:
    """The topics of one server and their subscribers.

    Every method may be called from any thread.
    """

    def __init__(self) -> None:
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._subscribers: dict[str, dict[Subscriber, None]] = {}

    def subscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Adds `subscriber` at the end of the topic's line."""
        with self._lock:
            self._subscribers.setdefault(topic, {})[subscriber] = None

    def unsubscribe(self, topic: str, subscriber: Subscriber) -> None:
        """Takes `subscriber` out; nothing when it is not there."""
        with self._lock:
            line = self._subscribers.get(topic, {})
            line.pop(subscriber, None)
            if not line:
                self._subscribers.pop(topic, None)

    def broadcast(
        self, topic: str, event: str, payload: Any, sender: Subscriber | None = None
    ) -> None:
        """To every subscriber of `topic` but `sender`.

        Raises what cannot be encoded, `TypeError` for an event that is no string.
        """
        _require_strings(topic, event)
        with self._lock:
            line = list(self._subscribers.get(topic, ()))
        broadcast = Broadcast(topic, event, payload)
        for subscriber in line:
            if subscriber is not sender:
                subscriber.on_broadcast(broadcast)


def _require_strings(*values: object) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is no string")
