"""The tasks and the bridge's table, with the test as Phoenix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.celery_app.bridge import bridge
from examples.celery_app.tasks import count, rooms, say
from slipstream_actor import MessageReceived, Reply, ReplyError
from slipstream_actor.testing import SocketTest

LOBBY = "rooms:lobby"


@pytest.fixture
def phoenix(socket_test: SocketTest) -> Iterator[SocketTest]:
    """A client in test mode in the place of the worker's own."""
    with socket_test.override(rooms):
        yield socket_test


def test_a_task_says_something(phoenix: SocketTest) -> None:
    phoenix.serve(LOBBY, "new:msg", {"id": 5})
    assert say("hello") == {"id": 5}
    phoenix.assert_push(LOBBY, "new:msg", {"body": "hello"})


def test_a_task_that_is_refused(phoenix: SocketTest) -> None:
    phoenix.serve(LOBBY, "counted", Reply("error", {"reason": "quiet"}))
    with pytest.raises(ReplyError):
        count("hello")


def test_which_message_becomes_which_task() -> None:
    said = MessageReceived(LOBBY, "new:msg", {"body": "hello"})
    assert bridge.task_for(said) == (count.name, ["hello"], {})
    assert bridge.task_for(MessageReceived(LOBBY, "other", {})) is None
