"""What the thread of an actor is to whatever waits in it; below everything that does."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Interrupted", "Waiting", "waiting"]


class Interrupted(BaseException):
    """Unwinds a callback that waits, when its actor is asked to stop, or was forked.

    No `Exception`, since it is no error that user code could handle.
    """


class Waiting(threading.local):
    """The inbox of the actor whose thread this is; `None` in a plain one."""

    inbox: Any = None


waiting: Waiting = Waiting()
