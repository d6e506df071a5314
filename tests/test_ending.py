"""The end of a client: it hears and sends until `terminate` has returned."""

from __future__ import annotations

import math
import queue
from typing import Any

import pytest

from slipstream_actor import ClientActor, Next, Reply, Socket, call, connect, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer

TOPIC = "rooms:lobby"


class Room(Channel):
    """Answers, and tells the test what it heard."""

    heard: queue.Queue[Any]

    def handle_in(self, event: str, payload: Any) -> Any:
        self.heard.put(payload)
        return "ok", payload


class Farewell(ClientActor):
    """Pushes at its end, and awaits the reply."""

    def init(self, uri: str, answers: queue.Queue[Any]) -> Socket:
        self.answers = answers
        return connect(uri).join(TOPIC)

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.answers.put(socket.await_reply(socket.push(TOPIC, "bye", {"n": "last"})))

    def say(self, n: int) -> None:
        self.socket.push(TOPIC, "say", {"n": n})


def test_pushes_around_a_stop_arrive_and_are_answered() -> None:
    class Heard(Room):
        heard = queue.Queue()

    answers: queue.Queue[Any] = queue.Queue()
    with PhoenixServer({TOPIC: Heard}) as server:
        client = Farewell.start(server.uri, answers)
        wait_until_joined(client, TOPIC)
        for n in range(3):
            client.proxy().say(n)
        client.stop()
        heard = [Heard.heard.get(timeout=5)["n"] for _ in range(4)]
    assert heard == [0, 1, 2, "last"]
    assert answers.get_nowait() == Reply("ok", {"n": "last"})


class Patient(ClientActor):
    def handle_cast(self, message: Any, socket: Socket) -> Next:
        return Next(timeout=math.inf)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Next(timeout=1e10)


def test_a_very_long_timeout_is_no_crash() -> None:
    client = Patient.start()
    with pytest.raises(TimeoutError):
        call(client, "never answered", timeout=0.05)
    assert client.is_alive()
    client.stop(timeout=5)


def test_an_await_whose_predicate_raises_loses_nothing(server: PhoenixServer) -> None:
    socket = connect(server.uri).join("bench:1").await_join("bench:1")
    ref = socket.push("bench:1", "broadcast", {"n": None})
    with pytest.raises(TypeError):
        socket.await_message(payload={"n": int})
    assert socket.await_message(payload={"n": None}).event == "shout"
    assert socket.await_reply(ref).ok
    socket.disconnect().await_disconnect()
