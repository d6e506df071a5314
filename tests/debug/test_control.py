"""`suspend`, `resume` and `replace_state`: between callbacks, and never for ever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    CallbackReturnError,
    ClientActor,
    ClientEndedError,
    Socket,
    call,
    cast,
    connect,
    debug,
    new_socket,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.envelopes import GetState
from slipstream_actor.actors.future import Future
from slipstream_actor.debug.suspension import Suspension, is_suspended
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually
from tests.support.threads import looks_into_threads

URI = "ws://test.invalid/socket/websocket"


class Worker(ClientActor):
    """Notes what it is told; `hold` keeps it in a callback until it is let go on."""

    heard: queue.Queue[Any]
    holds: threading.Event
    go_on: threading.Event

    def init(self) -> Socket:
        self.heard, self.holds, self.go_on = queue.Queue(), threading.Event(), threading.Event()
        return connect(URI, test_mode=True)

    def handle_info(self, message: Any, socket: Socket) -> None:
        self.heard.put(message)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.holds.set()
        self.go_on.wait(PATIENCE)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        if message == "suspend":
            debug.suspend(self.actor_ref)
        return Answer(socket.assigns.get("kept"))


@pytest.fixture
def ref() -> Iterator[Any]:
    ref = Worker.start(name="worker")
    yield ref
    if (actor := actor_of(ref)) is not None:
        actor.go_on.set()
    ref.stop()


def actor_of(ref: Any) -> Any:
    return ref._actor_weakref()


def hold(ref: Any) -> Any:
    """Have it be in a callback."""
    actor = actor_of(ref)
    cast(ref, "hold")
    assert actor.holds.wait(PATIENCE)
    return actor


def test_a_suspended_client_calls_no_callback(ref: Any) -> None:
    actor = actor_of(ref)
    debug.suspend("worker")
    status = debug.get_status(ref)
    assert (status["suspended"], status["callback"]) == (True, None)
    ref.tell("first")
    ref.tell("second")
    # It is its own thread that answers, so it has looked at nothing else by then.
    state = debug.get_state(ref)
    assert (state.mailbox, actor.heard.qsize()) == (2, 0)
    debug.resume(ref)
    assert actor.heard.get(timeout=PATIENCE) == "first"
    assert actor.heard.get(timeout=PATIENCE) == "second"
    assert not debug.get_status(ref)["suspended"]


def test_twice_is_as_once(ref: Any) -> None:
    actor = actor_of(ref)
    debug.suspend(ref)
    debug.suspend(ref)
    debug.resume(ref)
    ref.tell("message")
    assert actor.heard.get(timeout=PATIENCE) == "message"
    debug.resume(ref)  # Of one that is not suspended nothing.
    assert call(ref, "kept", PATIENCE) is None


def test_a_stop_ends_it(ref: Any) -> None:
    debug.suspend(ref)
    ref.stop(timeout=PATIENCE)
    assert wait(ref, PATIENCE) == "normal"
    with pytest.raises(ClientEndedError):
        debug.resume(ref)


def test_what_comes_meanwhile_counts_as_undelivered(server: PhoenixServer) -> None:
    """So that a client that stays suspended keeps its memory within bounds."""

    class Reader(ClientActor):
        def init(self) -> Socket:
            return connect(server.uri, high_watermark=3, low_watermark=1).join("bench:a")

    ref = Reader.start()
    wait_until_joined(ref, "bench:a", PATIENCE)
    debug.suspend(ref)
    for n in range(20):
        server.broadcast("bench:a", "news", {"n": n})
        status = debug.get_status(ref)
    status = eventually(
        lambda: (s := debug.get_status(ref))["connection"]["reading_paused"] and s, "the pause"
    )
    assert status["connection"]["undelivered"] > 3
    debug.resume(ref)
    eventually(lambda: not debug.get_status(ref)["connection"]["reading_paused"], "its end")
    ref.stop()


@looks_into_threads
def test_a_timeout_names_the_callback_and_leaves_the_client_alone(ref: Any) -> None:
    actor = hold(ref)
    for ask, awaited in (
        (lambda: debug.suspend(ref, 0.01), "the suspension of Worker 'worker'"),
        (
            lambda: debug.replace_state(ref, lambda socket: socket.assign("kept", 1), 0.01),
            "the new state of Worker 'worker'",
        ),
    ):
        with pytest.raises(AwaitTimeoutError) as raised:
            ask()
        assert f"awaited {awaited} for 0.01 s: it is in handle_cast for " in str(raised.value)
    actor.go_on.set()
    # Neither is done later.
    assert call(ref, "kept", PATIENCE) is None
    assert not is_suspended(ref)


@pytest.mark.parametrize(
    "ask",
    [
        lambda ref: wait_until_joined(ref, "room:1", timeout=0.01),
        lambda ref: call(ref, "kept", timeout=0.01),
        lambda ref: ref.proxy().init().get(timeout=0.01),
        lambda ref: wait(ref, timeout=0.01),
    ],
)
def test_whoever_waits_in_vain_is_told_that_it_is_suspended(ref: Any, ask: Any) -> None:
    debug.suspend(ref)
    with pytest.raises(
        AwaitTimeoutError,
        match=r": it is suspended \(debug\.resume lets it go on\); it is connecting to ",
    ):
        ask(ref)
    debug.resume(ref)
    assert call(ref, "kept", PATIENCE) is None
    with pytest.raises(AwaitTimeoutError, match=r": it is connecting to "):
        wait_until_joined(ref, "room:1", timeout=0.01)


def test_a_state_is_replaced_between_callbacks(ref: Any) -> None:
    threads = []

    def change(socket: Socket) -> Socket:
        threads.append(threading.current_thread().name)
        return socket.assign("kept", 7)

    socket = debug.replace_state(ref, change)
    assert socket.assigns["kept"] == 7
    assert threads == ["Worker 'worker'"]
    assert call(ref, "kept", PATIENCE) == 7


def test_a_state_is_replaced_while_suspended(ref: Any) -> None:
    debug.suspend(ref)
    debug.replace_state(ref, lambda socket: socket.assign("kept", 1))
    assert debug.get_state(ref).socket.assigns["kept"] == 1
    debug.resume(ref)
    assert call(ref, "kept", PATIENCE) == 1


def test_what_fails_leaves_the_state_as_it_was(ref: Any) -> None:
    wrong: Any = lambda socket: "no socket"  # noqa: E731
    with pytest.raises(TypeError):
        debug.replace_state(ref, wrong)
    foreign = new_socket()
    with pytest.raises(CallbackReturnError):
        debug.replace_state(ref, lambda _: foreign)

    def fail(socket: Socket) -> Socket:
        socket.assign("kept", 2)
        raise LookupError("x")

    with pytest.raises(LookupError):
        debug.replace_state(ref, fail)
    debug.suspend(ref)
    with pytest.raises(LookupError):
        debug.replace_state(ref, fail)
    debug.resume(ref)
    assert call(ref, "kept", PATIENCE) is None


def test_whom_it_is_for(ref: Any) -> None:
    for function in (debug.suspend, debug.resume):
        with pytest.raises(TypeError, match="is no client"):
            function(new_socket().socket_pid)
        with pytest.raises(ClientEndedError):
            function("nobody")
    with pytest.raises(RuntimeError, match="would wait for itself"):
        ref.proxy().handle_call("suspend", None, None).get(timeout=PATIENCE)


def test_whoever_asks_as_it_ends_is_answered() -> None:
    """What was offered before the end is left over, and what comes behind it goes another way."""
    suspension = Suspension()
    asked = GetState(None, Future())
    suspension.wake()
    assert suspension.offer(asked)
    assert suspension.next() is None
    assert suspension.close() == [asked]
    assert not suspension.offer(asked)


def test_whoever_asks_while_it_is_let_go_on_is_answered(ref: Any) -> None:
    """Many times, since it is a race."""
    for n in range(200):
        debug.suspend(ref)
        letting = threading.Thread(target=debug.resume, args=(ref,))
        letting.start()
        debug.replace_state(ref, lambda socket, n=n: socket.assign("kept", n), PATIENCE)  # type: ignore[misc]
        letting.join()
    assert call(ref, "kept", PATIENCE) == 199
