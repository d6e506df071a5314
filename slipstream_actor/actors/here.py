"""What the calling thread is to whatever waits in it, or raises; below everything that does."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

__all__ = [
    "Interrupted",
    "Waiting",
    "is_main_thread",
    "park_if_exiting",
    "require_patched_first",
    "waiting",
]

# Whether the exit of the program ends its actors.
exiting = False
# Until when it keeps plain threads, on the monotonic clock: so many seconds longer than it takes.
# By then the program is gone, unless something of its own waits for such a thread.
kept_until: float = math.inf
KEPT_BEHIND = 1.0
# Seconds between two looks.
LOOK = 0.02


class Interrupted(BaseException):
    """Unwinds a callback that waits, when its actor is asked to stop, or was forked.

    No `Exception`, since it is no error that user code could handle.
    """


# What this module's are made of; gevent replaces it.
_local: Any = threading.local


class Waiting(threading.local):
    """The inbox of the actor whose thread this is; `None` in a plain one."""

    inbox: Any = None
    # Whether it is the main thread, where signals are handled; `None` before that was asked.
    is_main: bool | None = None


waiting: Waiting = Waiting()


def is_main_thread() -> bool:
    """Whether this is the main thread, where signals are handled."""
    if waiting.is_main is None:
        waiting.is_main = threading.current_thread() is threading.main_thread()
    return waiting.is_main


def park_if_exiting() -> None:
    """Keep a plain thread that would raise for what the exit has ended, until that is over.

    An exception would be the last that the program says, and about nothing that went wrong. And
    what it would begin nobody would see through. Of a thread that is no daemon the interpreter
    waits for the end; and of one that is, what the program has registered for its exit may.
    """
    if not exiting or waiting.inbox is not None:
        return
    while threading.current_thread().daemon and time.monotonic() < kept_until:
        time.sleep(LOOK)


def require_patched_first() -> None:
    """Raise `RuntimeError` where gevent has patched threads after the package was imported.

    What each thread has of its own here is then one for all greenlets: actors would take each other
    for themselves.
    """
    if threading.local is not _local:
        raise RuntimeError(
            "slipstream_actor was imported before gevent.monkey.patch_all(): patch first. Where"
            " gunicorn has --preload, its workers patch after the import: then do it at the top of"
            " gunicorn.conf.py"
        )
