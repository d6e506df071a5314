"""Deadlines of what no actor waits for: requests before they are sent, clients to be started again.

One thread of the process sees to all of them, and only while there are any: one of its own, or,
where the system has no more threads, that of an actor that ends.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import threading
import time
from collections.abc import Callable

from slipstream_actor.actors.forks import current_epoch, end_if_copied, reset_in_child
from slipstream_actor.actors.logger import Logger, get_logger

__all__ = ["Expiry", "call_at", "call_without_fail", "lend_thread"]

logger: Logger = get_logger("slipstream_actor")

# Seconds that the thread sleeps at most: so long it stays when there is nothing to wait for, and
# keeps what was cancelled.
LINGER = 0.5


class Expiry:
    """A function to be called at a time; `cancel()` works from any thread."""

    __slots__ = ("due", "function")

    def __init__(self, due: float, function: Callable[[], object]) -> None:
        self.due: float = due
        self.function: Callable[[], object] | None = function

    def cancel(self) -> None:
        """Do not call it any more."""
        self.function = None


class Clock:
    """What is due, and the thread that waits for it."""

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Reentrant: garbage may be collected, or a signal handled, while it is held. It is entered
        # by itself: a condition's own `__enter__` is Python, behind which a signal is handled.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, Expiry]] = []
        self._numbers = itertools.count()
        self._added = 0
        self._running = False
        # What is due before is to wake the thread up.
        self._wakes_at = 0.0
        self._tidied = time.monotonic()

    def add(self, expiry: Expiry) -> None:
        """Have it called when it is due. Raises what the start of a thread raises, and then it is
        not."""
        with self._lock:
            self._require_thread()
            self._push(expiry)

    def add_without_fail(self, expiry: Expiry) -> None:
        """Have it called when it is due, or, where no thread can be started, when there is one."""
        with self._lock:
            with contextlib.suppress(Exception):
                self._require_thread()
            self._push(expiry)

    def lend_thread(self) -> None:
        """See to what is there in the calling thread, where none could be started for it."""
        with self._lock:
            if self._running or not self._heap:
                return
            self._running = True
        self._run()

    def _push(self, expiry: Expiry) -> None:
        self._added += 1
        heapq.heappush(self._heap, (expiry.due, next(self._numbers), expiry))
        if expiry.due < self._wakes_at:
            self._changed.notify()

    def _require_thread(self) -> None:
        if not self._running:
            try:
                self._running = True
                self._start()
            except BaseException:  # There are no more threads, or a signal handler has raised.
                self._running = False
                raise

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="slipstream_actor deadlines", daemon=True)
        thread.start()

    def _run(self) -> None:
        while (expiry := self._next()) is not None:
            function, expiry.function = expiry.function, None
            if function is None:
                continue
            try:
                function()
            except BaseException:  # Also a callback's `SystemExit`: others' deadlines are here.
                logger.exception("what was due has failed")

    def _next(self) -> Expiry | None:
        """Wait for what is due first; `None` when there is nothing more."""
        lingered = False
        with self._lock:
            while True:
                end_if_copied(self)
                now = time.monotonic()
                if now >= self._tidied + LINGER:
                    self._forget_cancelled()
                    self._tidied = now
                if self._heap and self._heap[0][0] <= now:
                    return heapq.heappop(self._heap)[2]
                if lingered and not self._heap:
                    self._running = False
                    return None
                lingered = not self._heap
                first = self._heap[0][0] if self._heap else math.inf
                self._wakes_at = min(first, now + LINGER)
                self._changed.wait(self._wakes_at - now)

    def _forget_cancelled(self) -> None:
        added = self._added
        left = [entry for entry in self._heap if entry[2].function is not None]
        heapq.heapify(left)
        if self._added == added:  # Else garbage has added something.
            self._heap = left


_clock = Clock()


def call_at(due: float, function: Callable[[], object]) -> Expiry:
    """Call `function` when `time.monotonic()` is `due`, in a thread of its own kind: it is not to
    wait for anything. Raises `RuntimeError` where there are no more threads."""
    expiry = Expiry(due, function)
    _clock.add(expiry)
    return expiry


def call_without_fail(due: float, function: Callable[[], object]) -> Expiry:
    """As `call_at`, but where there are no more threads it waits for the next one that there is:
    that of another deadline, or one that is lent."""
    expiry = Expiry(due, function)
    _clock.add_without_fail(expiry)
    return expiry


def lend_thread() -> None:
    """See to what waits for a thread: the calling one has nothing more to do."""
    _clock.lend_thread()


def _reset_in_child() -> None:
    """Forget what was due to the parent, and its thread."""
    global _clock  # noqa: PLW0603 - nothing else could free its lock
    _clock = Clock()


reset_in_child(_reset_in_child)
