"""Waits that end: at their time, by a stop, and at once when nobody but the waiter could answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from slipstream_actor import (
    ActorDeadError,
    Answer,
    AwaitTimeoutError,
    ClientActor,
    SendBufferFullError,
    Socket,
    call,
    connect,
    get_state,
    new_socket,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.envelopes import GetState
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.pressure import SendBuffer
from slipstream_actor.actors.process import current
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.protocol.events import ChannelConnected
from slipstream_actor.socket.sending import RoomMade, await_room
from slipstream_actor.wire.waiter import AttemptFailed, InboxWaiter
from tests.client.test_client import InThread, Line
from tests.support.clients import PATIENCE, eventually

URI = "ws://test.invalid/socket/websocket"
TOPIC = "rooms:lobby"
# What an await is given, and what a busy machine may need besides.
BRIEF, SLACK = 0.1, 5.0


class Doer(ClientActor):
    """Does what it is told, in its thread."""

    def init(self) -> Socket:
        return connect(URI, test_mode=True)

    def do(self, function: Callable[[Any], Any]) -> Any:
        result = function(self.socket)
        self.socket = self.socket  # What it has asked for may be lost.
        return result

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(message(socket) if callable(message) else message)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        message(socket)

    def handle_info(self, message: Any, socket: Socket) -> None:
        """Be told what is nobody's."""


@pytest.fixture
def doer() -> Iterator[Any]:
    ref = Doer.start()
    yield ref
    ref.stop()


@contextmanager
def flooded(tell: Callable[[], object]) -> Iterator[None]:
    """Have somebody tell things without a pause."""
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            with suppress(ActorDeadError):
                tell()

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE)


def seconds(function: Callable[[], Any]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


# at their time


def online(socket: Socket) -> Socket:
    current().tell(ChannelConnected(Line()))
    return socket.await_connect(timeout=PATIENCE)


WAITS: dict[str, Callable[[Socket], Any]] = {
    "await_message": lambda s: s.await_message("x", "y", timeout=BRIEF),
    "await_connect": lambda s: s.await_connect(timeout=BRIEF),
    "await_disconnect": lambda s: s.await_disconnect(timeout=BRIEF),
    "await_join": lambda s: online(s).join("x").await_join("x", timeout=BRIEF),
    "await_leave": lambda s: online(s).join("x").await_leave("x", timeout=BRIEF),
    "await_reply": lambda s: online(s).await_reply("9", timeout=BRIEF),
}


def give_up(wait: Callable[[Socket], Any], socket: Socket) -> None:
    with pytest.raises(AwaitTimeoutError):
        wait(socket)


@pytest.mark.parametrize("name", WAITS)
def test_an_await_of_a_client_ends_while_messages_keep_coming(name: str, doer: Any) -> None:
    begun = threading.Event()

    def wait_for_it(socket: Socket) -> float:
        begun.set()
        return seconds(lambda: give_up(WAITS[name], socket))

    future = doer.proxy().do(wait_for_it)
    assert begun.wait(PATIENCE)
    with flooded(lambda: doer.tell("something")):
        assert future.get(timeout=PATIENCE) < BRIEF + SLACK


@pytest.mark.parametrize("name", WAITS)
def test_an_await_of_a_thread_ends_while_messages_keep_coming(name: str) -> None:
    refs: list[Any] = []

    def wait_for_it() -> float:
        socket = connect(URI, test_mode=True)
        refs.append(socket.socket_pid)
        return seconds(lambda: give_up(WAITS[name], socket))

    waiting = InThread(wait_for_it)
    with flooded(lambda: [ref.tell("something") for ref in refs]):
        assert waiting.outcome() < BRIEF + SLACK


def test_a_push_that_waits_for_room_ends_while_others_take_it() -> None:
    class Full:
        actor_inbox = SelectorInbox()

        def is_alive(self) -> bool:
            return True

    connection = Full()
    room = connection.actor_inbox.room = SendBuffer(10)
    room.add(1000)
    inbox = current().actor_inbox

    def push() -> None:
        with pytest.raises(SendBufferFullError):
            await_room(new_socket(), connection, 5, "t", "e", BRIEF)

    def tell_of_room() -> None:
        for tell in [*room._waiting.values()]:
            tell()

    with flooded(tell_of_room):
        assert seconds(push) < BRIEF + SLACK
    inbox.take_all(RoomMade)


def test_an_attempt_to_connect_ends_while_it_is_looked_at() -> None:
    inbox = SelectorInbox()
    asked: list[Any] = []
    over = threading.Event()

    def wait_for_it() -> None:
        waiter = InboxWaiter(inbox, 0.5, {GetState: asked.append})
        with pytest.raises(AttemptFailed, match="took more than"):
            waiter.elsewhere("the lookup", over.wait, lambda _: None)

    with flooded(lambda: inbox.tell(GetState(None, Future()))):
        eventually(lambda: inbox.depth > 0)
        assert seconds(wait_for_it) < 0.5 + SLACK
    over.set()
    inbox.close()
    assert asked


def test_what_came_in_time_is_found_also_behind_the_time() -> None:
    inbox = current().actor_inbox
    for n in range(2000):
        inbox.tell(n)
    assert inbox.receive(lambda message, _: message == 1999, 0) == 1999
    inbox.take_all(int)


# at once


ONESELF: dict[str, Callable[[Any], Any]] = {
    "call": lambda ref: call(ref, "m", timeout=None),
    "wait": wait,
    "wait_until_joined": lambda ref: wait_until_joined(ref, TOPIC, timeout=None),
    "get_state": lambda ref: get_state(ref, timeout=None),
    "ask": lambda ref: ref.ask("m"),
    "ask, and wait": lambda ref: ref.ask("m", block=False).get(),
    "a proxied method": lambda ref: ref.proxy().do(repr).get(),
    "a proxied attribute": lambda ref: ref.proxy().socket.get(),
    "setting a proxied attribute": lambda ref: setattr(ref.proxy(), "mine", 1),
    "a map": lambda ref: ref.proxy().do(repr).map(str).get(),
    "stop": lambda ref: ref.stop(),
    "stop, and wait": lambda ref: ref.stop(block=False).get(),
}


@pytest.mark.parametrize("name", ONESELF)
def test_a_callback_does_not_wait_for_itself(name: str) -> None:
    ref: Any = Doer.start()

    def ask_oneself(_: Any) -> str:
        with pytest.raises(RuntimeError, match="would wait for"):
            ONESELF[name](ref)
        return "raised"

    assert ref.proxy().do(ask_oneself).get(timeout=PATIENCE) == "raised"
    ref.stop(timeout=PATIENCE)


def test_a_thread_does_not_wait_for_its_own_end() -> None:
    with pytest.raises(RuntimeError, match="would wait for itself"):
        wait(current())


def test_an_answer_that_is_there_is_not_waited_for(doer: Any) -> None:
    kept: list[Any] = []
    doer.proxy().do(lambda _: kept.append(doer.ask("m", block=False))).get(timeout=PATIENCE)
    assert kept[0].get(timeout=PATIENCE) == "m"
    assert doer.proxy().do(lambda _: kept[0].get()).get(timeout=PATIENCE) == "m"


# by a stop


EACH_OTHER: dict[str, Callable[[Any], Any]] = {
    "call": lambda ref: call(ref, "m", timeout=None),
    "ask": lambda ref: ref.ask("m"),
    "a proxy": lambda ref: ref.proxy().do(repr).get(),
    "a map": lambda ref: ref.proxy().do(repr).map(str).get(),
    "the end": wait,
    "a join": lambda ref: wait_until_joined(ref, TOPIC, timeout=None),
    "a state": lambda ref: get_state(ref, timeout=None),
    "a stop": lambda ref: ref.stop(),
}


@pytest.mark.parametrize("way", EACH_OTHER)
def test_a_stop_reaches_clients_that_wait_for_each_other(way: str) -> None:
    one: Any = Doer.start()
    other: Any = Doer.start()
    both = threading.Barrier(2)

    def wait_for(ref: Any) -> Callable[[Any], None]:
        def wait(_: Any) -> None:
            both.wait(PATIENCE)
            try:
                EACH_OTHER[way](ref)
            except ActorDeadError:
                return  # It was stopped, too.

        return wait

    one.proxy().do.defer(wait_for(other))
    other.proxy().do.defer(wait_for(one))
    if way != "a stop":  # There, each has been asked to.
        assert one.stop(timeout=PATIENCE)
        other.stop(timeout=PATIENCE)
    assert wait(one, timeout=PATIENCE) == wait(other, timeout=PATIENCE) == "normal"


def test_a_stop_leaves_nobody_behind_who_asked() -> None:
    one: Any = Doer.start()
    never: Future[Any] = Future()
    begun = threading.Event()

    def wait_for_it(_: Any) -> Any:
        begun.set()
        return never.get()

    asked = one.proxy().do(wait_for_it)
    assert begun.wait(PATIENCE)
    one.stop(timeout=PATIENCE)
    with pytest.raises(ActorDeadError):
        asked.get(timeout=PATIENCE)
    assert not never._callbacks
