"""The repeater, with the test as its server, and with the embedded one."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from examples.repeater.client import QueueSink, RedisSink, Repeater
from slipstream_actor import wait, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer, SocketTest

URI = "ws://test.invalid/socket/websocket"
LOBBY, ATTIC = "rooms:lobby", "rooms:attic"

Messages = queue.Queue[tuple[str, str, Any]]


class Broken:
    """A sink that takes nothing."""

    def put(self, topic: str, event: str, payload: Any) -> None:
        raise ConnectionError("the sink is away")


class Redis:
    """What the sink needs of a `redis.Redis`."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def xadd(self, name: str, fields: Any, *, maxlen: int, approximate: bool) -> None:
        self.entries.append((name, fields, maxlen, approximate))


def test_it_joins_each_topic(socket_test: SocketTest) -> None:
    sink = QueueSink(queue.Queue())
    repeater = socket_test.start(Repeater, URI, (LOBBY, ATTIC), sink, test_mode=True)
    socket_test.accept_connect(repeater)
    socket_test.assert_join(LOBBY)
    socket_test.assert_join(ATTIC)


def test_it_repeats_unchanged_and_in_order(socket_test: SocketTest) -> None:
    messages: Messages = queue.Queue()
    repeater = socket_test.start(Repeater, URI, [LOBBY], QueueSink(messages), test_mode=True)
    socket_test.connect_and_assert_join(repeater, LOBBY)
    for payload in ({"body": "hello"}, b"\x89PNG", None, ["a", 1]):
        socket_test.push(repeater, LOBBY, "new:msg", payload)
    assert [messages.get(timeout=5)[2] for _ in range(4)] == [
        {"body": "hello"},
        b"\x89PNG",
        None,
        ["a", 1],
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_the_sink_raises_ends_it(socket_test: SocketTest) -> None:
    repeater = socket_test.start(Repeater, URI, [LOBBY], Broken(), test_mode=True)
    socket_test.connect_and_assert_join(repeater, LOBBY)
    socket_test.push(repeater, LOBBY, "new:msg")
    assert isinstance(wait(repeater, 5), ConnectionError)


def test_an_entry_of_redis() -> None:
    redis = Redis()
    sink = RedisSink(redis, "repeated", keep=10)
    sink.put(LOBBY, "new:msg", {"body": "héllo"})
    sink.put(LOBBY, "new:picture", b"\x89PNG")
    assert redis.entries == [
        (
            "repeated",
            {"topic": LOBBY, "event": "new:msg", "json": '{"body": "h\\u00e9llo"}'},
            10,
            True,
        ),
        ("repeated", {"topic": LOBBY, "event": "new:picture", "data": b"\x89PNG"}, 10, True),
    ]


def test_a_full_queue_holds_messages_up_and_loses_none() -> None:
    messages: Messages = queue.Queue(maxsize=1)
    with PhoenixServer({"rooms:*": Channel}) as server:
        ref = Repeater.start(
            server.uri, [LOBBY], QueueSink(messages), high_watermark=2, low_watermark=1
        )
        try:
            wait_until_joined(ref, LOBBY)
            for number in range(100):
                server.broadcast(LOBBY, "tick", {"number": number})
            taken = [messages.get(timeout=5)[2]["number"] for _ in range(100)]
        finally:
            ref.stop()
    assert taken == list(range(100))
