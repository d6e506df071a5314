"""A client that waits drives its connection itself; what the connection's thread does meanwhile."""

from __future__ import annotations

import queue
import selectors
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipstream_actor import (
    ClosedByPeer,
    ConnectionCrashed,
    HeartbeatTimeout,
    NotConnectedError,
    Reply,
    Socket,
    V2Serializer,
    connect,
    debug,
    get_state,
    request,
    subscribe,
)
from slipstream_actor.actors import inbox as inboxes
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, do, eventually, recording
from tests.support.frame_threads import FrameThreads, frame_threads

TOPIC = "bench:room"
# So many round trips, one by one, and the client drives.
WARM = 20
HERE, CONNECTION = "Driver", "connection"


@pytest.fixture
def readers() -> Iterator[FrameThreads]:
    with frame_threads(lambda line: line.startswith("receive")) as found:
        yield found


class Driver(Recorder):
    """Runs what it is told in `handle_info`, behind what has warmed it up."""

    def handle_info(self, message: Any, socket: Socket) -> Any:
        return message(socket) if callable(message) else super().handle_info(message, socket)


@contextmanager
def driving(uri: str, **options: Any) -> Iterator[tuple[Any, Log]]:
    """A client that has joined, and drives."""
    with recording(uri, Driver, **options) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        warm(ref)
        yield ref, log


def warm(ref: Any) -> None:
    """Have a client wait for replies until it drives; the machine may be slow."""
    inbox = ref.actor_inbox

    def hot() -> bool:
        do(ref, lambda s: [s.await_reply(s.push(TOPIC, "echo", {})) for _ in range(WARM)])
        return bool(inbox.driven.turn.parked)

    eventually(hot, "that the client drives")


def in_client(ref: Any, function: Callable[[Socket], Any]) -> None:
    """Run a function in a callback of its own, and do not wait for it."""
    ref.tell(function)


def test_replies_are_read_by_who_waits_for_them(
    server: PhoenixServer, readers: FrameThreads
) -> None:
    with driving(server.uri) as (ref, _):

        def mostly_here() -> bool:
            readers.threads.clear()
            do(ref, lambda s: [s.await_reply(s.push(TOPIC, "echo", {"n": n})) for n in range(100)])
            return readers.threads.count(HERE) > 50

        eventually(mostly_here, "that the client reads")


def test_a_client_that_seldom_gets_a_message_drives_too(
    server: PhoenixServer, readers: FrameThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "SHORT", -1.0)  # No wait is.
    with recording(server.uri, Driver) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")

        def read_here() -> bool:
            readers.threads.clear()
            server.broadcast(TOPIC, "news", {})
            log.take("message", TOPIC, "news", {})
            return set(readers.threads) == {HERE}

        eventually(read_here, "that the client reads")
        request(ref, TOPIC, "echo", {}).get(timeout=PATIENCE)  # Others are heard meanwhile.
        assert get_state(do_not_wait(ref)).status == "connected"
        eventually(read_here, "that it does again")


@pytest.mark.usefixtures("nobody_looks")
def test_a_command_of_a_callback_recalls_the_connections_thread(
    server: PhoenixServer, readers: FrameThreads
) -> None:
    """It does not wait until somebody sees that the client is away."""
    with driving(server.uri) as (ref, log):
        readers.threads.clear()
        done = threading.Event()

        def join_and_stay(socket: Socket) -> Socket:
            joining = socket.join("bench:other")
            assert done.wait(PATIENCE)
            return joining

        in_client(ref, join_and_stay)
        eventually(lambda: readers.threads, "that its reply is read")
        assert HERE not in readers.threads
        done.set()
        log.take("join", "bench:other", {})


def test_each_reply_is_that_of_its_push(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, _):
        for _ in range(5):
            replies = do(
                ref, lambda s: [s.await_reply(s.push(TOPIC, "echo", {"n": n})) for n in range(100)]
            )
            assert replies == [Reply("ok", {"n": n}) for n in range(100)]


def test_the_connection_goes_on_during_a_long_callback(server: PhoenixServer) -> None:
    """Heartbeats are sent and answered."""
    with driving(server.uri, heartbeat_interval_msec=50) as (ref, _):
        done = threading.Event()
        in_client(ref, lambda s: done.wait(30) and None)
        inbox = ref.actor_inbox
        eventually(lambda: not inbox.driven.turn.parked, "that its own thread goes on")
        connection = inbox.driven
        eventually(
            lambda: get_state(do_not_wait(ref)).heartbeat_rtt is not None, "a heartbeat's answer"
        )
        assert connection is inbox.driven
        done.set()


def do_not_wait(ref: Any) -> Any:
    """The connection of a client that runs a callback."""
    return ref._actor_weakref().socket.channel_pid


def test_heartbeats_are_sent_while_a_client_drives(server: PhoenixServer) -> None:
    with driving(server.uri, heartbeat_interval_msec=50) as (ref, log):
        began = time.monotonic()

        def echo_on(socket: Socket) -> None:
            while time.monotonic() < began + 1:
                socket.await_reply(socket.push(TOPIC, "echo", {}))

        do(ref, echo_on)
        state = get_state(do_not_wait(ref))
        assert state.heartbeat_rtt is not None
        assert log.empty()


def test_a_client_that_drives_sends_the_heartbeats(server: PhoenixServer) -> None:
    """Nobody is woken for them, and it goes on."""
    with (
        frame_threads(lambda line: line.startswith("push phoenix heartbeat")) as beats,
        driving(server.uri, heartbeat_interval_msec=50) as (ref, _),
    ):

        def five_of_its_own() -> bool:
            return beats.threads[-5:] == [HERE] * 5

        eventually(five_of_its_own, "that it sends five, one after the other")
        connection = do_not_wait(ref)._actor_weakref()
        eventually(lambda: connection.heartbeat_rtt is not None, "an answer")


def test_a_client_that_drives_hears_of_a_heartbeat_without_an_answer(
    server: PhoenixServer,
) -> None:
    with (
        FaultProxy(server.uri) as proxy,
        driving(proxy.uri, heartbeat_interval_msec=100) as (_, log),
    ):
        proxy.black_hole()
        assert log.take("disconnect") == ("disconnect", HeartbeatTimeout())


def test_others_wake_it(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        for number in range(50):
            ref.tell(number)
            log.take("info", number)


def test_its_timers_wake_it(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        do(ref, lambda s: s.socket_pid._actor_weakref().send_after(0.05, "due") and None)
        warm(ref)
        log.take("info", "due")


def test_an_await_ends_in_time(server: PhoenixServer) -> None:
    def await_nothing(socket: Socket) -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"0\.2"):
            socket.await_reply(socket.push(TOPIC, "never", {}), timeout=0.2)
        return time.monotonic() - began

    with driving(server.uri) as (ref, _):
        assert 0.19 < do(ref, await_nothing) < 5


def test_a_client_that_drives_can_be_stopped(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        ref.stop()
        log.take("terminate")


def test_an_await_is_interrupted_by_a_stop(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        began = threading.Event()

        def await_long(socket: Socket) -> None:
            push = socket.push(TOPIC, "never", {})
            began.set()
            socket.await_reply(push, timeout=60)

        in_client(ref, await_long)
        assert began.wait(30)
        ref.stop()
        log.take("terminate")


def test_the_end_of_the_connection_is_told(server: PhoenixServer) -> None:
    with driving(server.uri) as (_, log):
        server.stop()
        assert isinstance(log.take("disconnect")[1], ClosedByPeer)


def test_the_end_of_the_connection_fails_an_await(server: PhoenixServer) -> None:
    with FaultProxy(server.uri) as proxy, driving(proxy.uri) as (ref, log):
        proxy.black_hole()
        began: queue.Queue[None] = queue.Queue()

        def await_long(socket: Socket) -> None:
            push = socket.push(TOPIC, "echo", {})
            began.put(None)
            with pytest.raises(NotConnectedError):
                socket.await_reply(push, timeout=60)

        in_client(ref, await_long)
        began.get(timeout=30)
        proxy.reset()
        log.take("disconnect")


def test_what_a_step_raises_is_the_connections_crash(server: PhoenixServer) -> None:
    class Failing(V2Serializer):
        fail = False

        def decode(self, data: str | bytes) -> Any:
            if self.fail:
                raise KeyboardInterrupt
            return super().decode(data)

    serializer = Failing()
    with driving(server.uri, serializer=serializer) as (ref, log):
        serializer.fail = True
        do(ref, lambda s: s.push(TOPIC, "echo", {}) and None)
        assert isinstance(log.take("disconnect")[1], ConnectionCrashed)
        serializer.fail = False
        log.take("join")


def test_requests_of_others_while_it_drives(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, _):
        for number in range(20):
            assert request(ref, TOPIC, "echo", {"n": number}).get() == Reply("ok", {"n": number})
            do(ref, lambda s: s.await_reply(s.push(TOPIC, "echo", {})))


def test_who_begins_to_look_sees_what_comes(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, _):
        lines: list[str] = []
        debug.trace(ref, True, lines.append)
        do(ref, lambda s: [s.await_reply(s.push(TOPIC, "echo", {})) for _ in range(3)] and None)
        debug.trace(ref, False)
        assert sum("awaited" in line for line in lines) == 3


def test_a_subscription_that_comes_while_it_drives(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, _), subscribe(ref, TOPIC, "shout") as shouts:
        do(ref, lambda s: s.push(TOPIC, "broadcast", {"n": 1}) and None)
        assert next(iter(shouts)).payload == {"n": 1}


def test_a_slow_server_takes_what_it_takes(server: PhoenixServer) -> None:
    """What cannot be written at once goes on when it can; and the replies come meanwhile."""
    with FaultProxy(server.uri) as proxy, driving(proxy.uri) as (ref, log):
        proxy.throttle(500_000, "up")
        pad = "x" * 1_000_000
        do(ref, lambda s: [s.push(TOPIC, "echo", {"n": n, "pad": pad}) for n in range(3)] and None)
        proxy.heal()
        assert [log.take("reply")[2].response["n"] for _ in range(3)] == [0, 1, 2]


def test_a_flood_while_it_drives(server: PhoenixServer) -> None:
    with driving(server.uri, high_watermark=20, low_watermark=5) as (_, log):
        for number in range(2000):
            server.broadcast(TOPIC, "news", {"n": number})
        for number in range(2000):
            log.take("message", TOPIC, "news", {"n": number})


def test_a_plain_thread_that_is_not_the_main_one_drives_too(
    server: PhoenixServer, readers: FrameThreads
) -> None:
    failed: list[BaseException] = []

    def talk() -> None:
        try:
            with connect(server.uri) as new:
                socket = new.join(TOPIC).await_join(TOPIC)

                def here() -> bool:
                    readers.threads.clear()
                    for n in range(100):
                        assert socket.await_reply(
                            socket.push(TOPIC, "echo", {"n": n})
                        ).response == {"n": n}
                    return readers.threads.count("talker") > 50

                eventually(here, "that the thread reads")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=talk, name="talker")
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert not failed


def test_the_main_thread_leaves_it_to_the_connection(
    server: PhoenixServer, readers: FrameThreads
) -> None:
    """A signal handler may raise there, in the middle of a step."""
    with connect(server.uri) as new:
        socket = new.join(TOPIC).await_join(TOPIC)
        for _ in range(50):
            socket.await_reply(socket.push(TOPIC, "echo", {}))
        assert set(readers.threads) == {CONNECTION}


# what has been wrong


def test_a_mailbox_that_is_never_empty_starves_no_connection(server: PhoenixServer) -> None:
    class Busy(Driver):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            if message == "again" and not stopped.is_set():
                self.actor_ref.tell("again")
                return None
            return super().handle_info(message, socket)

    stopped = threading.Event()
    with recording(server.uri, Busy, heartbeat_interval_msec=50) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        warm(ref)
        ref.tell("again")
        server.broadcast(TOPIC, "news", {})
        log.take("message", TOPIC, "news")
        eventually(lambda: get_state(do_not_wait(ref)).heartbeat_rtt is not None, "a heartbeat")
        stopped.set()


def test_pushes_of_another_thread_keep_their_order(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        socket = ref._actor_weakref().socket
        thread = threading.Thread(
            target=lambda: [socket.push(TOPIC, "echo", {"n": n}) for n in range(2000)]
        )
        thread.start()
        assert [log.take("reply")[2].response["n"] for _ in range(2000)] == [*range(2000)]
        thread.join()


def test_a_thread_that_drives_is_woken_by_another_connection(server: PhoenixServer) -> None:
    seconds: list[float] = []

    def talk() -> None:
        with connect(server.uri) as new:
            first = new.join(TOPIC).await_join(TOPIC)
            for _ in range(3 * WARM):
                first.await_reply(first.push(TOPIC, "echo", {}))
            began = time.monotonic()
            with connect(server.uri) as other:
                other.await_connect(timeout=PATIENCE)
                seconds.append(time.monotonic() - began)

    thread = threading.Thread(target=talk)
    thread.start()
    thread.join(3 * PATIENCE)
    assert seconds
    assert seconds[0] < PATIENCE / 2


def test_when_all_is_written_nobody_waits_to_write(server: PhoenixServer) -> None:
    with driving(server.uri) as (ref, log):
        pad = "x" * 5_000_000
        do(ref, lambda s: [s.push(TOPIC, "echo", {"n": n}) for n in ("", pad)] and None)
        log.take("reply")
        log.take("reply")
        inbox = ref.actor_inbox.driven
        eventually(lambda: not inbox._interest & selectors.EVENT_WRITE, "that it waits to read")


@pytest.mark.parametrize("timeout", [float("nan"), "1", True])
def test_a_timeout_that_is_none_is_refused(server: PhoenixServer, timeout: Any) -> None:
    def await_so(socket: Socket) -> None:
        with pytest.raises((TypeError, ValueError), match="timeout"):
            socket.await_reply(socket.push(TOPIC, "never", {}), timeout)

    with driving(server.uri) as (ref, _):
        do(ref, await_so)
