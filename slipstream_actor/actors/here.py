"""What the calling thread is to whatever waits in it, or raises; below everything that does."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Interrupted", "Waiting", "park_if_exiting", "waiting"]

# Whether the exit of the program ends its actors.
exiting = False


class Interrupted(BaseException):
    """Unwinds a callback that waits, when its actor is asked to stop, or was forked.

    No `Exception`, since it is no error that user code could handle.
    """


class Waiting(threading.local):
    """The inbox of the actor whose thread this is; `None` in a plain one."""

    inbox: Any = None


waiting: Waiting = Waiting()


def park_if_exiting() -> None:
    """Keep a plain thread that would raise for what the exit has ended, until that is over.

    An exception would be the last that the program says, and about nothing that went wrong. And
    what it would begin nobody would see through. Of a thread that is no daemon the interpreter
    waits for the end.
    """
    while exiting and waiting.inbox is None and threading.current_thread().daemon:
        threading.Event().wait()
