"""What all sockets have in common that descend from one: the connections made for them."""

from __future__ import annotations

from typing import Any

__all__ = ["Lineage"]


class Lineage:
    """The connections and scheduled attempts of one socket's descendants, for its end."""

    __slots__ = ("_connections", "_timers")

    def __init__(self) -> None:
        self._connections: list[Any] = []
        self._timers: list[Any] = []

    def add_connection(self, connection: Any) -> None:
        """A connection has been opened."""
        self._connections = [c for c in self._connections if c.is_alive()]
        self._connections.append(connection)

    def add_timer(self, timer: Any) -> None:
        """An attempt has been scheduled."""
        self._timers = [t for t in self._timers if not t.cancelled]
        self._timers.append(timer)

    def end(self) -> list[Any]:
        """Cancel what is scheduled, and return the connections that live."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        return [connection for connection in self._connections if connection.is_alive()]
