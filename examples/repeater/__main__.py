"""`python -m examples.repeater [redis://…]`: from an embedded server into a queue, or Redis."""

from __future__ import annotations

import importlib
import queue
import sys
from typing import Any

from examples.repeater.client import QueueSink, RedisSink, Repeater, Sink
from slipstream_actor import ChildSpec, Supervisor, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer

TOPICS = ("rooms:lobby", "rooms:attic")


def main(redis_url: str | None = None) -> None:
    """Broadcast a few messages, and show what has been repeated."""
    messages: queue.Queue[tuple[str, str, Any]] = queue.Queue(maxsize=1000)
    sink: Sink = QueueSink(messages)
    if redis_url is not None:
        client = importlib.import_module("redis").Redis.from_url(redis_url)
        sink = RedisSink(client, "repeated")
    with PhoenixServer({"rooms:*": Channel}) as server:
        program = Supervisor.start([ChildSpec(Repeater, server.uri, TOPICS, sink, name="repeater")])
        for topic in TOPICS:
            wait_until_joined("repeater", topic)
        server.broadcast("rooms:lobby", "new:msg", {"body": "hello"})
        server.broadcast("rooms:attic", "new:msg", {"body": "dusty here"})
        server.broadcast("rooms:lobby", "new:picture", b"\x89PNG")
        if redis_url is None:
            for _ in range(3):
                print(*messages.get(timeout=10))
        program.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
