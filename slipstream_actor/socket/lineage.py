"""What all sockets have in common that descend from one: the connections made for them."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["Lineage"]

# So many topics are remembered.
MOST_TOPICS = 1_000


class Lineage:
    """The connections and scheduled attempts of one socket's descendants, for its end."""

    __slots__ = ("_connections", "_timers", "connected", "has_connected", "joined", "topics")

    def __init__(self) -> None:
        self._connections: list[Any] = []
        self._timers: list[weakref.ref[Any]] = []
        # What one of them has asked for or awaited (a connection, joins by their refs), for whoever
        # goes on with another one: a socket never changes.
        self.has_connected: bool = False
        self.topics: set[str] = set()
        self.connected: Any = None
        self.joined: set[str | None] = set()

    def add_topic(self, topic: str) -> None:
        """A topic has been asked for."""
        if len(self.topics) < MOST_TOPICS:
            self.topics.add(topic)

    def add_joined(self, join_ref: str | None) -> None:
        """A join has been awaited."""
        if len(self.joined) < MOST_TOPICS:
            self.joined.add(join_ref)

    def add_connection(self, connection: Any) -> None:
        """A connection has been opened."""
        self._connections = [c for c in self._connections if c.is_alive()]
        self._connections.append(connection)

    def add_timer(self, timer: Any) -> None:
        """An attempt has been scheduled."""
        self._timers = [t for t in self._timers if t() is not None]
        self._timers.append(weakref.ref(timer))

    def end(self) -> list[Any]:
        """Cancel what is scheduled, and return the connections that live."""
        for held in self._timers:
            if (timer := held()) is not None:
                timer.cancel()
        self._timers.clear()
        return [connection for connection in self._connections if connection.is_alive()]
