"""`await future`, in asyncio and in trio: it blocks no loop, and takes no thread."""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, Protocol

__all__ = ["Completable", "require_own_callback", "waiting_for"]


class Completable(Protocol):
    """What says once that it is done."""

    @property
    def done(self) -> bool:
        """Whether it is."""

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Have `function` called once it is done, in whatever thread."""

    def remove_done_callback(self, function: Callable[[Any], object]) -> None:
        """Have it called no more."""


def require_own_callback(function: Callable[[Any], object]) -> None:
    """Raise `TypeError` for that of `asyncio.wait`, which knows futures of its loop's thread alone:
    called from another one it wakes nobody."""
    if getattr(function, "__module__", None) == "asyncio.tasks":
        raise TypeError(
            "asyncio.wait takes futures of asyncio's own: give it asyncio.ensure_future(…) of this"
            " one; await, asyncio.gather and asyncio.wait_for take it as it is"
        )


def waiting_for(future: Completable) -> Generator[Any, None, None]:
    """Suspend the coroutine that runs until `future` is done.

    Raises `RuntimeError` where no loop runs that it could wait in, and what the loop raises when
    the coroutine is cancelled.
    """
    if future.done:
        return
    if runs_in_trio():
        yield from wait_in_trio(future)
    else:
        yield from wait_in_asyncio(future)


def runs_in_trio() -> bool:
    """Whether trio runs the coroutine; asked only where it has been imported."""
    lowlevel: Any = sys.modules.get("trio.lowlevel")
    return lowlevel is not None and bool(lowlevel.in_trio_run())


class Resumptions:
    """Coroutines of one asyncio loop that are to go on: a burst of them wakes the loop once."""

    def __init__(self, loop: Any) -> None:
        self.loop: weakref.ref[Any] = weakref.ref(loop)
        self._ready: deque[Any] = deque()
        self._scheduled = False

    def add(self, loop: Any, waiter: Any) -> None:
        """Have `waiter` completed in its loop, from any thread; raises where that is closed."""
        self._ready.append(waiter)
        try:
            # Asked behind the `append`, and told before the first one is taken: of the two sides
            # at least one sees what the other has done.
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon_threadsafe(self._resume)
        except BaseException:  # It is closed, or a signal handler has raised.
            self._scheduled = False
            if loop.is_closed():
                self._ready.clear()
            raise

    def _resume(self) -> None:
        self._scheduled = False
        try:
            while self._ready:
                waiter = self._ready[0]
                if not waiter.done():
                    waiter.set_result(None)
                self._ready.popleft()
        except BaseException:
            # A signal handler's: the loop goes on, and so do those that are left.
            loop = self.loop()
            if self._ready and loop is not None:
                self._scheduled = True
                loop.call_soon(self._resume)
            raise


class Local(threading.local):
    """What belongs to the loop that ran in a thread last."""

    resumptions: Resumptions | None = None


local: Local = Local()


def resumptions_of(loop: Any) -> Resumptions:
    """Return those of the loop that runs in this thread."""
    known = local.resumptions
    if known is None or known.loop() is not loop:
        local.resumptions = known = Resumptions(loop)
    return known


def wait_in_asyncio(future: Completable) -> Generator[Any, None, None]:
    import asyncio

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    resumptions = resumptions_of(loop)

    def wake(_: Any) -> None:
        # In the thread that completes it; a loop that is closed raises: nobody is there to wake.
        resumptions.add(loop, waiter)

    future.add_done_callback(wake)
    try:
        yield from waiter
    finally:
        future.remove_done_callback(wake)


def wait_in_trio(future: Completable) -> Generator[Any, None, None]:
    trio: Any = sys.modules["trio"]
    token, event = trio.lowlevel.current_trio_token(), trio.Event()

    def wake(_: Any) -> None:
        token.run_sync_soon(event.set)

    future.add_done_callback(wake)
    try:
        yield from event.wait().__await__()
    finally:
        future.remove_done_callback(wake)
