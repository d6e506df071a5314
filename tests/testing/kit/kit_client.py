"""A client in test mode that does as it is told, and tells a queue what it hears."""

from __future__ import annotations

from typing import Any

from slipstream_actor import Answer, Socket, cast
from tests.support.clients import Recorder

URI = "ws://test.invalid/socket/websocket"


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
        return socket.join("rooms:lobby", {"fizz": "buzz"})


def have(client: Any, *message: Any) -> None:
    """Have a client do what the message says."""
    cast(client, message)
