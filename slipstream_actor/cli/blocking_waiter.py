"""How an attempt to connect waits in a plain thread: for the sockets alone, with one deadline."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from slipstream_actor.wire.waiter import AttemptFailed, Route

__all__ = ["BlockingWaiter"]

T = TypeVar("T")


class BlockingWaiter:
    """A `Waiter` for somebody who waits for nothing else meanwhile."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self.route: Route | None = None

    def left(self, phase: str) -> float:
        """Return the seconds until the deadline; `AttemptFailed` when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise AttemptFailed("timeout", f"{phase} took more than {self._seconds:g} s")
        return left

    def ready(
        self,
        sock: socket.socket,
        phase: str,
        *,
        read: bool = False,
        write: bool = False,
        at_most: float | None = None,
    ) -> bool:
        """Wait for `sock`; `False` when `at_most` seconds passed first."""
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        return self._wait([sock], events, phase, at_most)

    def any_writable(
        self, socks: Sequence[socket.socket], phase: str, at_most: float | None = None
    ) -> bool:
        """Wait for any of `socks`; `False` when `at_most` seconds passed first."""
        return self._wait(socks, selectors.EVENT_WRITE, phase, at_most)

    def _wait(
        self, socks: Sequence[socket.socket], events: int, phase: str, at_most: float | None
    ) -> bool:
        left = self.left(phase)
        with selectors.DefaultSelector() as selector:
            for sock in socks:
                selector.register(sock, events)
            if selector.select(left if at_most is None else min(left, at_most)):
                return True
        self.left(phase)
        return False

    def elsewhere(self, phase: str, function: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Run `function` in a thread and return its result; abandon it at the deadline."""
        left = self.left(phase)
        done = threading.Event()
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append((function(), None))
            except Exception as error:
                outcome.append((None, error))
            done.set()

        threading.Thread(target=run, name="slipstream-lookup", daemon=True).start()
        if not done.wait(left):
            self.left(phase)
            raise AttemptFailed("timeout", f"{phase} took more than {self._seconds:g} s")
        value, error = outcome[0]
        if error is not None:
            raise error
        result: T = value
        return result
