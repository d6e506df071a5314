"""The end of the program: our actors are daemons, so that they keep no interpreter from exiting,
and are stopped when it does, within a bounded time and with their close frames sent."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import time
from typing import Any

import pykka

__all__ = ["stop_at_exit"]

# For all actors together; one in the middle of a callback is abandoned.
SHUTDOWN_SECONDS = 2.0


@functools.cache
def stop_at_exit(kind: type[pykka.Actor], pid: int) -> None:
    """Have this process stop its actors of `kind` when it exits."""
    atexit.register(stop_all, kind, pid)


def stop_all(kind: type[pykka.Actor], pid: int) -> None:
    """Stop the actors of `kind`: the clients, then the connections that plain threads own."""
    if os.getpid() != pid:
        return  # In a forked child their threads do not exist.
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    for last in (False, True):
        refs = [
            ref
            for ref in pykka.ActorRegistry.get_by_class(kind)
            if getattr(ref.actor_class, "stops_last", False) is last
        ]
        stopping: list[Any] = [ref.stop(block=False) for ref in refs]
        for stopped in stopping:
            with contextlib.suppress(pykka.Timeout):
                stopped.get(timeout=max(0.0, deadline - time.monotonic()))
