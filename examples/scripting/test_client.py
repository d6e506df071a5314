"""The script, in a thread of its own, with the test as its server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from examples.scripting.client import TOPIC, main
from slipstream_actor import Reply, new_socket
from slipstream_actor.testing import SocketTest


class Script(threading.Thread):
    """Runs `main`; `owner` stands for the thread, as a ref does for an actor."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.owner: Any = None
        self.begun = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        self.owner = new_socket().socket_pid
        self.begun.set()
        try:
            main("ws://test.invalid/socket/websocket", test_mode=True)
        except Exception as error:
            self.error = error


@pytest.fixture
def script(socket_test: SocketTest) -> Iterator[Script]:
    script = Script()
    script.start()
    assert script.begun.wait(5)
    socket_test.accept_connect(script.owner)
    yield script
    script.join(10)
    assert not script.is_alive()


def test_every_step_is_awaited(
    socket_test: SocketTest, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    socket_test.assert_join("test:bad", reply=Reply("error", {"reason": "no"}))
    socket_test.assert_join(TOPIC, {"reply": {"hello": "script"}}, Reply("ok", {"hello": "you"}))
    echo = socket_test.assert_push(TOPIC, "echo", {"n": 1})
    socket_test.reply(script.owner, echo, Reply("ok", {"n": 1}))
    socket_test.assert_push(TOPIC, "broadcast", {"n": 2})
    socket_test.push(script.owner, TOPIC, "shout", {"n": 0})
    socket_test.push(script.owner, TOPIC, "shout", {"n": 2})
    socket_test.assert_leave(TOPIC)
    socket_test.assert_disconnect()
    script.join(5)
    assert script.error is None
    assert capsys.readouterr().out.splitlines() == [
        "refused: JoinRefused(response={'reason': 'no'})",
        "joined: {'hello': 'you'}",
        "reply: {'n': 1}",
        "message: shout {'n': 2}",
        "connected: False",
    ]


def test_what_cannot_be_awaited_ends_it(socket_test: SocketTest, script: Script) -> None:
    socket_test.assert_join("test:bad", reply=Reply("error"))
    socket_test.assert_join(TOPIC, reply=Reply("error", {"reason": "full"}))
    script.join(5)
    assert "full" in str(script.error)
