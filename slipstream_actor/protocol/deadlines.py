"""Deadlines by key, each with a time of its own: the first one costs no search."""

from __future__ import annotations

import heapq
import itertools
from typing import NoReturn

import msgspec

__all__ = ["Deadlines"]


class Nothing(dict[str, float]):
    """What is due where nothing ever was: a connection has several, most of them empty."""

    def __setitem__(self, *_: object) -> NoReturn:
        raise TypeError


class NoHeap(list[tuple[float, int, str]]):
    """Its heap. The type alone keeps msgspec from making another one for each."""


NOTHING, NO_HEAP = Nothing(), NoHeap()

# Of keys that are due at the same time the first is the one that was added first.
_numbers = itertools.count()


class Deadlines(msgspec.Struct, eq=False):
    """When something is due that a key (a ref) stands for; discarded ones cost nothing."""

    _at: dict[str, float] = NOTHING
    # With the discarded ones, until they are due or are too many.
    _heap: list[tuple[float, int, str]] = NO_HEAP

    def __len__(self) -> int:
        return len(self._at)

    def add(self, key: str, at: float) -> None:
        """Have `key` due at a time."""
        if len(self._heap) > 2 * len(self._at) + 64:
            self._rebuild()
        try:
            self._at[key] = at
        except TypeError:
            self._at, self._heap = {key: at}, []
        heapq.heappush(self._heap, (at, next(_numbers), key))

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
        self._heap = [(at, next(_numbers), key) for key, at in self._at.items()]
        heapq.heapify(self._heap)
