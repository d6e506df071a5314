"""`await future`, in asyncio and in trio: it blocks no loop, and takes no thread."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any, Protocol

__all__ = ["Completable", "waiting_for"]


class Completable(Protocol):
    """What says once that it is done."""

    @property
    def done(self) -> bool:
        """Whether it is."""

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Have `function` called once it is done, in whatever thread."""

    def remove_done_callback(self, function: Callable[[Any], object]) -> None:
        """Have it called no more."""


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


def wait_in_asyncio(future: Completable) -> Generator[Any, None, None]:
    import asyncio

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def resume() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake(_: Any) -> None:
        # In the thread that completes it; a loop that is closed raises: nobody is there to wake.
        loop.call_soon_threadsafe(resume)

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
