"""What several threads do with one collection or iterator, with the interpreter's lock or without.

With it, one call of what is written in C is one step. Without it (a free-threaded build) that holds
of a list, a dict or a set and `list()` of these, and of `itertools.count`; it does not hold of
iterators over a `range`, nor of a deque, nor of an `OrderedDict`, which loses what two threads put
in and take out at once. A `WeakSet` is written in Python: it never does.
"""

from __future__ import annotations

import operator
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["HAS_LOCK", "Ordered", "shared_iterator", "snapshot", "steadily"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

# Whether the interpreter has a lock of its own. Where it has none at the start it may get one, when
# an extension is imported that needs it; never the other way round.
HAS_LOCK: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

# How often something is looked at anew that changes meanwhile.
TRIES = 10


class LockedIterator(Iterator[T]):
    """An iterator that gives each item to one thread."""

    __slots__ = ("_iterator", "_lock")

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator
        # Reentrant: a signal may be handled while it is held.
        self._lock = threading.RLock()

    def __next__(self) -> T:
        with self._lock:
            item = next(self._iterator)
        return item  # noqa: RET504 - `return next(…)` ends the block's protection a step too early

    def __length_hint__(self) -> int:
        with self._lock:
            return operator.length_hint(self._iterator)


class Ordered(Generic[K, V]):
    """A mapping that knows what was put in first, for whatever thread or signal handler."""

    __slots__ = ("_items", "_lock")

    def __init__(self) -> None:
        # No dict, which looks for its first item behind all that were taken out.
        self._items: OrderedDict[K, V] = OrderedDict()
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._items)

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            self._items[key] = value

    def pop(self, key: K) -> V | None:
        """Take out the value of `key`; `None` when there is none."""
        with self._lock:
            value = self._items.pop(key, None)
        return value  # noqa: RET504 - as above

    def pop_first(self) -> V | None:
        """Take out the value that was put in first; `None` when there is none."""
        with self._lock:
            value = self._items.popitem(last=False)[1] if self._items else None
        return value  # noqa: RET504 - as above


def shared_iterator(items: range) -> Iterator[int]:
    """Return an iterator over `items` that gives each to one thread, or signal handler."""
    return iter(items) if HAS_LOCK else LockedIterator(iter(items))


def steadily(look: Callable[[], T], otherwise: T) -> T:
    """Return what `look` returns of what other threads may change meanwhile; `otherwise` when it
    has changed each time."""
    for _ in range(TRIES):
        try:
            return look()
        except (RuntimeError, IndexError):  # It changed while it was walked through.
            continue
    return otherwise


def snapshot(items: Iterable[T]) -> list[T]:
    """Return what is in a collection that other threads may change meanwhile, however often."""
    found: list[T] | None = None
    while found is None:
        found = steadily(lambda: list(items), None)
    return found
