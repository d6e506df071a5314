"""What a connection costs while nothing happens, what is left of it, and a look inside."""

from __future__ import annotations

import collections
import os
import queue
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    ActorDeadError,
    AwaitTimeoutError,
    Socket,
    commands,
    connect,
    get_state,
    wait,
)
from slipstream_actor.actors import inbox as inboxes
from slipstream_actor.connection.state import ConnectionState, TopicState
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording
from tests.support.raw_server import CLOSE, Peer, RawServer, broadcast, closing, frame, serve

DESCRIPTORS = Path("/proc/self/fd")
NEVER_MSEC = 60_000
MANY = 50


@pytest.fixture(autouse=True)
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that gets nothing does not count as quiet, however slow the machine is: then it has
    one thread less (`test_quiet.py`)."""
    monkeypatch.setattr(inboxes, "QUIET", float(NEVER_MSEC))


def our_threads() -> set[threading.Thread]:
    """Return the threads that are not the servers'."""
    servers = ("raw-", "phoenix-")
    return {t for t in threading.enumerate() if not t.name.startswith(servers)}


def open_sockets() -> int:
    """Return how many sockets the process has open, where the system tells."""
    count = 0
    if not DESCRIPTORS.is_dir():
        return count
    for entry in os.listdir(DESCRIPTORS):
        try:
            count += os.readlink(DESCRIPTORS / entry).startswith("socket:")
        except OSError:
            continue
    return count


# threads and descriptors


def test_two_threads_for_each_client(server: PhoenixServer) -> None:
    before = our_threads()
    with ExitStack() as stack:
        for count in range(1, 6):
            ref, log = stack.enter_context(recording(server.uri))
            log.take("connect")
            ref.proxy().do(lambda s: s.join("test:good")).get()
            log.take("join")
            assert len(our_threads() - before) == 2 * count
    eventually(lambda: our_threads() == before, "the end of the threads")


def test_one_thread_for_the_socket_of_a_thread(server: PhoenixServer) -> None:
    before = our_threads()
    socket = connect(server.uri).await_connect()
    assert len(our_threads() - before) == 1
    socket.disconnect().await_disconnect()
    eventually(lambda: our_threads() == before, "the end of the thread")


def test_three_descriptors_for_each_connection() -> None:
    """Its socket, and the pair that wakes it."""
    with RawServer(serve) as server, ExitStack() as stack:
        before = open_sockets()
        for count in range(1, 6):
            _, log = stack.enter_context(recording(server.uri))
            log.take("connect")
            # One more is the server's.
            assert open_sockets() - before <= count * (3 + 1)


def stop(ref: pykka.ActorRef[Recorder], _: Log, __: PhoenixServer) -> None:
    ref.stop()


def disconnect(ref: pykka.ActorRef[Recorder], log: Log, _: PhoenixServer) -> None:
    ref.proxy().do(Socket.disconnect).get()
    log.take("disconnect")


def be_disconnected(_: pykka.ActorRef[Recorder], log: Log, server: PhoenixServer) -> None:
    server.disconnect("many")
    log.take("disconnect")


def be_dropped(_: pykka.ActorRef[Recorder], log: Log, server: PhoenixServer) -> None:
    server.drop()
    log.take("disconnect")


def stop_the_connection(ref: pykka.ActorRef[Recorder], log: Log, _: PhoenixServer) -> None:
    connection = get_state(ref).connection
    assert connection is not None
    connection.stop()
    log.take("disconnect")


ENDS = [stop, disconnect, be_disconnected, be_dropped, stop_the_connection]
End = Callable[[pykka.ActorRef[Recorder], Log, PhoenixServer], None]


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left_of_one_that_has_ended(server: PhoenixServer, end: End) -> None:
    """While the server still runs: no thread, and no descriptor on either side."""
    threads, sockets = our_threads(), open_sockets()
    options: dict[str, Any] = {"params": {"id": "many"}, "reconnect_after_msec": [NEVER_MSEC]}
    with recording(server.uri, **options) as (ref, log):
        log.take("connect")
        connection = get_state(ref).connection
        end(ref, log, server)
        wait(connection, PATIENCE)
    eventually(lambda: our_threads() == threads, "the end of the threads")
    eventually(lambda: open_sockets() == sockets, "the end of the descriptors")


def test_many_clients_at_once_leave_nothing(server: PhoenixServer) -> None:
    threads, sockets = our_threads(), open_sockets()
    with ExitStack() as stack:
        logs = [stack.enter_context(recording(server.uri))[1] for _ in range(MANY)]
        for log in logs:
            log.take("connect")
        assert len(our_threads() - threads) == 2 * MANY
        server.wait_for_connections(MANY, PATIENCE)
    server.wait_for_connections(0, PATIENCE)
    eventually(lambda: our_threads() == threads, "the end of the threads")
    eventually(lambda: open_sockets() == sockets, "the end of the descriptors")


def test_many_connections_one_after_the_other_leave_nothing(server: PhoenixServer) -> None:
    threads = our_threads()
    for _ in range(MANY):
        socket = connect(server.uri).join("test:good").await_join("test:good")
        socket.disconnect().await_disconnect()
    eventually(lambda: our_threads() == threads, "the end of the threads")


def test_many_reconnects_leave_nothing(server: PhoenixServer) -> None:
    threads = our_threads()
    options: dict[str, Any] = {"params": {"id": "7"}, "reconnect_after_msec": [0]}
    with recording(server.uri, **options) as (_, log):
        for _ in range(MANY):
            log.take("connect")
            server.disconnect("7")
            log.take("disconnect")
        log.take("connect")
        eventually(lambda: len(our_threads() - threads) == 2, "the end of the others")


CONNECTED = """
import sys
from slipstream_actor import ClientActor, connect

class Client(ClientActor):
    def init(self, uri):
        return connect(uri)

    def handle_connect(self, socket):
        return socket.join("a client's")

Client.start(sys.argv[1])
socket = connect(sys.argv[1]).join("a thread's").await_join("a thread's")
sys.stdin.read(1)
"""


def test_the_end_of_the_program_closes_what_is_open() -> None:
    """With a close frame each, and without a word on standard error."""
    with RawServer(serve) as server:
        command = [sys.executable, "-c", CONNECTED, server.uri]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as program:
            topics = {server.next_frame(event="phx_join").message[2] for _ in range(2)}
            assert topics == {"a client's", "a thread's"}
            output, errors = program.communicate(b"x", timeout=PATIENCE)
        assert (program.returncode, output, errors) == (0, b"", b"")
        assert [server.next_frame(opcode=CLOSE).code for _ in range(2)] == [1000, 1000]


# wake-ups


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[int]:
    """Count how often each thread waits: in a selector, as connections do, or in a queue."""
    waits: collections.Counter[int] = collections.Counter()

    class CountingSelector(selectors.PollSelector):
        def select(self, timeout: float | None = None) -> Any:
            waits[threading.get_ident()] += 1
            return super().select(timeout)

    class CountingQueue(queue.SimpleQueue[Any]):
        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            waits[threading.get_ident()] += block
            return super().get(block, timeout)

    monkeypatch.setattr(selectors, "PollSelector", CountingSelector)
    monkeypatch.setattr(queue, "SimpleQueue", CountingQueue)
    return waits


class Beats:
    """A server's script that answers heartbeats, and counts them."""

    def __init__(self, wanted: int = 20) -> None:
        self.wanted = wanted
        self.came = 0
        self.enough = threading.Event()

    def again(self, more: int) -> None:
        """Wait for as many more."""
        self.wanted = self.came + more
        self.enough.clear()

    def __call__(self, peer: Peer) -> None:
        peer.upgrade()
        while True:
            beat = peer.expect("heartbeat")
            self.came += 1
            if self.came >= self.wanted:
                self.enough.set()
            peer.reply(beat)


def thread_ids(start: Callable[[], object]) -> set[int]:
    """Return the threads of ours that `start` starts."""
    before = our_threads()
    start()
    return {thread.ident or 0 for thread in our_threads() - before}


@pytest.mark.skipif(not hasattr(selectors, "PollSelector"), reason="counts in a PollSelector")
def test_an_idle_connection_wakes_for_its_heartbeats_alone(
    waits: collections.Counter[int],
) -> None:
    """The beats of one are the clock by which the other, which has none, is seen to sleep."""
    beats = Beats()
    with RawServer(serve) as silent, RawServer(beats) as beating, ExitStack() as stack:

        def start(server: RawServer, interval: int) -> None:
            client = recording(server.uri, heartbeat_interval_msec=interval)
            ref, log = stack.enter_context(client)
            log.take("connect")
            get_state(get_state(ref).connection)

        idle = thread_ids(lambda: start(silent, 0))
        busy = thread_ids(lambda: start(beating, 20))
        assert len(idle) == len(busy) == 2
        slept, beaten, before = sum(waits[i] for i in idle), sum(waits[i] for i in busy), beats.came
        assert beats.enough.wait(PATIENCE)
        # Both may have been on their way to sleep when they were counted.
        assert sum(waits[i] for i in idle) - slept <= 2
        # For each: it is due, it is answered, and one more for a socket that is slow to write.
        assert sum(waits[i] for i in busy) - beaten <= 3 * (beats.came - before + 1) + 2


def stuck_in_a_frame(peer: Peer) -> None:
    """Send half a frame, and do not read."""
    peer.upgrade()
    peer.join()
    peer.send(broadcast("half")[:5])
    peer.park()


@pytest.mark.skipif(not hasattr(selectors, "PollSelector"), reason="counts in a PollSelector")
def test_a_connection_that_can_neither_read_nor_write_sleeps(
    waits: collections.Counter[int],
) -> None:
    beats = Beats(3)
    with RawServer(stuck_in_a_frame) as stuck, RawServer(beats) as beating, ExitStack() as stack:
        before = our_threads()
        client = recording(stuck.uri, heartbeat_interval_msec=0, close_timeout_msec=100)
        ref, log = stack.enter_context(client)
        log.take("connect")
        ref.proxy().do(lambda s: s.join("room")).get()
        log.take("join")
        threads = {thread.ident or 0 for thread in our_threads() - before}
        ref.proxy().do(lambda s: s.push("room", "big", {"pad": "x" * 20_000_000})).get()
        connection = get_state(ref).connection
        eventually(lambda: get_state(connection).counters.bytes_out > 1_000_000, "a full buffer")
        stack.enter_context(recording(beating.uri, heartbeat_interval_msec=20))
        assert beats.enough.wait(PATIENCE)
        slept = sum(waits[i] for i in threads)
        beats.again(10)
        assert beats.enough.wait(PATIENCE)
        assert sum(waits[i] for i in threads) - slept <= 2


@pytest.mark.skipif(not hasattr(selectors, "PollSelector"), reason="counts in a PollSelector")
def test_a_burst_costs_few_wake_ups(waits: collections.Counter[int]) -> None:
    """It travels as a burst: it is not one wake-up for each message."""
    count = 5000

    def script(peer: Peer) -> None:
        peer.upgrade(then=broadcast("begin"))
        peer.send(broadcast("tick") * count)
        peer.serve()

    with RawServer(script) as server:
        before = our_threads()
        with recording(server.uri) as (_, log):
            for _ in range(count):
                log.take("message", "room", "tick")
            woken = sum(waits[thread.ident or 0] for thread in our_threads() - before)
            assert woken < count / 10


# a look inside


def look(socket: Socket) -> ConnectionState:
    """Look into the connection of a thread's socket."""
    return get_state(socket.channel_pid, PATIENCE)


def test_the_state_of_a_connection(server: PhoenixServer) -> None:
    socket = connect(server.uri, params={"key": "value"}).await_connect()
    state = look(socket)
    assert (state.status, state.topics, state.refs) == ("connected", {}, {})
    assert state.uri == server.uri
    assert (state.heartbeat_rtt, state.mailbox) == (None, 0)
    assert (state.counters.frames_in, state.counters.frames_out) == (0, 0)
    socket = socket.join("test:good").await_join("test:good")
    join_ref = socket.joins["test:good"].join_ref
    assert join_ref is not None
    state = look(socket)
    assert state.topics == {"test:good": TopicState(join_ref, "joined")}
    assert state.refs == {}
    for _ in range(10):
        socket.await_reply(socket.push("test:good", "ping"))
    counters = look(socket).counters
    assert (counters.frames_in, counters.frames_out) == (11, 11)
    assert counters.bytes_in > state.counters.bytes_in > 0
    assert counters.bytes_out > state.counters.bytes_out > 0
    assert (counters.bytes_pending, counters.dropped) == (0, 0)
    socket.disconnect().await_disconnect()


def silent_after_join(peer: Peer) -> None:
    """Accept the first join, and answer nothing more until the client closes."""
    peer.upgrade()
    peer.join()
    while peer.frame().opcode != CLOSE:
        pass
    peer.hold()


def test_what_is_awaited_shows_in_the_state() -> None:
    options: dict[str, Any] = {"heartbeat_interval_msec": 200, "join_timeout_msec": NEVER_MSEC}
    with RawServer(silent_after_join) as server:
        socket = connect(server.uri, close_timeout_msec=100, **options)
        socket = socket.join("room").await_join("room")
        room = socket.joins["room"].join_ref
        assert room is not None
        socket = socket.join("other")
        other = socket.joins["other"].join_ref
        assert other is not None
        assert socket.channel_pid is not None
        push = commands.PushMessage("room", "never", {}, "900", room, awaited=True)
        socket.channel_pid.tell(push)
        state = look(socket)
        assert state.topics["other"] == TopicState(other, "joining")
        assert state.refs == {other: "phx_join", "900": "never"}
        socket = socket.leave("room")
        state = look(socket)
        assert state.topics["room"] == TopicState(room, "leaving")
        assert sorted(state.refs.values()) == ["never", "phx_join", "phx_leave"]
        assert eventually(lambda: "heartbeat" in look(socket).refs.values())
        socket.disconnect().await_disconnect()


def test_the_round_trip_of_a_heartbeat(server: PhoenixServer) -> None:
    socket = connect(server.uri, heartbeat_interval_msec=200).await_connect()
    rtt = eventually(lambda: look(socket).heartbeat_rtt, "a heartbeat")
    assert 0 < rtt < PATIENCE
    socket.disconnect().await_disconnect()


def test_what_is_dropped_is_counted() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(then=frame(1, b"junk") * 3 + broadcast("behind"))
        peer.serve()

    with RawServer(script) as server:
        socket = connect(server.uri).await_connect()
        socket.await_message("room", "behind")
        assert look(socket).counters.dropped == 3
        assert look(socket).counters.frames_in == 4
        socket.disconnect().await_disconnect()


def test_a_connection_that_is_closing() -> None:
    """A stop does not cut it short."""
    stopped = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        assert peer.frame().opcode == CLOSE
        peer.wait_for(stopped)
        peer.send(closing(1000))

    options: dict[str, Any] = {"close_timeout_msec": NEVER_MSEC}
    with RawServer(script) as server, recording(server.uri, **options) as (ref, log):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("room")).get()
        log.take("join")
        connection = get_state(ref).connection
        client.do(Socket.disconnect).get()
        assert get_state(connection).status == "closing"
        assert connection is not None
        end = connection.stop(block=False)
        eventually(lambda: not connection.is_alive(), "the stop")
        assert not connection.actor_inbox.ended.done  # type: ignore[attr-defined]
        stopped.set()
        end.get(timeout=PATIENCE)
        log.take("disconnect")
        with pytest.raises(ActorDeadError):
            get_state(connection)


def test_a_connection_that_is_connecting() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.hold()

    with RawServer(script) as server, recording(server.uri) as (ref, _):
        server.next_request()
        connection = get_state(ref).connection
        assert get_state(connection).status == "connecting"


def test_the_state_of_a_client(server: PhoenixServer) -> None:
    with recording(server.uri) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda s: s.assign(a=1).join("test:good")).get()
        log.take("join")
        state = get_state(ref)
        assert state.socket.assigns == {"a": 1}
        assert state.socket.joined("test:good")
        assert state.connection is state.socket.channel_pid
        assert state.mailbox == 0
    with pytest.raises(ActorDeadError):
        get_state(ref)


def test_a_client_in_the_middle_of_a_callback_answers_later(server: PhoenixServer) -> None:
    go_on = threading.Event()
    with recording(server.uri) as (ref, log):
        log.take("connect")
        busy = ref.proxy().do(lambda _: go_on.wait(PATIENCE))
        with pytest.raises(AwaitTimeoutError):
            get_state(ref, timeout=0.05)
        go_on.set()
        assert busy.get(timeout=PATIENCE)
        assert get_state(ref).socket.connected
