"""A stream of Ray's that a test feeds, in the place of a shard."""

from __future__ import annotations

import queue
from typing import Any

__all__ = ["next_of"]


def next_of(stream: queue.SimpleQueue[Any], seconds: float) -> Any:
    """Return, or raise, what the test has put in next; `None` when there is nothing soon."""
    try:
        found = stream.get(timeout=min(seconds, 0.02))
    except queue.Empty:
        return None
    if isinstance(found, BaseException):
        raise found
    return found
