"""What a thread waits in, a selector, and how other threads wake it there."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

# There are seldom more; those that are left would wake the owner again.
WAKEUPS = 4_096

# Where there is poll, it is as fast as epoll for two descriptors and needs none of its own.
Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)


class Waker:
    """Wakes a thread that waits in a selector. While that is awake, waking costs nothing."""

    def __init__(self) -> None:
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)
        self._outer.setblocking(False)
        self._asleep = False
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._inner.fileno()

    def arm(self) -> None:
        """Says that the owner is about to sleep: what it waits for, it must look at after this."""
        self._asleep = True

    def disarm(self) -> None:
        """Says that the owner is awake."""
        self._asleep = False

    def drain(self) -> None:
        """Takes what `wake` has sent; to be called when the selector has found it."""
        with contextlib.suppress(BlockingIOError):
            self._inner.recv(WAKEUPS)

    def wake(self) -> None:
        """Wakes the owner. From any thread, also after `close`."""
        if self._asleep:
            self._asleep = False
            # The lock is for `close`: no byte may go to a descriptor that has become another's.
            with self._lock, contextlib.suppress(OSError):
                self._outer.send(b"\0")

    def close(self) -> None:
        """Frees both descriptors."""
        with self._lock:
            self._inner.close()
            self._outer.close()
