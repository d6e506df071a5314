"""The inbox of a connection: messages, timers and its socket, in one wait.

Only the owner's thread calls anything but `put` and `wake`, which may be called from everywhere.
While it sleeps, whoever has the `turn` may do in its place what needs no waiting.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import queue
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pykka._envelope import Envelope

from slipstream_actor.actors.absence import absence
from slipstream_actor.actors.forks import close_in_child
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.inbox import LONGEST_WAIT, Inbox
from slipstream_actor.actors.interrupts import putting_off
from slipstream_actor.actors.pressure import SendBuffer
from slipstream_actor.actors.running import this_thread
from slipstream_actor.actors.turn import Turn

__all__ = ["SelectorInbox", "SocketReady", "WaitFailed"]


class SocketReady(NamedTuple):
    """The socket can be read or written; what an attached socket puts into the mailbox."""

    readable: bool
    writable: bool


class WaitFailed(NamedTuple):
    """There are no descriptors to wait with; the owner has to give up."""

    error: OSError


READY: dict[int, Envelope[Any] | None] = {
    0: None,
    selectors.EVENT_READ: Envelope(SocketReady(readable=True, writable=False)),
    selectors.EVENT_WRITE: Envelope(SocketReady(readable=False, writable=True)),
    selectors.EVENT_READ | selectors.EVENT_WRITE: Envelope(SocketReady(True, True)),
}
READABLE = SocketReady(readable=True, writable=False)


class Waiter(Protocol):
    """Who drives a connection until something of its own has come: an inbox, or a future."""

    # How many requests may be open meanwhile, of which that is the outcome.
    REQUESTS: int
    driving: Any
    expected: Any
    _sleeping: bool
    _queue: queue.SimpleQueue[Any]


class SelectorInbox(Inbox):
    """A mailbox whose wait also ends when its socket is ready.

    A putter wakes the owner through a socketpair, and only when the owner sleeps: the owner says
    that it sleeps, *then* looks at the queue, *then* selects; a putter puts, *then* looks whether
    the owner sleeps. The other order loses messages.
    """

    POLL_EVERY = 64
    CARRIES = False  # A connection calls nobody back.
    FOR_CALLBACKS = False
    OWNS = False

    __slots__ = (
        "_again",
        "_attached",
        "_interest",
        "_only_readable",
        "_others",
        "_polled",
        "_poller",
        "_registered",
        "_selector",
        "_since_poll",
        "_stepped",
        "_wake_descriptor",
        "_wake_lock",
        "_wake_reader",
        "_waker",
        "can_step",
        "decoding",
        "driver",
        "evaluates_for",
        "leave_here",
        "left",
        "queue_here",
        "request_here",
        "room",
        "step",
        "turn",
        "write_here",
    )

    def __init__(self) -> None:
        super().__init__()
        self._selector: selectors.BaseSelector | None = None
        self._waker: socket.socket | None = None
        self._wake_reader: socket.socket | None = None
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._wake_lock = threading.RLock()
        self._attached: socket.socket | None = None
        self._others: tuple[socket.socket, ...] = ()
        self._interest = 0
        self._registered = 0
        self._again = False
        self._since_poll = 0
        # Whether another thread has driven while its owner slept last.
        self._stepped = False
        self._wake_descriptor = -1
        self.room: SendBuffer | None = None
        # Writes a push in the thread that pushes it, if it can; `None` when there is no socket.
        self.write_here: Callable[[str, str, str, Any], Any] | None = None
        # Leave one to who drives, and to the connection's thread, where there is `write_here`.
        self.leave_here: Callable[[str, str, str, Any], Any] | None = None
        self.queue_here: Callable[[str, str, str, Any], Any] | None = None
        self.turn: Turn = Turn()
        # Does for the connection what is to be done, in the thread that drives, if it can be there.
        self.step: Callable[[Any], bool] | None = None
        self.can_step: Callable[[int], bool] = bool
        # The one that drives, while it does; and how a request is written in the asker's thread.
        self.driver: Any = None
        self.request_here: Callable[[Any], bool] | None = None
        self._poller: Any = None
        self._polled = 0
        self._only_readable: list[tuple[int, int]] = []
        # Pushes that were left to whoever steps the connection next.
        self.left: list[Any] = []
        # How the connection decodes, for whoever waits for what cannot be.
        self.decoding: Any = None
        # For how many seconds who closes waits for the user's callable that runs in its thread.
        self.evaluates_for: float | None = None

    def wake(self) -> None:
        """End the owner's sleep, or that of who drives in its place."""
        with self._wake_lock:
            if not self._sleeping or self._waker is None:
                return
            self._sleeping = False
            if self.driver is not None or not self.turn.parked:
                try:
                    self._waker.send(b"\0")
                except (BlockingIOError, InterruptedError):
                    pass
                except BaseException:  # A signal handler's, perhaps before the byte was sent.
                    self._sleeping = True
                    raise
                return
        # With no lock held: it may start a thread, and what is said where there is none is the
        # program's to log.
        self.turn.recall()

    @property
    def has_mail(self) -> bool:
        """Whether a message waits, or a stop."""
        return bool(self._stash or self._queue.qsize() or self.stopping)

    @property
    def is_worth_driving(self) -> bool:
        """Whether the last requests were waited for shortly, and just now."""
        return super().is_worth_driving and time.monotonic() < self._close_until

    def drive(self, waiter: Waiter, timeout: float | None, *, for_long: bool = False) -> bool:
        """Step the connection in the thread that waits for a message of `waiter`, perhaps for long.

        Returns when it has one, or what it expects, or after `timeout` seconds; `False` when the
        connection cannot be stepped here, or has to do what its own thread does.
        """
        turn = self.turn
        if self.step is None or not self.can_step(waiter.REQUESTS) or not turn.enter():
            return False
        waiter.driving, self.driver, done = self, waiter, False
        # Whoever is called meanwhile, a finalizer perhaps, is in the connection's place.
        around, waiting.inbox = waiting.inbox, self
        try:
            done = (turn.parked or self._park(for_long)) and self._drive(waiter, timeout)
        finally:
            waiter._sleeping = False
            if not done and not turn.parked:
                self.wake()  # It sleeps in its selector, perhaps untold, and is to say so itself.
            # Whoever has a command for the owner recalls it.
            self._sleeping = done
            self.driver, waiting.inbox = None, around
            turn.leave(for_good=not done)
            if done:
                absence.note(turn)
        return done

    def take_over(self) -> bool:
        """Go on for the owner's thread, which has ended; `False` where another one does."""
        if not self.turn.take_over():
            return False
        self._sleeping = False
        absence.end(self.turn)
        return True

    def _park(self, for_long: bool) -> bool:
        """Have the owner leave its selector, and wait in the turn."""
        turn, granted = self.turn, False
        try:
            absence.begin(turn)
        except Exception:  # The system has no more threads, or no memory.
            return False
        try:
            turn.ask(for_long=for_long)
            self.wake()
            granted = turn.is_granted()
        finally:
            if not granted:
                absence.end(turn)
        return granted

    def _drive(self, waiter: Waiter, timeout: float | None) -> bool:
        """Return whether the connection's thread has nothing to do that cannot be done here."""
        now = time.monotonic()
        until = math.inf if timeout is None else now + timeout
        mail = waiter._queue
        while (step := self.step) is not None:
            # In this order, as in `_wait`.
            self._sleeping = waiter._sleeping = True
            if mail.qsize() or waiter.expected is not None or now > until:
                return True
            if putting_off.interrupted is self:
                return True
            due = self._timers[0][0] if self._timers else math.inf
            ready: Any = None
            if not self.has_mail and not self.left:
                try:
                    if due <= now:
                        ready = self._due_message()
                    else:
                        ready = self._poll_here(min(due, until) - now)
                except (OSError, ValueError, AssertionError):
                    return False  # As in `_select`: its own thread learns why.
            self._sleeping = waiter._sleeping = False
            if (ready is not None or self.has_mail or self.left) and not step(ready):
                self._again = self._again or ready is READABLE  # No selector may see it.
                if not isinstance(ready, SocketReady | None):
                    self.push_front(ready)
                return False
            now = time.monotonic()
        return False

    def _due_message(self) -> Any:
        """Take out the message of the timer that is due, if it was not cancelled.

        What it is for is armed again by whoever handles it: nothing here asks for memory.
        """
        timer = heapq.heappop(self._timers)[2]
        return None if timer.cancelled else timer.message

    def _poll_here(self, seconds: float) -> SocketReady | None:
        """Wait as `_select` does, for whoever drives; `None` when the socket is not ready."""
        if self._again:
            self._again = False
            return READABLE
        if self._polled != self._interest or self._poller is None:
            self._prepare_poller()
        ready = self._poller.poll(math.ceil(1000 * seconds) if seconds < LONGEST_WAIT else None)
        if ready == self._only_readable:
            return READABLE
        seen = dict(ready)
        if seen.pop(self._wake_descriptor, None):
            self._drain_wakes()
        for events in seen.values():
            return SocketReady(bool(events & ~select.POLLOUT), bool(events & ~select.POLLIN))
        return None

    def _prepare_poller(self) -> None:
        """Bring the poll of who drives in line with the interest."""
        assert self._attached is not None
        assert self._wake_reader is not None
        self._poller = poller = select.poll()
        self._wake_descriptor = self._wake_reader.fileno()
        poller.register(self._wake_descriptor, select.POLLIN)
        mask = select.POLLIN * bool(self._interest & selectors.EVENT_READ)
        mask |= select.POLLOUT * bool(self._interest & selectors.EVENT_WRITE)
        if mask:
            poller.register(self._attached.fileno(), mask)
        self._polled = self._interest
        self._only_readable = [(self._attached.fileno(), select.POLLIN)]

    def attach(self, sock: socket.socket, *others: socket.socket) -> None:
        """Wait for `sock` too, which is non-blocking; say for what with `watch`.

        With `others`, any of them is waited for, and which it is remains to be seen.
        """
        self.detach()
        self._attached, self._others = sock, others

    def watch(self, *, read: bool, write: bool) -> None:
        """Say what to wait for on what is attached."""
        self._interest = read * selectors.EVENT_READ | write * selectors.EVENT_WRITE

    def watch_write(self, write: bool) -> None:
        """Say whether to wait until it can be written."""
        self.watch(read=bool(self._interest & selectors.EVENT_READ), write=write)

    def read_again(self) -> None:
        """Report the socket as readable once more: bytes wait where no selector sees them."""
        self._again = True

    def detach(self) -> None:
        """Wait for no socket; to be called before it is closed."""
        self._poller = None
        self._interest = 0
        self._again = False
        if self._attached is not None:
            self._register()
            self._attached, self._others = None, ()

    def drain(self, kind: type) -> list[Any]:
        """Return the messages of `kind` that stand next in the queue and ask for no answer."""
        messages: list[Any] = []
        take = self._queue.get_nowait
        with contextlib.suppress(queue.Empty):
            while not self._stash and len(messages) < 1024:
                envelope = take()
                if type(envelope.message) is kind and envelope.reply_to is None:
                    messages.append(envelope.message)
                else:
                    self.kept_stash().append(envelope)
        self._since_poll += len(messages)
        return messages

    def close(self) -> None:
        """Answer what waits and free the descriptors."""
        self.detach()
        super().close()
        with self._wake_lock:
            if self._selector is not None:
                self._selector.close()
            for end in (self._waker, self._wake_reader):
                if end is not None:
                    end.close()
            self._selector = self._waker = self._wake_reader = None

    def _wait(self, timeout: float | None) -> Envelope[Any] | None:
        if self.closed:
            return self._poll()
        self._since_poll += 1
        busy = self._since_poll >= self.POLL_EVERY
        if not busy and (envelope := self._poll()) is not None:
            return envelope
        if self._selector is None:
            try:
                self._open_selector()
            except OSError as error:
                # Nothing may be raised outside of Pykka's `try`.
                return Envelope(WaitFailed(error))
        if busy and (ready := self._select(0.0)) is not None:
            # A busy mailbox must not starve the socket.
            return ready
        self._sleeping = True
        if (envelope := self._poll() or self._left_to_write()) is not None:
            self._sleeping = False
            return envelope
        ready = self._select(timeout)
        self._sleeping = False
        if self._stepped:
            return None  # Who drove may have left something in the stash.
        return ready or self._poll() or self._due()

    def _left_to_write(self) -> Envelope[Any] | None:
        return READY[selectors.EVENT_WRITE] if self.left else None

    def _select(self, timeout: float | None) -> Envelope[Any] | None:
        self._since_poll = 0
        self._stepped = False
        assert self._selector is not None
        ready = 0
        if self._again:
            # Whether it can be written too is still to be asked.
            self._again = False
            ready, timeout = selectors.EVENT_READ, 0.0
        try:
            if self._registered != self._interest:
                self._register()
            for key, events in self._look(timeout):
                if key.data is self:
                    self._drain_wakes()
                else:
                    ready |= events
        except (OSError, ValueError):
            # Nothing may be raised outside of Pykka's `try`. Reading the socket will tell why.
            self._let_go()
            ready = selectors.EVENT_READ
        return READY[ready]

    def _look(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; who waits for it gives its turn away."""
        assert self._selector is not None
        if timeout == 0.0:
            return self._selector.select(timeout)
        self.turn.give()
        try:
            ready = self._selector.select(timeout)
        finally:
            self._stepped = self.turn.regain(self._leave_thread)
            if self._stepped:
                absence.end(self.turn)
                self.thread = this_thread()
        return [] if self._stepped else ready

    def _register(self) -> None:
        """Bring the selector in line with the interest."""
        if self._selector is None or self._attached is None:
            return
        # `modify(sock, 0)` is a ValueError: no interest is no registration.
        for sock in (self._attached, *self._others):
            if not self._registered:
                if self._interest:
                    self._selector.register(sock, self._interest)
            elif self._interest:
                self._selector.modify(sock, self._interest)
            else:
                self._selector.unregister(sock)
        self._registered = self._interest

    def _let_go(self) -> None:
        """Wait no more for what cannot be waited for, nor for what is attached beside it."""
        for sock in (self._attached, *self._others):
            if sock is not None and self._selector is not None:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    self._selector.unregister(sock)
        self._interest = self._registered = 0
        self._attached, self._others = None, ()

    def _open_selector(self) -> None:
        # As fast as epoll with one descriptor less, and nothing shared with a forked child.
        kind = getattr(selectors, "PollSelector", selectors.DefaultSelector)
        if self._wake_reader is None:
            self._wake_reader, self._waker = socket.socketpair()
            for end in (self._wake_reader, self._waker):
                end.setblocking(False)
                close_in_child(end)
        selector: selectors.BaseSelector = kind()
        selector.register(self._wake_reader, selectors.EVENT_READ, self)
        self._selector = selector

    def _leave_thread(self) -> None:
        """Have nothing that only the owner's thread needs, which ends."""
        self.thread: Any = None
        if self._selector is not None:
            self._selector.close()
        self._selector, self._registered = None, 0

    def _drain_wakes(self) -> None:
        assert self._wake_reader is not None
        try:
            self._wake_reader.recv(4096)
        except (BlockingIOError, InterruptedError):
            pass
