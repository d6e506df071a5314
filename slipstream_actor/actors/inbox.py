"""The inbox of a process: messages and timers in one wait, and Erlang's selective receive.

Pykka's loop runs on it unmodified. Only the owner's thread calls anything but `put` and the
properties; `put` may be called from everywhere.
"""

from __future__ import annotations

import heapq
import itertools
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from slipstream_actor.actors import context
from slipstream_actor.actors.envelopes import (
    Burst,
    Interrupted,
    Match,
    PassedOver,
    Timer,
    match_burst,
    match_envelope,
    refuse,
)
from slipstream_actor.actors.forks import current_epoch, end_copied_thread, is_forked
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.ledger import Ledger
from slipstream_actor.actors.push_buffer import PushBuffer

__all__ = ["Inbox"]

# A lock and poll take no more than so many seconds; who waits longer waits again.
LONGEST_WAIT = 86_400.0


class Inbox:
    """A queue, what a `receive` has passed over, and a heap of timers."""

    CARRIES = True

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Looked up at run time: gevent patches the module.
        self._queue: queue.SimpleQueue[Envelope[Any]] = queue.SimpleQueue()
        self._stash: deque[Envelope[Any]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._timer_numbers = itertools.count()
        self._crowded = 64
        self._messages_turn = True
        self._ref_lock = threading.Lock()
        self.last_ref: int = 0
        self.closed: bool = False
        self.stopping: bool = False
        self.stop_reason: Any = "normal"
        self.interrupt: Callable[[], object] | None = None
        self.envelope: Envelope[Any] | None = None
        self.burst: Burst | None = None
        self.uncommitted: str | None = None
        self.begins_anew = False
        self.close_requested = False
        self.deaf: bool = False
        # The owner tells of no more outcomes: whoever else pushes learns it at the call.
        self.ending = False
        # Nor to itself: it tells of the last ones.
        self.told_all = False
        self.ended: Future[Any] = Future()
        # Connections that nobody can await anything of any more.
        self.former: list[Any] = []
        self.ledger: Ledger = Ledger()
        self.buffer: PushBuffer = PushBuffer()

    def next_ref(self) -> str:
        """Return a reference that this process has not used before. Any thread may ask."""
        with self._ref_lock:
            self.last_ref += 1
            return str(self.last_ref)

    @property
    def depth(self) -> int:
        """How many messages wait, a burst counted by its events."""
        held = sum(
            len(e.message.events) if type(e.message) is Burst else 1 for e in tuple(self._stash)
        )
        return held + self._queue.qsize() + (len(self.burst.events) if self.burst else 0)

    # Pykka's inbox protocol

    def put(self, envelope: Envelope[Any]) -> None:
        """Take in a message, from any thread. In a closed mailbox it is answered at once."""
        if type(envelope.message) is _ActorStop:
            self.stopping = True
            if (interrupt := self.interrupt) is not None:
                interrupt()
        carries = context.installed and self.CARRIES
        self._queue.put(context.with_context(envelope) if carries else envelope)
        if self.closed:
            self._refuse_all()

    def get(self) -> Envelope[Any]:
        """Return the next message, waiting for it; remembers its envelope."""
        envelope = self._stash.popleft() if self._stash else self._next()
        while envelope is None:  # A cancelled timer's time has come.
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
        self._stash.appendleft(context.with_context(Envelope(message)))

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
        self, match: Match, timeout: float | None = None, *, interruptible: bool = True
    ) -> Any:
        """Return the first message for which `match(message, source)` is true, as Erlang does.

        `source` is the connection of an event in a burst, else `None`. `TAKE` takes the message
        out, `LEAVE` returns it and leaves it where it is; the others stay in their order. Raises
        `TimeoutError` after `timeout` seconds, and `Interrupted` when the owner shall stop, unless
        it is not `interruptible`, or is that of a forked process' parent.
        """
        found, message = self._search(match)
        if found:
            return message
        deadline = None if timeout is None or timeout == math.inf else time.monotonic() + timeout
        held = [e.message for e in self._stash if type(e.message) is Burst]
        passed = PassedOver([self.burst, *held] if self.burst is not None else held)
        try:
            while True:
                envelope = self._await(deadline, interruptible)
                if envelope is not None:
                    verdict, message = self._consider(envelope, match, passed)
                    if verdict:
                        return message
        finally:
            passed.count_again()

    def _await(self, deadline: float | None, interruptible: bool) -> Envelope[Any] | None:
        """Return the next message; `None` when it is worth asking again."""
        if interruptible and self.stopping:
            raise Interrupted
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        envelope = self._take(left)
        if is_forked(self):
            raise Interrupted
        if envelope is None and deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError
        return envelope

    def _consider(
        self, envelope: Envelope[Any], match: Match, passed: PassedOver
    ) -> tuple[int, Any]:
        """Return the verdict on a message that has come; keep what is not taken."""
        try:
            verdict, message, rest = match_envelope(envelope, match)
        except BaseException:
            self._stash.append(envelope)  # A user's predicate raised.
            raise
        if rest:
            self._stash.append(envelope)
            if type(envelope.message) is Burst:
                passed.over(envelope.message)
        return verdict, message

    def discard(self, source: Any, *, events: bool) -> list[Any]:
        """Have nothing to do with `source` any more; see `discard_former`."""
        self.former.append(source)
        return self.discard_former(events=events)

    def discard_former(self, *, events: bool) -> list[Any]:
        """Forget the former connections that are dead, and return them.

        Drop the `events` of all former ones: in a plain thread nobody else would. In a client they
        are nobody's either, unless the callback that has replaced them raises.
        """
        former = self.former[:]
        if not former:
            return []
        dead = [connection for connection in former if not connection.is_alive()]
        for connection in dead:
            self.former.remove(connection)
        if not events:
            return dead
        self._stash_all()
        self._stash = deque(
            e for e in self._stash if type(e.message) is not Burst or e.message.source not in former
        )
        return dead

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
        """Answer what waits, and whatever comes later, with `ActorDeadError`."""
        self.closed = True
        self._timers.clear()
        self.burst = None
        while self._stash:
            refuse(self._stash.popleft(), self.ended)
        self._refuse_all()

    def schedule(self, timer: Timer) -> Timer:
        """Deliver a timer's message to the owner when it is due."""
        if len(self._timers) >= self._crowded:
            # Cancelled timers stay until they are due: with idle timeouts, one for each message.
            self._timers = [entry for entry in self._timers if not entry[2].cancelled]
            heapq.heapify(self._timers)
            self._crowded = max(64, 2 * len(self._timers))
        heapq.heappush(self._timers, (timer.due, next(self._timer_numbers), timer))
        return timer

    def _stash_all(self) -> None:
        """Put what is in the queue behind what was passed over."""
        while (envelope := self._poll()) is not None:
            self._stash.append(envelope)

    def _search(self, match: Match) -> tuple[bool, Any]:
        if self.burst is not None:
            verdict, message, _ = match_burst(self.burst, match)
            if verdict:
                return True, message
        for at, envelope in enumerate(self._stash):
            verdict, message, rest = match_envelope(envelope, match)
            if verdict:
                if not rest:
                    del self._stash[at]
                return True, message
        return False, None

    def _next(self) -> Envelope[Any] | None:
        envelope = None if is_forked(self) else self._take(None)
        if is_forked(self):
            # Pykka has no `try` around `get`: this ends the thread without its teardown.
            end_copied_thread()
        return envelope

    def _take(self, timeout: float | None) -> Envelope[Any] | None:
        """Return the next message or timer; `None` when neither came within `timeout`."""
        if self._timers:
            # Timers and messages take turns, lest a short interval starve the queue.
            self._messages_turn = not self._messages_turn
            envelope = (self._poll() if self._messages_turn else None) or self._due()
            if envelope is not None:
                return envelope
        return self._wait(self._limit(timeout))

    def _wait(self, timeout: float | None) -> Envelope[Any] | None:
        try:
            return self._queue.get(timeout=timeout) if not self.closed else self._poll()
        except queue.Empty:
            return self._due()

    def _poll(self) -> Envelope[Any] | None:
        if not self._queue.qsize():
            return None
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            # Of a closed mailbox a putter may have taken it.
            return None

    def _limit(self, timeout: float | None) -> float | None:
        """Return `timeout`, or the time until the next timer where that is less."""
        if timeout is not None:
            timeout = min(timeout, LONGEST_WAIT)
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
            refuse(envelope, self.ended)
