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
from slipstream_actor.contrib.http import http_status
from slipstream_actor.testing import SocketTest


class Rooms(ClientActor):
    def init(self) -> Socket:
        return connect("ws://test.invalid/socket/websocket", test_mode=True).join("room")


STATUSES = [
    (NotConnectedError("not there"), 503),
    (NotJoinedError("not in"), 503),
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
