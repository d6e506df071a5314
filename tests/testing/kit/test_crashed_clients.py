"""An assertion about a client that has ended fails at once, and says why."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from slipstream_actor import (
    Socket,
    Stop,
    Supervisor,
    cast,
    wait,
    whereis,
)
from slipstream_actor.supervision.supervisor import ChildSpec
from slipstream_actor.testing import SocketTest
from tests.support.clients import PATIENCE, Log, eventually
from tests.testing.kit.kit_client import (
    ASSERTIONS,
    TOPIC,
    Joiner,
    KitClient,
    have,
)


def test_a_crash_fails_a_waiting_assertion_at_once(server: SocketTest, joined: Any) -> None:
    started = time.monotonic()
    threading.Timer(0.05, server.push, (joined, TOPIC, "raise", {"text": "oh"})).start()
    with pytest.raises(AssertionError, match=r"\Aclient crashed: RuntimeError\('oh'\)\n") as caught:
        server.assert_push(timeout=60)
    assert time.monotonic() - started < 10.0
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("name", ASSERTIONS)
def test_a_crash_fails_every_assertion(server: SocketTest, joined: Any, name: str) -> None:
    server.push(joined, TOPIC, "raise", {"text": "oh"})
    wait(joined, timeout=PATIENCE)
    with pytest.raises(AssertionError, match=r"\Aclient crashed: RuntimeError\('oh'\)\n"):
        ASSERTIONS[name](server, client="client")


def test_what_came_before_the_crash_counts(server: SocketTest, joined: Any) -> None:
    def push_and_raise(socket: Socket) -> None:
        socket.push(TOPIC, "last words")
        raise RuntimeError("oh")

    cast(joined, push_and_raise)
    wait(joined, timeout=PATIENCE)
    server.assert_push(TOPIC, "last words")


def test_a_stop_for_another_reason_is_told_too(server: SocketTest, joined: Any) -> None:
    cast(joined, lambda socket: Stop("out of order", socket))
    wait(joined, timeout=PATIENCE)
    with pytest.raises(AssertionError, match=r"\Aclient ended, for 'out of order'\n") as caught:
        server.assert_push(timeout=60)
    assert caught.value.__cause__ is None


def test_a_normal_end_ends_the_wait(server: SocketTest, joined: Any) -> None:
    joined.stop()
    server.refute_push(timeout=60)
    with pytest.raises(AssertionError, match=r"client ended, for 'normal'\Z"):
        server.assert_push(timeout=60)


def test_the_others_are_still_waited_for(server: SocketTest, joined: Any, log: Log) -> None:
    other = server.start(KitClient, log)
    server.accept_connect(other)
    have(other, "join", TOPIC)
    server.assert_join(client=other)
    server.push(joined, TOPIC, "raise", {"text": "oh"})
    wait(joined, timeout=PATIENCE)
    server.refute_push()
    have(other, "push", TOPIC, "here I am")
    server.assert_push(TOPIC, "here I am")


def test_a_client_that_is_restarted_has_its_name(server: SocketTest, log: Log) -> None:
    supervisor = Supervisor.start([ChildSpec(Joiner, log, name="chat")])
    try:
        server.connect_and_assert_join("chat", TOPIC)
        first = whereis("chat")
        have("chat", "push", TOPIC, "unheard")
        server.push("chat", TOPIC, "raise", {"text": "oh"})
        second = eventually(lambda: (ref := whereis("chat")) is not first and ref)
        assert server.connect_and_assert_join("chat", TOPIC).client is second
        server.refute_push(TOPIC, "unheard")
    finally:
        supervisor.stop()
