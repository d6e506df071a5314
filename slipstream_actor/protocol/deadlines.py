"""Deadlines by key, each with a time of its own: the first one costs no search."""

from __future__ import annotations

import heapq
import itertools

__all__ = ["Deadlines"]


class Deadlines:
    """When something is due that a key (a ref) stands for; discarded ones cost nothing."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        # With the discarded ones, until they are due or are too many.
        self._heap: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._at)

    def add(self, key: str, at: float) -> None:
        """Have `key` due at a time."""
        if len(self._heap) > 2 * len(self._at) + 64:
            self._rebuild()
        self._at[key] = at
        heapq.heappush(self._heap, (at, next(self._numbers), key))

    def discard(self, key: str) -> None:
        """Have `key` due no more."""
        self._at.pop(key, None)

    def first(self) -> float | None:
        """Return when the first one is due, `None` without any."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def take_due(self, now: float) -> str | None:
        """Take out the first key that is due, `None` when none is."""
        first = self.first()
        if first is None or first > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._at[key]
        return key

    def shift(self, seconds: float) -> None:
        """Have all due so much later."""
        self._at = {key: at + seconds for key, at in self._at.items()}
        self._rebuild()

    def clear(self) -> None:
        """Have nothing due."""
        self._at.clear()
        self._heap.clear()

    def _rebuild(self) -> None:
        self._heap = [(at, next(self._numbers), key) for key, at in self._at.items()]
        heapq.heapify(self._heap)
