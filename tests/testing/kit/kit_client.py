"""A client in test mode that does as it is told, and tells a queue what it hears.

And what tests of the kit share.
"""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor import Answer, Socket, cast
from slipstream_actor.testing import SocketTest
from tests.support.clients import Recorder

URI = "ws://test.invalid/socket/websocket"
TOPIC = "rooms:lobby"
PARAMS = {"fizz": "buzz"}

ASSERTIONS: dict[str, Any] = {
    "assert_join": lambda server, **options: server.assert_join(**options),
    "refute_join": lambda server, **options: server.refute_join(**options),
    "assert_leave": lambda server, **options: server.assert_leave(**options),
    "refute_leave": lambda server, **options: server.refute_leave(**options),
    "assert_push": lambda server, **options: server.assert_push(**options),
    "refute_push": lambda server, **options: server.refute_push(**options),
    "assert_disconnect": lambda server, **options: server.assert_disconnect(**options),
    "refute_disconnect": lambda server, **options: server.refute_disconnect(**options),
}


class KitClient(Recorder):
    """What `cast` sends is done: ("push", topic, event, payload), ("leave", topic), a function."""

    def init(self, log: Any, **options: Any) -> Socket:  # type: ignore[override]
        return super().init(URI, log, test_mode=True, **options)

    def handle_cast(self, message: Any, socket: Socket) -> Any:
        if callable(message):
            return message(socket)
        name, *arguments = message
        result = getattr(socket, name)(*arguments)
        return result if isinstance(result, Socket) else socket

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(message(socket))

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        if event == "raise":
            raise RuntimeError(payload["text"])
        return super().handle_message(topic, event, payload, socket)


class Joiner(KitClient):
    """Joins the lobby as soon as it is connected."""

    def handle_connect(self, socket: Socket) -> Any:
        super().handle_connect(socket)
        return socket.join(TOPIC, PARAMS)


def have(client: Any, *message: Any) -> None:
    """Have a client do what the message says."""
    cast(client, message)


def failure(server: SocketTest, **options: Any) -> str:
    """Return the text of an assertion that fails."""
    with pytest.raises(AssertionError) as caught:
        server.assert_push("no such topic", **options)
    return str(caught.value)
