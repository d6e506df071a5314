"""What a client that drives pushes behind its first: left to whoever steps the connection next."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from slipstream_actor import Ref, Reply, SendBufferFullError, Socket, get_state, request
from slipstream_actor.actors.selector_inbox import SelectorInbox, SocketReady
from slipstream_actor.actors.turn import Turn
from slipstream_actor.connection.connection import Connection
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.integration.test_driving import TOPIC, do_not_wait, driving, in_client
from tests.support.clients import PATIENCE, Log, do, eventually, recording


def push_some(socket: Socket, event: str = "echo", begin: int = 0, count: int = 3) -> None:
    """The first is written at once."""
    for n in range(begin, begin + count):
        socket.push(TOPIC, event, {"n": n})


def written(box: Any) -> None:
    """Wait until nothing is left: for less than until a deadline has the thread look."""
    eventually(lambda: not box.left, "that all is written", 5.0)


def numbers(log: Log, count: int) -> list[int]:
    """What the replies to so many pushes say."""
    return [log.take("reply")[2].response["n"] for _ in range(count)]


def test_many_in_one_callback_come_in_order(server: PhoenixServer) -> None:
    """Behind the first, pushes are written together: when it waits, or soon."""
    with driving(server.uri) as (ref, log):
        do(ref, lambda s: [s.push(TOPIC, "echo", {"n": n}) for n in range(500)] and None)
        assert [log.take("reply")[2] for _ in range(500)] == [
            Reply("ok", {"n": n}) for n in range(500)
        ]


def test_short_and_long_ones_keep_their_order(server: PhoenixServer) -> None:
    pads = ["x" * size for size in (0, 1, 5_000, 2, 100_000, 3, 4_000, 4_200, 4)] * 20
    with driving(server.uri) as (ref, log):
        do(ref, lambda s: [s.push(TOPIC, "echo", {"pad": pad}) for pad in pads] and None)
        assert [log.take("reply")[2].response["pad"] for _ in pads] == pads


def test_those_behind_a_command_keep_their_order(server: PhoenixServer) -> None:
    def push_all(socket: Socket) -> None:
        push_some(socket)
        socket.push(TOPIC, "echo", {"n": 3}, reply_timeout=PATIENCE)
        push_some(socket, begin=4)

    with driving(server.uri) as (ref, log):
        for _ in range(20):
            do(ref, push_all)
            assert numbers(log, 7) == [*range(7)]


@pytest.mark.usefixtures("nobody_looks")
def test_those_behind_a_command_that_is_just_taken_keep_their_order(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has seen that the connection's thread waits, and that takes the command then."""
    taken, left = threading.Event(), threading.Event()
    looks: list[int] = []
    has_mail, on_receive = SelectorInbox.has_mail, Connection.on_receive

    def looked(inbox: SelectorInbox) -> bool:
        if looks and threading.get_ident() == looks.pop():
            assert taken.wait(PATIENCE)
        return bool(has_mail.fget(inbox))  # type: ignore[attr-defined]

    def received(connection: Connection, message: Any) -> Any:
        if type(message) is PushMessage and message.awaited:
            taken.set()
            left.wait(1.0)  # It may not come to that.
        return on_receive(connection, message)

    class Noted(list[Any]):
        def append(self, push: Any) -> None:
            super().append(push)
            left.set()

    def push_all(socket: Socket) -> None:
        ref.actor_inbox.driven.left = Noted()
        socket.push(TOPIC, "echo", {"n": 0})
        socket.push(TOPIC, "echo", {"n": 1}, reply_timeout=PATIENCE)
        looks.append(threading.get_ident())
        socket.push(TOPIC, "echo", {"n": 2})

    monkeypatch.setattr(SelectorInbox, "has_mail", property(looked))
    monkeypatch.setattr(Connection, "on_receive", received)
    with driving(server.uri) as (ref, log):
        do(ref, push_all)
        assert numbers(log, 3) == [0, 1, 2]


def test_one_that_is_left_while_the_connection_closes_keeps_it_not_busy(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, ready = Connection._close, Connection._ready
    times: list[Any] = []

    def closing(connection: Connection, command: Any) -> None:
        close(connection, command)
        connection.actor_inbox.left.append((b"[]", "9", Ref("9", TOPIC, "1")))

    def noted(connection: Connection, event: SocketReady) -> None:
        times.append(event)
        ready(connection, event)

    monkeypatch.setattr(Connection, "_close", closing)
    monkeypatch.setitem(Connection._handlers, SocketReady, noted)
    with (
        FaultProxy(server.uri) as proxy,
        driving(proxy.uri, close_timeout_msec=300) as (ref, log),
    ):
        proxy.black_hole()
        times.clear()
        do_not_wait(ref).stop()
        assert log.take("disconnect")
        assert len(times) < 10


@pytest.mark.usefixtures("nobody_looks")
def test_with_more_to_do_between_them_nobody_is_woken(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalled: list[Any] = []
    recall = Turn.recall

    def noted(turn: Turn) -> None:
        recalled.append(turn)
        recall(turn)

    def push_with_mail(socket: Socket) -> None:
        in_client(ref, push_some)
        push_some(socket)

    monkeypatch.setattr(Turn, "recall", noted)
    with driving(server.uri) as (ref, log):
        turn = ref.actor_inbox.driven.turn
        in_client(ref, push_with_mail)
        assert numbers(log, 6) == [0, 1, 2] * 2
        assert turn not in recalled


def test_those_of_a_long_callback_do_not_wait_for_its_end(server: PhoenixServer) -> None:
    """Somebody sees that the client is away; the server says nothing that would wake anybody."""

    def push_and_stay(socket: Socket) -> None:
        push_some(socket, "never")
        written(ref.actor_inbox.driven)

    with driving(server.uri) as (ref, _):
        do(ref, push_and_stay)


@pytest.mark.usefixtures("nobody_looks")
def test_whoever_is_recalled_writes_them(server: PhoenixServer) -> None:
    def push_and_stay(socket: Socket) -> None:
        push_some(socket, "never")
        socket.collect_garbage()
        written(ref.actor_inbox.driven)

    with driving(server.uri) as (ref, _):
        do(ref, push_and_stay)


@pytest.mark.usefixtures("nobody_looks")
def test_the_connections_thread_goes_on_just_as_one_is_left(server: PhoenixServer) -> None:
    class Late(list[Any]):
        def append(self, push: Any) -> None:
            turn = box.turn
            turn.recall()
            get_state(do_not_wait(ref))
            eventually(lambda: not turn.parked and not turn.lock.locked(), "that it waits again")
            super().append(push)

    def push_and_stay(socket: Socket) -> None:
        box.left = Late()
        push_some(socket, "never", count=2)
        written(box)

    with driving(server.uri) as (ref, _):
        box = ref.actor_inbox.driven
        do(ref, push_and_stay)


@pytest.mark.usefixtures("nobody_looks")
def test_they_go_before_a_request_of_another_thread(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SelectorInbox, "is_worth_driving", True)  # By who asks.
    pushed, done = threading.Event(), threading.Event()

    def push_and_stay(socket: Socket) -> None:
        push_some(socket, "never")
        assert len(box.left) == 2
        pushed.set()
        assert done.wait(PATIENCE)

    def noted(asked: Any) -> bool:
        written: bool = ask(asked)
        assert written
        left.append(len(box.left))
        return written

    left: list[int] = []
    with driving(server.uri) as (ref, _):
        box = ref.actor_inbox.driven
        ask, box.request_here = box.request_here, noted
        in_client(ref, push_and_stay)
        assert pushed.wait(PATIENCE)
        with ThreadPoolExecutor() as threads:
            # No main thread, where signals may have handlers.
            asked = threads.submit(request, ref, TOPIC, "echo", {}).result(PATIENCE)
        assert left == [0]
        monkeypatch.undo()
        done.set()
        assert asked.get(timeout=PATIENCE).ok


def test_they_are_written_before_the_connection_is_stopped(server: PhoenixServer) -> None:
    def push_and_stop(socket: Socket) -> None:
        push_some(socket, "broadcast")
        link: Any = socket._link
        link.connection.stop()

    with driving(server.uri) as (ref, _), recording(server.uri) as (other, told):
        do(other, lambda s: s.join(TOPIC))
        told.take("join")
        do(ref, push_and_stop)
        assert [told.take("message", TOPIC, "shout")[3]["n"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(("limit", "size"), [(1_000_000, 200_000), (1_000_000, 900), (9_000, 900)])
def test_what_waits_to_be_written_is_bounded(server: PhoenixServer, limit: int, size: int) -> None:
    bound = 1.02 * (limit + 2 * size)  # What is ready to be written has headers.

    def waiting(connection: Any) -> Any:
        # In this order: none is counted twice that goes on meanwhile.
        written = connection._transport.pending_bytes + connection._room._accepted
        return written + sum(len(data) for data, _, _ in connection.actor_inbox.left[:])

    def fill(socket: Socket) -> None:
        link: Any = socket._link
        connection = link.connection._actor_weakref()
        for _ in range(10_000):
            try:
                socket.push(TOPIC, "sink", {"pad": "x" * size}, 0.0)
            except SendBufferFullError:
                return
            assert waiting(connection) <= bound
        raise AssertionError("it took everything")

    with (
        FaultProxy(server.uri) as proxy,
        driving(proxy.uri, max_send_buffer_bytes=limit) as (ref, _),
    ):
        proxy.black_hole()
        do(ref, fill)
        state = get_state(do_not_wait(ref))
        assert state.send_buffer_bytes <= bound
        assert state.counters.bytes_pending <= bound
