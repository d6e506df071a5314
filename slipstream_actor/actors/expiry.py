"""Deadlines of what no actor waits for: requests before they are sent, clients to be started again.

One thread of the process sees to all of them, and only while there are any.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from slipstream_actor.actors.forks import reset_in_child

__all__ = ["Expiry", "call_at"]

logger: logging.Logger = logging.getLogger("slipstream_actor")

# Seconds for which the thread stays when there is nothing more to wait for.
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
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._changed = threading.Condition(threading.RLock())
        self._heap: list[tuple[float, int, Expiry]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, expiry: Expiry) -> None:
        """Have it called when it is due."""
        with self._changed:
            heapq.heappush(self._heap, (expiry.due, next(self._numbers), expiry))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="slipstream_actor deadlines", daemon=True
                )
                self._thread.start()
            elif self._heap[0][2] is expiry:
                self._changed.notify()

    def _run(self) -> None:
        while (expiry := self._next()) is not None:
            function, expiry.function = expiry.function, None
            if function is None:
                continue
            try:
                function()
            except Exception:
                logger.exception("what was due has failed")

    def _next(self) -> Expiry | None:
        """Wait for what is due first; `None` when there is nothing more."""
        idle_until = None
        with self._changed:
            while True:
                while self._heap and self._heap[0][2].function is None:
                    heapq.heappop(self._heap)
                now = time.monotonic()
                if self._heap and self._heap[0][0] <= now:
                    return heapq.heappop(self._heap)[2]
                if self._heap:
                    idle_until = None
                    self._changed.wait(min(self._heap[0][0] - now, threading.TIMEOUT_MAX))
                    continue
                idle_until = now + LINGER if idle_until is None else idle_until
                if idle_until <= now:
                    self._thread = None
                    return None
                self._changed.wait(idle_until - now)


_clock = Clock()


def call_at(due: float, function: Callable[[], object]) -> Expiry:
    """Call `function` when `time.monotonic()` is `due`, in a thread of its own kind: it is not to
    wait for anything."""
    expiry = Expiry(due, function)
    _clock.add(expiry)
    return expiry


def _reset_in_child() -> None:
    """Forget what was due to the parent, and its thread."""
    global _clock  # noqa: PLW0603 - nothing else could free its lock
    _clock = Clock()


reset_in_child(_reset_in_child)
