"""A client that takes its messages one by one, each when the test lets it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from slipstream_actor import Socket
from tests.support.clients import PATIENCE, Recorder


class Slow(Recorder):
    """Takes a message when it is let: of one test at a time."""

    turns: threading.Semaphore
    entered: threading.Event

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.entered.set()
        assert self.turns.acquire(timeout=PATIENCE)
        self.note("message", topic, event, payload)


@contextmanager
def letting() -> Iterator[threading.Semaphore]:
    """Yield what lets a `Slow` take a message; at the end it may take all."""
    Slow.turns, Slow.entered = threading.Semaphore(0), threading.Event()
    try:
        yield Slow.turns
    finally:
        Slow.turns.release(10**6)
