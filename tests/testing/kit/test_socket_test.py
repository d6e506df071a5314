"""`SocketTest` as a context manager: what it stops, takes back and keeps; and its timeouts."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ClosedByPeer,
    NotConnectedError,
    Socket,
    Supervisor,
    cast,
    connect,
    wait,
    whereis,
)
from slipstream_actor.supervision.supervisor import ChildSpec
from slipstream_actor.testing import SocketTest
from slipstream_actor.testing.kit import kit
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import (
    TOPIC,
    URI,
    Joiner,
    KitClient,
    failure,
    have,
)


def test_a_predicate_that_cannot_deal_with_a_push_passes_it_over(
    server: SocketTest, joined: Any
) -> None:
    have(joined, "push", TOPIC, "ask", [])
    have(joined, "push", TOPIC, "ask", {"n": 1})
    assert server.assert_push(TOPIC, "ask", lambda p: p["n"] == 1).payload == {"n": 1}
    with pytest.raises(AssertionError, match=r"got \[\], which raised TypeError"):
        server.assert_push(TOPIC, "ask", lambda p: p["n"] == 2, timeout=0)


def test_a_client_that_ends_may_await_its_disconnect(server: SocketTest, log: Log) -> None:
    class Polite(KitClient):
        def terminate(self, reason: Any, socket: Socket) -> None:
            socket = socket.disconnect().await_disconnect(PATIENCE)
            self.note("connected", socket.connected)

    client = server.start(Polite, log)
    server.accept_connect(client)
    log.take("connect")
    stopped = client.stop(block=False)
    server.assert_disconnect()
    assert log.take("connected") == ("connected", False)
    stopped.get(timeout=PATIENCE)
    server.refute_disconnect()


def test_a_thread_keeps_nothing_of_the_servers_that_it_had() -> None:
    socket = connect(URI, test_mode=True)
    with SocketTest() as server:
        server.accept_connect(socket)
    former = weakref.ref(server)
    del server
    gc.collect()
    assert former() is None


def test_the_end_stops_what_it_started_and_disconnects_the_others(log: Log) -> None:
    guest = KitClient.start(log)
    with SocketTest() as server:
        own = server.start(KitClient, Log())
        server.accept_connect(own)
        server.accept_connect(guest)
        log.take("connect")
    assert not own.is_alive()
    log.take("disconnect", ClosedByPeer(1001, "closed_by_test"))
    with SocketTest() as server:
        server.accept_connect(guest)
        log.take("connect")
    log.take("disconnect")
    guest.stop()


def test_the_end_stops_what_was_started_meanwhile(log: Log) -> None:
    """However it was started, accepted or not; what was there before goes on."""
    guest = KitClient.start(log)
    with SocketTest() as server:
        left, unasked = KitClient.start(Log()), KitClient.start(Log())
        supervisor = Supervisor.start([ChildSpec(KitClient, Log(), name="supervised")])
        server.accept_connect(left)
        server.accept_connect("supervised")
        supervised = whereis("supervised")
    assert supervised is not None
    assert not any(ref.is_alive() for ref in (left, unasked, supervisor, supervised))
    assert guest.is_alive()
    guest.stop()


def test_a_connection_that_a_thread_did_not_take_is_taken_back() -> None:
    with SocketTest() as server:
        server.accept_connect(connect(URI, test_mode=True))
        socket = connect(URI, test_mode=True)
        server.accept_connect(socket)
    with pytest.raises(AwaitTimeoutError):
        socket.await_connect(timeout=0)


def test_one_that_it_did_take_is_closed() -> None:
    with SocketTest() as server:
        server.accept_connect(socket := connect(URI, test_mode=True))
        socket = socket.await_connect()
    with pytest.raises(NotConnectedError, match="closed_by_test"):
        socket.await_message(timeout=0)
    assert not socket.await_disconnect().connected


def test_those_of_other_servers_stay() -> None:
    with SocketTest() as other:
        other.accept_connect(socket := connect(URI, test_mode=True))
        with SocketTest() as server:
            server.accept_connect(socket)
        socket = socket.await_connect(timeout=0)
        other.disconnect(socket)
        socket.await_disconnect(timeout=0)


def test_the_end_names_a_client_that_does_not_stop(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "STOP_SECONDS", 0.01)
    release = threading.Event()
    server = SocketTest()
    stuck = server.start(KitClient, log)
    cast(stuck, lambda socket: release.wait(PATIENCE) and None)
    other = server.start(KitClient, Log())
    with pytest.raises(AssertionError, match=r"in 0.01 s these did not stop: KitClient-\d+\Z"):
        server.close()
    release.set()
    for ref in (stuck, other):
        wait(ref, timeout=PATIENCE)


def test_it_may_be_used_again(server: SocketTest, joined: Any, log: Log) -> None:
    server.close()
    assert failure(server, timeout=0).splitlines()[-2] == "nothing has come"
    client = server.start(Joiner, log)
    server.connect_and_assert_join(client, TOPIC)


def test_timeouts_are_the_arguments_or_its_own_or_the_class() -> None:
    assert (SocketTest().assert_timeout, SocketTest().refute_timeout) == (1.0, 0.1)
    server = SocketTest(assert_timeout=0.0, refute_timeout=0.25)
    assert "expected a push within 0.0 s" in failure(server)
    assert "expected a push within 0.01 s" in failure(server, timeout=0.01)
    started = time.monotonic()
    server.refute_push()
    assert time.monotonic() - started >= 0.25
