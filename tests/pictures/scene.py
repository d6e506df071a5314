"""What the pictures show: a server, a process with clients that talk, and what goes wrong there."""

from __future__ import annotations

import itertools
import random
import sys
import threading
from typing import Any

from slipstream_actor import ClientActor, Socket, cast, connect, debug
from slipstream_actor.testing import Channel, PhoenixServer

__all__ = ["PORT", "Room", "server"]

# That of Phoenix: pictures show it.
PORT = 4000
PEOPLE = ("alice", "bob", "carol", "dave")
WORDS = ("hello", "has anybody seen this?", "on it", "thanks", "deployed", "back in five")


class Room(Channel):
    """`rooms:*`: says what it is told, to everybody."""

    def handle_in(self, event: str, payload: Any) -> Any:
        self.broadcast(event, payload)
        return "ok", {}


def server() -> PhoenixServer:
    """Return the server, at the port that the documentation names."""
    return PhoenixServer({"rooms:*": Room}, port=PORT)


class Chat(ClientActor):
    """One that talks; every name but the first belongs to rooms of its own."""

    def init(self, uri: str, topics: list[str]) -> Socket:
        socket = connect(uri, heartbeat_interval_msec=1000, params={"token": "secret"})
        for topic in topics:
            socket = socket.join(topic)
        return socket

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> Socket:
        return socket.rejoin(topic, delay=60)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        if message == "hang":
            threading.Event().wait(60)
        elif socket.joined(message):
            said = {"user": random.choice(PEOPLE), "body": random.choice(WORDS)}
            socket.push(message, "new:msg", said, reply_timeout=5)


class Orders(Chat):
    """Its topic has no channel."""


class Prices(Chat):
    """Hangs in a callback."""


def main() -> None:
    """Serve this process at the path of the first argument, until standard input ends."""
    uri = f"ws://localhost:{PORT}/socket/websocket"
    random.seed(7)
    chat = Chat.start(uri, ["rooms:lobby", "rooms:staff", "rooms:42"], name="chat")
    Orders.start(uri, ["orders:new"], name="orders")
    prices = Prices.start(uri, ["rooms:prices"], name="prices")
    Chat.start("ws://localhost:4999/socket/websocket", ["rooms:lobby"], name="backup")
    over = threading.Event()

    def talk() -> None:
        for number in itertools.count():
            if over.wait(0.15):
                return
            cast(chat, ("rooms:lobby", "rooms:staff", "rooms:42")[number % 3])
            if number == 20:
                cast(prices, "hang")

    talking = threading.Thread(target=talk)
    talking.start()
    with debug.serve(sys.argv[1]):
        print("serving", flush=True)
        sys.stdin.read()
    over.set()
    talking.join()


if __name__ == "__main__":
    main()
