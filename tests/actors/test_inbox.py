"""The inbox of a process: no message is lost, none overtakes another, and none waits for ever."""

from __future__ import annotations

import contextlib
import itertools
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykka import ActorDeadError
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from slipstream_actor.actors import envelopes as mail
from slipstream_actor.actors import inbox as mailboxes
from slipstream_actor.actors.envelopes import LEAVE, TAKE, Burst, Interrupted, Request
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import COOL, FLOOD, Inbox
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.selector_inbox import SelectorInbox, SocketReady
from slipstream_actor.actors.thread_inbox import ThreadInbox
from tests.support.threads import in_threads

PATIENCE = 20.0
KINDS = [Inbox, SelectorInbox]


@pytest.fixture(params=KINDS)
def mailbox(request: pytest.FixtureRequest) -> Iterator[Inbox]:
    box: Inbox = request.param()
    yield box
    box.close()


@pytest.fixture
def selecting() -> Iterator[SelectorInbox]:
    box = SelectorInbox()
    yield box
    box.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    yield near, far
    near.close()
    far.close()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (mailboxes, mail):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    return clock


def anything(message: Any, source: Any) -> int:
    return TAKE


def is_(*wanted: Any) -> Callable[[Any, Any], int]:
    return lambda message, _: TAKE if message in wanted else 0


def take(box: Inbox) -> Any:
    """The next message, or an error: a lost wake-up is no test that hangs."""
    return box.receive(anything, PATIENCE)


def is_empty(box: Inbox) -> bool:
    try:
        found = box.receive(anything, 0)
    except TimeoutError:
        return True
    raise AssertionError(f"{found!r} was there")


def tell(box: Inbox, *messages: Any) -> None:
    for message in messages:
        box.tell(message)


def ask(box: Inbox, message: Any = "question") -> Future[Any]:
    future: Future[Any] = Future()
    box.put(Envelope(message, reply_to=future))
    return future


# messages from several threads


def test_messages_of_several_putters_all_come_in_their_order(mailbox: Inbox) -> None:
    putters, each = 4, 10_000
    last = [-1] * putters

    def put(putter: int) -> None:
        for n in range(each):
            mailbox.tell((putter, n))

    def take_all() -> None:
        for _ in range(putters * each):
            putter, n = take(mailbox)
            assert n == last[putter] + 1
            last[putter] = n

    in_threads(take_all, *(lambda p=p: put(p) for p in range(putters)))
    assert last == [each - 1] * putters
    assert is_empty(mailbox)


def test_every_message_wakes_a_sleeper(mailbox: Inbox) -> None:
    # Each waits for the other: one lost wake-up stops both.
    other = type(mailbox)()
    rounds = 3_000

    def serve() -> None:
        for n in range(rounds):
            assert take(other) == n
            mailbox.tell(n)

    def ask_each() -> None:
        for n in range(rounds):
            other.tell(n)
            assert take(mailbox) == n

    in_threads(serve, ask_each)
    other.close()


class Drowsy(SelectorInbox):
    """Somebody puts a message just when the owner has found none, for the nth time."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self._left = nth

    def _poll(self) -> Envelope[Any] | None:
        found = super()._poll()
        if found is None:
            self._left -= 1
            if self._left == 0:
                self.tell("just now")
        return found

    def _select(self, timeout: float | None) -> Envelope[Any] | None:
        if timeout != 0:
            assert not (self._queue.qsize() and self._sleeping), "it sleeps, and nobody woke it"
        return super()._select(timeout)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_message_wakes_an_owner_that_is_about_to_sleep(nth: int) -> None:
    box = Drowsy(nth)
    # A timer, so that there is a third time.
    box.send_after(0.01, "due")
    assert {take(box), take(box)} == {"due", "just now"}
    box.close()


def test_wake_ups_race_the_owner_s_falling_asleep(mailbox: Inbox) -> None:
    # Two putters and an owner that sleeps after each message.
    count = 5_000

    def put() -> None:
        for n in range(count):
            mailbox.tell(n)
            if n % 7 == 0:
                answered.acquire(timeout=PATIENCE)

    answered = threading.Semaphore(0)

    def own() -> None:
        for _ in range(2 * count):
            if take(mailbox) % 7 == 0:
                answered.release()

    in_threads(own, put, put)


def test_refs_are_given_out_once(mailbox: Inbox) -> None:
    refs: list[str] = []

    def draw() -> None:
        refs.extend([mailbox.next_ref() for _ in range(2_000)])

    in_threads(draw, draw, draw)
    assert sorted(map(int, refs)) == list(range(1, 6_001))
    assert mailbox.last_ref == 6_000


# order


def test_get_returns_envelopes_in_order_and_remembers_the_last(mailbox: Inbox) -> None:
    tell(mailbox, 1, 2)
    future = ask(mailbox, 3)
    assert [mailbox.get().message for _ in range(2)] == [1, 2]
    assert mailbox.get().reply_to is future
    assert mailbox.envelope is not None
    assert mailbox.envelope.reply_to is future


def test_receive_leaves_the_others_in_their_order(mailbox: Inbox) -> None:
    tell(mailbox, *range(6))
    assert mailbox.receive(is_(3), 0) == 3
    assert mailbox.receive(is_(1, 5), 0) == 1
    mailbox.push_front("first")
    tell(mailbox, 6)
    assert mailbox.depth == 6
    assert [mailbox.get().message for _ in range(6)] == ["first", 0, 2, 4, 5, 6]
    assert mailbox.depth == 0


def test_receive_may_leave_what_it_has_found(mailbox: Inbox) -> None:
    tell(mailbox, 1, 2, 3)
    leave = lambda message, _: LEAVE if message == 2 else 0  # noqa: E731
    assert mailbox.receive(leave, 0) == 2
    assert mailbox.receive(leave, 0) == 2
    assert [mailbox.get().message for _ in range(3)] == [1, 2, 3]


def test_receive_never_takes_what_asks_for_an_answer(mailbox: Inbox) -> None:
    future = ask(mailbox, "question")
    tell(mailbox, "question")
    assert mailbox.receive(is_("question"), 0) == "question"
    with pytest.raises(TimeoutError):
        mailbox.receive(is_("question"), 0)
    assert mailbox.get().reply_to is future


def test_receive_looks_into_bursts_and_keeps_their_rest(mailbox: Inbox) -> None:
    seen = []

    def match(message: Any, source: Any) -> int:
        seen.append((message, source))
        return TAKE if message == 3 else 0

    tell(mailbox, 0, Burst("connection", [1, 2, 3, 4]), 5)
    assert mailbox.receive(match, 0) == 3
    assert seen == [(0, None), (1, "connection"), (2, "connection"), (3, "connection")]
    assert mailbox.depth == 5
    assert mailbox.get().message == 0
    burst = mailbox.get().message
    assert (burst.source, list(burst.events)) == ("connection", [1, 2, 4])
    assert mailbox.get().message == 5


def test_a_burst_that_is_taken_to_its_end_is_gone(mailbox: Inbox) -> None:
    tell(mailbox, Burst(None, [1, 2]), 3)
    assert mailbox.receive(is_(2), 0) == 2
    assert mailbox.receive(is_(1), 0) == 1
    assert mailbox.get().message == 3


def test_the_rest_of_the_current_burst_comes_first(mailbox: Inbox) -> None:
    tell(mailbox, "a", Burst(None, ["a", "b"]))
    mailbox.burst = Burst("current", ["a", "c"])
    match = lambda message, source: TAKE if message == "a" else 0  # noqa: E731
    assert mailbox.receive(match, 0) == "a"
    assert list(mailbox.burst.events) == ["c"]
    assert mailbox.receive(match, 0) == "a"
    assert mailbox.receive(match, 0) == "a"
    with pytest.raises(TimeoutError):
        mailbox.receive(match, 0)


ITEMS = st.lists(st.integers(0, 5) | st.lists(st.integers(0, 5), max_size=4), max_size=12)
WISHES = st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=3), st.booleans()), max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(ITEMS, ITEMS, WISHES)
def test_receive_is_a_search_from_the_front(
    kind: type[Inbox], first: list[Any], later: list[Any], wishes: list[tuple[set[int], bool]]
) -> None:
    plain: list[int] = []

    def put(items: list[Any]) -> None:
        for item in items:
            box.tell(Burst(None, item) if isinstance(item, list) else item)
            plain.extend(item if isinstance(item, list) else [item])

    with contextlib.closing(kind()) as box:
        put(first)
        for n, (wanted, leaving) in enumerate(wishes):
            if n == len(wishes) // 2:
                put(later)
            verdict = LEAVE if leaving else TAKE
            expected = next((item for item in plain if item in wanted), None)
            try:
                found = box.receive(lambda m, _, w=wanted, v=verdict: v if m in w else 0, 0)  # type: ignore[misc]
            except TimeoutError:
                found = None
            assert found == expected
            if found is not None and not leaving:
                plain.remove(found)
        assert [box.receive(anything, 0) for _ in plain] == plain
        assert is_empty(box)


def test_discard_drops_the_events_of_one_source() -> None:
    one, two = ThreadRef(), ThreadRef()
    mailbox = one.actor_inbox
    tell(mailbox, Burst(one, [1]), 2, Burst(two, [3]), Burst(one, [4]))
    mailbox.receive(is_(2), 0)  # Some are stashed by now, some are not.
    tell(mailbox, Burst(one, [5]), 6)
    mailbox.discard(one)
    assert [take(mailbox) for _ in range(2)] == [3, 6]
    assert is_empty(mailbox)


# timeouts and timers


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_receive_gives_up_after_its_timeout(mailbox: Inbox, timeout: float) -> None:
    tell(mailbox, 1)
    with pytest.raises(TimeoutError):
        mailbox.receive(is_(2), timeout)
    assert mailbox.get().message == 1


@pytest.mark.parametrize("timeout", [None, float("inf")])
def test_receive_waits_for_ever(mailbox: Inbox, timeout: float | None) -> None:
    in_threads(
        lambda: mailbox.receive(is_("it"), timeout), lambda: tell(mailbox, *range(100), "it")
    )
    assert mailbox.depth == 100


def test_timers_are_due_in_their_order(mailbox: Inbox, clock: Clock) -> None:
    mailbox.send_after(3, "c")
    mailbox.send_after(1, "a")
    mailbox.send_at(clock.now + 2, "b")
    mailbox.send_after(3, "d")
    assert is_empty(mailbox)
    clock.now += 1
    assert mailbox.get().message == "a"
    assert is_empty(mailbox)
    clock.now += 2
    assert [mailbox.get().message for _ in range(3)] == ["b", "c", "d"]
    assert is_empty(mailbox)


def test_a_timer_ends_the_wait(mailbox: Inbox) -> None:
    mailbox.send_after(0.02, "due")
    assert mailbox.get().message == "due"
    mailbox.send_after(0.02, "passed over")
    mailbox.send_after(0.03, "found")
    assert mailbox.receive(is_("found"), PATIENCE) == "found"
    assert mailbox.get().message == "passed over"


def test_a_timeout_ends_before_a_timer(mailbox: Inbox) -> None:
    mailbox.send_after(PATIENCE, "later")
    with pytest.raises(TimeoutError):
        mailbox.receive(anything, 0.001)


def test_a_cancelled_timer_is_not_delivered(mailbox: Inbox, clock: Clock) -> None:
    timers = [mailbox.send_after(n, n) for n in range(1, 6)]
    for n in (0, 2, 4):
        timers[n].cancel()
    clock.now += 10
    assert [mailbox.get().message for _ in range(2)] == [2, 4]
    assert is_empty(mailbox)


def test_an_interval_is_due_again_and_again(mailbox: Inbox, clock: Clock) -> None:
    timer = mailbox.send_interval(2, "tick")
    assert is_empty(mailbox)
    for _ in range(3):
        clock.now += 2
        assert mailbox.get().message == "tick"
        assert is_empty(mailbox)
    timer.cancel()
    clock.now += 100
    assert is_empty(mailbox)


def test_an_interval_that_was_missed_is_not_made_up_for(mailbox: Inbox, clock: Clock) -> None:
    mailbox.send_interval(1, "tick")
    clock.now += 50.5
    ticks = 0
    while ticks < 5:
        try:
            assert mailbox.receive(anything, 0) == "tick"
        except TimeoutError:
            break
        ticks += 1
    assert ticks <= 2


def test_an_interval_shorter_than_its_handling_starves_nobody(mailbox: Inbox, clock: Clock) -> None:
    mailbox.send_interval(1, "tick")
    tell(mailbox, "message")
    seen = []
    for _ in range(5):
        clock.now += 2  # So long takes the handling of each.
        seen.append(mailbox.get().message)
    assert "message" in seen
    assert "tick" in seen


def test_messages_and_timers_that_are_due_take_turns(mailbox: Inbox, clock: Clock) -> None:
    """Who is told without an end still hears of its timers: of a heartbeat, of a deadline."""
    for n in range(3):
        mailbox.send_after(1, f"timer {n}")
    tell(mailbox, *(f"message {n}" for n in range(10)))
    clock.now += 2
    seen = [mailbox.get().message for _ in range(6)]
    assert sorted(seen[:2]) == ["message 0", "timer 0"]
    assert sorted(seen[2:4]) == ["message 1", "timer 1"]
    assert sorted(seen[4:]) == ["message 2", "timer 2"]


def test_cancelled_timers_do_not_pile_up(mailbox: Inbox, clock: Clock) -> None:
    kept = mailbox.send_after(50, "kept")
    for _ in range(10_000):
        mailbox.send_after(100, "never").cancel()
    assert len(mailbox._timers) < 1_000
    assert not kept.cancelled
    clock.now += 200
    assert mailbox.get().message == "kept"
    assert is_empty(mailbox)


# stop and close


def test_a_stop_interrupts_a_receive(mailbox: Inbox) -> None:
    tell(mailbox, "other")

    def wait() -> None:
        with pytest.raises(Interrupted):
            mailbox.receive(is_("never"), PATIENCE)

    in_threads(wait, lambda: mailbox.put(Envelope(_ActorStop())))
    assert mailbox.stopping
    # The stop itself is left for Pykka's loop.
    assert mailbox.get().message == "other"
    assert isinstance(mailbox.get().message, _ActorStop)


def test_a_receive_after_a_stop_waits_for_nothing(mailbox: Inbox) -> None:
    mailbox.put(Envelope(_ActorStop()))
    with pytest.raises(Interrupted):
        mailbox.receive(is_("never"), None)


def test_a_receive_that_is_not_interruptible_goes_on(mailbox: Inbox) -> None:
    mailbox.put(Envelope(_ActorStop()))
    tell(mailbox, "wanted")
    assert mailbox.receive(is_("wanted"), PATIENCE, interruptible=False) == "wanted"
    with pytest.raises(TimeoutError):
        mailbox.receive(is_("never"), 0.01, interruptible=False)
    assert isinstance(mailbox.get().message, _ActorStop)


def test_a_stop_calls_who_waits_for_something_else(mailbox: Inbox) -> None:
    interrupted = threading.Event()
    mailbox.interrupt = interrupted.set
    tell(mailbox, "other")
    assert not interrupted.is_set()
    mailbox.put(Envelope(_ActorStop()))
    assert interrupted.is_set()
    assert mailbox.stopping


def test_an_interrupt_is_no_error_that_user_code_handles() -> None:
    assert not issubclass(Interrupted, Exception)


def dead(future: Future[Any]) -> bool:
    try:
        future.get(timeout=PATIENCE)
    except ActorDeadError:
        return True
    return False


def test_closing_answers_what_waits(mailbox: Inbox) -> None:
    stashed = ask(mailbox)
    with pytest.raises(TimeoutError):
        mailbox.receive(anything, 0)
    queued = ask(mailbox)
    request = Request("question", Future())
    tell(mailbox, "told", request)
    stop = ask(mailbox, _ActorStop())
    assert mailbox.empty()
    assert dead(stashed)
    assert dead(queued)
    assert dead(request.future)
    assert stop.get(timeout=0) is None


def test_a_closed_mailbox_answers_at_once(mailbox: Inbox) -> None:
    mailbox.close()
    request = Request("question", Future())
    tell(mailbox, "told", request)
    assert dead(ask(mailbox))
    assert dead(request.future)
    assert ask(mailbox, _ActorStop()).get(timeout=0) is None
    mailbox.close()
    assert mailbox.depth == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_ask_races_the_end(kind: type[Inbox]) -> None:
    for _ in range(50):
        box = kind()
        asked: list[list[Future[Any]]] = [[], [], []]

        def put(mine: list[Future[Any]], box: Inbox = box) -> None:
            mine.extend(ask(box) for _ in range(100))

        def own(box: Inbox = box) -> None:
            for _ in range(50):
                future = box.get().reply_to
                assert future is not None
                future.set("answer")
            box.empty()

        in_threads(own, *(lambda mine=mine: put(mine) for mine in asked))
        answers = [dead(future) for future in itertools.chain(*asked)]
        assert answers.count(False) == 50


# the socket


def next_ready(box: SelectorInbox) -> SocketReady:
    found = take(box)
    assert isinstance(found, SocketReady)
    return found


def test_a_readable_socket_is_a_message(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)
    assert is_empty(selecting)
    in_threads(lambda: far.sendall(b"x"), lambda: next_ready(selecting))
    # As long as there is something to read.
    assert next_ready(selecting) == SocketReady(readable=True, writable=False)
    near.recv(10)
    assert is_empty(selecting)


def test_what_is_watched_is_told(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    assert is_empty(selecting)
    selecting.watch(read=True, write=True)
    assert next_ready(selecting) == SocketReady(readable=False, writable=True)
    far.sendall(b"x")
    assert next_ready(selecting) == SocketReady(readable=True, writable=True)
    selecting.watch(read=False, write=True)
    assert next_ready(selecting) == SocketReady(readable=False, writable=True)
    # Paused: neither.
    selecting.watch(read=False, write=False)
    assert is_empty(selecting)
    selecting.watch(read=True, write=False)
    assert next_ready(selecting) == SocketReady(readable=True, writable=False)
    selecting.detach()
    assert is_empty(selecting)


def test_an_end_of_file_is_readable(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)
    assert is_empty(selecting)
    far.close()
    assert next_ready(selecting).readable


def test_another_socket_takes_the_place_of_the_first(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)
    assert is_empty(selecting)
    far.setblocking(False)
    near.sendall(b"to far")
    far.sendall(b"to near")
    selecting.attach(far)
    assert is_empty(selecting)
    selecting.watch(read=True, write=False)
    assert next_ready(selecting).readable
    far.recv(10)
    assert is_empty(selecting)


def test_any_of_several_sockets_is_told(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    other, its_far = socket.socketpair()
    with other, its_far:
        for _ in range(2):
            selecting.attach(near, other)
            selecting.watch(read=True, write=False)
            assert is_empty(selecting)
            in_threads(lambda: its_far.sendall(b"x"), lambda: next_ready(selecting))
            other.recv(10)
            assert is_empty(selecting)
            far.sendall(b"x")
            assert next_ready(selecting).readable
            near.recv(10)
            selecting.watch(read=True, write=True)
            assert next_ready(selecting) == SocketReady(readable=False, writable=True)
            selecting.detach()
            far.sendall(b"x")
            its_far.sendall(b"x")
            assert is_empty(selecting)
            near.recv(10)
            other.recv(10)


def test_one_of_several_sockets_that_was_closed_is_told_and_leaves_nothing(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    other, its_far = socket.socketpair()
    with its_far:
        selecting.attach(pair[0], other)
        other.close()
        selecting.watch(read=True, write=False)
        assert next_ready(selecting).readable
        assert is_empty(selecting)
        assert selecting._selector is not None
        assert len(selecting._selector.get_map()) == 1  # how it is woken
        selecting.attach(pair[0])
        selecting.watch(read=False, write=True)
        assert next_ready(selecting).writable


def test_bytes_that_no_selector_sees_are_read_again(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    selecting.attach(pair[0])
    selecting.watch(read=True, write=False)
    selecting.read_again()
    assert next_ready(selecting) == SocketReady(readable=True, writable=False)
    assert is_empty(selecting)


def test_a_busy_mailbox_does_not_starve_the_socket(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)
    far.sendall(b"x")
    tell(selecting, *range(1_000))
    seen = [selecting.get().message for _ in range(300)]
    ready = [at for at, message in enumerate(seen) if isinstance(message, SocketReady)]
    assert len(ready) >= 3
    assert ready[0] <= SelectorInbox.POLL_EVERY
    # Nor does the socket starve the mailbox, nor change its order.
    assert [m for m in seen if not isinstance(m, SocketReady)] == list(range(300 - len(ready)))


def test_messages_taken_in_batches_do_not_starve_the_socket(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)
    far.sendall(b"x")
    tell(selecting, *["push"] * 5_000)
    taken = 0
    while not isinstance(selecting.get().message, SocketReady):
        taken += 1 + len(selecting.drain(str))
    assert taken < 3_000


def test_a_busy_socket_does_not_starve_the_mailbox(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=True)
    far.sendall(b"x")
    tell(selecting, "message")
    assert "message" in [selecting.get().message for _ in range(3)]


def test_messages_and_timers_and_the_socket_in_one_wait(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    selecting.attach(near)
    selecting.watch(read=True, write=False)

    def own() -> None:
        seen: list[Any] = []
        while len(seen) < 3:
            message = selecting.get().message
            if isinstance(message, SocketReady):
                near.recv(10)
            seen.append(message)
        assert "told" in seen
        assert "due" in seen

    selecting.send_after(0.02, "due")
    in_threads(own, lambda: tell(selecting, "told"), lambda: far.sendall(b"x"))


def test_a_socket_that_was_closed_is_told_and_raises_nothing(
    selecting: SelectorInbox, pair: tuple[socket.socket, socket.socket]
) -> None:
    # Nothing may be raised outside of Pykka's `try`: reading the socket tells why.
    selecting.attach(pair[0])
    selecting.watch(read=True, write=False)
    pair[0].close()
    assert next_ready(selecting).readable
    tell(selecting, "message")
    assert take(selecting) == "message"


def test_an_owner_that_is_awake_is_not_woken(selecting: SelectorInbox) -> None:
    assert is_empty(selecting)  # Now there is a socketpair.
    tell(selecting, *range(1_000))
    assert selecting._wake_reader is not None
    with pytest.raises(BlockingIOError):
        selecting._wake_reader.recv(1)


def test_there_are_no_descriptors_before_the_first_wait() -> None:
    box = SelectorInbox()
    tell(box, 1)
    assert box.get().message == 1
    assert box._selector is None
    assert box._waker is None


def test_close_frees_the_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    box = SelectorInbox()
    box.attach(pair[0])
    box.watch(read=True, write=False)
    assert is_empty(box)
    ends = box._waker, box._wake_reader
    box.close()
    for end in ends:
        assert end is not None
        assert end.fileno() == -1
    assert box._selector is None
    # The attached socket is not the mailbox's.
    assert pair[0].fileno() != -1
    tell(box, "too late")


def test_wakes_race_the_close() -> None:
    for _ in range(100):
        box = SelectorInbox()

        def put(box: SelectorInbox = box) -> None:
            for n in range(50):
                box.tell(n)

        def own(box: SelectorInbox = box) -> None:
            take(box)
            box.close()

        in_threads(own, put, put)


# batches


def test_drain_takes_what_stands_next(selecting: SelectorInbox) -> None:
    tell(selecting, 1, 2, "other", 3)
    assert selecting.drain(int) == [1, 2]
    # One of another kind is in the way until it is taken.
    assert selecting.drain(int) == []
    assert selecting.get().message == "other"
    assert selecting.drain(int) == [3]
    assert selecting.drain(int) == []


def test_drain_takes_no_asks(selecting: SelectorInbox) -> None:
    future = ask(selecting, 1)
    tell(selecting, 2)
    assert selecting.drain(int) == []
    assert selecting.get().reply_to is future
    assert selecting.drain(int) == [2]


def test_drain_has_an_end(selecting: SelectorInbox) -> None:
    tell(selecting, *range(5_000))
    batches = [selecting.drain(int) for _ in range(6)]
    assert list(itertools.chain(*batches)) == list(range(5_000))
    assert max(map(len, batches)) <= 1024


# who drives


def test_in_a_flood_it_is_worth_driving_however_long_the_waits_are() -> None:
    inbox = Inbox()
    inbox.note_burst(FLOOD - 1)
    assert not inbox.is_worth_driving
    inbox.note_burst(FLOOD)
    assert inbox.is_worth_driving
    inbox.cool_down()
    assert not inbox.is_worth_driving
    inbox.note_burst(FLOOD)
    assert inbox.is_worth_driving


def waits_until_worth(inbox: Inbox, seconds: float) -> int:
    """How many waits of so many seconds it takes, 100 at most."""
    for count in range(100):
        if inbox.is_worth_driving:
            return count
        inbox.note_wait(time.monotonic() - seconds)
    return 100


def test_a_client_drives_however_long_it_waits_for_a_message() -> None:
    assert waits_until_worth(Inbox(), 1.0) == waits_until_worth(Inbox(), 0.0) < 10


def test_a_plain_thread_drives_when_its_waits_are_short() -> None:
    assert waits_until_worth(ThreadInbox(), 1.0) == 100
    assert waits_until_worth(ThreadInbox(), 0.0) < 10


def test_what_could_not_be_driven_is_left_alone_for_a_while() -> None:
    inbox = Inbox()
    waits_until_worth(inbox, 0.0)
    inbox.cool_down()
    assert waits_until_worth(inbox, 0.0) > COOL


def test_in_a_flood_it_is_not_where_others_wait_for_the_same_connection() -> None:
    inbox = Inbox()
    inbox.note_wait(time.monotonic(), alone=False)
    inbox.note_burst(FLOOD)
    assert not inbox.is_worth_driving


def test_a_wait_for_no_time_takes_none_where_there_is_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mailboxes, "QUIET", math.inf)  # No queue can be waited for so long.
    inbox = Inbox()
    inbox.driven = SelectorInbox()
    inbox.send_after(0.0, "due")
    due = inbox._wait(0.0)
    assert due is not None
    assert due.message == "due"


class Undrivable(SelectorInbox):
    """A connection that nobody can drive."""

    tries = 0

    def drive(self, waiter: Any, timeout: float | None, *, for_long: bool = False) -> bool:
        """Say so."""
        self.tries += 1
        if self.tries == 4:
            waiter.tell("enough")
        return False


def test_who_drives_in_vain_tries_it_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailboxes, "QUIET", 0.01)
    inbox = Inbox()
    inbox.driven = Undrivable()
    started = time.monotonic()
    assert inbox.get().message == "enough"
    assert time.monotonic() - started >= 0.01 + 0.02 + 0.04 + 0.08
    inbox.tell("more")
    assert inbox.get().message == "more"
    assert inbox._in_vain == 0
