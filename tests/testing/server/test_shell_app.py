"""What the embedded server serves from the shell: the room that the README's client asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import JoinFailedError, NotJoinedError, Reply, connect
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS

EMPTY = Reply("error", {"reason": "empty"})


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    with PhoenixServer(SHELL_CHANNELS) as server:
        yield server


def join(server: PhoenixServer, topic: str, params: Any) -> Any:
    return connect(server.uri).join(topic, params).await_join(topic)


@pytest.mark.parametrize("topic", ["rooms:lobby", "rooms:kitchen"])
def test_a_room_is_the_tutorials(server: PhoenixServer, topic: str) -> None:
    socket = join(server, topic, {"name": "alice"})
    assert socket.joins[topic].response == {"motd": "welcome, alice"}
    reply = socket.await_reply(socket.push(topic, "new:msg", {"body": "hello"}))
    assert reply == Reply("ok", {"length": 5})
    said = socket.await_message(topic, "new:msg", {"body": "hello"})
    assert said.payload == {"from": "alice", "body": "hello"}
    nothing: list[Any] = [{"body": ""}, {}, [], None, b"hello"]
    for payload in nothing:
        assert socket.await_reply(socket.push(topic, "new:msg", payload)) == EMPTY
    socket.push(topic, "crash")
    with pytest.raises((TimeoutError, NotJoinedError)):  # Before the crash is told, or behind it.
        socket.await_message(topic, timeout=0)
    socket.disconnect().await_disconnect()


@pytest.mark.parametrize("params", [{}, None, [], "alice", {"name": None}])
def test_a_room_takes_whoever_says_no_name(server: PhoenixServer, params: Any) -> None:
    socket = join(server, "rooms:lobby", params)
    assert socket.joins["rooms:lobby"].response == {}
    socket.push("rooms:lobby", "new:msg", {"body": "hello"})
    said = socket.await_message("rooms:lobby", "new:msg")
    assert said.payload == {"from": "nobody", "body": "hello"}
    socket.disconnect().await_disconnect()


def test_the_room_is_the_recorded_one_too(server: PhoenixServer) -> None:
    socket = join(server, "rooms:lobby", {})
    assert socket.await_reply(socket.push("rooms:lobby", "ping")) == Reply("ok", {"pong": "pong"})
    with pytest.raises(JoinFailedError, match="unmatched topic"):
        socket.join("rooms:other").await_join("rooms:other")
    socket.disconnect().await_disconnect()
