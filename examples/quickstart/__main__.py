"""`make demo`: an embedded server and a client on a real websocket, and what they say."""

from __future__ import annotations

import threading
from typing import Any

from examples.quickstart.client import ROOM, Chat
from slipstream_actor import Ref, Reply, Socket, wait_until_joined
from slipstream_actor.testing import PhoenixServer


class Demo(Chat):
    """The chat client, and flags for the demo to wait for."""

    answered = threading.Event()
    disconnected = threading.Event()

    def handle_reply(self, ref: Ref, reply: Reply, socket: Socket) -> None:
        """Set the flag once the proxied push has its reply: the last of all that comes."""
        super().handle_reply(ref, reply, socket)
        if ref not in socket.assigns["refs"]:
            self.answered.set()

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
        Demo.answered.wait(10)
        print("-- the server disconnects the user --")
        server.disconnect("user_socket:alice")
        Demo.disconnected.wait(10)
        wait_until_joined("chat", ROOM)
        chat.stop()


if __name__ == "__main__":
    main()
