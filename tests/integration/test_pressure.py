"""Pressure both ways, over real sockets: what is not taken stops the reading, what is not sent
blocks the push, and neither stops anything else."""

from __future__ import annotations

import queue
import socket as sockets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    ActorDeadError,
    ClosedByClient,
    ConnectionState,
    NotConnectedError,
    Reply,
    SendBufferFullError,
    Socket,
    connect,
    get_state,
    subscribe,
)
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.testing import PhoenixServer
from tests.client.test_client import InThread
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording
from tests.support.raw_server import Peer, RawServer, broadcast
from tests.support.slow_client import Slow

TOPIC = "bench:room"
SMALL: dict[str, Any] = {"high_watermark": 50, "low_watermark": 10}
MEGABYTE = 1024 * 1024


def joined(ref: Any, log: Log) -> Any:
    """Join, and return the connection's ref."""
    do(ref, lambda s: s.join(TOPIC))
    log.take("join")
    return get_state(ref).connection


def look(connection: Any) -> ConnectionState:
    state: ConnectionState = get_state(connection, PATIENCE)
    return state


def paused(connection: Any) -> ConnectionState:
    """Wait until the connection has stopped reading, and return its state."""
    eventually(lambda: look(connection).paused, "a pause")
    return look(connection)


# inbound


def test_a_client_that_does_not_take_stops_the_reading(
    server: PhoenixServer, turns: threading.Semaphore
) -> None:
    count = 30_000
    with recording(server.uri, Slow, **SMALL) as (ref, log):
        connection = joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": count, "size": 100}))
        state = paused(connection)
        # What came in one piece with the last message that there was room for.
        assert 50 < state.undelivered < 10_000
        assert look(connection).counters.bytes_in == state.counters.bytes_in
        turns.release(count + 1)
        seen = [log.take("message", TOPIC, "tick")[3]["i"] for _ in range(count)]
        assert seen == [*range(1, count + 1)]
        assert log.take("reply")[2] == Reply("ok", {"n": count})
        assert not look(connection).paused
        assert look(connection).undelivered == 0


def test_the_numbers_in_between(server: PhoenixServer, turns: threading.Semaphore) -> None:
    with recording(server.uri, Slow, **SMALL) as (ref, log):
        connection = joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 20_000, "size": 100}))
        # The client is in the callback of the first: that one is taken.
        assert Slow.entered.wait(PATIENCE)
        undelivered = paused(connection).undelivered
        turns.release(undelivered - SMALL["low_watermark"] - 1)
        eventually(lambda: look(connection).undelivered == SMALL["low_watermark"] + 1, "the rest")
        assert look(connection).paused
        bytes_in = look(connection).counters.bytes_in
        turns.release()
        eventually(lambda: look(connection).counters.bytes_in > bytes_in, "reading")
        turns.release(30_000)


def test_tcp_pushes_back(turns: threading.Semaphore) -> None:
    """A flood without end fills the system's buffers, and no memory of ours."""
    sent: queue.Queue[int] = queue.Queue()

    def flood(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.sock.settimeout(0.5)
        chunk = broadcast("tick", {"pad": "x" * 1000}) * 64
        total = 0
        try:
            while total < 500 * MEGABYTE:
                total += peer.sock.send(chunk)
        except TimeoutError:
            pass
        sent.put(total)
        peer.sock.settimeout(PATIENCE)
        peer.hold()

    with RawServer(flood) as server, recording(server.uri, Slow, **SMALL) as (ref, log):
        log.take("connect")
        connection = get_state(ref).connection
        do(ref, lambda s: s.join("room"))
        assert sent.get(timeout=PATIENCE) < 50 * MEGABYTE
        assert paused(connection).undelivered < 1000
        turns.release(10**6)


def test_heartbeats_go_on_and_nobody_is_blamed(
    server: PhoenixServer, turns: threading.Semaphore
) -> None:
    with recording(server.uri, Slow, heartbeat_interval_msec=250, **SMALL) as (ref, log):
        connection = joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 20_000, "size": 100}))
        before = paused(connection).counters.frames_out
        # Each of them unanswered, as far as we know.
        eventually(lambda: look(connection).counters.frames_out > before + 5, "heartbeats")
        assert look(connection).status == "connected"
        turns.release(30_000)
        log.take("reply")
        push = do(ref, lambda s: s.push(TOPIC, "echo"))
        assert log.take("reply")[1] == push


def test_a_deadline_stands_still(server: PhoenixServer, turns: threading.Semaphore) -> None:
    with recording(server.uri, Slow, **SMALL) as (ref, log):
        connection = joined(ref, log)
        socket = get_state(ref).socket
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 20_000, "size": 100}))
        paused(connection)
        # Its reply comes behind the flood.
        push = socket.push(TOPIC, "echo", {"late": True}, reply_timeout=2)
        until = time.monotonic() + 2.2
        eventually(lambda: time.monotonic() > until, "a time after which it would have failed")
        turns.release(30_000)
        assert log.take("reply", push)[2] == Reply("ok", {"late": True})


def test_a_stop_does_not_wait_for_what_is_undelivered(
    server: PhoenixServer, turns: threading.Semaphore
) -> None:
    with recording(server.uri, Slow, **SMALL) as (ref, log):
        connection = joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 30_000, "size": 100}))
        paused(connection)
        stopping = InThread(ref.stop)
        turns.release(1)
        assert stopping.outcome() is True
        server.wait_for_connections(0)


def test_a_disconnect_of_a_paused_connection(
    server: PhoenixServer, turns: threading.Semaphore
) -> None:
    with recording(server.uri, Slow, **SMALL) as (ref, log):
        connection = joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 30_000, "size": 100}))
        paused(connection)
        connection.tell(CloseConnection())
        # The close frame goes out, and its answer is read, behind what nobody has room for.
        server.wait_for_connections(0)
        turns.release(30_000)
        log.take("disconnect", ClosedByClient())


def test_an_await_is_answered_behind_what_nobody_takes(server: PhoenixServer) -> None:
    count = 5000
    socket = connect(server.uri, **SMALL).join(TOPIC).await_join(TOPIC)
    connection = socket.channel_pid
    flood = socket.push(TOPIC, "flood", {"n": count, "size": 1000})
    paused(connection)
    assert socket.await_reply(socket.push(TOPIC, "echo", {"behind": 1})).response == {"behind": 1}
    # And nothing was lost over it.
    assert [socket.await_message(TOPIC, "tick").payload["i"] for _ in range(count)] == [
        *range(1, count + 1)
    ]
    assert socket.await_reply(flood).ok
    socket.disconnect().await_disconnect()


def test_a_disconnect_behind_what_nobody_takes(server: PhoenixServer) -> None:
    socket = connect(server.uri, **SMALL).join(TOPIC).await_join(TOPIC)
    socket.push(TOPIC, "flood", {"n": 20_000, "size": 100})
    paused(socket.channel_pid)
    socket = socket.disconnect().await_disconnect()
    assert not socket.connected


def test_an_await_inside_a_callback_is_answered_too(server: PhoenixServer) -> None:
    class Asking(Recorder):
        def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
            if payload.get("i") == 1:
                push = socket.push(TOPIC, "echo", {"inside": True})
                self.note("answer", socket.await_reply(push, timeout=PATIENCE))

    with recording(server.uri, Asking, **SMALL) as (ref, log):
        joined(ref, log)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 20_000, "size": 100}))
        assert log.take("answer")[1] == Reply("ok", {"inside": True})
        assert log.take("reply")[2] == Reply("ok", {"n": 20_000})


# outbound


class Deaf:
    """A server that accepts a join and does not read on until it is let."""

    def __init__(self) -> None:
        self.read = threading.Event()
        self.numbers: queue.Queue[int] = queue.Queue()

    def __call__(self, peer: Peer) -> None:
        peer.sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65536)
        peer.upgrade()
        peer.join()
        peer.wait_for(self.read)
        while (came := peer.frame()).event == "big":
            self.numbers.put(came.message[4]["n"])
        peer.send(b"\x88\x02\x03\xe8")


LITTLE: dict[str, Any] = {
    "max_send_buffer_bytes": MEGABYTE,
    "close_timeout_msec": 100,
    "sockopt": [(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 65536)],
}


def push_until_full(socket: Socket, send_timeout: float | None = 0.05) -> int:
    """Push until there is no room; return how many were taken."""
    for n in range(1000):
        try:
            socket.push("room", "big", {"n": n, "pad": "x" * 500_000}, send_timeout=send_timeout)
        except SendBufferFullError:
            return n
    raise AssertionError("there was always room")


def room_of(socket: Socket) -> Any:
    """Return the send buffer of the socket's connection."""
    connection: Any = socket.channel_pid
    return connection.actor_inbox.room


@pytest.fixture
def deaf() -> Iterator[tuple[Deaf, Socket]]:
    script = Deaf()
    with RawServer(script) as server:
        yield script, connect(server.uri, **LITTLE).join("room").await_join("room")
        script.read.set()


def test_a_push_without_room_is_an_error_and_loses_nothing(deaf: tuple[Deaf, Socket]) -> None:
    script, socket = deaf
    taken = push_until_full(socket)
    assert taken > 2
    waiting = look(socket.channel_pid).send_buffer_bytes
    assert MEGABYTE < waiting < 2 * MEGABYTE
    text = r"'big' on 'room' was not sent: .* is connected to"
    with pytest.raises(SendBufferFullError, match=text):
        socket.push("room", "big", {"n": -1}, send_timeout=0.05)
    script.read.set()
    assert [script.numbers.get(timeout=PATIENCE) for _ in range(taken)] == list(range(taken))
    socket.disconnect().await_disconnect()
    assert script.numbers.empty()


def test_a_push_waits_for_room(deaf: tuple[Deaf, Socket]) -> None:
    script, socket = deaf
    taken = push_until_full(socket)
    pushing = InThread(socket.push, "room", "big", {"n": taken}, PATIENCE)
    patient = InThread(lambda: socket.push("room", "big", {"n": taken}, send_timeout=None))
    script.read.set()
    assert {pushing.outcome().topic, patient.outcome().topic} == {"room"}
    numbers = [script.numbers.get(timeout=PATIENCE) for _ in range(taken + 2)]
    assert numbers == [*range(taken), taken, taken]
    socket.disconnect().await_disconnect()


def test_a_push_that_waits_is_told_of_the_end(deaf: tuple[Deaf, Socket]) -> None:
    _, socket = deaf
    push_until_full(socket)
    pushing = InThread(socket.push, "room", "big", {"n": -1}, 60)
    eventually(lambda: room_of(socket)._waiting, "a push that waits")
    socket.disconnect()
    assert isinstance(pushing.outcome(), NotConnectedError)


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u8a9e", "\N{PILE OF POO}"])
def test_what_was_sent_takes_no_room(server: PhoenixServer, letter: str) -> None:
    """Nor when it takes more bytes than letters, left to the connection's thread or written."""
    with recording(server.uri) as (ref, log), subscribe(ref):
        connection = joined(ref, log)
        do(ref, lambda s: [s.push(TOPIC, "echo", {"text": letter * 900}) for _ in range(20)])
        for _ in range(20):
            log.take("reply")
        eventually(lambda: not look(connection).send_buffer_bytes, "that no room is taken")


def test_a_stop_ends_a_push_that_waits() -> None:
    script = Deaf()
    with RawServer(script) as server, recording(server.uri, **LITTLE) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join("room"))
        log.take("join")
        room = room_of(get_state(ref).socket)
        pushing = InThread(lambda: do(ref, lambda s: push_until_full(s, None)))
        eventually(lambda: room._waiting, "a push that waits")
        assert ref.stop(timeout=PATIENCE)
        assert isinstance(pushing.outcome(), ActorDeadError)
        script.read.set()


def test_heartbeats_and_reading_go_on_while_a_push_waits() -> None:
    heard = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.wait_for(full)
        peer.send(broadcast("still here"))
        peer.wait_for(heard)
        while (came := peer.frame()).event != "last":
            if came.event == "heartbeat":
                peer.reply(came.message)
        peer.serve()

    full = threading.Event()
    with RawServer(script) as server:
        socket = connect(server.uri, **LITTLE).join("room").await_join("room")
        push_until_full(socket)
        pushing = InThread(socket.push, "room", "last", {}, PATIENCE)
        full.set()
        socket.await_message("room", "still here")
        heard.set()
        assert pushing.outcome().topic == "room"
        assert socket.ping() >= 0
        socket.disconnect().await_disconnect()
