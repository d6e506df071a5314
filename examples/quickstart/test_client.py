"""The chat client, with the test as its server."""

from __future__ import annotations

import pytest

from examples.quickstart.client import ROOM, Chat
from slipstream_actor import Reply, get_state, wait
from slipstream_actor.testing import SocketTest

URI = "ws://test.invalid/socket/websocket"


def test_it_greets_in_text_and_in_binary(
    socket_test: SocketTest, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = socket_test.start(Chat, URI, test_mode=True)
    socket_test.connect_and_assert_join(chat, ROOM, reply=Reply("ok", {"motd": "welcome"}))
    hello = socket_test.assert_push(ROOM, "echo", {"text": "hello"})
    socket_test.assert_push(ROOM, "echo", b"\x00\x01\x02")
    socket_test.assert_push(ROOM, "broadcast", {"text": "hello, everybody"})
    socket_test.reply(chat, hello, Reply("ok", {"text": "hello"}))
    get_state(chat)  # It has taken the reply before it answers.
    assert "reply to the text: ok {'text': 'hello'}" in capsys.readouterr().out


def test_it_greets_once_only(socket_test: SocketTest) -> None:
    chat = socket_test.start(Chat, URI, test_mode=True)
    socket_test.connect_and_assert_join(chat, ROOM)
    for _ in range(3):
        socket_test.assert_push(ROOM)
    socket_test.disconnect(chat)
    socket_test.connect_and_assert_join(chat, ROOM)
    socket_test.refute_push()


def test_it_says_what_another_thread_wants_said(socket_test: SocketTest) -> None:
    chat = socket_test.start(Chat, URI, test_mode=True)
    socket_test.connect_and_assert_join(chat, ROOM)
    chat.proxy().say("from another thread").get(timeout=5)
    socket_test.assert_push(ROOM, "broadcast", {"text": "from another thread"})


def test_it_remembers_what_it_heard_last(socket_test: SocketTest) -> None:
    chat = socket_test.start(Chat, URI, test_mode=True)
    socket_test.connect_and_assert_join(chat, ROOM)
    socket_test.push(chat, ROOM, "shout", {"text": "hi"})
    assert get_state(chat).socket.assigns["heard"] == "shout"


def test_it_takes_its_leave(socket_test: SocketTest, capsys: pytest.CaptureFixture[str]) -> None:
    chat = socket_test.start(Chat, URI, test_mode=True)
    socket_test.accept_connect(chat)
    chat.stop()
    socket_test.assert_disconnect()
    assert wait(chat, 5) == "normal"
    assert capsys.readouterr().out.endswith("bye: normal\n")
