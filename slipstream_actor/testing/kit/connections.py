"""The connections of the clients that one test is the server of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykka import ActorDeadError

from slipstream_actor.actors.names import name_of
from slipstream_actor.protocol.reasons import ClosedByClient
from slipstream_actor.testing.kit.clients import living, reference
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.requests import Request

__all__ = ["Connections"]


class Connections:
    """The connections of one test, in the order in which they were accepted."""

    def __init__(self) -> None:
        self._connections: list[FakeConnection] = []

    def __bool__(self) -> bool:
        return bool(self._connections)

    def add(
        self, client: Any, on_request: Callable[[FakeConnection, Request], None]
    ) -> tuple[FakeConnection, list[FakeConnection]]:
        """Connect a living client; return its connection, and those that are void by now.

        Void are its own former one, and that of a dead client whose name it has.
        """
        ref = living(client)
        name = name_of(ref)
        void = [
            c for c in self._connections if c.client is ref or (name is not None and c.name == name)
        ]
        self._connections = [c for c in self._connections if c not in void]
        for former in void:
            former.withdraw()
            former.end_requests(ClosedByClient())
        connection = FakeConnection(ref, name, self._label(name, ref), on_request)
        self._connections.append(connection)
        return connection, void

    def of(self, client: Any) -> list[FakeConnection]:
        """Return a client's connection, also a dead one's by its name; with `None` all of them."""
        if client is None:
            return self._connections[:]
        try:
            ref = reference(client)
        except ActorDeadError:
            return [connection for connection in self._connections if connection.name == client]
        return [connection for connection in self._connections if connection.client is ref]

    def one(self, client: Any) -> FakeConnection | None:
        """Return a client's connection, `None` when it has none."""
        return next(iter(self.of(client)), None)

    def clear(self) -> list[FakeConnection]:
        """Take all connections out."""
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.withdraw()
        return connections

    def _label(self, name: Any, ref: Any) -> str:
        """Return what messages call a client: its name, or its class, with a number if need be."""
        if name is not None:
            return str(name)
        kind = getattr(ref, "actor_class", None)
        label = first = kind.__name__ if kind is not None else repr(ref)
        taken = {connection.label for connection in self._connections}
        number = 1
        while label in taken:
            number += 1
            label = f"{first} {number}"
        return label
