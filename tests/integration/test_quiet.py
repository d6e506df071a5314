"""A client that gets nothing needs one thread: its connection's ends, and comes back when it is
needed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from slipstream_actor import HeartbeatTimeout, Reply, Socket, get_state, request, wait
from slipstream_actor.actors import inbox as inboxes
from slipstream_actor.actors.absence import THREAD
from slipstream_actor.actors.turn import Turn
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Log, do, eventually, recording
from tests.support.programs import Program
from tests.support.raw_server import CLOSE, RawServer, serve

TOPIC = "bench:room"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inboxes, "QUIET", 0.01)
    monkeypatch.setattr(inboxes, "MOST_IN_VAIN", 0)
    monkeypatch.setattr(Turn, "linger", 0.01)


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


def threads_of(ref: Any) -> list[str]:
    """Return the names of the threads of a client and its connection."""
    return sorted(name for name in names() if name.endswith(str(ref.label)))


def become_quiet(ref: Any) -> None:
    eventually(lambda: threads_of(ref) == [ref.label], "the end of the connection's thread")


@contextmanager
def quiet(uri: str, **options: Any) -> Iterator[tuple[Any, Log]]:
    """A client that has joined, and whose connection has no thread."""
    with recording(uri, **options) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        become_quiet(ref)
        yield ref, log


def hear(ref: Any, log: Log, server: PhoenixServer) -> None:
    server.broadcast(TOPIC, "news", {"n": 1})
    log.take("message", TOPIC, "news", {"n": 1})


def hear_for_long(ref: Any, log: Log, server: PhoenixServer) -> None:
    """The callback holds up nothing: the connection has a thread for that time."""
    go_on = threading.Event()
    asked = ref.proxy().do(lambda s: go_on.wait(PATIENCE) and None)
    eventually(lambda: len(threads_of(ref)) == 2, "that its connection goes on")
    go_on.set()
    asked.get()


def ask(ref: Any, log: Log, server: PhoenixServer) -> None:
    reply = request(ref, TOPIC, "echo", {"n": 1}).get(timeout=PATIENCE)
    assert reply == Reply("ok", {"n": 1})


def ask_in_a_callback(ref: Any, log: Log, server: PhoenixServer) -> None:
    assert do(ref, lambda s: s.await_reply(s.push(TOPIC, "echo", {"n": 1}))).ok


def push_from_outside(ref: Any, log: Log, server: PhoenixServer) -> None:
    socket = get_state(ref).socket
    pushed = socket.push(TOPIC, "echo", {"n": 1})
    assert log.take("reply")[1:] == (pushed, Reply("ok", {"n": 1}))


def join_and_leave_another(ref: Any, log: Log, server: PhoenixServer) -> None:
    do(ref, lambda s: s.join("bench:other"))
    log.take("join", "bench:other")
    do(ref, lambda s: s.leave("bench:other"))
    log.take("leave", "bench:other")


def look_inside(ref: Any, log: Log, server: PhoenixServer) -> None:
    assert get_state(get_state(ref).connection).status == "connected"


def come_back(ref: Any, log: Log, server: PhoenixServer) -> None:
    server.drop()
    log.take("disconnect")
    log.take("join", TOPIC)


def disconnect(ref: Any, log: Log, server: PhoenixServer) -> None:
    do(ref, Socket.disconnect)
    log.take("disconnect")
    do(ref, lambda s: s.reconnect(delay=0))
    log.take("join", TOPIC)


EVENTS = [
    hear,
    hear_for_long,
    ask,
    ask_in_a_callback,
    push_from_outside,
    join_and_leave_another,
    look_inside,
    come_back,
    disconnect,
]


@pytest.mark.parametrize("happen", EVENTS)
def test_what_happens_finds_the_connection(
    server: PhoenixServer, happen: Callable[[Any, Log, PhoenixServer], None]
) -> None:
    """Whenever it does, and its thread ends again."""
    with quiet(server.uri, reconnect_after_msec=[0]) as (ref, log):
        for _ in range(3):
            happen(ref, log, server)
            become_quiet(ref)


def test_many_ask_at_once(server: PhoenixServer) -> None:
    with quiet(server.uri) as (ref, _):
        for _ in range(20):
            asked = [request(ref, TOPIC, "echo", {"n": n}) for n in range(50)]
            assert [a.get(timeout=PATIENCE).response["n"] for a in asked] == [*range(50)]
            become_quiet(ref)


def has_sent(connection: Any, count: int) -> bool:
    return bool(connection._transport.bytes_out >= count)


def test_heartbeats_go_on(server: PhoenixServer) -> None:
    with quiet(server.uri, heartbeat_interval_msec=20) as (ref, log):
        connection = get_state(ref).connection._actor_weakref()
        become_quiet(ref)
        for _ in range(5):
            enough = connection._transport.bytes_out + 1
            eventually(partial(has_sent, connection, enough), "a heartbeat")
        assert connection.heartbeat_rtt is not None
        assert threads_of(ref) == [ref.label]
        assert log.empty()


def test_a_heartbeat_without_an_answer_is_noticed(server: PhoenixServer) -> None:
    with FaultProxy(server.uri) as proxy, quiet(proxy.uri, heartbeat_interval_msec=100) as (_, log):
        proxy.black_hole()
        assert log.take("disconnect") == ("disconnect", HeartbeatTimeout())


def test_the_end_of_the_client_closes_it(server: PhoenixServer) -> None:
    with quiet(server.uri) as (ref, _):
        connection = get_state(ref).connection
        ref.stop()
        wait(connection, PATIENCE)
    server.wait_for_connections(0, PATIENCE)


@pytest.mark.parametrize(
    "error", [RuntimeError("can't start new thread"), MemoryError(), OSError("of a profiler")]
)
def test_without_threads_it_waits_for_one(
    server: PhoenixServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    """And what it was asked for is not lost."""
    refused, start = threading.Semaphore(0), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("connection of"):
            refused.release()
            raise error
        start(thread)

    with quiet(server.uri) as (ref, _):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            asked = request(ref, TOPIC, "echo", {})
            assert all(refused.acquire(timeout=PATIENCE) for _ in range(3))
        assert asked.get(timeout=PATIENCE).ok
    assert [vars(r)["line"] for r in caplog.records if r.levelname == "WARNING"] == ["no_thread"]


@pytest.mark.parametrize("happen", [hear_for_long, ask, join_and_leave_another, look_inside])
def test_a_thread_that_has_begun_goes_on_whatever_its_start_raises(
    server: PhoenixServer,
    monkeypatch: pytest.MonkeyPatch,
    happen: Callable[[Any, Log, PhoenixServer], None],
) -> None:
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        start(thread)
        if thread.name.startswith("connection of"):
            raise MemoryError

    with quiet(server.uri) as (ref, log):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail)
            happen(ref, log, server)
        become_quiet(ref)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_without_a_thread_that_sees_who_stays_away_nobody_drives(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """And what a connection is asked for wakes it up."""
    refused, start = threading.Semaphore(0), threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == THREAD:
            refused.release()
            raise error
        start(thread)

    eventually(lambda: THREAD not in names(), "the end of what sees who stays away")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with recording(server.uri) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        assert all(refused.acquire(timeout=PATIENCE) for _ in range(3))
        ask(ref, log, server)
        hear(ref, log, server)


def test_who_recalls_it_holds_nothing_up(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is locked while a thread is started, or while the log tells that there is none."""
    free: queue.Queue[bool] = queue.Queue()

    def look(thread: threading.Thread) -> None:
        helper = threading.Thread(target=look_elsewhere)
        start(helper)
        helper.join(PATIENCE)
        start(thread)

    def look_elsewhere() -> None:
        if taken := lock.acquire(blocking=False):
            lock.release()
        free.put(taken)

    with quiet(server.uri) as (ref, _):
        connection = get_state(ref).connection
        start, lock = threading.Thread.start, connection.actor_inbox._wake_lock
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", look)
            do(ref, lambda s: get_state(connection) and None)
        assert free.get_nowait()


QUIET = """
import sys, threading
from slipstream_actor import ClientActor, connect, get_state
from slipstream_actor.actors import inbox
from slipstream_actor.actors.turn import EXIT_HAS_THREADS, Turn

inbox.QUIET = 0.01
if EXIT_HAS_THREADS:
    Turn.linger = 0.01

class Client(ClientActor):
    def init(self, uri):
        return connect(uri)

    def handle_connect(self, socket):
        return socket.join("room")

ref = Client.start(sys.argv[1])
sys.stdin.readline()
turn = get_state(ref).connection.actor_inbox.turn

def is_quiet():
    names = [thread.name for thread in threading.enumerate()]
    has_thread = any(name.startswith("connection of") for name in names)
    return turn.parked and turn.driven and has_thread is not EXIT_HAS_THREADS

while not is_quiet():
    threading.Event().wait(0.005)
print("quiet", flush=True)
"""


def test_the_end_of_the_program_closes_it() -> None:
    """With a close frame, and without a word: also with Python 3.12, whose exit has no threads."""
    with RawServer(serve) as server, Program(QUIET, server.uri) as program:
        server.next_frame(event="phx_join")
        program.say()
        assert program.line() == "quiet"
        assert program.end() == (0, "", "")
        assert server.next_frame(opcode=CLOSE).code == 1000
