"""The pushes of a process that wait for their topic's join. Safe in any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Hashable
from typing import Any

import msgspec

from slipstream_actor.protocol.message import Ref, no_fields

__all__ = ["BufferedPush", "PushBuffer"]


class BufferedPush(msgspec.Struct, frozen=True, eq=False):
    """A push that waits for its topic's join; `key` is its socket and topic.

    `expires` is on the monotonic clock, `size` in bytes, `reply_timeout` in seconds.
    """

    key: Hashable
    ref: Ref
    event: str
    payload: Any
    size: int
    expires: float
    reply_timeout: float

    def __repr__(self) -> str:
        # Payloads may hold tokens.
        return f"<BufferedPush {self.ref} of {self.event!r} on {self.ref.topic!r}>"

    __rich_repr__ = no_fields


class PushBuffer:
    """The pushes of one process that wait for a join, in their order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[BufferedPush] = deque()
        self._bytes = 0
        # What has the owner look at it again by itself.
        self.timer: Any = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, push: BufferedPush, max_pushes: int, max_bytes: int) -> list[BufferedPush]:
        """Keep `push`; return the oldest ones, which had to make room for it."""
        with self._lock:
            self._waiting.append(push)
            self._bytes += push.size
            dropped = []
            while len(self._waiting) > max_pushes or self._bytes > max_bytes:
                dropped.append(self._waiting.popleft())
                self._bytes -= dropped[-1].size
            return dropped

    def topics(self) -> set[str]:
        """Return the topics of the pushes that wait."""
        with self._lock:
            return {push.ref.topic for push in self._waiting}

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
        with self._lock:
            self._waiting.extendleft(reversed(pushes))
            self._bytes += sum(push.size for push in pushes)

    def expiry(self, ref: str | None = None) -> float | None:
        """Return when the push of this ref, or the first of all, expires; `None` without one."""
        with self._lock:
            return min((p.expires for p in self._waiting if ref in (None, p.ref)), default=None)

    def _take(self, wanted: Any) -> list[BufferedPush]:
        with self._lock:
            taken = [push for push in self._waiting if wanted(push)]
            if taken:
                self._waiting = deque(push for push in self._waiting if not wanted(push))
                self._bytes -= sum(push.size for push in taken)
            return taken
