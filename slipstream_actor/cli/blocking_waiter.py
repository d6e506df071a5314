"""How an attempt to connect waits in a plain thread: for the sockets alone, with one deadline."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from slipstream_actor.wire.waiter import AttemptFailed, DeadlineWaiter, start_thread

__all__ = ["BlockingWaiter"]

T = TypeVar("T")


class BlockingWaiter(DeadlineWaiter):
    """A `Waiter` for somebody who waits for nothing else meanwhile."""

    def _ready(
        self,
        socks: Sequence[socket.socket],
        phase: str,
        at_most: float | None,
        *,
        read: bool,
        write: bool,
    ) -> bool:
        left = self.left(phase)
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
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

        start_thread(run)
        if not done.wait(left):
            self.left(phase)
            raise AttemptFailed("timeout", f"{phase} took more than {self._seconds:g} s")
        value, error = outcome[0]
        if error is not None:
            raise error
        result: T = value
        return result
