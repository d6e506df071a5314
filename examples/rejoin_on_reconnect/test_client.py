"""A client that is told what to follow, with the test as its server."""

from __future__ import annotations

from typing import Any

import pytest

from examples.rejoin_on_reconnect.client import Follower
from slipstream_actor import get_state
from slipstream_actor.testing import SocketTest

WEB, MAIL = "logs:web", "logs:mail"


@pytest.fixture
def client(socket_test: SocketTest) -> Any:
    return socket_test.start(Follower, "ws://test.invalid/socket/websocket", test_mode=True)


def test_what_is_followed_is_followed_again(socket_test: SocketTest, client: Any) -> None:
    socket_test.accept_connect(client)
    for topic in (WEB, MAIL):
        client.proxy().follow(topic).get(timeout=5)
        socket_test.assert_join(topic, {"after": 0})
    socket_test.disconnect(client)
    socket_test.accept_connect(client)
    socket_test.assert_join(WEB, {"after": 0})
    socket_test.assert_join(MAIL, {"after": 0})


def test_it_reads_on_where_it_stopped(socket_test: SocketTest, client: Any) -> None:
    socket_test.accept_connect(client)
    client.proxy().follow(WEB).get(timeout=5)
    socket_test.assert_join(WEB)
    for number in (1, 2):
        socket_test.push(client, WEB, "entry", {"number": number, "line": f"line {number}"})
    socket_test.disconnect(client)
    socket_test.connect_and_assert_join(client, WEB, {"after": 2})
    socket_test.push(client, WEB, "entry", {"number": 3, "line": "line 3"})
    assert get_state(client).socket.assigns["lines"] == ("line 1", "line 2", "line 3")


def test_what_is_asked_for_while_disconnected_is_joined_later(
    socket_test: SocketTest, client: Any
) -> None:
    client.proxy().follow(WEB).get(timeout=5)
    socket_test.connect_and_assert_join(client, WEB)


def test_what_is_left_stays_left(socket_test: SocketTest, client: Any) -> None:
    socket_test.accept_connect(client)
    for topic in (WEB, MAIL):
        client.proxy().follow(topic).get(timeout=5)
        socket_test.assert_join(topic)
    client.proxy().unfollow(MAIL).get(timeout=5)
    socket_test.assert_leave(MAIL)
    socket_test.disconnect(client)
    socket_test.connect_and_assert_join(client, WEB)
    socket_test.refute_join(MAIL)
