"""Pressure between an owner and its connection: what is not delivered yet, and what is not sent.

Inbound there are two counters with one writer each: the connection counts what it delivers, the
owner what it takes. Each writes its own before it reads the other's, so that of a pause and what
would end it at least one side sees both. Outbound a lock guards what any thread may add to.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable

__all__ = ["Inflow", "SendBuffer", "byte_count"]

# Of the most bytes the part down to which it does not read again.
LOW_PART = 4


class Inflow:
    """The events of one connection that its owner has not taken yet.

    They count by their number and by their bytes, as they came. `passed` are those that a waiting
    `receive` has passed over: they do not count while it waits, else the answer that it waits for
    could wait for itself.
    """

    __slots__ = (
        "delivered",
        "delivered_bytes",
        "high",
        "high_bytes",
        "low",
        "passed",
        "passed_bytes",
        "paused",
        "resume",
        "taken",
        "taken_bytes",
    )

    delivered: int
    taken: int
    passed: int
    delivered_bytes: int
    taken_bytes: int
    passed_bytes: int

    def __init__(
        self, high: int, low: int, high_bytes: float, resume: Callable[[], object]
    ) -> None:
        self.high: int = high
        self.low: int = low
        self.high_bytes: float = high_bytes
        self.resume: Callable[[], object] = resume
        self.delivered = self.taken = self.passed = 0
        self.delivered_bytes = self.taken_bytes = self.passed_bytes = 0
        self.paused: bool = False

    @property
    def undelivered(self) -> int:
        """How many events wait."""
        return self.delivered - self.taken - self.passed

    @property
    def undelivered_bytes(self) -> int:
        """How many bytes they came in."""
        return self.delivered_bytes - self.taken_bytes - self.passed_bytes

    @property
    def full(self) -> bool:
        """Whether too many wait."""
        return self.exceeds(1)

    def exceeds(self, times: int) -> bool:
        """Whether more than so many times the bounds wait."""
        return (
            self.undelivered > times * self.high or self.undelivered_bytes > times * self.high_bytes
        )

    @property
    def _low(self) -> bool:
        few = self.undelivered <= self.low
        return few and self.undelivered_bytes <= self.high_bytes / LOW_PART

    def deliver(self, count: int, size: int) -> None:
        """Count what is delivered now; the connection does, in its thread."""
        self.delivered += count
        if count:
            self.delivered_bytes += size

    def pause(self, *, urgent: bool = False) -> bool:
        """Return whether to stop reading; the connection asks, in its thread.

        When it is `urgent`, since an answer is waited for that no callback is in the way of, there
        may be twice as much.
        """
        if self.exceeds(2 if urgent else 1):
            self.paused = True
        elif self.paused and (urgent or self._low):
            self.paused = False  # Taken meanwhile, and nobody saw the pause.
        return self.paused

    def relieve(self) -> None:
        """Have the connection read again when few enough wait; the owner asks, in its thread."""
        if self.paused and self._low:
            self.paused = False
            try:
                self.resume()
            except BaseException:  # A signal handler's: the connection may not have been told.
                self.paused = True
                raise


def byte_count(data: str | bytes) -> int:
    """Return how many bytes an encoded message has on the wire."""
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    return len(data.encode())


class SendBuffer:
    """The bytes that are on their way into one connection, or in it and not sent."""

    __slots__ = (
        "_accepted",
        "_lock",
        "_waiting",
        "limit",
        "pending",
    )

    def __init__(self, limit: float) -> None:
        self.limit: float = limit
        # Reentrant: garbage may be collected, or a signal handled, while it is held. What is done
        # under it are assignments, and between those nothing else is.
        self._lock = threading.RLock()
        self._accepted = 0
        # Of these those that the connection has, and could not write yet.
        self.pending: int = 0
        self._waiting: dict[Hashable, Callable[[], object]] = {}

    @property
    def bytes(self) -> int:
        """How many bytes wait."""
        return self._accepted + self.pending

    def reserve(
        self, size: int, who: Hashable = None, tell: Callable[[], object] | None = None
    ) -> bool:
        """Take `size` bytes more, unless more than the limit wait.

        Then `who` waits, and is told by `tell`, once, when it is worth trying again.
        """
        with self._lock:
            if self._accepted + self.pending > self.limit:
                if tell is not None:
                    self._waiting[who] = tell
                return False
            self._accepted += size
            return True

    def withdraw(self, who: Hashable) -> bool:
        """`who` waits no more; return whether it did."""
        with self._lock:
            return self._waiting.pop(who, None) is not None

    def add(self, size: int) -> None:
        """Take `size` bytes more, however many wait."""
        with self._lock:
            self._accepted += size

    def note(self, pending: int) -> None:
        """So many bytes could not be written yet."""
        if pending or self.pending:
            self.update(0, pending)

    def update(self, taken: int, pending: int) -> None:
        """Of the accepted bytes the connection has `taken` so many; `pending` are not sent."""
        with self._lock:
            self._accepted -= taken
            self.pending = pending
            if not self._waiting or self._accepted + pending > self.limit:
                return
            waiting, self._waiting = self._waiting, {}
        for tell in waiting.values():
            tell()

    def close(self) -> None:
        """The connection is gone: who wants room finds that out for itself."""
        self.limit = math.inf
        self.update(self._accepted, 0)
