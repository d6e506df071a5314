"""Which status each failure is answered with."""

from __future__ import annotations

from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ClientActor,
    ClientEndedError,
    ConfigurationError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
    Reply,
    ReplyError,
    SendBufferFullError,
    SerializerError,
    Socket,
    connect,
    request,
)
from slipstream_actor.contrib.http import http_status, problem
from slipstream_actor.testing import SocketTest


class Rooms(ClientActor):
    def init(self) -> Socket:
        return connect("ws://test.invalid/socket/websocket", test_mode=True).join("room")


STATUSES = [
    (NotConnectedError("not there"), 503),
    (NotJoinedError("not in"), 503),
    (NotConnectedError("gone", maybe_sent=True), 504),
    (NotJoinedError("gone", maybe_sent=True), 504),
    (ClientEndedError("normal"), 503),
    (SendBufferFullError("full"), 503),
    (AwaitTimeoutError("a reply", 1.0), 503),
    (AwaitTimeoutError("a reply", 1.0, maybe_sent=True), 504),
    (ReplyError(Reply("error", {})), 409),
    (SerializerError("no JSON"), None),
    (NotOwnerError("another's"), None),
    (ConfigurationError("uri", "is wrong"), None),
    (ValueError("not ours"), None),
]


@pytest.mark.parametrize(("error", "status"), STATUSES)
def test_each_failure_has_its_status(error: Exception, status: int | None) -> None:
    assert http_status(error) == status


@pytest.mark.parametrize("error", [error for error, status in STATUSES if status is not None])
def test_a_body_says_whether_it_may_have_been_done(error: Exception) -> None:
    maybe = {"maybe_sent": True} if http_status(error) == 504 else {}
    assert problem(error) == {"error": type(error).__name__, **maybe}


def failure(client: Any, **options: Any) -> BaseException:
    with pytest.raises(AwaitTimeoutError) as raised:
        request(client, "room", "ask", timeout=0.05).get(**options)
    return raised.value


def test_what_was_not_sent_in_time_is_unavailable(socket_test: SocketTest) -> None:
    rooms = socket_test.start(Rooms)
    assert http_status(failure(rooms)) == 503
    socket_test.accept_connect(rooms)
    assert http_status(failure(rooms)) == 503


@pytest.mark.parametrize("options", [{}, {"timeout": 0.01}])
def test_what_was_sent_and_not_replied_to_is_a_gateways_timeout(
    socket_test: SocketTest, options: dict[str, Any]
) -> None:
    rooms = socket_test.start(Rooms)
    socket_test.connect_and_assert_join(rooms, "room")
    _ = request(rooms, "room", "first")
    socket_test.assert_push("room", "first")
    assert http_status(failure(rooms, **options)) == 504


def test_a_connection_that_ends_behind_what_was_sent_is_one_too(socket_test: SocketTest) -> None:
    rooms = socket_test.start(Rooms)
    socket_test.connect_and_assert_join(rooms, "room")
    asked = request(rooms, "room", "ask", timeout=5.0)
    socket_test.assert_push("room", "ask")
    socket_test.disconnect(rooms)
    with pytest.raises(NotConnectedError) as raised:
        asked.get()
    assert http_status(raised.value) == 504
