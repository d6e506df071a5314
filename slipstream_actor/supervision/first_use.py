"""Who is told that a handle has started a client: what looks in from outside stands further up, and
says here what is to be done then. It may be imported after that."""

from __future__ import annotations

from collections.abc import Callable

from slipstream_actor.actors.forks import current_epoch
from slipstream_actor.actors.logger import Logger, get_logger

__all__ = ["VARIABLE", "has_started", "tell_started", "when_started"]

logger: Logger = get_logger("slipstream_actor.handle")

# Of the environment: the directory in which a process that uses a handle serves itself.
VARIABLE = "SLIPSTREAM_DEBUG_DIR"

_told: list[Callable[[], object]] = []
# In which process a handle has started a client last, by its epoch.
_started_in: int | None = None


def when_started(function: Callable[[], object]) -> None:
    """Have `function` called whenever a handle has started a client, in the thread that has."""
    _told.append(function)


def has_started() -> bool:
    """Whether a handle has started a client in this process."""
    return _started_in == current_epoch()


def tell_started() -> None:
    """A handle has started a client; what a function raises is logged, and no more than that."""
    global _started_in  # noqa: PLW0603 - the process has one
    # First: who comes to be told too late sees it.
    _started_in = current_epoch()
    for function in tuple(_told):
        try:
            function()
        except Exception:
            logger.exception("%r has failed when a handle started its client", function)
