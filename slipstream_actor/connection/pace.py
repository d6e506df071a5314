"""Whether an unfinished transfer moves, or only drips: what excuses an unanswered heartbeat."""

from __future__ import annotations

from typing import Any

__all__ = ["LEAST_PACE", "Pace", "Progress"]

# Bytes per second. With less, a message of the usual limit would excuse a dead peer for a day.
LEAST_PACE = 1024


class Pace:
    """Notes the bytes that move in one direction.

    `moved_at` is when an unfinished transfer last had as many more of them as `LEAST_PACE` asks
    for in an `interval`, which is in seconds, `since` the time from which they are counted.
    """

    __slots__ = (
        "_counted",
        "_enough",
        "_interval",
        "moved_at",
        "since",
    )

    def __init__(self, interval: float) -> None:
        self.moved_at: float = float("-inf")
        self.since: float = float("-inf")
        self._interval = interval
        self._enough = LEAST_PACE * interval
        self._counted = 0

    def note(self, now: float, total: int, *, unfinished: bool) -> None:
        """Take in how many bytes have moved in all, and whether a transfer is unfinished."""
        more = total - self._counted
        if unfinished and more and more >= self._enough:
            self.moved_at = now
        elif now - self.since <= self._interval:
            return
        self._counted, self.since = total, now


class Progress:
    """Both directions of one connection."""

    __slots__ = ("_interval", "_noted_until", "_reading", "_writing")

    def __init__(self, interval: float) -> None:
        self._reading, self._writing = Pace(interval), Pace(interval)
        self._interval = interval
        # Until then there is nothing to note of transfers that are finished.
        self._noted_until = float("-inf")

    @property
    def moved_at(self) -> float:
        """When an unfinished transfer last had as many more bytes as it must."""
        return max(self._reading.moved_at, self._writing.moved_at)

    def is_due(self, now: float) -> bool:
        """Whether what moves is to be noted though all transfers are finished."""
        return now > self._noted_until

    def note(self, now: float, transport: Any) -> None:
        """Take in what has moved."""
        unfinished_in, unfinished_out = transport.mid_frame, transport.pending_bytes > 0
        if not (unfinished_in or unfinished_out) and now <= self._noted_until:
            return
        self._reading.note(now, transport.bytes_in, unfinished=unfinished_in)
        self._writing.note(now, transport.bytes_out, unfinished=unfinished_out)
        self._noted_until = min(self._reading.since, self._writing.since) + self._interval
