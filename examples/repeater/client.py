"""A client that repeats a service's messages elsewhere: into a queue, or into a Redis stream."""

from __future__ import annotations

import json
import queue
from collections.abc import Iterable
from typing import Any, Protocol

from slipstream_actor import ClientActor, Socket, connect


class Sink(Protocol):
    """Where the messages go."""

    def put(self, topic: str, event: str, payload: Any) -> None:
        """Take a message; blocks while there is no room, and raises when it cannot."""


class QueueSink:
    """For consumers in this process: a bounded `queue.Queue` of (topic, event, payload)."""

    def __init__(self, messages: queue.Queue[tuple[str, str, Any]]) -> None:
        self.messages = messages

    def put(self, topic: str, event: str, payload: Any) -> None:
        """Wait for room: the connection stops reading meanwhile, and TCP slows the server."""
        self.messages.put((topic, event, payload))


class RedisSink:
    """For consumers elsewhere: a Redis stream; `redis` is a `redis.Redis` of your own."""

    def __init__(self, redis: Any, stream: str, keep: int = 100_000) -> None:
        self.redis = redis
        self.stream = stream
        self.keep = keep

    def put(self, topic: str, event: str, payload: Any) -> None:
        """Append an entry: bytes as they are, all else as JSON; `keep` is about how many stay."""
        field = "data" if isinstance(payload, bytes) else "json"
        value = payload if isinstance(payload, bytes) else json.dumps(payload)
        entry = {"topic": topic, "event": event, field: value}
        self.redis.xadd(self.stream, entry, maxlen=self.keep, approximate=True)


class Repeater(ClientActor):
    """Puts every message of some topics into a sink, unchanged and in order."""

    def init(self, uri: str, topics: Iterable[str], sink: Sink, **options: Any) -> Socket:
        """Ask for the connection, and for each topic."""
        self.sink = sink
        socket = connect(uri, **options)
        for topic in topics:
            socket = socket.join(topic)
        return socket

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        """Repeat it. What the sink raises ends the client, and its supervisor starts it again."""
        self.sink.put(topic, event, payload)
