"""Each connection is told of once when it comes and once when it goes, and what the socket says of
itself meanwhile is true."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    ConnectFailedError,
    Disconnected,
    JoinFailedError,
    NotConnectedError,
    Socket,
    connect,
    get_state,
    new_socket,
)
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording
from tests.support.raw_server import CLOSE, Peer, RawServer, dead_port, frame

TOPIC = "bench:room"
ME = {"id": "me"}
SOON: dict[str, Any] = {"params": ME, "reconnect_after_msec": [1], "rejoin_after_msec": [1]}
NEVER: dict[str, Any] = {"reconnect_after_msec": [600_000], "rejoin_after_msec": [600_000]}
EXACT: dict[str, Any] = {"reconnect_jitter_msec": 0, "rejoin_jitter_msec": 0}


def socket_of(ref: Any) -> Socket:
    socket: Socket = get_state(ref).socket
    return socket


def until(log: Log, *expected: Any) -> list[Any]:
    """Return all entries up to the one that begins with `expected`, and with it."""
    came = []
    while True:
        entry = log.get(timeout=PATIENCE)
        came.append(entry)
        if entry[: len(expected)] == expected:
            return came


def until_mark(ref: Any, log: Log) -> list[Any]:
    """Return all entries that are there, those of what was said before among them."""
    ref.tell("mark")
    return until(log, "info", "mark")[:-1]


def require_pairs(entries: list[Any]) -> None:
    """Each connect has one disconnect before the next; all other disconnects are of attempts,
    which have failed or were called off."""
    is_open = False
    for at, entry in enumerate(entries):
        if entry[0] == "connect":
            assert not is_open, (at, entries)
            is_open = True
        elif entry[0] == "disconnect":
            attempts = ConnectFailed if is_open else (ConnectFailed, ClosedByClient)
            assert isinstance(entry[1], attempts) is not is_open, (at, entries)
            is_open = False


# what may end a connection that is there; each leads to another one


def drops(server: PhoenixServer, ref: Any) -> type[Any]:
    server.drop()
    return ClosedByPeer


def is_closed(server: PhoenixServer, ref: Any) -> type[Any]:
    server.disconnect("user_socket:me")
    return ClosedByPeer


def is_replaced(server: PhoenixServer, ref: Any) -> type[Any]:
    do(ref, lambda s: s.connect(server.uri, **SOON, **EXACT).join(TOPIC))
    return ClosedByClient


def comes_back(server: PhoenixServer, ref: Any) -> type[Any]:
    do(ref, lambda s: s.reconnect(delay=0))
    return ClosedByClient


def closes_and_comes_back(server: PhoenixServer, ref: Any) -> type[Any]:
    do(ref, lambda s: s.disconnect().reconnect(delay=0))
    return ClosedByClient


def is_replaced_twice(server: PhoenixServer, ref: Any) -> type[Any]:
    do(ref, lambda s: s.connect(server.uri).connect(server.uri, **SOON, **EXACT).join(TOPIC))
    return ClosedByClient


ENDS = [drops, is_closed, is_replaced, comes_back, closes_and_comes_back, is_replaced_twice]
each_end = pytest.mark.parametrize("first", ENDS, ids=lambda end: end.__name__)


@each_end
def test_each_connection_is_told_of_once(
    server: PhoenixServer, first: Callable[[PhoenixServer, Any], type[Any]]
) -> None:
    """Whatever ends it, and whatever ends the next one."""
    with recording(server.uri, **SOON) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        entries = until(log, "join", TOPIC)
        for end in (first, *ENDS):
            reason = end(server, ref)
            came = until(log, "join", TOPIC)
            ends = [entry for entry in came if entry[0] == "disconnect"]
            assert [type(entry[1]) for entry in ends] == [reason], (end, came)
            assert [e[0] for e in came] == ["disconnect", "connect", "join"], (end, came)
            entries += came
            assert socket_of(ref).status == "connected"
            assert socket_of(ref).reconnect_counter == 0
        server.wait_for_connections(1)
        entries += until_mark(ref, log)
        require_pairs(entries)
        assert sum(entry[0] == "connect" for entry in entries) == 2 + len(ENDS)


@each_end
def test_what_comes_in_one_go_is_told_of_once(
    server: PhoenixServer, first: Callable[[PhoenixServer, Any], type[Any]]
) -> None:
    """A connection that ends is replaced before the client has heard of its end."""
    with recording(server.uri, **SOON) as (ref, log):
        entries = until(log, "connect")
        for _ in range(5):
            first(server, ref)
            comes_back(server, ref)
            is_replaced(server, ref)
        entries += until(log, "join", TOPIC)
        server.wait_for_connections(1)
        eventually(lambda: socket_of(ref).joined(TOPIC), "the last connection's join")
        require_pairs(entries + until_mark(ref, log))


ANSWERS: dict[str, Any] = {
    "reconnect": lambda s, uri: s.reconnect(),
    "at once": lambda s, uri: s.reconnect(delay=0),
    "connect": lambda s, uri: s.connect(uri),
    "disconnect": lambda s, uri: s.disconnect(),
    "nothing": lambda s, uri: s,
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_callback_of_a_replaced_connection_opens_no_second_one(
    server: PhoenixServer, name: str
) -> None:
    class Answering(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            self.note("disconnect", reason, socket.status)
            return ANSWERS[name](socket, server.uri)

    with (
        PhoenixServer() as other,
        recording(server.uri, Answering, **SOON) as (ref, log),
    ):
        log.take("connect")
        do(ref, lambda s: s.connect(other.uri, **SOON))
        told = log.get(timeout=PATIENCE)
        assert told[:2] == ("disconnect", ClosedByClient())
        assert told[2] in ("connecting", "connected"), "of the one that has taken its place"
        if name == "disconnect":
            eventually(lambda: socket_of(ref).status == "disconnected", "the end of the second")
        else:
            assert [entry[0] for entry in until(log, "connect")] == ["connect"]
        other.wait_for_connections(int(name != "disconnect"))
        server.wait_for_connections(0)
        came = until_mark(ref, log)
        require_pairs(came)
        # Its attempt may have come to something before.
        assert len(came) <= 2 * (name == "disconnect")


def test_each_failed_attempt_is_told_of_once(server: PhoenixServer) -> None:
    with recording(server.uri, **SOON) as (ref, log):
        entries = until(log, "connect")
        server.stop()
        for number in range(1, 4):
            entries += until(log, "disconnect")
            assert socket_of(ref).reconnect_counter >= number
        server.start()
        entries += until(log, "connect")
        require_pairs(entries)
        reasons = [entry[1] for entry in entries if entry[0] == "disconnect"]
        assert isinstance(reasons[0], ClosedByPeer)
        assert {r.kind for r in reasons[1:]} <= {"refused", "io"}
        # It outlives the success.
        assert socket_of(ref).last_failure == reasons[-1]


def test_an_attempt_that_is_replaced_is_told_of_by_the_next() -> None:
    """It never connected, and it has not failed."""
    with (
        RawServer(Peer.hold) as silent,
        PhoenixServer() as server,
        recording(silent.uri, **SOON) as (ref, log),
    ):
        eventually(lambda: silent.accepted, "the attempt")
        assert socket_of(ref).status == "connecting"
        do(ref, lambda s: s.connect(server.uri, **SOON))
        assert [entry[0] for entry in until(log, "connect")] == ["connect"]
        assert silent.hung_up.wait(PATIENCE)


# what it says of itself


def test_a_socket_that_was_never_connected() -> None:
    socket = new_socket()
    assert (socket.status, socket.connected) == ("new", False)
    assert (socket.reconnect_in, socket.last_failure) == (None, None)
    assert new_socket().join(TOPIC).disconnect().status == "new"


def test_from_disconnect_on_it_is_not_connected() -> None:
    looked = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        came = peer.frame()
        assert came.opcode == CLOSE, "what was pushed then was not sent"
        peer.wait_for(looked)
        peer.send(frame(CLOSE, came.payload))

    def close(socket: Socket) -> list[Any]:
        socket = socket.disconnect()
        said: list[Any] = [socket.status, socket.connected]
        with pytest.raises(NotConnectedError):
            socket.push(TOPIC, "echo")
        with pytest.raises(NotConnectedError):
            socket.ping()
        with pytest.raises(NotConnectedError):
            socket.push(TOPIC, "echo", reply_timeout=1)
        return said

    class Looking(Recorder):
        def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
            self.note("disconnect", reason, socket.status, socket.last_failure)
            return socket

    with RawServer(script) as server, recording(server.uri, Looking, **SOON) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        assert do(ref, close) == ["closing", False]
        looked.set()
        assert log.take("disconnect") == ("disconnect", ClosedByClient(), "disconnected", None)
        assert socket_of(ref).joins[TOPIC].reason == Disconnected(ClosedByClient())
        assert socket_of(ref).reconnect_in is None
        assert until_mark(ref, log) == []


def test_a_join_that_is_asked_for_while_closing_is_for_the_next(server: PhoenixServer) -> None:
    with recording(server.uri, **SOON) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.disconnect().join("bench:next"))
        assert socket_of(ref).join_status("bench:next") == "requested"
        log.take("disconnect")
        assert socket_of(ref).join_status("bench:next") == "requested"
        do(ref, lambda s: s.reconnect(delay=0))
        assert [e[0] for e in until(log, "join")] == ["connect", "join"]


def test_a_backoff_says_when_it_is_over(server: PhoenixServer) -> None:
    with recording(server.uri, **NEVER) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        server.drop()
        reason = log.take("disconnect")[1]
        socket = socket_of(ref)
        assert (socket.status, socket.connected) == ("waiting", False)
        assert socket.last_failure == reason == socket.joins[TOPIC].reason.reason
        assert socket.reconnect_in == pytest.approx(600, abs=PATIENCE)
        before = socket.reconnect_in or 0.0
        assert eventually(lambda: (socket.reconnect_in or 0.0) < before, "that time passes")
        # Another `reconnect` is without effect; with a delay it takes its place.
        do(ref, lambda s: s.reconnect())
        assert socket_of(ref).reconnect_in == pytest.approx(600, abs=PATIENCE)
        do(ref, lambda s: s.reconnect(delay=60))
        assert socket_of(ref).reconnect_in == pytest.approx(60, abs=PATIENCE)
        assert socket_of(ref).reconnect_counter == socket.reconnect_counter == 1
        do(ref, lambda s: s.reconnect(delay=0))
        assert [e[0] for e in until(log, "join")] == ["connect", "join"]
        socket = socket_of(ref)
        assert (socket.status, socket.reconnect_in) == ("connected", None)
        assert socket.last_failure == reason
        assert socket.joins[TOPIC].reason is None


def test_a_disconnect_in_a_backoff_is_the_end_until_a_reconnect(server: PhoenixServer) -> None:
    with recording(server.uri, **NEVER) as (ref, log):
        log.take("connect")
        server.drop()
        log.take("disconnect")
        do(ref, lambda s: s.disconnect())
        socket = socket_of(ref)
        assert (socket.status, socket.reconnect_in) == ("disconnected", None)
        do(ref, lambda s: s.reconnect(delay=0))
        assert until_mark(ref, log)[-1:] in ([], [("connect",)])
        eventually(lambda: socket_of(ref).connected, "the connection")


def test_reconnect_is_without_effect_while_connected_unless_it_is_at_once(
    server: PhoenixServer,
) -> None:
    with recording(server.uri, **SOON) as (ref, log):
        log.take("connect")
        connection = get_state(ref).connection
        for delay in (None, 0.001, 5):
            do(ref, lambda s, delay=delay: s.reconnect(delay=delay))
            assert get_state(ref).connection is connection
            assert socket_of(ref).status == "connected"
        assert until_mark(ref, log) == []


def test_a_plain_thread_says_the_same(server: PhoenixServer) -> None:
    with connect(server.uri, **NEVER).join(TOPIC) as first:
        assert first.status in ("connecting", "connected")
        assert first.join_status(TOPIC) == "requested"
        socket = first.await_join(TOPIC)
        assert (socket.status, socket.joins[TOPIC].reason) == ("connected", None)
        server.drop()
        socket = socket.await_disconnect()
        assert (socket.status, socket.joins[TOPIC].status) == ("disconnected", "closed")
        assert isinstance(socket.last_failure, ClosedByPeer)
        waiting = socket.reconnect()
        assert waiting.status == "waiting"
        assert waiting.reconnect_in == pytest.approx(600, abs=PATIENCE)
        by_itself = waiting.reconnect(delay=0.001)
        assert by_itself.reconnect_counter == waiting.reconnect_counter == 1
        again = by_itself.await_join(TOPIC)
        assert (again.status, again.reconnect_in) == ("connected", None)
        closing = again.disconnect()
        assert (closing.status in ("closing", "disconnected"), closing.connected) == (True, False)
        with pytest.raises(NotConnectedError):
            closing.push(TOPIC, "echo")
        gone = closing.await_disconnect()
        assert (gone.status, gone.last_failure) == ("disconnected", socket.last_failure)


def test_a_plain_threads_failed_attempt() -> None:
    with dead_port() as port, connect(f"ws://127.0.0.1:{port}/", **NEVER) as first:
        with pytest.raises(ConnectFailedError) as failed:
            first.await_connect()
        socket = failed.value.socket
        assert socket.status == "disconnected"
        assert socket.last_failure == failed.value.reason


# `connect` begins anew


@pytest.mark.parametrize("state", ["joined", "asked for", "never sent"])
def test_connect_carries_no_topic_over(server: PhoenixServer, state: str) -> None:
    """Whatever it was, it is over with its connection, and so is what was buffered for it."""
    over = Disconnected(ClosedByClient())
    with (
        RawServer(Peer.hold) as silent,
        recording(silent.uri if state == "never sent" else server.uri, **SOON) as (ref, log),
    ):
        params = {"delay": 60_000} if state == "asked for" else {}
        do(ref, lambda s: s.join(TOPIC, params))
        if state == "joined":
            log.take("join")
            push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        else:
            if state == "asked for":
                log.take("connect")
            push = do(ref, lambda s: s.push(TOPIC, "echo", {}, buffer=True))
        do(ref, lambda s: s.connect(server.uri, **SOON))
        [join] = socket_of(ref).joins.values()
        assert (join.status, join.reason, join.join_ref) == ("closed", over, None)
        came = until(log, "connect")
        assert [entry[1:] for entry in came if entry[0] == "push_failed"] == [(push, over)]
        assert until_mark(ref, log) == []


@pytest.mark.parametrize("state", ["joined", "asked for", "never sent"])
def test_an_await_of_what_is_not_carried_over(server: PhoenixServer, state: str) -> None:
    over = Disconnected(ClosedByClient())
    with (
        RawServer(Peer.hold) as silent,
        connect(silent.uri if state == "never sent" else server.uri) as first,
    ):
        socket = first.join(TOPIC, {"delay": 60_000} if state == "asked for" else {})
        if state == "joined":
            socket = socket.await_join(TOPIC)
            ref = socket.push(TOPIC, "never", {}, reply_timeout=60)
        else:
            ref = socket.push(TOPIC, "echo", {}, buffer=True)
        socket = socket.connect(server.uri)
        with pytest.raises(NotConnectedError) as reply:
            socket.await_reply(ref)
        assert reply.value.reason == over
        with pytest.raises(JoinFailedError) as joined:
            socket.await_join(TOPIC)
        assert joined.value.reason == over
        assert joined.value.socket.connected
        again = joined.value.socket.join(TOPIC).await_join(TOPIC)
        assert again.joined(TOPIC)


# a connection that is over when a client's first await looks


class Late(Recorder):
    """Awaits a join when its connection has come, and is over."""

    def init(self, uri: str, log: queue.Queue[Any], **options: Any) -> Socket:
        over = options.pop("over")
        socket = super().init(uri, log, **options).join(TOPIC)
        eventually(lambda: self.actor_inbox.depth, "the connection")
        over(self, socket)
        try:
            return socket.await_join(TOPIC, PATIENCE)
        except JoinFailedError as error:
            self.note("failed", error.reason)
            after: Socket = error.socket
            return after


@pytest.mark.parametrize("own", [True, False])
def test_a_join_that_is_awaited_on_a_connection_that_is_over_fails(
    server: PhoenixServer, own: bool
) -> None:
    def over(client: Late, socket: Socket) -> None:
        if own:
            socket.disconnect()
        else:
            server.drop()
            eventually(lambda: client.actor_inbox.depth > 1, "its end")

    with recording(server.uri, Late, over=over, **NEVER) as (_, log):
        reason = log.take("failed")[1].reason
        assert isinstance(reason, ClosedByClient if own else ClosedByPeer)
        assert log.take("connect") == ("connect",)
        assert isinstance(log.take("disconnect")[1], type(reason))
