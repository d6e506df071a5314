"""The end of a client: it hears and sends until `terminate` has returned."""

from __future__ import annotations

import math
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipstream_actor import (
    ActorDeadError,
    Answer,
    ClientActor,
    ConnectFailedError,
    Next,
    Reply,
    Socket,
    StartError,
    call,
    connect,
    wait_until_joined,
    whereis,
)
from slipstream_actor.future import Future
from slipstream_actor.testing import Channel, PhoenixServer
from tests.support import PATIENCE

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


class Relay(ClientActor):
    """Answers with a future that nobody ever completes."""

    def init(self, asked: threading.Event) -> None:
        self.asked = asked

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        self.asked.set()
        return Answer(Future())


@pytest.mark.parametrize("ask", [call, lambda ref, m, timeout: ref.ask(m, timeout=timeout)])
def test_who_waits_for_a_future_of_a_dead_client_is_told(ask: Any) -> None:
    asked = threading.Event()
    client = Relay.start(asked)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask, client, "m", timeout=PATIENCE)
        assert asked.wait(PATIENCE)
        client.stop()
        with pytest.raises(ActorDeadError):
            asking.result(PATIENCE)


def test_no_thread_for_a_client_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(StartError, match="no more threads"):
            Patient.start(name="patient")
    client: Any = Patient.start(name="patient")
    assert client == whereis("patient")
    client.stop()


def test_no_thread_for_a_connection_is_a_failed_attempt(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        socket = connect(server.uri)
    with pytest.raises(ConnectFailedError, match="no more threads") as failed:
        socket.await_connect()
    socket = failed.value.socket.reconnect().await_connect()
    socket.disconnect().await_disconnect()


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("no more threads")
