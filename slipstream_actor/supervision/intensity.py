"""Restart intensity: how often a supervisor may restart before it gives up."""

from __future__ import annotations

from collections import deque

from slipstream_actor.actors.shared import snapshot
from slipstream_actor.errors import ConfigurationError
from slipstream_actor.supervision.spec import is_seconds

__all__ = ["Intensity"]


class Intensity:
    """How often a supervisor may restart: `max_restarts` times within `max_seconds`."""

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        if type(max_restarts) is not int or max_restarts < 0:
            raise ConfigurationError("max_restarts", "must be a whole number, 0 or more")
        if not is_seconds(max_seconds) or not max_seconds:
            raise ConfigurationError("max_seconds", "must be more than 0 seconds")
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._restarts: deque[float] = deque()

    def is_exceeded_by(self, now: float) -> bool:
        """Count a restart at `now`, and say whether it is one too many."""
        self._restarts.append(now)
        return self.count(now) > self.max_restarts

    def count(self, now: float) -> int:
        """Return how many restarts were within the last `max_seconds`."""
        while self._restarts and self._restarts[0] < now - self.max_seconds:
            self._restarts.popleft()
        return len(self._restarts)

    def within(self, now: float) -> int:
        """Return the same, and change nothing: any thread may ask."""
        return sum(at >= now - self.max_seconds for at in snapshot(self._restarts))
