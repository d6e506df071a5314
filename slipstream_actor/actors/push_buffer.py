"""The pushes of a process that wait for their topic's join. Safe in any thread."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import msgspec

from slipstream_actor.protocol.message import Ref, no_fields

__all__ = ["BufferedPush", "PushBuffer"]


class BufferedPush(msgspec.Struct, frozen=True, eq=False):
    """A push that waits for its topic's join; `key` is its socket and topic.

    `expires` and `deadline` are on the monotonic clock: when it is dropped, and when its reply is
    to be there; `size` is in bytes.
    """

    key: Hashable
    ref: Ref
    event: str
    payload: Any
    size: int
    expires: float
    deadline: float | None

    def __repr__(self) -> str:
        # Payloads may hold tokens.
        return f"<BufferedPush {self.ref} of {self.event!r} on {self.ref.topic!r}>"

    __rich_repr__ = no_fields


class PushBuffer:
    """The pushes of one process that wait for a join, in their order."""

    __slots__ = (
        "_bytes",
        "_changes",
        "_lock",
        "_waiting",
        "timer",
    )

    def __init__(self) -> None:
        # Reentrant: garbage may be collected, or a signal handled, while it is held. That happens
        # behind calls, so what belongs together is assigned together, and what was reckoned before
        # is reckoned again when the number of changes is another.
        self._lock = threading.RLock()
        self._changes = 0
        # No deque, which takes 760 bytes, since mostly there are none.
        self._waiting: list[BufferedPush] = []
        self._bytes = 0
        # What has the owner look at it again by itself.
        self.timer: Any = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bytes(self) -> int:
        """How many bytes wait."""
        return self._bytes

    def add(self, push: BufferedPush, max_pushes: int, max_bytes: int) -> list[BufferedPush]:
        """Keep `push`; return the oldest ones, which had to make room for it."""
        with self._lock:
            waiting, this = self._waiting, (push,)
            waiting += this
            self._bytes += push.size
            self._changes += 1
            dropped: list[BufferedPush] = []
            while len(self._waiting) > max_pushes or self._bytes > max_bytes:
                if not self._waiting:
                    break
                oldest = self._waiting[0]
                del self._waiting[0]
                self._bytes -= oldest.size
                self._changes += 1
                dropped.append(oldest)
            return dropped

    def topics(self) -> set[str]:
        """Return the topics of the pushes that wait."""
        with self._lock:
            return {push.ref.topic for push in tuple(self._waiting)}

    def take(self, key: Hashable) -> list[BufferedPush]:
        """Take out the pushes of one socket's topic."""
        return self._take(lambda push: push.key == key)

    def take_out(self, ref: Ref) -> list[BufferedPush]:
        """Take out one push, if it is there."""
        return self._take(lambda push: push.ref is ref)

    def take_all(self) -> list[BufferedPush]:
        """Take out every push."""
        return self._take(lambda push: True)

    def take_expired(self, now: float) -> list[BufferedPush]:
        """Take out the pushes that have waited for too long."""
        return self._take(lambda push: push.expires <= now)

    def put_back(self, pushes: list[BufferedPush]) -> None:
        """Put back what was taken, before all others."""
        size = sum(push.size for push in pushes)
        with self._lock:
            while True:
                seen = self._changes
                waiting = [*pushes, *self._waiting]
                if self._changes == seen:
                    self._waiting = waiting
                    self._bytes += size
                    self._changes += 1
                    return

    def expiry(self, ref: str | None = None) -> float | None:
        """Return when the push of this ref, or the first of all, expires; `None` without one."""
        with self._lock:
            kept = tuple(self._waiting)
            return min((p.expires for p in kept if ref in (None, p.ref)), default=None)

    def _take(self, wanted: Any) -> list[BufferedPush]:
        with self._lock:
            while True:
                seen, kept = self._changes, tuple(self._waiting)
                taken = [push for push in kept if wanted(push)]
                if not taken:
                    return taken
                left = [push for push in kept if not wanted(push)]
                size = sum(push.size for push in taken)
                if self._changes == seen:
                    self._waiting = left
                    self._bytes -= size
                    self._changes += 1
                    return taken
