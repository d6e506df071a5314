"""The threads of one server.

They are daemons, so that a forgotten server keeps no interpreter alive, and joined by its stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Threads:
    """Starts threads and waits for them. Every method may be called from any thread."""

    def __init__(self) -> None:
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._threads: list[threading.Thread] = []
        self._tidy_at = 64

    def start(self, target: Callable[[], None], name: str) -> None:
        """Starts a daemon thread. Raises `RuntimeError` when there can be no more of them."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        with self._lock:
            # A thread is kept until it is seen dead, not until it says goodbye: who has joined all
            # of them sees none left.
            if len(self._threads) >= self._tidy_at:
                self._threads = [t for t in self._threads if t.is_alive()]
                self._tidy_at = 64 + 2 * len(self._threads)
            thread.start()
            self._threads.append(thread)

    def join(self, by: float) -> None:
        """Waits for all of them but the caller's own, until the time `by` at the latest."""
        # Again and again: those that end may have started others meanwhile.
        while time.monotonic() < by and (alive := self._alive()):
            for thread in alive:
                thread.join(max(0.0, by - time.monotonic()))

    def _alive(self) -> list[threading.Thread]:
        current = threading.current_thread()
        with self._lock:
            return [t for t in self._threads if t.is_alive() and t is not current]
