"""What runs in an actor's thread, as its frames have it."""

from __future__ import annotations

import functools
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import Answer, ClientActor, Socket, connect
from slipstream_actor.actors import running
from slipstream_actor.actors.running import Running, running_in
from slipstream_actor.protocol.events import ChannelConnectFailed
from slipstream_actor.protocol.reasons import ConnectFailed
from tests.support.clients import PATIENCE, eventually
from tests.support.programs import run
from tests.support.threads import looks_into_threads

URI = "ws://test.invalid/socket/websocket"


def outermost(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of a user's."""

    @functools.wraps(method)
    def wrapper(*args: Any) -> Any:
        return method(*args)

    return wrapper


class Stuck(ClientActor):
    """Every callback waits until it is let go on, and says that it has begun."""

    begun: threading.Semaphore
    go_on: threading.Semaphore

    def init(self, begun: threading.Semaphore, go_on: threading.Semaphore) -> Socket:
        self.begun, self.go_on = begun, go_on
        self.stop_here()
        return connect(URI, test_mode=True, reconnect_after_msec=self.policy)

    def stop_here(self) -> None:
        self.begun.release()
        assert self.go_on.acquire(timeout=PATIENCE)

    def policy(self, attempt: int) -> int:
        self.stop_here()
        return 60_000

    @outermost
    def handle_info(self, message: Any, socket: Socket) -> Any:
        self.deeper(20)

    def deeper(self, levels: int) -> None:
        self.stop_here() if levels == 0 else self.deeper(levels - 1)

    def handle_call(self, message: Any, *_: Any) -> Any:
        self.stop_here()
        return Answer(message)

    def simmer(self) -> None:
        self.stop_here()

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.stop_here()


class Kitchen:
    """A client, and what it waits for."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.refs: list[Any] = []
        self._starting = threading.Thread(target=self._start)
        self._starting.start()

    def _start(self) -> None:
        self.refs.append(Stuck.start(self.begun, self.go_on))

    def runs(self, ref: Any) -> str | None:
        """Return what runs when a callback has begun, and let it end."""
        assert self.begun.acquire(timeout=PATIENCE)
        running = running_in(ref)
        assert running is not None
        assert running.seconds is not None
        assert 0 <= running.seconds < PATIENCE
        self.go_on.release()
        return running.callback

    def started(self) -> Any:
        """Return the client, which has come out of `init`."""
        assert self.begun.acquire(timeout=PATIENCE)
        self.go_on.release()
        self._starting.join(PATIENCE)
        return self.refs[0]

    def close(self) -> None:
        self.go_on.release(100)
        for ref in self.refs:
            ref.stop(timeout=PATIENCE)


@pytest.fixture
def kitchen() -> Iterator[Kitchen]:
    kitchen = Kitchen()
    yield kitchen
    kitchen.close()


@looks_into_threads
def test_each_callback_is_named(kitchen: Kitchen) -> None:
    ref = kitchen.started()
    proxy = ref.proxy()
    ref.tell("message")
    assert kitchen.runs(ref) == "handle_info"
    proxy.simmer()
    assert kitchen.runs(ref) == "simmer"
    ref.ask("question", block=False)
    assert kitchen.runs(ref) == "handle_call"
    _ = ref.stop(block=False)
    assert kitchen.runs(ref) == "terminate"


@looks_into_threads
def test_a_default_callback_is_named_too(kitchen: Kitchen) -> None:
    """It runs a callable of the user's."""
    ref = kitchen.started()
    ref.tell(ChannelConnectFailed(ConnectFailed("refused")))
    assert kitchen.runs(ref) == "handle_disconnect"


@looks_into_threads
def test_one_that_waits_for_messages_runs_nothing(kitchen: Kitchen) -> None:
    ref = kitchen.started()
    ref.tell("message")
    kitchen.runs(ref)
    eventually(lambda: running_in(ref) is None, "the end of the callback")


def test_one_that_has_ended_runs_nothing(kitchen: Kitchen) -> None:
    ref = kitchen.started()
    kitchen.close()
    assert running_in(ref) is None
    assert ref.actor_inbox.thread is None


@looks_into_threads
def test_it_costs_the_actor_nothing_to_be_asked(kitchen: Kitchen) -> None:
    ref = kitchen.started()
    ref.tell("message")
    assert kitchen.begun.acquire(timeout=PATIENCE)
    first = running_in(ref)
    again: Any = eventually(
        lambda: (now := running_in(ref)) and (now.seconds or 0.0) > 0.02 and now, "more time"
    )
    assert first is not None
    assert first.seconds is not None
    assert again.seconds > first.seconds
    kitchen.go_on.release()


def test_how_it_is_told() -> None:
    assert str(Running("simmer", 3.21)) == "it is in simmer for 3.2 s"
    assert str(Running("simmer", None)) == "it is in simmer"


@looks_into_threads
def test_nothing_is_collected_while_frames_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter stands still for ever when another thread is started meanwhile."""
    current_frames, looks, collected = sys._current_frames, [False], []

    def look() -> dict[int, Any]:
        looks[0] = True
        try:
            return current_frames()
        finally:
            looks[0] = False

    def note(phase: str, info: dict[str, int]) -> None:
        collected.append(looks[0])

    over = threading.Event()
    threads = [threading.Thread(target=deep, args=(over, 5)) for _ in range(20)]
    thresholds = gc.get_threshold()
    monkeypatch.setattr(sys, "_current_frames", look)
    gc.callbacks.append(note)
    gc.set_threshold(1)
    try:
        for thread in threads:
            thread.start()
        for _ in range(20):
            assert running.frames_of(threads[0].ident)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(note)
        over.set()
        for thread in threads:
            thread.join()
    assert collected
    assert not any(collected)
    assert gc.isenabled()


HARSH = """
import gc, sys, threading, time
from slipstream_actor.actors import running

class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self):
        for _ in range(20):
            pass

def deep(levels):
    if levels:
        deep(levels - 1)
    [Cycle() for _ in range(1)]

def busy():
    while True:
        deep(15)

thread = threading.Thread(target=busy, daemon=True)
thread.start()
sys.setswitchinterval(1e-6)
gc.set_threshold(5)
for _ in range(20_000):
    for frame in running.frames_of(thread.ident):
        assert (type(frame.f_lineno), frame.f_code.co_qualname != "") == (int, True)
"""


def test_frames_are_looked_at_while_they_come_and_go() -> None:
    """What a collection calls lets another thread end the frame that is being looked at."""
    assert run(HARSH) == (0, "", "")


def deep(over: threading.Event, levels: int) -> None:
    over.wait(PATIENCE) if levels == 0 else deep(over, levels - 1)


def test_who_collects_no_garbage_still_does_not() -> None:
    gc.disable()
    try:
        running.frames_of(threading.get_ident())
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_look_within_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a signal handler, or from another thread."""

    def looked() -> dict[int, Any]:
        assert not gc.isenabled()
        monkeypatch.undo()
        running.frames_of(threading.get_ident())
        assert not gc.isenabled()
        return {}

    monkeypatch.setattr(sys, "_current_frames", looked)
    running.frames_of(threading.get_ident())
    assert gc.isenabled()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_a_look_collects(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> dict[int, Any]:
        child = os.fork()
        if not child:
            os._exit(0 if gc.isenabled() and running._looking.acquire(blocking=False) else 1)
        assert os.waitpid(child, 0)[1] == 0
        return {}

    monkeypatch.setattr(sys, "_current_frames", fork)
    running.frames_of(threading.get_ident())
    assert gc.isenabled()
