"""The functions are the methods of the server that the calling thread is."""

from __future__ import annotations

import inspect
import queue
import threading
from typing import Any

import pytest

from slipstream_actor import testing
from slipstream_actor.testing import SocketTest
from slipstream_actor.testing.kit import functions, kit
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import Joiner, KitClient, have


@pytest.mark.parametrize("name", functions.__all__)
def test_each_is_as_the_method(name: str) -> None:
    function, method = getattr(testing, name), getattr(SocketTest, name)
    assert list(inspect.signature(method).parameters.values())[1:] == list(
        inspect.signature(function).parameters.values()
    )
    assert function.__doc__
    assert method.__doc__.partition("\n")[0].startswith(function.__doc__.rstrip(".").split(":")[0])


def test_they_work_without_a_context_manager() -> None:
    client = Joiner.start(log := Log())
    try:
        testing.accept_connect(client)
        testing.assert_join("rooms:lobby")
        have(client, "push", "rooms:lobby", "hello")
        testing.reply(client, testing.assert_push("rooms:lobby", "hello"))
        log.take("reply")
        testing.push(client, "rooms:lobby", "news")
        log.take("message")
        testing.refute_push(timeout=0)
        testing.refute_join(timeout=0)
        testing.refute_disconnect(timeout=0)
        testing.refute_leave(timeout=0)
        have(client, "leave", "rooms:lobby")
        testing.assert_leave("rooms:lobby")
        testing.disconnect(client)
        testing.connect_and_assert_join(client)
        have(client, "disconnect")
        testing.assert_disconnect()
    finally:
        client.stop()
        kit.clean_up()


def test_they_are_those_of_the_innermost_manager() -> None:
    own = kit.current_test()
    with SocketTest() as outer:
        assert kit.current_test() is outer
        with SocketTest() as inner:
            assert kit.current_test() is inner
        assert kit.current_test() is outer
    assert kit.current_test() is own


def test_a_thread_says_that_it_is_another() -> None:
    failures: queue.Queue[Any] = queue.Queue()

    def assert_push() -> None:
        try:
            testing.assert_push(timeout=0)
        except AssertionError as failure:
            failures.put(str(failure))

    with SocketTest() as server:
        server.accept_connect(server.start(KitClient, Log()))
        thread = threading.Thread(target=assert_push)
        thread.start()
        last = failures.get(timeout=PATIENCE).splitlines()[-1]
        assert last == "it was not accepted by this thread: accept_connect(client) comes first"
        thread.join(PATIENCE)


def test_each_thread_is_a_server_of_its_own() -> None:
    others: queue.Queue[Any] = queue.Queue()
    thread = threading.Thread(target=lambda: others.put(kit.current_test()))
    with SocketTest() as server:
        thread.start()
        assert others.get(timeout=PATIENCE) not in (server, kit.current_test())
        thread.join(PATIENCE)
