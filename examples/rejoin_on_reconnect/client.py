"""A client that follows topics as it is told to, and misses nothing while it is disconnected."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Socket, connect


class Follower(ClientActor):
    """Follows logs, and reads on after a gap where it stopped."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Nothing is followed yet: what, is said later."""
        return connect(uri, **options).assign(last={}, lines=())

    def follow(self, topic: str) -> None:
        """Join a topic, now and after every reconnect: `ref.proxy().follow(…)`, any time."""
        self.socket = self.socket.join(topic, {"after": lambda: self.last(topic)})

    def unfollow(self, topic: str) -> None:
        """Leave a topic: it is not joined again either."""
        self.socket = self.socket.leave(topic)

    def last(self, topic: str) -> int:
        """Return the number of the last entry that has come: at each join, where to go on."""
        number: int = self.socket.assigns["last"].get(topic, 0)
        return number

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """An entry: the assigns outlive the connection, so the number is there afterwards."""
        last = {**socket.assigns["last"], topic: payload["number"]}
        return socket.assign(last=last, lines=(*socket.assigns["lines"], payload["line"]))
