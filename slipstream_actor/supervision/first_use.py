"""Who is told that a handle has started a client: what looks in from outside stands further up, and
says here what is to be done then."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["tell_started", "when_started"]

logger: logging.Logger = logging.getLogger("slipstream_actor.handle")

_told: list[Callable[[], object]] = []


def when_started(function: Callable[[], object]) -> None:
    """Have `function` called whenever a handle has started a client, in the thread that has."""
    _told.append(function)


def tell_started() -> None:
    """A handle has started a client; what a function raises is logged, and no more than that."""
    for function in tuple(_told):
        try:
            function()
        except Exception:
            logger.exception("%r has failed when a handle started its client", function)
