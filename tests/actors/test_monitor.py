"""Monitors: each kind of process, each kind of end, before and after it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

from slipstream_actor import ClientActor, Down, Socket, Stop, Supervisor, connect, monitor, wait
from slipstream_actor.actors.envelopes import LEAVE, TAKE
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.process import current
from slipstream_actor.testing import PhoenixServer
from tests.client.test_client import InThread
from tests.support.clients import PATIENCE, eventually


def take_down(ref: Any) -> Down:
    """Return the `Down` of `ref` that came to this thread."""
    inbox: Inbox = current().actor_inbox
    down = inbox.receive(lambda m, _: TAKE if isinstance(m, Down) and m.ref is ref else 0, PATIENCE)
    assert isinstance(down, Down)
    return down


def is_told(ref: Any) -> bool:
    """Whether a `Down` of `ref` is in this thread's mailbox."""
    inbox: Inbox = current().actor_inbox
    try:
        inbox.receive(lambda m, _: LEAVE if isinstance(m, Down) and m.ref is ref else 0, 0)
    except TimeoutError:
        return False
    return True


class Mortal(ClientActor):
    """Ends as it is told; watches what it is told to watch."""

    def init(self, log: queue.Queue[Any] | None = None) -> None:
        self.log = log

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Stop):
            return message
        if self.log is not None:
            self.log.put(message)
        return socket

    def watch(self, target: Any) -> None:
        monitor(target)


class Plain(pykka.ThreadingActor):
    """None of ours."""

    use_daemon_thread = True


@pytest.fixture
def mortal() -> Iterator[Any]:
    ref = Mortal.start(name="mortal")
    yield ref
    ref.stop()


ENDS = [
    (Stop("normal"), "normal"),
    (Stop(("shutdown", 1)), ("shutdown", 1)),
    (Stop({"any": "term"}), {"any": "term"}),
]


@pytest.mark.parametrize(("message", "reason"), ENDS)
def test_a_plain_thread_hears_of_an_end(mortal: Any, message: Any, reason: Any) -> None:
    monitor(mortal)
    assert not is_told(mortal)
    mortal.tell(message)
    assert take_down(mortal) == Down(mortal, reason)


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3)])
def test_the_reason_of_a_crash_is_the_exception(mortal: Any, error: BaseException) -> None:
    monitor("mortal")
    mortal.tell(error)
    assert take_down(mortal).reason is error


def test_a_client_hears_of_it_in_handle_info(mortal: Any) -> None:
    log: queue.Queue[Any] = queue.Queue()
    watcher = Mortal.start(log)
    watcher.proxy().watch(mortal.proxy()).get()
    mortal.stop()
    assert log.get(timeout=PATIENCE) == Down(mortal, "normal")
    watcher.stop()


def test_a_dead_one_is_told_at_once() -> None:
    ref = Mortal.start()
    ref.tell(Stop("over"))
    assert wait(ref, PATIENCE) == "over"
    monitor(ref)
    assert is_told(ref)
    assert take_down(ref).reason == "over"


def test_a_name_that_nobody_has_is_told_at_once() -> None:
    monitor("nobody")
    assert is_told("nobody")
    assert take_down("nobody") == Down("nobody", "noproc")


def test_it_comes_when_terminate_has_returned() -> None:
    leave, entered = threading.Event(), threading.Event()

    class Slow(Mortal):
        def terminate(self, reason: Any, socket: Socket) -> None:
            entered.set()
            assert leave.wait(PATIENCE)

    ref = Slow.start()
    monitor(ref)
    _ = ref.stop(block=False)
    assert entered.wait(PATIENCE)
    monitor(ref)  # Neither alive nor ended.
    assert not is_told(ref)
    leave.set()
    assert [take_down(ref).reason, take_down(ref).reason] == ["normal", "normal"]


def test_each_monitor_tells_once(mortal: Any) -> None:
    monitor(mortal)
    monitor(mortal)
    mortal.stop()
    assert take_down(mortal) == take_down(mortal)
    assert not is_told(mortal)


def test_a_cancelled_monitor_tells_nothing(mortal: Any) -> None:
    cancelled, last = monitor(mortal), monitor(mortal)
    cancelled.cancel()
    cancelled.cancel()
    mortal.stop()
    assert take_down(mortal).reason == "normal"
    assert not is_told(mortal)
    last.cancel()  # Without effect.


def test_cancelling_while_it_ends_tells_once_or_not_at_all() -> None:
    for _ in range(50):
        ref = Mortal.start()
        watch = monitor(ref)
        _ = ref.stop(block=False)
        watch.cancel()
        told = is_told(ref)
        wait(ref, PATIENCE)
        assert is_told(ref) is told
        if told:
            take_down(ref)


def test_one_that_is_cancelled_on_its_way_tells_nothing(mortal: Any) -> None:
    """The future calls back without a lock: the cancel may come in between."""
    watch = monitor(mortal)
    watch.cancel()
    over: Future[Any] = Future()
    over.set("normal")
    watch._tell(over)
    assert not is_told(mortal)


def test_monitors_do_not_pile_up(mortal: Any) -> None:
    """A watcher that ends, a watch that is cancelled, and one that is over, leave nothing."""
    for _ in range(3):
        watcher = Mortal.start()
        watcher.proxy().watch(mortal).get()
        watcher.stop()
        wait(watcher, PATIENCE)
    monitor(mortal).cancel()
    mine = current().actor_inbox.ended._callbacks
    eventually(lambda: not mortal.actor_inbox.ended._callbacks)
    before = len(mine)
    monitor(mortal)
    assert len(mine) == before + 1
    mortal.stop()
    take_down(mortal)
    eventually(lambda: len(mine) == before)


def test_the_end_of_a_connection(server: PhoenixServer) -> None:
    socket = connect(server.uri).await_connect()
    connection = socket.channel_pid
    monitor(connection)
    socket.disconnect().await_disconnect()
    assert type(take_down(connection).reason).__name__ == "ClosedByClient"


def test_the_end_of_a_supervisor() -> None:
    ref = Supervisor.start()
    monitor(ref)
    ref.stop()
    assert take_down(ref).reason == "normal"


def test_one_that_could_not_say_why_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever for an end that has come."""

    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("a bug of ours")

    ref = Mortal.start()
    monitor(ref)
    monkeypatch.setattr(Mortal, "_finish", fail)
    ref.stop()
    assert take_down(ref).reason == "killed"


def test_the_end_of_a_plain_thread() -> None:
    ref = InThread(current).outcome()
    monitor(ref)
    assert take_down(ref).reason == "normal"


def test_an_actor_that_is_none_of_ours_cannot_be_monitored() -> None:
    ref = Plain.start()
    with pytest.raises(TypeError, match="cannot be monitored"):
        monitor(ref)
    ref.stop()
