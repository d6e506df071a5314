"""The right to step a connection: only who has it touches the connection's selector, socket and
protocol.

The connection's own thread, the owner, has it whenever it is awake. A thread that waits for what
comes over the connection may take it while the owner sleeps, and drive the connection itself: so
what it waits for wakes one thread, and not two after one another. It gives it back whenever it has
something else to do, and mostly comes back at once: the owner sleeps on until somebody recalls it,
who has left something for it, or has seen that nobody drives (`absence.py`). One that nobody
recalls for a while needs no thread: its own ends, and another one goes on when it is recalled.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import ClassVar

__all__ = ["ThreadEnds", "Turn"]

# Seconds for which an owner waits for who takes one step, before it looks whether somebody asks.
STEP = 0.001
# Seconds for which who drives waits for the owner to leave it the turn; and who does for long: a
# thousand clients may begin together.
PATIENCE, LONG_PATIENCE = 0.01, 0.1
# An exit of Python 3.12 can start no threads, and each connection needs one to be closed.
EXIT_HAS_THREADS = sys.version_info[:2] != (3, 12)


class ThreadEnds(BaseException):
    """Unwinds the thread of an owner that is parked: it needs none until it is recalled."""


class Turn:
    """The lock of one connection, and where its owner waits while another thread drives."""

    # Seconds after which the thread of an owner that is parked ends; `None` for never.
    linger: ClassVar[float | None] = 1.0 if EXIT_HAS_THREADS else None

    __slots__ = (
        "_asks",
        "_ends_at_once",
        "_granted",
        "_occupied",
        "_owed",
        "_recalls",
        "driven",
        "give",
        "lock",
        "parked",
        "restart",
        "steps",
        "take",
    )

    def __init__(self) -> None:
        self.lock: threading.Lock = threading.Lock()
        self.lock.acquire()
        # Whether the owner sleeps, and nobody else has it: it is the caller's until `give` then.
        self.take: Callable[[], bool] = partial(self.lock.acquire, False)
        # Give back what was taken, for one step or for a sleep.
        self.give: Callable[[], None] = self.lock.release
        # How often a driver has come and gone.
        self.steps: int = 0
        # Whether a driver has the turn, and not who takes one step.
        self.driven: bool = False
        # Whether the owner waits here, and not in its selector.
        self.parked: bool = False
        self._recalls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asks: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._granted: queue.SimpleQueue[None] = queue.SimpleQueue()
        # Whether the owner, if it is parked, was recalled and has not gone on yet.
        self._owed = False
        # Held while the owner has a thread; and what starts another one, where one may end.
        self._occupied = threading.Lock()
        self._occupied.acquire()
        self.restart: Callable[[], None] | None = None
        # Whether it is not to linger when it is parked.
        self._ends_at_once = False

    # the owner's side

    def regain(self, before_end: Callable[[], None]) -> bool:
        """Have it again; return whether another thread has driven since it was given away.

        Raises `ThreadEnds` where the calling thread is not needed any more; `before_end` is called
        before any other one may go on.
        """
        while not self._takes_ask():
            if self.lock.acquire(timeout=STEP):
                return False
        self._owed, self.parked = False, True
        self._granted.put(None)
        if not self._is_recalled(before_end):
            raise ThreadEnds
        return True

    def take_over(self) -> bool:
        """Be the owner, in the place of a thread that has ended; `False` where there is no need."""
        return self._occupied.acquire(blocking=False) and self._is_recalled(lambda: None)

    def _is_recalled(self, before_end: Callable[[], None]) -> bool:
        """Wait to be recalled, and have it again; `False` when the thread is to end."""
        while True:
            try:
                self._recalls.get(timeout=self._patience())
                break
            except queue.Empty:
                before_end()
                # In this order: who recalls puts first, then looks whether there is a thread.
                self._occupied.release()
                if not self._recalls.qsize() or not self._occupied.acquire(blocking=False):
                    return False
        self.lock.acquire()
        self.parked = self._owed = False
        return True

    def _patience(self) -> float | None:
        if self.restart is None or self.linger is None:
            return None
        return 0.0 if self._ends_at_once else self.linger

    def _takes_ask(self) -> bool:
        """Whether somebody asks; from now on every recall counts."""
        if not self._asks.qsize():
            return False
        drop_all(self._recalls)
        return drop_all(self._asks)

    # whoever else steps

    def ask(self, *, for_long: bool = False) -> None:
        """Ask the owner to wait here; it is to be woken then. For long, its thread ends at once."""
        self._ends_at_once = for_long
        drop_all(self._granted)
        self._asks.put(None)

    def is_granted(self) -> bool:
        """Whether it does, which takes as long as waking a thread."""
        try:
            self._granted.get(timeout=LONG_PATIENCE if self._ends_at_once else PATIENCE)
        except queue.Empty:
            if drop_all(self._asks):
                return False
            self._granted.get()  # It is about to.
        return True

    def enter(self) -> bool:
        """Take it to drive, if it can be had."""
        if (self._owed and self.parked) or not self.take():
            return False
        self.driven = True
        return True

    def leave(self, *, for_good: bool) -> None:
        """Stop driving: for a while, or for good, and then the owner goes on."""
        if for_good:
            drop_all(self._asks)  # What was raised between the two may have left one.
        self.steps += 1
        self.driven = False
        self.give()
        if for_good:
            self._call_back()

    def recall(self) -> None:
        """Have the owner go on, unless somebody has the turn, who sees to what there is to do."""
        # Not taken for that: a signal handler's exception might come before it is given back.
        if not self.lock.locked():
            self._call_back()

    def _call_back(self) -> None:
        """Have the owner go on when it has the turn; start a thread for it, if it has none."""
        if not self._recalls.qsize():
            self._recalls.put(None)
        self._owed = True
        if not self._occupied.locked() and (restart := self.restart) is not None:
            restart()


def drop_all(tokens: queue.SimpleQueue[None]) -> bool:
    """Take out what there is; whether there was something that no other thread has taken out."""
    found = False
    while tokens.qsize():
        with contextlib.suppress(queue.Empty):
            tokens.get_nowait()
            found = True
    return found
