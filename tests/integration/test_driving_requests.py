"""A plain thread that waits for a request drives the connection; what becomes of it then."""

from __future__ import annotations

import contextlib
import gc
import logging
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    CancelledError,
    NotConnectedError,
    NotJoinedError,
    Reply,
    request,
)
from slipstream_actor.actors import inbox as inboxes
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.client import asking
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Log, do, eventually, recording
from tests.support.frame_threads import FRAMES, FrameThreads, frame_threads

T = TypeVar("T")
TOPIC = "bench:room"
# So many round trips, one by one, and who waits drives.
WARM = 20
ASKER = "asker"


@contextmanager
def threads_that(what: str) -> Iterator[FrameThreads]:
    with frame_threads(lambda line: line.startswith(what)) as found:
        yield found


@pytest.fixture
def client(server: PhoenixServer) -> Iterator[tuple[Any, Log]]:
    with joined(server.uri) as found:
        yield found


@contextmanager
def joined(uri: str, **options: Any) -> Iterator[tuple[Any, Log]]:
    with recording(uri, **options) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        yield ref, log


def echo(ref: Any, n: Any = 0, timeout: float = PATIENCE) -> Any:
    return request(ref, TOPIC, "echo", {"n": n}, timeout=timeout)


def warm(ref: Any) -> None:
    """Ask until the connection is driven by who asks; the machine may be slow."""
    turn = inbox_of(ref).turn

    def hot() -> bool:
        for n in range(WARM):
            assert echo(ref, n).get() == Reply("ok", {"n": n})
        return bool(turn.parked)

    eventually(hot, "that the asker drives")


def inbox_of(ref: Any) -> Any:
    return ref._actor_weakref().socket.channel_pid.actor_inbox


def in_thread(function: Callable[[], T]) -> T:
    """Return or raise what a function does in a thread that is not the main one."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(function())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=ASKER)
    thread.start()
    thread.join(3 * PATIENCE)
    assert not thread.is_alive()
    if failed:
        raise failed[0]
    return found[0]


@pytest.mark.parametrize("what", ["push", "receive"])
def test_who_asks_writes_and_reads(client: tuple[Any, Log], what: str) -> None:
    ref, _ = client

    def ask() -> None:
        warm(ref)
        with threads_that(what) as seen:

            def mostly_here() -> bool:
                seen.threads.clear()
                assert [echo(ref, n).get() for n in range(100)] == [
                    Reply("ok", {"n": n}) for n in range(100)
                ]
                return seen.threads.count(ASKER) > 50

            eventually(mostly_here, "that the asker does it")

    in_thread(ask)


def test_the_main_thread_leaves_it_to_the_connection(client: tuple[Any, Log]) -> None:
    ref, _ = client
    in_thread(lambda: warm(ref))
    with threads_that("") as seen:
        for n in range(50):
            assert echo(ref, n).get().ok
        assert "MainThread" not in seen.threads


def test_its_time_ends_a_request(client: tuple[Any, Log]) -> None:
    ref, _ = client

    def ask() -> float:
        warm(ref)
        began = time.monotonic()
        with pytest.raises(AwaitTimeoutError) as caught:
            request(ref, TOPIC, "never", {}, timeout=0.2).get()
        assert caught.value.maybe_sent
        return time.monotonic() - began

    assert 0.2 <= in_thread(ask) < PATIENCE / 2


@pytest.mark.parametrize("timeout", [None, float("inf")])
def test_without_a_time_it_waits_for_ever(client: tuple[Any, Log], timeout: float | None) -> None:
    ref, _ = client

    def ask() -> Any:
        return request(ref, TOPIC, "slow", {"ms": 100}, timeout=timeout).get()

    assert ask().ok
    in_thread(lambda: warm(ref))
    assert in_thread(ask).ok


def test_who_waits_no_longer_leaves_the_rest_to_the_connection(client: tuple[Any, Log]) -> None:
    ref, _ = client

    def ask() -> Any:
        warm(ref)
        future = request(ref, TOPIC, "slow", {"ms": 200}, timeout=PATIENCE)
        with pytest.raises(AwaitTimeoutError):
            future.get(timeout=0.01)
        called = threading.Event()
        future.add_done_callback(lambda _: called.set())
        assert called.wait(PATIENCE)
        return future.get()

    assert in_thread(ask).ok


def test_nobody_need_wait_for_one_that_was_written_here(client: tuple[Any, Log]) -> None:
    ref, _ = client

    def ask() -> None:
        warm(ref)
        called = threading.Event()
        echo(ref).add_done_callback(lambda _: called.set())
        assert called.wait(PATIENCE)

    in_thread(ask)


def test_a_request_is_cancelled_while_its_asker_drives(
    client: tuple[Any, Log], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "SHORT", PATIENCE)  # On a busy machine no wait is.
    monkeypatch.setattr(inboxes, "CLOSE", PATIENCE)
    ref, _ = client
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    driven, cancelled_at = threading.Event(), [0.0]

    def ask() -> None:
        while not driven.is_set():
            warm(ref)
            asked = request(ref, TOPIC, "never", {}, timeout=2 * PATIENCE)
            requests.put(asked)
            with pytest.raises(CancelledError):
                asked.get()

    def cancel() -> None:
        """Cancel each until the asker of one has driven: it may not be left the turn in time."""
        while not driven.is_set():
            asked = requests.get(timeout=PATIENCE)
            with contextlib.suppress(AssertionError):
                eventually(partial(getattr, asked, "_sleeping"), "that its asker drives", 1.0)
                driven.set()
            cancelled_at[0] = time.monotonic()
            assert asked.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    in_thread(ask)
    assert time.monotonic() - cancelled_at[0] < PATIENCE / 2
    canceller.join()


def test_requests_of_many_threads_have_their_own_replies(client: tuple[Any, Log]) -> None:
    ref, _ = client

    def ask(number: int) -> None:
        warm(ref) if not number else None
        assert [echo(ref, [number, n]).get() for n in range(200)] == [
            Reply("ok", {"n": [number, n]}) for n in range(200)
        ]

    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            ask(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * PATIENCE)
    assert not failed
    assert asking.open_requests(ref) == 0


def test_what_the_client_hears_meanwhile_comes_to_it(
    server: PhoenixServer, client: tuple[Any, Log]
) -> None:
    ref, log = client

    def ask() -> None:
        warm(ref)
        slow: Any = request(ref, TOPIC, "slow", {"ms": 300}, timeout=PATIENCE)
        waiting = threading.Thread(target=slow.get)
        waiting.start()
        eventually(lambda: slow._sleeping or slow.done, "that it drives")
        for n in range(50):
            server.broadcast(TOPIC, "news", {"n": n})
        waiting.join(PATIENCE)
        assert slow.get().ok

    in_thread(ask)
    assert [log.take("message", TOPIC, "news")[3]["n"] for n in range(50)] == [*range(50)]


def test_heartbeats_go_on_while_an_asker_drives(server: PhoenixServer) -> None:
    with joined(server.uri, heartbeat_interval_msec=50) as (ref, _):

        def ask() -> int:
            warm(ref)
            with frame_threads(lambda line: "heartbeat" in line) as seen:
                assert request(ref, TOPIC, "slow", {"ms": 500}, timeout=PATIENCE).get().ok
                return len(seen.threads)

        assert in_thread(ask) >= 3


def test_a_connection_that_ends_ends_what_is_waited_for(server: PhoenixServer) -> None:
    with FaultProxy(server.uri) as proxy, joined(proxy.uri) as (ref, log):

        def ask() -> None:
            warm(ref)
            future = request(ref, TOPIC, "never", {}, timeout=PATIENCE)
            threading.Thread(target=proxy.reset).start()
            with pytest.raises(NotConnectedError) as caught:
                future.get()
            assert caught.value.maybe_sent

        in_thread(ask)
        log.take("join")
        in_thread(lambda: warm(ref))


def test_a_client_that_stops_ends_what_is_waited_for(client: tuple[Any, Log]) -> None:
    ref, _ = client

    def ask() -> None:
        warm(ref)
        future = request(ref, TOPIC, "never", {}, timeout=PATIENCE)
        threading.Thread(target=ref.stop).start()
        with pytest.raises((NotConnectedError, NotJoinedError)):
            future.get()

    in_thread(ask)


def test_whoever_is_called_back_by_who_drives_may_wait(client: tuple[Any, Log]) -> None:
    ref, _ = client
    found: list[Any] = []

    def ask() -> None:
        warm(ref)
        outer = echo(ref, "outer")
        outer.add_done_callback(lambda _: found.append(threading.current_thread().name))
        outer.add_done_callback(lambda _: found.append(asked_in(outer)))
        outer.get()

    def asked_in(_: Any) -> Any:
        try:
            return echo(ref, "inner").get()
        except RuntimeError as error:  # It was the connection's thread.
            return error

    in_thread(ask)
    eventually(lambda: len(found) == 2, "that both were called")
    expected = Reply("ok", {"n": "inner"}) if found[0] == ASKER else None
    assert found[1] == expected or isinstance(found[1], RuntimeError)


@pytest.mark.parametrize("payload", [object(), {1, 2}, {"n": float("nan")}, b"\x00\x01", [1], "x"])
def test_any_payload_goes_as_it_did(client: tuple[Any, Log], payload: Any) -> None:
    ref, _ = client

    def outcome() -> Any:
        try:
            return request(ref, TOPIC, "echo", payload, timeout=PATIENCE).get()
        except Exception as error:
            return type(error), str(error)

    cold = outcome()

    def warmed() -> Any:
        warm(ref)
        return outcome()

    assert in_thread(warmed) == cold


def test_a_request_to_a_topic_that_was_left(client: tuple[Any, Log]) -> None:
    ref, log = client

    def ask() -> None:
        warm(ref)
        do(ref, lambda s: s.leave(TOPIC))
        with pytest.raises(NotJoinedError):
            echo(ref).get()
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        warm(ref)

    in_thread(ask)


# what has been wrong


def test_bytes_that_no_selector_sees_are_left_to_the_connection() -> None:
    inbox, waiter = SelectorInbox(), Inbox()
    inbox.step = lambda _: False
    inbox.read_again()
    assert not inbox._drive(waiter, 0.0)
    assert inbox._again


def test_no_turn_is_held_while_somebody_waits_in_it(client: tuple[Any, Log]) -> None:
    """A finalizer, or a handler of the frame log: it is in the connection's place."""
    ref, _ = client
    waited: list[Any] = []

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if threading.current_thread().name == ASKER and not waited:
                waited.append(None)
                try:
                    waited.append(echo(ref, "inner").get())
                except RuntimeError as error:
                    waited.append(error)

    def ask() -> None:
        warm(ref)
        logger, handler = logging.getLogger(FRAMES), Waits()
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            assert echo(ref, "outer").get().ok
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)

    in_thread(ask)
    assert isinstance(waited[1], RuntimeError)


def test_a_future_that_is_done_keeps_no_connection(server: PhoenixServer) -> None:
    with joined(server.uri) as (ref, _):
        in_thread(lambda: warm(ref))
        future = in_thread(lambda: echo(ref))
        assert future.get().ok
        connection = weakref.ref(inbox_of(ref).step.__self__)
    eventually(lambda: gc.collect() >= 0 and connection() is None, "that the connection is gone")
    assert future.get().ok


def test_an_outcome_of_another_one_is_not_lost() -> None:
    """It may come to who drives in the moment in which that one's own request is cancelled."""
    mine, other = (asking.pending(TOPIC, "echo", {}, PATIENCE) for _ in range(2))
    mine.expected = [(other, Reply("ok", {}))]
    assert mine.cancel()
    mine._conclude_all()
    assert other.get(timeout=0).ok
    assert mine.expected is None
