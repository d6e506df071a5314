"""A signal is handled, or garbage collected, in the middle of anything: nothing is lost."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor.actors import names
from slipstream_actor.actors.envelopes import LEAVE, TAKE, Burst
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.monitor import Down, Monitor
from slipstream_actor.actors.pressure import Inflow, SendBuffer
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.push_buffer import BufferedPush, PushBuffer
from slipstream_actor.actors.search import Expired
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.actors.thread_inbox import ThreadInbox
from slipstream_actor.errors import AlreadyStartedError
from slipstream_actor.protocol.message import Ref
from tests.support.interruptions import interrupted

PATIENCE = 20.0


class Alarm(BaseException):
    """What a signal handler raises."""


class TimeIsUp(TimeoutError):
    """What another one raises."""


def ring() -> None:
    raise Alarm


def drained(inbox: Inbox) -> list[Any]:
    """Take out all that an inbox still has."""
    rest = []
    while True:
        try:
            rest.append(inbox.receive(lambda *_: TAKE, 0))
        except Expired:
            return rest


def wants(number: int, verdict: int = TAKE) -> Callable[[Any, Any], int]:
    return lambda message, _: verdict if message == number else 0


# the inbox of a thread


class Filled:
    """An inbox with the numbers from 0 to 8: some passed over, some in bursts, one a timer."""

    def __init__(self) -> None:
        self.resumed = 0
        self.flow = Inflow(100, 2, math.inf, self.resume)
        self.inbox = ThreadInbox()
        self.inbox.tell(0)
        self.burst(1, 2, 3)
        with pytest.raises(Expired):
            self.inbox.receive(lambda *_: 0, 0)
        self.inbox.tell(4)
        self.burst(5)
        self.burst(6, 7)
        self.inbox.send_after(-1, 8)

    def resume(self) -> None:
        self.resumed += 1

    def burst(self, *numbers: int) -> None:
        self.flow.delivered += len(numbers)
        self.inbox.tell(Burst(self, numbers, self.flow))


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("number", range(9))
def test_an_exception_in_a_receive_loses_nothing(number: int, paused: bool) -> None:
    """Neither a message nor its order nor its count, at whatever moment it comes."""
    filled: list[Filled] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        box = Filled()
        box.flow.paused = paused
        filled[:] = [box]
        return (lambda: box.inbox.receive(wants(number), 5.0)), ring

    moments = 0
    for result in interrupted(prepare):
        moments += 1
        assert result == number or isinstance(result, Alarm)
        [box] = filled
        rest = drained(box.inbox)
        timer = [8] if 8 in rest else []
        taken = [] if isinstance(result, Alarm) else [number]
        assert [n for n in rest if n != 8] == [n for n in range(8) if n not in taken]
        assert sorted(timer + taken)[-1:] == [8] or number != 8
        assert box.flow.taken == box.flow.delivered
        assert box.flow.passed == 0
        assert not paused or box.resumed
    assert moments > 1


@pytest.mark.parametrize("second", range(9))
@pytest.mark.parametrize("first", [0, 2, 4, 5, 7])
def test_a_handler_may_receive_too(first: int, second: int) -> None:
    filled: list[Any] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        box = Filled()
        others: list[Any] = []
        filled[:] = box, others

        def receive() -> Any:
            try:
                return box.inbox.receive(wants(first), 0)
            except Expired:
                return None

        def handler() -> None:
            others.extend(n for n in [box.inbox.receive(lambda m, _: TAKE * (m == second), 0.0)])

        def harmless() -> None:
            try:
                handler()
            except Expired:
                others.append(None)

        return receive, harmless

    for result in interrupted(prepare):
        box, others = filled
        got = [n for n in (result, *others) if n is not None]
        rest = drained(box.inbox)
        assert sorted([*got, *rest]) == list(range(9))
        assert [n for n in rest if n != 8] == sorted(n for n in rest if n != 8)
        assert box.flow.taken == box.flow.delivered
        assert box.flow.passed == 0


def test_what_is_left_in_its_place_stays_there() -> None:
    filled: list[Filled] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        filled[:] = [Filled()]
        return (lambda: filled[0].inbox.receive(wants(2, LEAVE), 5.0)), ring

    for _ in interrupted(prepare):
        assert sorted(drained(filled[0].inbox)) == list(range(9))


def test_a_handler_s_timeout_is_not_the_receive_s() -> None:
    inbox = ThreadInbox()

    def match(*_: Any) -> int:
        raise TimeIsUp

    inbox.tell(1)
    with pytest.raises(TimeIsUp):
        inbox.receive(match, 5.0)
    assert not issubclass(TimeIsUp, Expired)
    assert drained(inbox) == [1]


def test_a_timer_of_a_thread_comes_once() -> None:
    boxes: list[ThreadInbox] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        inbox = ThreadInbox()
        boxes[:] = [inbox]
        inbox.send_after(-2, 1)
        inbox.send_after(-1, 2)
        inbox.send_after(-1, 3).cancel()
        return (lambda: inbox.receive(wants(2), 5.0)), ring

    for result in interrupted(prepare):
        taken = [] if isinstance(result, Alarm) else [2]
        assert sorted([*taken, *drained(boxes[0])]) == [1, 2]


# what any thread uses


def each(
    make: Callable[[], Any],
    function: Callable[[Any], Any],
    act: Callable[[Any], object],
    check: Callable[[Any, Any], object],
) -> None:
    """Have `act` done with a thing at every moment of `function`, and `check` what came of it."""
    made: list[Any] = []

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        made[:] = [make()]
        return (lambda: function(made[0])), (lambda: act(made[0]))

    for result in interrupted(prepare):
        if isinstance(result, BaseException) and not isinstance(
            result, (Alarm, AlreadyStartedError)
        ):
            raise result
        check(made[0], result)


def test_refs_are_given_out_once_in_a_handler_too() -> None:
    given: list[str] = []

    def check(inbox: Inbox, ref: str) -> None:
        assert len(given) == len(set(given))
        assert inbox.last_ref == len(given)
        given.clear()

    def give(inbox: Inbox) -> None:
        given.append(inbox.next_ref())

    each(Inbox, give, give, check)


class Named:
    def __init__(self) -> None:
        self.alive = True
        self.name = object()

    def is_alive(self) -> bool:
        return self.alive


def pair() -> tuple[Any, Any]:
    one, other = Named(), Named()
    other.name = one.name
    return one, other


@pytest.mark.parametrize("alive", [True, False])
def test_of_two_that_want_a_name_one_has_it_in_the_end(alive: bool) -> None:
    def holder() -> tuple[Any, Any]:
        one, other = pair()
        former: Any = Named()
        former.alive = alive
        names.register(one.name, former)
        return one, other

    def register(ref: Any) -> None:
        with contextlib.suppress(AlreadyStartedError):
            names.register(ref.name, ref)

    def check(refs: tuple[Any, Any], result: Any) -> None:
        found: Any = names.whereis(refs[0].name)
        assert found is not None
        assert (found in refs) is not alive
        names.unregister(found.name if found in refs else refs[0].name, found)
        assert names.whereis(refs[0].name) is None

    each(holder, lambda refs: register(refs[0]), lambda refs: register(refs[1]), check)


def test_a_name_is_taken_from_nobody_else() -> None:
    renewed: list[Any] = []

    def begin() -> tuple[Any, Any]:
        one, other = pair()
        names.register(one.name, one)
        return one, other

    def renew(refs: tuple[Any, Any]) -> None:
        renewed.append(refs[1])
        names.unregister(refs[0].name, refs[0])
        names.register(refs[0].name, refs[1])

    def check(refs: tuple[Any, Any], _: Any) -> None:
        assert names.whereis(refs[0].name) is (refs[1] if renewed else None)
        assert names.name_of(refs[1]) is (refs[1].name if renewed else None)
        renewed.clear()
        names.unregister(refs[0].name, refs[1])

    each(begin, lambda refs: names.unregister(refs[0].name, refs[0]), renew, check)


USES: list[Callable[[Future[Any]], object]] = [
    lambda future: future.set(1),
    lambda future: future.fail(KeyError()),
    lambda future: future.abandon(KeyError()),
    lambda future: future.done,
    lambda future: future.add_done_callback(repr),
    lambda future: future.remove_done_callback(repr),
    lambda future: future.set(future_that_is_done()),
    lambda future: None if future.done else future.wait(0),
]


def future_that_is_done() -> Future[int]:
    future: Future[int] = Future()
    future.set(2)
    return future


@pytest.mark.parametrize("act", [*USES, lambda _: ring()])
@pytest.mark.parametrize("use", USES)
def test_a_future_is_completed_once_and_by_whoever_is_first(use: Any, act: Any) -> None:
    called: list[Any] = []

    def make() -> Future[Any]:
        called.clear()
        future: Future[Any] = Future()
        future.add_done_callback(called.append)
        return future

    def check(future: Future[Any], _: Any) -> None:
        future.set(3)
        assert future.wait(0)
        assert not future._gate.locked()
        assert len(called) <= 1
        assert called == [future] or isinstance(_, Alarm)
        assert len({repr(future._outcome()) for _ in range(2)}) == 1

    each(make, use, act, check)


def test_a_twin_has_an_outcome_at_whatever_moment_a_handler_raises() -> None:
    """Also where that is no `BaseException`, which a callback's caller passes over."""

    def prepare() -> tuple[Callable[[], Any], Callable[[], object]]:
        future: Future[int] = Future()
        future.set(4)

        def act() -> None:
            raise TimeIsUp

        return future.as_concurrent, act

    outcomes = set()
    for result in interrupted(prepare):
        if not isinstance(result, TimeIsUp):
            assert result.done()
            result = result.exception() or result.result()  # noqa: PLW2901
        outcomes.add(type(result))
    assert outcomes == {TimeIsUp, int}


def test_a_getter_that_is_interrupted_leaves_the_gate_open() -> None:
    def get(future: Future[Any]) -> Any:
        completing = threading.Timer(0.01, future.set, [7])
        completing.start()
        try:
            return future.get(timeout=PATIENCE)
        finally:
            completing.join()

    def check(future: Future[Any], _: Any) -> None:
        future.set(7)
        assert not future._gate.locked()
        assert future.get(timeout=0) == 7

    each(Future, get, lambda _: ring(), check)


@pytest.mark.parametrize(
    "act", [lambda m: m[0].cancel(), lambda m: m[1].set("x"), lambda _: ring()]
)
def test_a_monitor_tells_once(act: Any) -> None:
    def make() -> tuple[Monitor, Future[Any], Inbox]:
        ended: Future[Any] = Future()
        inbox = Inbox()
        return Monitor("ref", ended, inbox), ended, inbox

    def check(made: tuple[Monitor, Future[Any], Inbox], result: Any) -> None:
        downs = drained(made[2])
        assert all(type(down) is Down for down in downs)
        assert len(downs) <= 1
        assert made[0]._lock.acquire(blocking=False)
        made[0]._lock.release()

    each(make, lambda made: made[1].set("over"), act, check)


def push(n: int) -> BufferedPush:
    return BufferedPush(n % 3, Ref(str(n), "t", None), "e", {}, 10 + n, float(n), 1.0)


def buffer() -> PushBuffer:
    made = PushBuffer()
    for n in range(6):
        made.add(push(n), 100, 10_000)
    return made


CHANGES: list[Callable[[PushBuffer], Any]] = [
    lambda b: b.add(push(7), 4, 10_000),
    lambda b: b.add(push(8), 100, 50),
    lambda b: b.take(1),
    lambda b: b.take_all(),
    lambda b: b.take_expired(3.0),
    lambda b: b.put_back([push(9)]),
    lambda b: b.expiry(),
    lambda b: b.topics(),
]


@pytest.mark.parametrize("act", CHANGES)
@pytest.mark.parametrize("change", CHANGES)
def test_the_bytes_of_a_push_buffer_are_those_of_its_pushes(change: Any, act: Any) -> None:
    def check(buffer: PushBuffer, _: Any) -> None:
        assert buffer._bytes == sum(push.size for push in buffer._waiting)

    each(buffer, change, act, check)


def test_a_send_buffer_counts_what_a_handler_adds() -> None:
    def check(room: SendBuffer, _: Any) -> None:
        assert room.bytes in (10, 20)  # Behind the last moment nothing is added.

    def add(room: SendBuffer) -> None:
        assert room.reserve(10)

    each(lambda: SendBuffer(1000), add, add, check)


@pytest.mark.parametrize("act", [lambda inbox: inbox.tell(2), lambda _: ring()])
def test_an_owner_that_sleeps_is_woken_whatever_a_handler_does(act: Any) -> None:
    inboxes: list[SelectorInbox] = []

    def make() -> SelectorInbox:
        for inbox in inboxes:
            inbox.close()
        inbox = SelectorInbox()
        inbox._open_selector()
        inbox._sleeping = True
        inboxes[:] = [inbox]
        return inbox

    def check(inbox: SelectorInbox, _: Any) -> None:
        assert inbox._selector is not None
        assert not inbox.depth or inbox._selector.select(0)

    each(make, lambda inbox: inbox.tell(1), act, check)
    inboxes[0].close()


def test_a_connection_that_a_handler_opens_is_owned_too() -> None:
    def check(ref: ThreadRef, _: Any) -> None:
        assert len(ref._connections) in (1, 2)
        assert all(connection.is_alive() for connection in ref._connections)

    def own(ref: ThreadRef) -> None:
        ref.own(Named())  # type: ignore[arg-type]

    def make() -> ThreadRef:
        ref = ThreadRef()
        dead = Named()
        dead.alive = False
        ref._connections.append(dead)  # type: ignore[arg-type]
        return ref

    each(make, own, own, check)
