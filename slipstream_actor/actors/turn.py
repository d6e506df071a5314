"""The right to step a connection: only who has it touches the connection's selector, socket and
protocol.

The connection's own thread, the owner, has it whenever it is awake. A thread that waits for what
comes over the connection may take it while the owner sleeps, and drive the connection itself: so
what it waits for wakes one thread, and not two after one another. It gives it back whenever it has
something else to do, and mostly comes back at once: the owner does not go on before it was away for
a lease.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["Turn"]

# Seconds after which the owner looks whether who drives is away, and writes what that has left.
GLANCE = 0.001
# So many glances in a row, in which it was away, and the owner goes on.
LEASE = 5
# Seconds for which it waits for the owner to leave it the turn.
PATIENCE = 0.01

GO_ON, LOOK = True, False


class Turn:
    """The lock of one connection, and where its owner waits while another thread drives."""

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        self._acquire, self._release = lock.acquire, lock.release
        # Whether the owner sleeps, and nobody else has it: it is the caller's until `give` then.
        self.take: Callable[[], bool] = partial(lock.acquire, False)
        # Give back what was taken for one step.
        self.give: Callable[[], None] = lock.release
        self.locked: Callable[[], bool] = lock.locked
        # How often a driver has come and gone: by that the owner sees that one does.
        self._steps = 0
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._granted: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asked = False
        self._asleep = False
        # Whether a driver has the turn, and not who takes one step.
        self._driven = False
        # Whether it was left for good, and the owner has not gone on yet.
        self._owed = False
        # Whether the owner waits here, and not in its selector.
        self.parked: bool = False

    # the owner's side

    def release(self) -> None:
        """Let others have it, before a sleep."""
        self._release()

    def regain(self, tend: Callable[[], bool]) -> bool:
        """Have it again; return whether another thread has driven since the `release`.

        Meanwhile `tend` does what has to be done soon, and says whether all else can wait.
        """
        while not self._asked:
            if self._acquire(timeout=GLANCE):
                return False
        self._asked = False
        drop_all(self._tokens)
        self.parked = True
        self._granted.put(None)
        away = 0
        while away < LEASE:
            away = self._glance(away, tend)
        self.parked = self._owed = False
        return True

    def _glance(self, away: int, tend: Callable[[], bool]) -> int:
        """Return how often in a row the driver was away, `LEASE` when the turn is the owner's."""
        steps = self._steps
        if self._token(GLANCE) is GO_ON:
            self._acquire()
            return LEASE
        if self._steps != steps:
            return 0
        if self._acquire(blocking=False):
            if away + 1 == LEASE or not tend():
                return LEASE
            self._release()
            return away + 1
        # The driver sleeps too: there is nothing to look at until it wakes.
        self._asleep = True
        if self._steps == steps and self._driven and self._token(None) is GO_ON:
            self._asleep = False
            self._acquire()
            return LEASE
        self._asleep = False
        return 0

    def _token(self, timeout: float | None) -> bool:
        try:
            return self._tokens.get(timeout=timeout)
        except queue.Empty:
            return LOOK

    # whoever else steps

    def ask(self) -> None:
        """Ask the owner to wait here; it is to be woken then."""
        drop_all(self._granted)
        self._asked = True

    def is_granted(self) -> bool:
        """Whether it does, which takes as long as waking a thread."""
        try:
            self._granted.get(timeout=PATIENCE)
        except queue.Empty:
            self._asked = False
            return False
        return True

    def enter(self) -> bool:
        """Take it to drive, if it can be had."""
        if self._owed or not self.take():
            return False
        self._driven = True
        return True

    def leave(self, *, for_good: bool) -> None:
        """Stop driving, for a while or for good."""
        self._steps += 1
        self._driven = False
        self._owed = for_good and self.parked
        self._release()
        if for_good:
            self._tokens.put(GO_ON)
        elif self._asleep:
            self._asleep = False
            self._tokens.put(LOOK)


def drop_all(tokens: queue.SimpleQueue[Any]) -> None:
    """Forget what was left over from former times."""
    while tokens.qsize():
        with contextlib.suppress(queue.Empty):
            tokens.get_nowait()
