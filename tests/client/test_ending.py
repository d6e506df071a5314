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
    Stop,
    call,
    cast,
    connect,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.protocol.reasons import BufferOverflow, ClosedByClient, Disconnected
from slipstream_actor.testing import Channel, PhoenixServer
from tests.support.clients import PATIENCE

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


class Overflowing(ClientActor):
    """Buffers more than it may, and ends before it has heard of that."""

    def init(self, failed: queue.Queue[Any]) -> Socket:
        self.failed = failed
        socket = connect("ws://server.invalid/websocket", test_mode=True, buffer_max_pushes=1)
        return socket.join(TOPIC)

    def handle_cast(self, message: Any, socket: Socket) -> Stop:
        for event in ("first", "second"):
            socket.push(TOPIC, event, buffer=True)
        return Stop("normal")

    def handle_push_failed(
        self, ref: Any, topic: str, event: str, reason: Any, socket: Socket
    ) -> None:
        self.failed.put((event, reason))


def test_a_failure_that_waits_to_be_told_is_told_at_the_end() -> None:
    failed: queue.Queue[Any] = queue.Queue()
    client = Overflowing.start(failed)
    cast(client, "push")
    assert wait(client, PATIENCE) == "normal"
    assert failed.get(timeout=PATIENCE) == ("first", BufferOverflow())
    assert failed.get(timeout=PATIENCE) == ("second", Disconnected(ClosedByClient()))
    assert failed.empty()


class Hasty(ClientActor):
    """Leaves what it has just asked for, and asks again, before it hears how that ended."""

    def init(self, uri: str, heard: queue.Queue[Any]) -> Socket:
        self.heard = heard
        return connect(uri)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(TOPIC, self.no_params).leave(TOPIC).join(TOPIC)

    def no_params(self) -> Any:
        raise ValueError("no params yet")

    def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
        self.heard.put("joined")

    def handle_leave(self, topic: str, socket: Socket) -> None:
        self.heard.put("left")

    def handle_topic_close(self, topic: str, reason: Any, socket: Socket) -> None:
        self.heard.put(reason)


def test_the_end_of_a_join_that_was_left_is_its_leave_though_asked_for_again() -> None:
    class Heard(Room):
        heard = queue.Queue()

    heard: queue.Queue[Any] = queue.Queue()
    with PhoenixServer({TOPIC: Heard}) as server:
        client = Hasty.start(server.uri, heard)
        assert [heard.get(timeout=PATIENCE) for _ in range(2)] == ["left", "joined"]
        client.stop()
    assert heard.empty()
