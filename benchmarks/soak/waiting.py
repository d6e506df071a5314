"""Waiting for what tells nobody when it happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for what tells nobody when it happens; return whether it has."""
    deadline = time.monotonic() + timeout
    nap = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        nap.wait(0.05)
    return True
