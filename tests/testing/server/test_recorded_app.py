"""The recorded server's channels, where no recording shows what they do: as the notes say."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.testing.server.raw_client import Frame, RawClient

CRASH = "phx_error", {"reason": "channel_crash"}


ONE = {"n": 1}
NEWS = {"event": "news", "payload": {"a": 1}}


def reply(status: str, response: Any) -> tuple[str, Any]:
    return "phx_reply", {"response": response, "status": status}


def ok(response: Any = None) -> tuple[str, Any]:
    return reply("ok", {} if response is None else response)


def tick(i: int, pad: str) -> tuple[str, Any]:
    return "tick", {"i": i, "pad": pad}


def done(n: int) -> tuple[str, Any]:
    return "flood_done", {"n": n}


def connect(server: PhoenixServer, topic: str, params: Any) -> tuple[RawClient, Frame]:
    """→ a client that has sent a join, and the answer."""
    client = RawClient(server.host, server.port)
    assert client.upgrade().status == 101
    client.message("1", "1", topic, "phx_join", params)
    return client, client.receive()


@pytest.mark.parametrize(
    ("topic", "event", "payload", "answers"),
    [
        ("rooms:lobby", "quicksand", {}, []),
        ("rooms:lobby", "push to me", {}, [("foo", {"bar": "baz"})]),
        ("rooms:lobby", "ack", {}, [CRASH]),
        ("test:good", "quicksand", {}, []),
        ("bench:a", "echo", [1], [ok([1])]),
        ("bench:a", "echo", None, [reply("ok", None)]),
        ("bench:a", "echo_error", {"a": 1}, [reply("error", {"a": 1})]),
        ("bench:a", "echo_status", {"status": "no", "response": [1]}, [reply("no", [1])]),
        ("bench:a", "echo_status", {"status": 1, "response": {}}, [CRASH]),
        ("bench:a", "flood", {"n": 2}, [tick(1, ""), tick(2, ""), done(2), ok({"n": 2})]),
        ("bench:a", "flood", {"n": 1, "size": 1, "ahead": 1}, [tick(1, "x"), done(1), ok(ONE)]),
        ("bench:a", "flood", {}, [CRASH]),
        ("bench:a", "slow", {"ms": 1}, [ok({"ms": 1})]),
        ("bench:a", "block", {"ms": 1}, [ok({"ms": 1})]),
        ("bench:a", "reply_twice", {"a": 1}, [ok({"first": {"a": 1}}), ok({"second": {"a": 1}})]),
        ("bench:a", "big", {"size": 3}, [ok({"pad": "xxx"})]),
        ("bench:a", "push_event", {"event": "e", "payload": [1]}, [("e", [1])]),
        ("bench:a", "push_event", {"event": 1, "payload": {}}, [CRASH]),
        ("bench:a", "never", {}, []),
        ("control:a", "broadcast", {**NEWS, "topic": "control:a"}, [("news", {"a": 1}), ok()]),
        ("control:a", "broadcast", {**NEWS, "topic": "nobody"}, [ok()]),
        ("control:a", "stop_with", {"reason": "shutdown_tuple"}, [("phx_close", {})]),
        ("control:a", "stop_with", {"reason": "boom", "reply": {"a": 1}}, [ok({"a": 1}), CRASH]),
        ("control:a", "stop_with", {}, [CRASH]),
        ("control:a", "crash_transport", {}, []),
        ("control:a", "other", {}, [CRASH]),
        ("params:a", "any event", [1], [ok({"event": "any event", "payload": [1]})]),
        ("intercept:a", "other", {}, [CRASH]),
        ("presence:a", "other", {}, [CRASH]),
    ],
)  # fmt: skip
def test_event(
    server: PhoenixServer, topic: str, event: str, payload: Any, answers: list[tuple[str, Any]]
) -> None:
    params = {"user": "u"} if topic.startswith("presence:") else {}
    client, joined = connect(server, topic, params)
    with client:
        assert joined.value[4]["status"] == "ok"
        if params:
            assert [client.receive().value[3] for _ in range(2)] == [
                "presence_diff",
                "presence_state",
            ]
        client.message("1", "2", topic, event, payload)
        for answer in answers:
            assert tuple(client.receive().value[3:]) == answer
        assert client.silent()


@pytest.mark.parametrize(
    ("event", "data", "answer"),
    [
        ("push to me", b"", Frame("binary", b"\x00\x01\x09\x031test:goodfoo\x02\x03")),
        ("ping", b"x", Frame("binary", b"\x01\x01\x01\x09\x0212test:goodok\x02\x03")),
    ],
)  # fmt: skip
def test_binary_event(server: PhoenixServer, event: str, data: bytes, answer: Frame) -> None:
    client, _ = connect(server, "test:good", {})
    with client:
        name = event.encode()
        client.binary(b"\x00\x01\x01\x09" + bytes([len(name)]) + b"12test:good" + name + data)
        assert client.receive() == answer


def test_bbig(server: PhoenixServer) -> None:
    client, _ = connect(server, "bench:a", {})
    with client:
        client.message("1", "2", "bench:a", "bbig", {"size": 3})
        assert client.receive() == Frame("binary", b"\x01\x01\x01\x07\x0212bench:aokxxx")


@pytest.mark.parametrize(
    ("topic", "params", "answer"),
    [
        ("bench:a", {"reply": [1]}, {"response": [1], "status": "ok"}),
        ("bench:a", None, {"response": {}, "status": "ok"}),
        ("bench:a", {"error": {"why": 1}}, {"response": {"why": 1}, "status": "error"}),
        ("bench:a", {"delay": 1}, {"response": {}, "status": "ok"}),
        ("bench:a", {"crash": True}, {"response": {"reason": "join crashed"}, "status": "error"}),
        ("bench:a", [1], {"response": {"reason": "join crashed"}, "status": "error"}),
        ("presence:a", {}, {"response": {"reason": "join crashed"}, "status": "error"}),
    ],
)
def test_join(server: PhoenixServer, topic: str, params: Any, answer: Any) -> None:
    client, joined = connect(server, topic, params)
    with client:
        assert joined == Frame("text", ["1", "1", topic, "phx_reply", answer])
        assert client.silent()


@pytest.mark.parametrize("event", ["phx_reply", "phx_error", "phx_close", "phx_join"])
def test_reserved_names_can_be_broadcast(server: PhoenixServer, event: str) -> None:
    """They come with null refs while the channel lives (docs/protocol.md#note-21)."""
    client, _ = connect(server, "bench:a", {})
    with client:
        server.broadcast("bench:a", event, {"any": 1})
        assert client.receive() == Frame("text", [None, None, "bench:a", event, {"any": 1}])
        assert client.silent()
