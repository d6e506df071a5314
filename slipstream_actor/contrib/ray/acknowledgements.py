"""Where what Ray's own threads tell is heard: they are not to run what users have given."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.actors.logger import Logger, get_logger

__all__ = ["Acknowledgements", "tell"]

logger: Logger = get_logger("slipstream_actor.ray")

# Seconds that the thread waits for more to do.
LINGER = 0.5


class Acknowledgements:
    """A thread that calls functions in their order. There is one while there is something to do."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._running = threading.Lock()

    def put(self, function: Callable[[], object]) -> None:
        """Have a function called."""
        self._queue.put(function)
        if not self._running.acquire(blocking=False):
            return
        try:
            threading.Thread(target=self._run, name="slipstream_actor shards", daemon=True).start()
        except BaseException:  # There are no more: the next one may have one for both.
            self._running.release()
            raise

    def _run(self) -> None:
        while True:
            try:
                function = self._queue.get(timeout=LINGER)
            except queue.Empty:
                self._running.release()
                # Behind that: something may have come that has found it running.
                if self._queue.empty() or not self._running.acquire(blocking=False):
                    return
                continue
            try:
                function()
            except Exception:
                logger.exception("what a shard has acknowledged could not be told")


_acknowledgements = Acknowledgements()


def tell(function: Callable[[], object]) -> None:
    """Have a function called in that thread."""
    _acknowledgements.put(function)


def _reset_in_child() -> None:
    global _acknowledgements  # noqa: PLW0603 - its thread is the parent's
    _acknowledgements = Acknowledgements()


reset_in_child(_reset_in_child)
