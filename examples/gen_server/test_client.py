"""The notes, with the test as their server and as the program that asks about them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from examples.gen_server.client import ROOM, Notes, count, note, notes
from slipstream_actor import ActorDeadError, Reply, ReplyError, call, wait
from slipstream_actor.testing import SocketTest


class Asking(threading.Thread):
    """Somebody who waits for the count."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = count()
        except ReplyError as error:
            self.outcome = error.reply.response

    def answered(self) -> Any:
        self.join(5)
        assert not self.is_alive()
        return self.outcome


@pytest.fixture
def client(socket_test: SocketTest) -> Any:
    uri = "ws://test.invalid/socket/websocket"
    return socket_test.start(Notes, uri, name="notes", test_mode=True)


def test_a_cast_is_kept_until_the_room_is_joined(socket_test: SocketTest, client: Any) -> None:
    note("milk")
    socket_test.connect_and_assert_join(client, ROOM)
    socket_test.assert_push(ROOM, "note", {"text": "milk"})


def test_a_call_is_answered_at_once(socket_test: SocketTest, client: Any) -> None:
    socket_test.connect_and_assert_join(client, ROOM)
    for text in ("milk", "bread"):
        socket_test.push(client, ROOM, "note", {"text": text})
    assert notes() == ("milk", "bread")


def test_a_message_has_a_note_forgotten(socket_test: SocketTest, client: Any) -> None:
    socket_test.connect_and_assert_join(client, ROOM)
    socket_test.push(client, ROOM, "note", {"text": "milk"})
    client.tell(("forget", "milk"))
    assert notes() == ()


def test_a_call_is_answered_when_the_server_has_answered(
    socket_test: SocketTest, client: Any
) -> None:
    socket_test.connect_and_assert_join(client, ROOM)
    asking = Asking()
    push = socket_test.assert_push(ROOM, "count")
    assert notes() == ()  # The client is free meanwhile.
    socket_test.reply(client, push, Reply("ok", {"count": 7}))
    assert asking.answered() == 7


def test_a_call_hears_that_there_will_be_no_answer(socket_test: SocketTest, client: Any) -> None:
    socket_test.connect_and_assert_join(client, ROOM)
    asking = Asking()
    socket_test.assert_push(ROOM, "count")
    socket_test.disconnect(client)
    assert "Disconnected" in repr(asking.answered())


def test_a_call_may_end_it(socket_test: SocketTest, client: Any) -> None:
    socket_test.accept_connect(client)
    assert call(client, "close") == "closed"
    assert wait(client, 5) == "normal"
    socket_test.assert_disconnect()


def test_an_unknown_call_ends_it_too(client: Any) -> None:
    with pytest.raises(NotImplementedError, match="handle_call for a message of type str"):
        call(client, "what")
    with pytest.raises(ActorDeadError):
        notes()
