"""Who writes a push: the client that has nothing else to do, and else its connection."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    NotConnectedError,
    Ref,
    Reply,
    SendBufferFullError,
    SerializerError,
    Socket,
    connect,
    get_state,
    telemetry,
)
from slipstream_actor.actors import inbox
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import Log, do, eventually, recording
from tests.support.frame_threads import FrameThreads, frame_threads

TOPIC = "bench:room"
HERE, CONNECTION = "Recorder", "connection"


@pytest.fixture(autouse=True)
def nobody_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """`test_driving.py` has what is so when one does."""
    monkeypatch.setattr(inbox, "FEW", math.inf)


@pytest.fixture
def writers() -> Iterator[FrameThreads]:
    with frame_threads(lambda line: line.startswith("push") and " phx_" not in line) as found:
        yield found


def at_rest(socket: Socket) -> Socket:
    """Return the socket when its connection's thread sleeps."""
    box: Any = socket._link.connection.actor_inbox if socket._link is not None else None
    eventually(lambda: not box.turn.lock.locked(), "that the connection has nothing to do")
    return socket


def joined(ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC))
    log.take("join")


def numbers(socket: Socket, count: int) -> None:
    for number in range(count):
        at_rest(socket).push(TOPIC, "echo", {"n": number})


def replies(log: Log, count: int) -> list[Any]:
    return [log.take("reply")[2] for _ in range(count)]


def in_order(count: int) -> list[Reply]:
    return [Reply("ok", {"n": number}) for number in range(count)]


def test_a_client_writes_what_it_pushes_first(server: PhoenixServer, writers: FrameThreads) -> None:
    """Of many, the others are for one `send`."""
    with recording(server.uri) as (ref, log):
        joined(ref, log)
        for _ in range(2):
            do(ref, lambda s: numbers(s, 3))
            assert replies(log, 3) == in_order(3)
        assert writers.threads == [HERE, CONNECTION, CONNECTION] * 2


def test_behind_each_reply_it_writes_again(server: PhoenixServer, writers: FrameThreads) -> None:
    def await_each(socket: Socket) -> None:
        for number in range(3):
            ref = at_rest(socket).push(TOPIC, "echo", {"n": number})
            assert socket.await_reply(ref) == Reply("ok", {"n": number})

    with recording(server.uri) as (ref, log):
        joined(ref, log)
        do(ref, await_each)
        assert writers.threads == [HERE] * 3


def test_a_client_that_has_more_to_do_has_its_connection_write(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    def push_with_mail(socket: Socket) -> None:
        ref.tell("more")
        numbers(socket, 1)

    with recording(server.uri) as (ref, log):
        joined(ref, log)
        do(ref, push_with_mail)
        assert replies(log, 1) == in_order(1)
        assert writers.threads == [CONNECTION]


def test_a_push_that_asks_for_its_outcome_has_its_deadline(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    with recording(server.uri) as (ref, log):
        joined(ref, log)
        do(ref, lambda s: at_rest(s).push(TOPIC, "echo", reply_timeout=5))
        log.take("reply")
        assert writers.threads == [CONNECTION]


def test_a_plain_thread_has_its_connection_write(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    """A signal handler may raise there, in the middle of it."""
    with connect(server.uri) as new:
        socket = new.join(TOPIC).await_join(TOPIC)
        assert socket.await_reply(at_rest(socket).push(TOPIC, "echo")).ok
        assert writers.threads == [CONNECTION]


def test_telemetry_sees_the_connection_at_work(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    seen: list[Any] = []
    event = ("slipstream", "connection", "traffic")
    with recording(server.uri) as (ref, log):
        joined(ref, log)
        telemetry.attach("writing", event, lambda *args: seen.append(args))
        try:
            do(ref, lambda s: numbers(s, 1))
            assert replies(log, 1) == in_order(1)
        finally:
            telemetry.detach("writing")
        assert writers.threads == [CONNECTION]
        assert seen


def test_what_the_socket_does_not_take_is_written_behind(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    with FaultProxy(server.uri) as proxy, recording(proxy.uri) as (ref, log):
        joined(ref, log)
        proxy.throttle(1000, "up")
        body = "x" * 5_000_000
        do(ref, lambda s: [s.push(TOPIC, "echo", {"n": body}) for _ in range(3)])
        do(ref, lambda s: numbers(s, 1))
        proxy.heal()
        assert replies(log, 4) == [*[Reply("ok", {"n": body})] * 3, *in_order(1)]
        assert writers.threads[-1] == CONNECTION


def test_a_connection_that_closes_writes_nothing_more(
    server: PhoenixServer, writers: FrameThreads
) -> None:
    with recording(server.uri) as (ref, log):
        joined(ref, log)
        connection: Any = get_state(ref).connection
        box = connection.actor_inbox
        write = box.write_here
        do(ref, lambda s: s.disconnect())
        log.take("disconnect")
        assert box.write_here is None
        assert write(TOPIC, "1", "echo", {}) is None
        assert writers.threads == []


def test_pushes_behind_the_first_keep_their_order_whichever_way_they_go(
    server: PhoenixServer,
) -> None:
    payloads: list[Any] = [{"n": 0}, {"n": 1}, ["no", "dict"], {"n": 2}, {"é": "\U0001f600"}, None]

    def push_all(socket: Socket) -> list[Ref]:
        refs = [at_rest(socket).push(TOPIC, "echo", payloads[0])]
        with pytest.raises(SerializerError):
            socket.push(TOPIC, "echo", {"n": object()})
        refs += [socket.push(TOPIC, "echo", payload) for payload in payloads[1:]]
        return refs

    with recording(server.uri) as (ref, log):
        joined(ref, log)
        refs = do(ref, push_all)
        told = [log.take("reply") for _ in payloads]
        assert [entry[1] for entry in told] == refs
        assert [entry[2].response for entry in told] == payloads
        assert [type(entry[1]) for entry in told] == [Ref] * len(payloads)


def test_pushes_behind_the_first_wait_for_room(server: PhoenixServer) -> None:
    def push_many(socket: Socket) -> None:
        for _ in range(1_000):
            socket.push(TOPIC, "echo", {"n": "x" * 1_000}, 0)

    def fill(socket: Socket) -> None:
        with pytest.raises(SendBufferFullError, match="and 0 s made no room"):
            push_many(socket)

    with (
        FaultProxy(server.uri) as proxy,
        recording(proxy.uri, max_send_buffer_bytes=10_000) as (ref, log),
    ):
        joined(ref, log)
        with proxy.black_hole("up"):
            do(ref, fill)
            do(ref, fill)


def test_pushes_behind_the_first_are_refused_without_a_connection(server: PhoenixServer) -> None:
    def push_to_one_that_is_gone(socket: Socket) -> None:
        link: Any = socket._link
        leave = link.connection.actor_inbox.queue_here
        assert leave(TOPIC, "1", "echo", {}) is not None
        link.connection.stop()
        # As if it had ended just before.
        assert leave(TOPIC, "1", "echo", {}) is None
        with pytest.raises(NotConnectedError):
            socket.push(TOPIC, "echo", {"n": 1})

    with recording(server.uri) as (ref, log):
        joined(ref, log)
        do(ref, push_to_one_that_is_gone)
