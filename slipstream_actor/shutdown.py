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
# Of these, for the supervisors: one that such a child holds up leaves the others their time.
SUPERVISION_SECONDS = 1.0


@functools.cache
def stop_at_exit(kind: type[pykka.Actor], pid: int) -> None:
    """Have this process stop its actors of `kind` when it exits."""
    atexit.register(stop_all, kind, pid)


def stop_all(kind: type[pykka.Actor], pid: int) -> None:
    """Stop the actors of `kind`: the supervisors, lest they restart what is stopped here; the
    other clients; and the connections that plain threads own."""
    if os.getpid() != pid:
        return  # In a forked child their threads do not exist.
    started = time.monotonic()
    for order in (0, 1, 2):
        refs = [
            ref
            for ref in pykka.ActorRegistry.get_by_class(kind)
            if getattr(ref.actor_class, "stop_order", 1) == order
        ]
        deadline = started + (SHUTDOWN_SECONDS if order else SUPERVISION_SECONDS)
        stopping: list[Any] = [ref.stop(block=False) for ref in refs]
        for stopped in stopping:
            with contextlib.suppress(pykka.Timeout):
                stopped.get(timeout=max(0.0, deadline - time.monotonic()))
