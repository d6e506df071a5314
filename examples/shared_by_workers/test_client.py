"""The application, with the test as Phoenix: a handle of its process in place of the shared one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import ClientHandle, Reply, Socket
from slipstream_actor.testing import SocketTest

pytest.importorskip("ray")

from examples.shared_by_workers.app import Application, create_app
from examples.shared_by_workers.client import LOBBY, Rooms


class JoinedRooms(Rooms):
    """It joins by itself, which is the shards' part otherwise."""

    def init(self, uri: str, **options: Any) -> Socket:
        return super().init(uri, **options).join(LOBBY)


@pytest.fixture
def application(socket_test: SocketTest) -> Iterator[Application]:
    rooms = ClientHandle(JoinedRooms, "ws://test.invalid/socket/websocket")
    with socket_test.override(rooms):
        yield create_app(rooms)


def post(application: Application, body: bytes) -> tuple[str, bytes]:
    """Return the status and the body of an answer."""
    started: list[str] = []
    environ: dict[str, Any] = {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    answer = application(environ, lambda status, headers: started.append(status))
    return started[0], b"".join(answer)


def test_what_is_said_is_pushed(application: Application, socket_test: SocketTest) -> None:
    socket_test.serve(LOBBY, "new:msg", {"length": 5})
    assert post(application, b"hello") == ("201 Created", b'{"length": 5}\n')
    socket_test.assert_push(LOBBY, "new:msg", {"body": "hello"})


def test_what_phoenix_refuses_is_a_conflict(
    application: Application, socket_test: SocketTest
) -> None:
    socket_test.serve(LOBBY, "new:msg", Reply("error", {"reason": "empty"}))
    assert post(application, b"") == ("409 Conflict", b'{"reason": "empty"}\n')
