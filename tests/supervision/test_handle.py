"""Handles: nothing at import, one client for each process, started again for ever."""

from __future__ import annotations

import gc
import json
import logging
import pickle
import queue
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pytest

from slipstream_actor import (
    ClientActor,
    ClientEndedError,
    ClientHandle,
    Future,
    Message,
    Next,
    NotJoinedError,
    Reply,
    SendBufferFullError,
    SerializerError,
    Socket,
    StartError,
    Stop,
    connect,
    invoke,
    request,
    run,
    subscribe,
    wait_until_joined,
)
from slipstream_actor.actors import expiry
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.contrib.health import health
from slipstream_actor.supervision import handle as handles
from slipstream_actor.supervision import life
from slipstream_actor.testing import SocketTest
from tests.support.clients import PATIENCE, eventually
from tests.support.threads import in_threads

URI = "ws://test.invalid/socket/websocket"
LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """Tells of its starts, and does as it is told."""

    def init(self, starts: queue.Queue[Any], before: Any = None, **options: Any) -> Any:
        starts.put(self.actor_ref)
        self.gate = threading.Event()
        self.busy = threading.Event()
        if before is not None and (result := before()) is not None:
            return result
        return connect(URI, test_mode=True, **options)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(LOBBY)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_info(self, message: Any, socket: Socket) -> None:
        if message == "hang":
            self.busy.set()
            self.gate.wait(PATIENCE)
        else:
            raise ValueError(message)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Stop("normal", socket, answer="bye")

    def handle_cast(self, message: Any, socket: Socket) -> None:
        raise ValueError(message)

    def end(self, handle: ClientHandle[Rooms]) -> None:
        handle.stop()

    def twice(self, number: int) -> int:
        return 2 * number


class Alarm(Exception):
    """What a signal handler raises."""


@contextmanager
def alarm(seconds: float = 0.1) -> Iterator[None]:
    """Have `Alarm` raised in the main thread after so many seconds."""

    def ring(*_: Any) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def server() -> Iterator[SocketTest]:
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.05) as server:
        yield server


@pytest.fixture
def starts() -> queue.Queue[Any]:
    return queue.Queue()


@pytest.fixture
def rooms(starts: queue.Queue[Any], server: SocketTest) -> Iterator[ClientHandle[Rooms]]:
    handle = ClientHandle(Rooms, starts)
    yield handle
    handle.stop()


def crash(handle: ClientHandle[Rooms], starts: queue.Queue[Any]) -> Any:
    """Have the client crash; return the next one."""
    handle.cast("crash")
    starts.get(timeout=PATIENCE)
    ref = starts.get(timeout=PATIENCE)
    eventually(lambda: handle.status()["state"] == "running")
    return ref


def accept(server: SocketTest, ref: Any) -> None:
    server.connect_and_assert_join(ref, LOBBY)
    wait_until_joined(ref, LOBBY, PATIENCE)


# the first use


def test_nothing_happens_before_its_first_use(
    rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    status = rooms.status()
    assert status["state"] == "not started"
    assert status["connection"] == "new"
    assert not status["connected"]
    assert starts.empty()
    assert "Rooms" in repr(rooms)


@pytest.mark.parametrize("wrong", [object, 1, None])
def test_it_is_for_clients(wrong: Any) -> None:
    with pytest.raises(TypeError):
        ClientHandle(wrong)


def test_many_threads_start_one_client(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    barrier, count = threading.Barrier(16), 16
    futures: queue.Queue[Future[Reply]] = queue.Queue()

    def ask() -> None:
        barrier.wait(PATIENCE)
        futures.put(rooms.request(LOBBY, "say", timeout=PATIENCE))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    server.serve(LOBBY)
    accept(server, rooms.ref)
    assert all(futures.get(timeout=PATIENCE).get().ok for _ in range(count))
    assert starts.qsize() == 1


def test_every_use_is_of_the_one_client(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    accept(server, rooms.ref)
    server.serve(LOBBY, "say", 1)
    assert rooms.proxy().twice(2).get(timeout=PATIENCE) == 4
    assert rooms.invoke(Rooms.twice, 3).get(timeout=PATIENCE) == 6
    assert invoke(rooms, Rooms.twice, number=4).get(timeout=PATIENCE) == 8
    assert request(rooms, LOBBY, "say").get().response == 1
    rooms.wait_until_joined(LOBBY, PATIENCE)
    with subscribe(rooms, LOBBY) as messages:
        server.push(rooms.ref, LOBBY, "news")
        assert next(messages).event == "news"
    assert rooms.call("bye", PATIENCE) == "bye"
    assert starts.qsize() == 1


def test_a_name_is_its_clients(server: SocketTest, starts: queue.Queue[Any]) -> None:
    handle = ClientHandle(Rooms, starts, name="rooms")
    assert not starts.qsize()
    assert handle.proxy().twice(1).get(timeout=PATIENCE) == 2
    assert invoke("rooms", Rooms.twice, 2).get(timeout=PATIENCE) == 4
    handle.stop()


def test_a_first_start_that_fails_is_told(starts: queue.Queue[Any], server: SocketTest) -> None:
    results: list[Any] = [Stop("out of order", None), Stop("still", None), None]
    handle = ClientHandle(Rooms, starts, lambda: results.pop(0))
    with pytest.raises(StartError):
        _ = handle.ref
    asked = handle.request(LOBBY, "say")
    with pytest.raises(StartError):
        asked.get()
    assert handle.status()["state"] == "not started"
    assert handle.ref.is_alive()
    handle.stop()


class Brief(ClientActor):
    """Ends right behind its `init`."""

    def init(self, before: Callable[[], object] = lambda: None) -> Any:
        before()
        return Next(self.socket, then="end")

    def handle_continue(self, term: Any, socket: Socket) -> Any:
        raise ValueError(term)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClientHandle[Brief]]:
    """A handle that finds its client ended when `start` returns."""
    start = Brief.start

    def start_and_wait(*args: Any, **options: Any) -> Any:
        ref: Any = start(*args, **options)
        assert ref.actor_inbox.ended.wait(PATIENCE)
        return ref

    monkeypatch.setattr(Brief, "start", start_and_wait)
    monkeypatch.setattr(life, "FIRST_DELAY", 1.0)
    handle = ClientHandle(Brief)
    yield handle
    handle.stop()


def test_a_client_that_ends_right_behind_its_init(brief: ClientHandle[Brief]) -> None:
    assert not brief.ref.is_alive()
    assert brief.status()["state"] == "restarting"


def test_run_is_the_end_of_a_client_that_ends_right_behind_its_init(
    brief: ClientHandle[Brief],
) -> None:
    assert run(brief) == 1
    assert brief.status()["state"] == "stopped"
    with pytest.raises(ClientEndedError, match="it has ended, ValueError"):
        _ = brief.ref


def test_subscriptions_are_told_of_an_end_right_behind_init() -> None:
    messages: list[Any] = []
    handle: ClientHandle[Brief]
    handle = ClientHandle(Brief, lambda: messages.append(handle.subscribe()))
    assert run(handle) == 1
    with pytest.raises(ClientEndedError, match="ValueError"):
        next(messages[0])


def test_run_of_a_client_that_does_not_start_leaves_the_handle_as_it_was(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    results: list[Any] = [Stop("out of order", None), None, None]
    handle = ClientHandle(Rooms, starts, lambda: results.pop(0))
    with pytest.raises(StartError):
        run(handle)
    assert handle.ref.is_alive()
    starts.get(timeout=PATIENCE)
    crash(handle, starts)
    handle.stop()


def test_an_init_that_exits_ends_nobody_who_uses_it(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    handle = ClientHandle(Rooms, starts, lambda: sys.exit("no certificate"))
    with pytest.raises(StartError, match="no certificate") as raised:
        _ = handle.ref
    assert isinstance(raised.value.__cause__, SystemExit)
    with pytest.raises(StartError, match="no certificate"):
        handle.request(LOBBY, "say").get()
    assert not health({"rooms": handle}, start=True)["healthy"]
    handle.stop()


def test_requests_wait_while_another_thread_starts_it(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    entered, gate = threading.Event(), threading.Event()

    def before() -> None:
        entered.set()
        gate.wait(PATIENCE)

    handle = ClientHandle(Rooms, starts, before)
    starter = threading.Thread(target=lambda: handle.ref)
    starter.start()
    assert entered.wait(PATIENCE)
    asked = [handle.request(LOBBY, "say", {"n": n}, timeout=PATIENCE) for n in range(3)]
    status = handle.status()  # Nor does this wait.
    assert status["in_flight"] == 3
    gate.set()
    starter.join(PATIENCE)
    accept(server, handle.ref)
    for n in range(3):
        pushed = server.assert_push(LOBBY, "say")
        assert pushed.payload == {"n": n}
        server.reply(handle.ref, pushed)
    assert all(future.get().ok for future in asked)
    handle.stop()


def test_a_request_that_begins_to_wait_when_the_start_has_failed(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    entered, gate = threading.Event(), threading.Event()
    results: list[Any] = [Stop("out of order", None), None]

    def before() -> Any:
        entered.set()
        gate.wait(PATIENCE)
        return results.pop(0)

    class Slow(dict[str, Any]):
        """Its copy is made when the start has failed."""

        def __deepcopy__(self, memo: Any) -> Slow:
            gate.set()
            failed.join(PATIENCE)
            return self

    def start() -> None:
        with pytest.raises(StartError):
            _ = handle.ref

    handle = ClientHandle(Rooms, starts, before)
    failed = threading.Thread(target=start)
    failed.start()
    assert entered.wait(PATIENCE)
    asked = handle.request(LOBBY, "say", Slow(), timeout=PATIENCE)
    assert handle.status()["state"] == "running"
    accept(server, handle.ref)
    server.reply(handle.ref, server.assert_push(LOBBY, "say"))
    assert asked.get().ok
    handle.stop()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such signal there")
def test_a_first_use_that_a_signal_handler_ends(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    """The client being started ends, and the requests of others wait for the next one."""
    entered, gate = threading.Event(), threading.Event()
    asked: list[Future[Reply]] = []

    def before() -> None:
        entered.set()
        gate.wait(PATIENCE)

    def ask() -> None:
        entered.wait(PATIENCE)
        asked.append(handle.request(LOBBY, "say", timeout=PATIENCE))
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    handle = ClientHandle(Rooms, starts, before)
    other = threading.Thread(target=ask)
    with alarm(PATIENCE):
        other.start()
        with pytest.raises(Alarm):
            _ = handle.ref
    gate.set()
    first, second = starts.get(timeout=PATIENCE), starts.get(timeout=PATIENCE)
    eventually(lambda: not first.is_alive())
    accept(server, second)
    server.reply(second, server.assert_push(LOBBY, "say"))
    assert asked[0].get().ok
    assert handle.ref is second
    handle.stop()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such signal there")
def test_what_a_signal_handler_raises_leaves_no_client_behind(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    gate = threading.Event()
    handle = ClientHandle(Rooms, starts, lambda: gate.wait(PATIENCE) and None)
    with alarm(), pytest.raises(Alarm):
        handle.request(LOBBY, "say").get()
    assert handle.status()["state"] == "not started"
    gate.set()
    first = starts.get(timeout=PATIENCE)
    eventually(lambda: not first.is_alive())
    assert handle.ref.is_alive()
    handle.stop()


def test_init_may_not_wait_for_its_own_handle(server: SocketTest, starts: queue.Queue[Any]) -> None:
    outcomes: list[Any] = []
    messages: list[Any] = []

    def before() -> None:
        for use in (lambda: handle.ref, lambda: handle.call(1), handle.stop):
            try:
                use()
            except RuntimeError as error:
                outcomes.append(error)
        outcomes.append(handle.request(LOBBY, "say", timeout=PATIENCE))
        messages.append(handle.subscribe(LOBBY))

    handle = ClientHandle(Rooms, starts, before)
    accept(server, handle.ref)
    server.serve(LOBBY)
    assert all("wait for itself" in str(error) for error in outcomes[:3])
    assert outcomes[3].get().ok
    server.push(handle.ref, LOBBY, "news")
    assert next(messages[0]).event == "news"
    handle.stop()


# again, for ever


def test_it_is_started_again(
    server: SocketTest,
    rooms: ClientHandle[Rooms],
    starts: queue.Queue[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = rooms.ref
    second = crash(rooms, starts)
    assert second is not first
    eventually(lambda: rooms.status()["state"] == "running")
    status = rooms.status()
    assert status["restarts"] == 1
    assert "ValueError" in str(status["last_end"])
    assert "is started again in 0.1 s" in caplog.text
    assert rooms.ref is second


def test_a_normal_end_is_followed_by_a_start_too(
    rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    rooms.call("bye", PATIENCE)
    starts.get(timeout=PATIENCE)
    assert starts.get(timeout=PATIENCE).is_alive()


def test_while_it_restarts_requests_wait_and_all_else_raises(
    server: SocketTest,
    rooms: ClientHandle[Rooms],
    starts: queue.Queue[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", 0.3)
    first = rooms.ref
    waits = rooms.request(LOBBY, "say", {"n": 0}, timeout=PATIENCE)
    starts.get(timeout=PATIENCE)
    rooms.cast("crash")
    eventually(lambda: rooms.status()["state"] == "restarting")
    payload = {"n": 1}
    asked = rooms.request(LOBBY, "say", payload, timeout=PATIENCE)
    payload["n"] = 2
    late = rooms.request(LOBBY, "say", timeout=0.0)
    for use in (
        lambda: rooms.call(1),
        lambda: rooms.cast(1),
        lambda: rooms.invoke(Rooms.twice, 1),
        rooms.proxy,
    ):
        with pytest.raises(ClientEndedError, match="started again"):
            use()
    second = starts.get(timeout=PATIENCE)
    assert second is not first
    accept(server, second)
    for n, future in ((0, waits), (1, asked)):
        pushed = server.assert_push(LOBBY, "say")
        assert pushed.payload == {"n": n}
        server.reply(second, pushed)
        assert future.get().ok
    with pytest.raises(TimeoutError):
        late.get()
    server.refute_push()


def test_a_request_that_has_an_outcome_waits_no_more_for_the_next_client(
    rooms: ClientHandle[Rooms], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", PATIENCE)
    rooms.cast("crash")
    eventually(lambda: rooms.status()["state"] == "restarting")
    waits, late, cancelled = (
        rooms.request(LOBBY, "say", timeout=timeout) for timeout in (PATIENCE, 0.01, None)
    )
    assert cancelled.cancel()
    with pytest.raises(TimeoutError):
        late.get()
    # Who waits may have the outcome a moment before it is counted no more.
    eventually(lambda: rooms.status()["in_flight"] == 1)
    gone = weakref.ref(late)
    del late, cancelled
    eventually(lambda: bool(gc.collect()) or gone() is None)
    rooms.stop()
    with pytest.raises(ClientEndedError):
        waits.get()
    assert rooms.status()["in_flight"] == 0


def test_a_request_can_be_awaited_while_its_handle_takes_it_over(
    server: SocketTest, rooms: ClientHandle[Rooms], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", PATIENCE)
    rooms.cast("crash")
    eventually(lambda: rooms.status()["state"] == "restarting")
    waits = rooms.request(LOBBY, "say", timeout=PATIENCE)
    # As without the interpreter's lock a thread may see it, which has looked at one and then the
    # other.
    waits.inbox = SelectorInbox()  # type: ignore[attr-defined]
    assert not waits.wait(0.01)
    rooms.stop()


def test_a_request_waits_on_when_the_next_client_ends_before_it_has_it(
    server: SocketTest,
    rooms: ClientHandle[Rooms],
    starts: queue.Queue[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand_out_first = life.Life._hand_out_first
    crashes = ["crash"]

    def crash_and_hand_out(of: life.Life[Rooms]) -> None:
        if crashes:
            rooms.cast(crashes.pop())
            eventually(lambda: of.ref is None)
        hand_out_first(of)

    monkeypatch.setattr(life.Life, "_hand_out_first", crash_and_hand_out)
    rooms.cast("crash")
    eventually(lambda: rooms.status()["state"] == "restarting")
    asked = rooms.request(LOBBY, "say", timeout=PATIENCE)
    eventually(lambda: starts.qsize() == 3)
    eventually(lambda: rooms.status()["state"] == "running")
    accept(server, rooms.ref)
    server.reply(rooms.ref, server.assert_push(LOBBY, "say"))
    assert asked.get().ok


class Plain:
    """A serializer that knows no errors of ours."""

    def encode(self, message: Message) -> str:
        return json.dumps([*msgspec.structs.astuple(message)])

    def decode(self, data: str | bytes) -> Message:
        return Message(*json.loads(data))


def test_a_request_that_cannot_be_sent_holds_up_no_other(
    server: SocketTest, starts: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", 0.3)
    handle = ClientHandle(Rooms, starts, serializer=Plain())
    handle.cast("crash")
    starts.get(timeout=PATIENCE)
    eventually(lambda: handle.status()["state"] == "restarting")
    odd = handle.request(LOBBY, "say", {"n": object()}, timeout=PATIENCE)
    asked = handle.request(LOBBY, "say", {"n": 1}, timeout=PATIENCE)
    second = starts.get(timeout=PATIENCE)
    with pytest.raises(SerializerError, match="Plain raised TypeError"):
        odd.get()
    accept(server, second)
    server.reply(second, server.assert_push(LOBBY, "say", {"n": 1}))
    assert asked.get().ok
    handle.stop()


def test_no_more_wait_for_the_next_client_than_the_last_one_would_have_had(
    server: SocketTest, starts: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", 0.3)
    handle = ClientHandle(Rooms, starts, max_requests=2)
    handle.cast("crash")
    starts.get(timeout=PATIENCE)
    eventually(lambda: handle.status()["state"] == "restarting")
    given_up, asked = (handle.request(LOBBY, "say", timeout=PATIENCE) for _ in range(2))
    with pytest.raises(SendBufferFullError, match=r"2 of <ClientHandle.*max_requests"):
        handle.request(LOBBY, "say", timeout=PATIENCE).get()
    given_up.cancel()
    late = handle.request(LOBBY, "say", timeout=PATIENCE)
    server.serve(LOBBY, "say")
    accept(server, starts.get(timeout=PATIENCE))
    assert asked.get().ok
    assert late.get().ok
    handle.stop()


def test_the_delay_grows(
    server: SocketTest, starts: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "LONGEST_DELAY", 0.15)
    results: list[Any] = [None, *(Stop("no", None) for _ in range(4)), None]
    handle = ClientHandle(Rooms, starts, lambda: results.pop(0))
    delays: list[str] = []

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            delays.append(record.getMessage()[-5:])

    note = Note()
    handles.logger.logger.addHandler(note)
    try:
        handle.cast("crash")
        for _ in range(6):
            starts.get(timeout=PATIENCE)
    finally:
        handles.logger.logger.removeHandler(note)
    assert delays == ["0.1 s", *["0.1 s" if f"{0.15:.1f}" == "0.1" else "0.2 s"] * 4]
    eventually(lambda: handle.status()["state"] == "running")
    assert handle.status()["restarts"] == 5
    handle.stop()


@pytest.mark.parametrize("kind", ["restart", "deadlines"])
def test_it_is_started_again_though_a_thread_is_refused(
    kind: str,
    rooms: ClientHandle[Rooms],
    starts: queue.Queue[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, start = rooms.ref, threading.Thread.start
    refused: list[threading.Thread] = []

    def start_unless_refused(thread: threading.Thread) -> None:
        if thread.name.startswith(f"slipstream_actor {kind}") and len(refused) < 2:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    # Its thread may be there already, for what others wait for.
    monkeypatch.setattr(expiry, "_clock", expiry.Clock())
    monkeypatch.setattr(threading.Thread, "start", start_unless_refused)
    assert crash(rooms, starts) is not first
    assert refused


def test_it_is_started_again_after_an_init_that_exits(
    server: SocketTest, starts: queue.Queue[Any]
) -> None:
    exits = [False, True, False]
    handle = ClientHandle(Rooms, starts, lambda: sys.exit() if exits.pop(0) else None)
    handle.cast("crash")
    eventually(lambda: not exits)
    eventually(lambda: handle.status()["state"] == "running")
    handle.stop()


def test_a_subscription_outlives_its_client(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    with rooms.subscribe(LOBBY) as messages:
        closed = rooms.subscribe(LOBBY)
        closed.close()
        second = crash(rooms, starts)
        accept(server, second)
        server.push(second, LOBBY, "news")
        assert next(messages).event == "news"
        assert list(closed) == []


# its end


def test_what_is_stopped_stays_so(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    ref = rooms.ref
    messages = rooms.subscribe()
    accept(server, ref)
    server.push(ref, LOBBY, "news")
    waiting = rooms.request("rooms:later", "say", timeout=PATIENCE)
    with pytest.raises((ClientEndedError, NotJoinedError)):
        waiting.get()
    rooms.stop()
    assert not ref.is_alive()
    assert [message.event for message in messages] == ["news"]
    assert rooms.status()["state"] == "stopped"
    for use in (lambda: rooms.ref, lambda: rooms.call(1), rooms.subscribe):
        with pytest.raises(ClientEndedError):
            use()
    with pytest.raises(ClientEndedError):
        rooms.request(LOBBY, "say").get()
    rooms.stop()
    assert starts.qsize() == 1


def test_it_drains(server: SocketTest, rooms: ClientHandle[Rooms]) -> None:
    accept(server, rooms.ref)
    ref = rooms.ref
    asked = rooms.request(LOBBY, "say", timeout=PATIENCE)
    pushed = server.assert_push(LOBBY, "say")
    stopping = threading.Thread(target=rooms.stop, kwargs={"drain": PATIENCE})
    stopping.start()
    eventually(lambda: rooms.status()["state"] == "stopped")
    with pytest.raises(ClientEndedError):
        rooms.request(LOBBY, "say").get()
    assert ref.is_alive()
    server.reply(ref, pushed)
    assert asked.get().ok
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


def test_its_client_cannot_stop_it(rooms: ClientHandle[Rooms], server: SocketTest) -> None:
    ref = rooms.ref
    with pytest.raises(RuntimeError, match="return Stop"):
        rooms.invoke(Rooms.end, rooms).get(timeout=PATIENCE)
    assert rooms.ref is ref
    rooms.stop()
    assert not ref.is_alive()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no such signal there")
def test_a_drain_that_a_signal_handler_ends_stops_the_client_too(
    server: SocketTest, rooms: ClientHandle[Rooms]
) -> None:
    accept(server, rooms.ref)
    ref, messages = rooms.ref, rooms.subscribe()
    asked = rooms.request(LOBBY, "say", timeout=PATIENCE)
    server.assert_push(LOBBY, "say")
    with alarm(), pytest.raises(Alarm):
        rooms.stop(drain=PATIENCE)
    assert not ref.is_alive()
    assert list(messages) == []
    asked.cancel()


def test_status_waits_for_no_callback(rooms: ClientHandle[Rooms], server: SocketTest) -> None:
    accept(server, rooms.ref)
    actor: Any = rooms.ref._actor_weakref()
    rooms.ref.tell("hang")
    assert actor.busy.wait(PATIENCE)
    rooms.cast("later")
    asked = rooms.request(LOBBY, "say")
    try:
        status = rooms.status()
        assert status["connected"]
        assert status["topics"] == {LOBBY: "joined"}
        assert status["in_flight"] == 1
        assert status["mailbox"] == 1
        assert status["heartbeat_rtt"] is None
    finally:
        asked.cancel()
        actor.gate.set()


# in tests


def test_another_takes_its_place(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    other = server.start(Rooms, queue.Queue(), name="other")
    second = ClientHandle(Rooms, queue.Queue())
    with rooms.override(other) as same:
        assert same is rooms
        assert rooms.ref is other
        with rooms.override(second):
            assert rooms.ref is second.ref
            with rooms.subscribe(LOBBY) as messages:
                server.accept_connect(second)
                server.push(second.ref, LOBBY, "news")
                assert next(messages).event == "news"
        assert rooms.status()["state"] == "running"
        with rooms.override("other"):
            assert rooms.ref is other
    assert rooms.status()["state"] == "not started"
    assert starts.empty()
    second.stop()


def test_no_other_class_takes_its_place(rooms: ClientHandle[Rooms]) -> None:
    with pytest.raises(TypeError, match=r"override: client must be .*, not the class int"):
        rooms.override(int).__enter__()
    assert rooms.status()["state"] == "not started"


class Kitchen(ClientActor):
    """One that another process could import."""

    def init(self, uri: str) -> Socket:
        return connect(uri, test_mode=True)


def test_what_a_used_handle_has_cannot_be_sent_to_another_process() -> None:
    """The error says what it is, and what to do instead; a future's, be it done or not."""
    handle = ClientHandle(Kitchen, URI, name="pantry")
    try:
        waiting, done = handle.request(LOBBY, "event"), Future[int]()
        done.set(1)
        for what, text in (
            (handle, "<ClientHandle of Kitchen 'pantry'> belongs.* declare it in a module"),
            (waiting, "a future belongs to this process.* send what its get returns"),
            (done, "a future belongs to this process"),
            (handle.subscribe(LOBBY), "<Subscription to 'rooms:lobby'.* subscribe in each process"),
        ):
            with pytest.raises(TypeError, match=text):
                pickle.dumps({"what": what})
    finally:
        handle.stop()


def test_a_handle_that_nobody_has_used_can() -> None:
    sent: ClientHandle[Kitchen] = pickle.loads(pickle.dumps(ClientHandle(Kitchen, URI)))
    try:
        assert sent.ref.is_alive()
    finally:
        sent.stop()


# many threads


def test_what_waits_while_many_threads_ask_and_cancel_is_handed_out_once() -> None:
    waiting, count = life.WaitingRequests(), 3_000
    asked = [PendingRequest(LOBBY, "say", {}, None) for _ in range(3 * count)]
    taken: list[PendingRequest] = []
    ended: list[int] = []

    def ask(these: list[PendingRequest]) -> None:
        for asking in these:
            waiting.add(asking)
            if asking.number % 2:
                asking.cancel()
        ended.append(1)

    def hand_out() -> None:
        while len(ended) < 3 or waiting:
            if (first := waiting.take()) is not None:
                taken.append(first)

    in_threads(hand_out, *(partial(ask, asked[n::3]) for n in range(3)))
    numbers = {one.number for one in taken}
    assert len(numbers) == len(taken)
    assert all(one.done or one.number in numbers for one in asked)


class Disturbed(weakref.WeakSet[Any]):
    """One of which something is dropped, by another thread, when it is first walked through."""

    left = 1

    def __iter__(self) -> Iterator[Any]:
        if self.left:
            self.left -= 1
            raise RuntimeError("Set changed size during iteration")
        return super().__iter__()


def test_a_subscription_that_is_dropped_meanwhile_is_in_the_way_of_no_start_and_no_end(
    server: SocketTest, rooms: ClientHandle[Rooms], starts: queue.Queue[Any]
) -> None:
    subscriptions = rooms._current().subscriptions = Disturbed()
    subscription = rooms.subscribe(event="news")
    accept(server, starts.get(timeout=PATIENCE))
    server.push(rooms.ref, LOBBY, "news", {"n": 1})
    assert next(subscription).payload == {"n": 1}
    subscriptions.left = 1
    ref = rooms.ref
    rooms.stop()
    assert not ref.is_alive()
    assert list(subscription) == []
    assert starts.empty()
