"""Whether an unfinished transfer moves, or only drips: what excuses an unanswered heartbeat."""

from __future__ import annotations

from typing import Any

__all__ = ["LEAST_PACE", "Pace", "Progress"]

# Bytes per second. With less, a message of the usual limit would excuse a dead peer for a day.
LEAST_PACE = 1024


class Pace:
    """Notes the bytes that move in one direction.

    `moved_at` is when an unfinished transfer last had as many more of them as `LEAST_PACE` asks
    for in an `interval`, which is in seconds.
    """

    def __init__(self, interval: float) -> None:
        self.moved_at: float = float("-inf")
        self._interval = interval
        self._enough = LEAST_PACE * interval
        self._counted = 0
        self._since = float("-inf")

    def note(self, now: float, total: int, *, unfinished: bool) -> None:
        """Take in how many bytes have moved in all, and whether a transfer is unfinished."""
        more = total - self._counted
        if unfinished and more and more >= self._enough:
            self.moved_at = now
        elif now - self._since <= self._interval:
            return
        self._counted, self._since = total, now


class Progress:
    """Both directions of one connection."""

    def __init__(self, interval: float) -> None:
        self._reading, self._writing = Pace(interval), Pace(interval)

    @property
    def moved_at(self) -> float:
        """When an unfinished transfer last had as many more bytes as it must."""
        return max(self._reading.moved_at, self._writing.moved_at)

    def note(self, now: float, transport: Any) -> None:
        """Take in what has moved."""
        self._reading.note(now, transport.bytes_in, unfinished=transport.mid_frame)
        self._writing.note(now, transport.bytes_out, unfinished=transport.wants_write)
