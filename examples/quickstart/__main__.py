"""`make demo`: an embedded server and a client on a real websocket, and what they say."""

from __future__ import annotations

import threading
from typing import Any

from examples.quickstart.client import ROOM, Chat
from slipstream_actor import Socket, wait_until_joined
from slipstream_actor.testing import PhoenixServer


class Demo(Chat):
    """The chat client, and flags for the demo to wait for."""

    heard = threading.Event()
    disconnected = threading.Event()

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """Set the flag once the second broadcast is here."""
        socket = super().handle_message(topic, event, payload, socket)
        if payload == {"text": "from another thread"}:
            self.heard.set()
        return socket

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """Set the flag."""
        self.disconnected.set()
        return super().handle_disconnect(reason, socket)


def main() -> None:
    """Play the conversation."""
    with PhoenixServer() as server:
        chat = Demo.start(server.uri, name="chat")
        wait_until_joined("chat", ROOM)
        chat.proxy().say("from another thread").get()
        Demo.heard.wait(10)
        print("-- the server disconnects the user --")
        server.disconnect("user_socket:alice")
        Demo.disconnected.wait(10)
        wait_until_joined("chat", ROOM)
        chat.stop()


if __name__ == "__main__":
    main()
