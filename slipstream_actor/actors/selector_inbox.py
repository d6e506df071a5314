"""The inbox of a connection: messages, timers and its socket, in one wait.

Only the owner's thread calls anything but `put` and `wake`, which may be called from everywhere,
and `take_turn`: while the owner sleeps, whoever has that may do in its place what needs no waiting.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from pykka._envelope import Envelope

from slipstream_actor.actors.forks import close_in_child
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.pressure import SendBuffer

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


class SelectorInbox(Inbox):
    """A mailbox whose wait also ends when its socket is ready.

    A putter wakes the owner through a socketpair, and only when the owner sleeps: the owner says
    that it sleeps, *then* looks at the queue, *then* selects; a putter puts, *then* looks whether
    the owner sleeps. The other order loses messages.
    """

    POLL_EVERY = 64
    CARRIES = False  # A connection calls nobody back.

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
        self.room: SendBuffer | None = None
        # Writes a push in the thread that pushes it, if it can; `None` when there is no socket.
        self.write_here: Callable[[Any], bool] | None = None
        # Held by the owner whenever it does not sleep.
        self._turn = threading.Lock()
        self._turn.acquire()
        # How the connection decodes, for whoever waits for what cannot be.
        self.decoding: Any = None

    def wake(self) -> None:
        """End the owner's sleep."""
        with self._wake_lock:
            if self._sleeping and self._waker is not None:
                self._sleeping = False
                try:
                    self._waker.send(b"\0")
                except (BlockingIOError, InterruptedError):
                    pass
                except BaseException:  # A signal handler's, perhaps before the byte was sent.
                    self._sleeping = True
                    raise

    def take_turn(self) -> bool:
        """Whether the owner sleeps and has nothing to do; it goes on only after `end_turn`."""
        if not self._turn.acquire(blocking=False):
            return False
        if not self._stash and not self._queue.qsize() and not self.stopping:
            return True
        self._turn.release()
        return False

    def end_turn(self) -> None:
        """Let the owner go on."""
        self._turn.release()

    def attach(self, sock: socket.socket, *others: socket.socket) -> None:
        """Wait for `sock` too, which is non-blocking; say for what with `watch`.

        With `others`, any of them is waited for, and which it is remains to be seen.
        """
        self.detach()
        self._attached, self._others = sock, others

    def watch(self, *, read: bool, write: bool) -> None:
        """Say what to wait for on what is attached."""
        self._interest = read * selectors.EVENT_READ | write * selectors.EVENT_WRITE

    def read_again(self) -> None:
        """Report the socket as readable once more: bytes wait where no selector sees them."""
        self._again = True

    def detach(self) -> None:
        """Wait for no socket; to be called before it is closed."""
        self._interest = 0
        self._again = False
        if self._attached is not None:
            self._register()
            self._attached, self._others = None, ()

    def drain(self, kind: type) -> list[Any]:
        """Return the messages of `kind` that stand next in the queue and ask for no answer."""
        messages: list[Any] = []
        while not self._stash and (envelope := self._poll()) is not None:
            if type(envelope.message) is not kind or envelope.reply_to is not None:
                self._stash.append(envelope)
                break
            messages.append(envelope.message)
            if len(messages) == 1024:
                break
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
                self._selector = self._open_selector()
            except OSError as error:
                # Nothing may be raised outside of Pykka's `try`.
                return Envelope(WaitFailed(error))
        if busy and (ready := self._select(0.0)) is not None:
            # A busy mailbox must not starve the socket.
            return ready
        self._sleeping = True
        if (envelope := self._poll()) is not None:
            self._sleeping = False
            return envelope
        ready = self._select(timeout)
        self._sleeping = False
        return ready or self._poll() or self._due()

    def _select(self, timeout: float | None) -> Envelope[Any] | None:
        self._since_poll = 0
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
        self._turn.release()
        try:
            return self._selector.select(timeout)
        finally:
            self._turn.acquire()

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

    def _open_selector(self) -> selectors.BaseSelector:
        # As fast as epoll with one descriptor less, and nothing shared with a forked child.
        kind = getattr(selectors, "PollSelector", selectors.DefaultSelector)
        self._wake_reader, self._waker = socket.socketpair()
        for end in (self._wake_reader, self._waker):
            end.setblocking(False)
            close_in_child(end)
        selector: selectors.BaseSelector = kind()
        selector.register(self._wake_reader, selectors.EVENT_READ, self)
        return selector

    def _drain_wakes(self) -> None:
        assert self._wake_reader is not None
        try:
            self._wake_reader.recv(4096)
        except (BlockingIOError, InterruptedError):
            pass
