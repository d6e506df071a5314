"""What a test sees of params and payloads, and what arrives of its own."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor import (
    Reply,
    call,
)
from slipstream_actor.testing import SocketTest
from tests.support.clients import Log
from tests.testing.kit.kit_client import (
    TOPIC,
    KitClient,
    have,
)


def test_payloads_are_what_the_server_sees(server: SocketTest, joined: Any) -> None:
    have(joined, "push", TOPIC, "tuple", {"pair": (1, 2), 3: None})
    server.assert_push(TOPIC, "tuple", lambda payload: payload == {"pair": [1, 2], "3": None})


def test_payloads_arrive_as_json_makes_them(server: SocketTest, joined: Any, log: Log) -> None:
    payload = {"pair": (1, 2)}
    server.push(joined, TOPIC, "tuple", payload)
    payload["pair"] = (3, 4)
    assert log.take("message")[-1] == {"pair": [1, 2]}


def test_binary_payloads(server: SocketTest, joined: Any, log: Log) -> None:
    have(joined, "push", TOPIC, "blob", bytearray(b"\x00\x01"))
    push = server.assert_push(TOPIC, "blob", b"\x00\x01")
    server.reply(joined, push, Reply("ok", b"\xff"))
    assert log.take("reply")[-1] == Reply("ok", b"\xff")
    server.push(joined, TOPIC, "blob", memoryview(b"abc"))
    assert log.take("message")[-1] == b"abc"


def test_v1(server: SocketTest, log: Log) -> None:
    client = server.start(KitClient, log, vsn="1.0.0")
    server.accept_connect(client)
    have(client, "join", TOPIC)
    server.assert_join()
    have(client, "push", TOPIC, "event", {"a": (1,)})
    server.assert_push(TOPIC, "event", {"a": [1]})


def test_the_response_headers_are_the_sockets(server: SocketTest, client: Any) -> None:
    server.accept_connect(client, response_headers={"server": "test"})
    assert call(client, lambda socket: socket.response_headers) == {"server": "test"}


@pytest.mark.parametrize("name", ["assert_join", "connect_and_assert_join", "reply"])
def test_a_reply_is_a_reply(server: SocketTest, client: Any, name: str) -> None:
    calls: dict[str, Any] = {
        "assert_join": lambda: server.assert_join(TOPIC, {}, "ok"),  # type: ignore[arg-type]
        "connect_and_assert_join": lambda: server.connect_and_assert_join(client, TOPIC, {}, {}),  # type: ignore[arg-type]
        "reply": lambda: server.reply(client, "1", None),  # type: ignore[arg-type]
    }
    with pytest.raises(TypeError, match=r"reply must be a Reply, not (str|dict|NoneType)"):
        calls[name]()
