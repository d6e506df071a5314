"""The inbox of a process: messages and timers in one wait, and Erlang's selective receive.

Pykka's loop runs on it unmodified. Only the owner's thread calls anything but `put` and the
properties; `put` may be called from everywhere.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import operator
import queue
import time
from collections import deque
from typing import Any

from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from slipstream_actor.actors import context
from slipstream_actor.actors.envelopes import EVERY_SOURCE, Burst, Match, Timer, refuse
from slipstream_actor.actors.forks import (
    end_copied_thread,
    is_forked,
    is_known_to_be_forked,
)
from slipstream_actor.actors.inbox_state import MOST_REFS, InboxState
from slipstream_actor.actors.places import Place
from slipstream_actor.actors.search import Search
from slipstream_actor.actors.shared import snapshot

__all__ = ["Inbox"]

# A lock and poll take no more than so many seconds; who waits longer waits again.
LONGEST_WAIT = 86_400.0

# So many messages that a `receive` takes them out of the queue at once: whoever tells without a
# pause is faster than it is.
LONG_QUEUE = 256

# Who has waited so many times drives its connection: to wake two threads for each message would
# cost more than all else. Of whom others than its connection wake, too, waits count that were for
# less than so many seconds.
FEW, SHORT = 3, 0.001
# And who gets so many events at once, however long that takes: in a flood two threads take turns.
FLOOD = 64
# So many times it does not try, when others waited for the same connection, and when the connection
# could not be driven.
CROWDED, COOL = 64, 8
# And, whatever that was, who gets nothing for so many seconds: its connection needs no thread then.
# When that was in vain it is twice as long, so many times: on a busy machine it costs most.
QUIET, MOST_IN_VAIN = 2.0, 6
# Nor does a request so many seconds after the last one: it would wake two threads more.
CLOSE = 0.005

# Of timers that are due at the same time the first is the one that was set first.
_timer_numbers = itertools.count()


class Inbox(InboxState):
    """A queue, what a `receive` has passed over, and a heap of timers."""

    __slots__ = ()

    envelope: Envelope[Any] | None
    burst: Burst | None
    expected: Any

    CARRIES = True
    # Whether events lead to callbacks: a plain thread has none.
    FOR_CALLBACKS = True
    # With requests of others open, its owner does not drive: it would tell their outcomes.
    REQUESTS = 0

    def next_ref(self) -> str:
        """Return a reference that this process has not used before. Any thread may ask."""
        return str(next(self._refs))

    @property
    def last_ref(self) -> int:
        """The last reference that was given out, 0 before the first."""
        return MOST_REFS - operator.length_hint(self._refs)

    @property
    def depth(self) -> int:
        """How many messages wait, a burst counted by its events."""
        held = sum(
            len(e.message.events) if type(e.message) is Burst else 1 for e in snapshot(self._stash)
        )
        burst = self.burst  # Once: it ends while another thread asks.
        return held + self._queue.qsize() + (len(burst.events) if burst is not None else 0)

    def first_since_wait(self) -> bool:
        """Whether the owner has come from a wait, for the first time asked, and nothing waits."""
        if (
            not self._waited
            or self._queue.qsize()
            or (self.burst is not None and self.burst.events)
        ):
            return False
        self._waited = False
        return True

    # Pykka's inbox protocol

    def put(self, envelope: Envelope[Any]) -> None:
        """Take in a message, from any thread. In a closed mailbox it is answered at once."""
        if type(envelope.message) is _ActorStop:
            self.stopping = True
            if (interrupt := self.interrupt) is not None:
                interrupt()
        if context.installed and self.CARRIES:
            envelope = context.with_context(envelope)
        try:
            self._queue.put(envelope)
            if self.closed:
                self._refuse_all()
            if self._sleeping:
                self.wake()
        except BaseException:  # A signal handler's: the message may be there.
            if self._sleeping:
                self.wake()
            raise

    def wake(self) -> None:
        """End the owner's sleep, of a kind that a message alone does not end."""
        if (driving := self.driving) is not None:
            driving.wake()

    def get(self) -> Envelope[Any]:
        """Return the next message, waiting for it; remembers its envelope."""
        envelope = self._stash.popleft() if self._stash else self._next()
        while envelope is None:  # A cancelled timer's time has come, or who drove left something.
            if self._stash:
                envelope = self._stash.popleft()
            else:
                envelope = Envelope(None) if self.closed else self._next()
        self.envelope = envelope
        return envelope

    def empty(self) -> bool:
        """Close, answer all that is left, and return `True`: only Pykka's teardown asks."""
        self.close()
        return True

    def tell(self, message: Any) -> None:
        """Put a message that asks for no answer, from any thread."""
        self.put(Envelope(message))

    # the owner's side

    def push_front(self, message: Any) -> None:
        """Make `message` the next one."""
        self.kept_stash().appendleft(context.with_context(Envelope(message)))

    def send_after(self, seconds: float, message: Any) -> Timer:
        """Deliver `message` to the owner in `seconds`."""
        return self.schedule(Timer(message, time.monotonic() + seconds))

    def send_at(self, due: float, message: Any) -> Timer:
        """Deliver `message` to the owner when `time.monotonic()` is `due`."""
        return self.schedule(Timer(message, due))

    def send_interval(self, seconds: float, message: Any) -> Timer:
        """Deliver `message` to the owner every `seconds`, which are more than none."""
        return self.schedule(Timer.repeated(message, seconds))

    def receive(
        self,
        match: Match,
        timeout: float | None = None,
        *,
        interruptible: bool = True,
        source: Any = EVERY_SOURCE,
        since_ref: int = 0,
    ) -> Any:
        """Return the first message for which `match(message, source)` is true, as Erlang does.

        Its `source` is the connection of an event in a burst, else `None`. `TAKE` takes the message
        out, `LEAVE` returns it and leaves it where it is; the others stay in their order. Bursts of
        other connections than `source`, and those that were put together before `since_ref` was
        given out, are not looked into. Raises
        `Expired` after `timeout` seconds, and `Interrupted` when the owner shall stop, unless
        it is not `interruptible`, or is that of a forked process' parent.
        """
        deadline = None if timeout is None or timeout == math.inf else time.monotonic() + timeout
        while True:
            taken: list[Place] = [] if self.taken is None else self.taken
            search = Search(self, match, source, since_ref)
            place = search.wait(deadline, interruptible=interruptible)
            self._changes += 1
            # The last step: what a signal handler raises finds the message here, or returned.
            if place.stays or place.take(taken):
                return place.message

    def put_back(self, taken: list[Place]) -> None:
        """Put back what an await has taken that a signal handler's exception has ended."""
        for place in reversed(taken):
            self._changes += 1
            place.put_back()

    def _fetch(self, timeout: float | None) -> bool:
        """Put the next message or timer into the stash; `False` when none came in time."""
        if (envelope := self._take(timeout)) is None:
            return False
        try:
            self._stash.append(envelope)
        except AttributeError:
            self.kept_stash().append(envelope)
        self._changes += 1
        return True

    def _fetch_more(self) -> int:
        """Put more of a long queue into the stash, in one step of C; return how many."""
        if self._queue.qsize() < LONG_QUEUE:
            return 0
        before = len(self._stash)
        with contextlib.suppress(queue.Empty):
            self.kept_stash().extend(
                itertools.islice(iter(self._queue.get_nowait, None), LONG_QUEUE)
            )
        self._changes += 1
        return len(self._stash) - before

    def discard(self, source: Any) -> list[Any]:
        """Have nothing to do with `source` any more; see `discard_former`."""
        self.former.append(source)
        return self.discard_former()

    def discard_former(self) -> list[Any]:
        """Forget the former connections that are dead, and return them.

        In a plain thread the events of all former ones are dropped: nobody else would. In a client
        they are nobody's either, unless the callback that has replaced them raises.
        """
        former = self.former[:]
        if not former:
            return []
        dead = [connection for connection in former if not connection.is_alive()]
        for connection in dead:
            self.former.remove(connection)
        if self.FOR_CALLBACKS:
            return dead
        self._stash_all()
        self._stash = deque(
            e for e in self._stash if type(e.message) is not Burst or e.message.source not in former
        )
        return dead

    def forget_ended_joins(self) -> None:
        """Forget the ends of joins that nobody will take: those of former and dead connections."""
        for ref, connection in list(self.ended_joins.items()):
            if connection in self.former or not connection.is_alive():
                self.ended_joins.pop(ref, None)

    def take_all(self, kind: type) -> list[Any]:
        """Take out every message of a kind that has come, those in bursts not among them."""
        self._stash_all()
        taken = [e.message for e in self._stash if type(e.message) is kind]
        self._stash = deque(e for e in self._stash if type(e.message) is not kind)
        return taken

    def hear_no_more(self) -> list[Any]:
        """Say that no event is wanted any more; return the sources of those that wait."""
        self.deaf = True
        self._stash_all()
        bursts = [e.message for e in self._stash if type(e.message) is Burst]
        return [burst.source for burst in bursts]

    def close(self) -> None:
        """Answer what waits, and whatever comes later, with `ClientEndedError`."""
        self.closed = True
        self._timers.clear()
        self.burst = None
        while self._stash:
            refuse(self._stash.popleft(), self)
        self._refuse_all()

    def schedule(self, timer: Timer) -> Timer:
        """Deliver a timer's message to the owner when it is due."""
        if len(self._timers) >= self._crowded:
            # Cancelled timers stay until they are due: with idle timeouts, one for each message.
            given = self._timers_given
            left = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(left)
            self._crowded = max(64, 2 * len(left))
            if self._timers_given == given:  # Else garbage, or a signal handler, has set one.
                self._timers = left
        self._timers_given += 1
        heapq.heappush(self._timers, (timer.due, next(_timer_numbers), timer))
        return timer

    def revive(self, timer: Timer) -> None:
        """Deliver a timer after all that was cancelled."""
        timer.cancelled = False
        if all(entry[2] is not timer for entry in self._timers):
            self.schedule(timer)

    def _stash_all(self) -> None:
        """Put what is in the queue behind what was passed over."""
        # In one step, behind which a signal is handled.
        with contextlib.suppress(queue.Empty):
            self.kept_stash().extend(iter(self._queue.get_nowait, None))
        self._changes += 1

    def _next(self) -> Envelope[Any] | None:
        envelope = None if is_forked(self) else self._take(None)
        if is_known_to_be_forked(self):
            # Pykka has no `try` around `get`: this ends the thread without its teardown.
            end_copied_thread()
        return envelope

    def _take(self, timeout: float | None) -> Envelope[Any] | None:
        """Return the next message or timer; `None` when neither came within `timeout`."""
        self._waited = True
        if self._timers:
            # Timers and messages take turns, lest a short interval starve the queue.
            self._messages_turn = not self._messages_turn
            envelope = (self._poll() if self._messages_turn else None) or self._due()
            if envelope is not None:
                return envelope
        return self._wait(self._limit(timeout))

    def _wait(self, timeout: float | None) -> Envelope[Any] | None:
        started = time.monotonic()
        try:
            if self._drove(timeout):
                return self._poll() or self._due()
            if self.closed:
                return self._poll()
            return self._wait_in_queue(timeout)
        except queue.Empty:
            return self._due()
        finally:
            self.note_wait(started)

    def _wait_in_queue(self, timeout: float | None) -> Envelope[Any] | None:
        """Wait, and drive the connection when nothing comes for long. Raises `queue.Empty`."""
        quiet = QUIET * 2**self._in_vain
        drives = self.driven is not None and self.FOR_CALLBACKS
        if not drives or (timeout is not None and timeout <= quiet):
            return self._queue.get(timeout=timeout)
        with contextlib.suppress(queue.Empty):
            envelope = self._queue.get(timeout=quiet)
            self._in_vain = 0
            return envelope
        return self._drive_in_quiet(None if timeout is None else timeout - quiet)

    def _drive_in_quiet(self, timeout: float | None) -> Envelope[Any] | None:
        """Drive the connection until something comes, perhaps for long."""
        self._waits = FEW
        if (driven := self.driven) is not None and driven.drive(self, timeout, for_long=True):
            self._in_vain = 0
        else:
            self._in_vain = min(self._in_vain + 1, MOST_IN_VAIN)
            self.cool_down()
        return self._poll() or self._due()

    def _drove(self, timeout: float | None) -> bool:
        """Wait while driving the connection, if that is worth it; whether it was."""
        driven = self.driven
        if driven is None or not self.is_worth_driving or self.closed or self._queue.qsize():
            return False
        if not driven.drive(self, timeout):
            self.cool_down()
        return True

    @property
    def is_worth_driving(self) -> bool:
        """Whether it has waited often enough since that was in vain."""
        return self._waits >= FEW

    def note_wait(self, started: float, *, alone: bool = True) -> None:
        """Note how long somebody has waited since `started`, and whether others did meanwhile."""
        now = time.monotonic()
        self._close_until = now + CLOSE
        if not alone:
            self._waits = -CROWDED
        elif self.FOR_CALLBACKS or now - started < SHORT:
            self._waits = min(self._waits + 1, 4 * FEW)
        elif self._waits > 0:
            self._waits //= 2

    def note_burst(self, count: int) -> None:
        """Note how many events have come at once."""
        if count >= FLOOD and self._waits >= -COOL:
            self._waits = max(self._waits, FEW)

    def cool_down(self) -> None:
        """The connection could not be driven: those that wait next do not try."""
        self._waits = -COOL

    def await_reply(self, ref: str, timeout: float | None) -> Any:
        """Return the reply to a push, awaited while the connection is driven here.

        Returns `None` when it cannot be, or something else comes first; the mailbox has it then.
        """
        driven = self.driven
        if driven is None or not self.is_worth_driving or self._stash or self._queue.qsize():
            return None
        if self._timers or self.stopping or self.closed or self.ended_joins:
            return None
        self.expecting = ref
        started = time.monotonic()
        try:
            if not driven.drive(self, timeout):
                self.cool_down()
            return self.expected
        finally:
            self.expecting = self.expected = None
            self._waited = True
            self.note_wait(started)

    def _poll(self) -> Envelope[Any] | None:
        if not self._queue.qsize():
            return None
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            # Of a closed mailbox a putter may have taken it.
            return None

    def _seconds_until(self, due: float) -> float:
        return due - time.monotonic()

    def _limit(self, timeout: float | None) -> float | None:
        """Return `timeout`, or the time until the next timer where that is less."""
        if timeout is not None and timeout > LONGEST_WAIT:
            timeout = LONGEST_WAIT
        if not self._timers:
            return timeout
        left = min(max(0.0, self._timers[0][0] - time.monotonic()), LONGEST_WAIT)
        return left if timeout is None else min(left, timeout)

    def _due(self) -> Envelope[Any] | None:
        while self._timers and (
            self._timers[0][2].cancelled or self._timers[0][0] <= time.monotonic()
        ):
            timer = heapq.heappop(self._timers)[2]
            if timer.cancelled:
                continue
            if timer.interval is not None:
                timer.due = max(timer.due + timer.interval, time.monotonic())
                self.schedule(timer)
            return Envelope(timer.message)
        return None

    def _refuse_all(self) -> None:
        while (envelope := self._poll()) is not None:
            refuse(envelope, self)
