"""What one side puts in and the other iterates over, in threads and in coroutines alike."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

from slipstream_actor.actors.finalizer import WithFinalizer
from slipstream_actor.actors.forks import current_epoch, not_portable, require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import park_if_exiting

__all__ = ["Stream"]

T = TypeVar("T")


class Stream(WithFinalizer, Generic[T]):
    """Items that wait, and who waits for one: an iterator, an asynchronous one, and a context
    manager that closes it. Several may iterate: each item goes to one of them. In a forked child
    the iteration over one of the parent's raises `ForkedError`, and to close it does nothing. A
    subclass says in `__iter__` what they are.
    """

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._items: deque[T] = deque()
        self._waiting: deque[Future[None]] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._traceback: TracebackType | None = None

    def __reduce__(self) -> NoReturn:
        raise not_portable(repr(self), "subscribe in each process")

    def close(self) -> None:
        """Take no more, and end whoever iterates."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __next__(self) -> T:
        """Return the next message, waiting for it."""
        while True:
            item, waiter = self._take()
            if item is not None:
                return item
            if waiter is None:
                park_if_exiting()
                raise StopIteration
            try:
                waiter.get()
            except BaseException:
                self._forget(waiter)
                raise

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        """Return the next message, waiting for it without blocking the loop."""
        while True:
            item, waiter = self._take()
            if item is not None:
                return item
            if waiter is None:
                park_if_exiting()
                raise StopAsyncIteration
            try:
                await waiter
            except BaseException:
                self._forget(waiter)
                raise

    def _take(self) -> tuple[T | None, Future[None] | None]:
        """Return the next item, or what to wait for, or neither at the end.

        Who is interrupted by what a signal handler raises has taken nothing, and does not wait.
        """
        require_here(self)  # Before the lock, which another thread may have held at the fork.
        item: T | None = None
        waiter: Future[None] | None = None
        try:
            with self._lock:
                if self._items:
                    # No call, behind which signals are handled: it is here as soon as it is taken.
                    item = self._items[0]
                    del self._items[0]
                elif not self._ended:
                    waiter = Future()
                    self._waiting.append(waiter)
                elif self._failure is not None:
                    raise self._failure.with_traceback(self._traceback)
            if item is not None:
                self._has_taken()
        except BaseException:
            if item is not None:
                self._items.appendleft(item)
                self._wake(1)
            elif waiter is not None:
                self._forget(waiter)
            raise
        return item, waiter

    def _has_taken(self) -> None:
        """There is one item less."""

    def _forget(self, waiter: Future[None]) -> None:
        """Who waited does no more; what woke it up is another one's."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return
        self._wake(1)

    def _wake(self, count: int) -> None:
        for _ in range(count):
            with self._lock:
                waiter = self._waiting.popleft() if self._waiting else None
            if waiter is None:
                return
            waiter.set(None)

    def _finish(self, failure: Exception | None) -> bool:
        """Put no more in: the iteration stops behind what waits, or raises the failure there.

        Returns `False` when it was so before.
        """
        with self._lock:
            if self._ended:
                return False
            self._ended, self._failure = True, failure
            self._traceback = None if failure is None else failure.__traceback__
            waiting = len(self._waiting)
        self._wake(waiting)
        return True
