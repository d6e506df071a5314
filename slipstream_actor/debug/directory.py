"""`SLIPSTREAM_DEBUG_DIR`: a directory in which every process that uses a handle serves itself."""

from __future__ import annotations

import logging
import os
import threading

from slipstream_actor.actors.forks import current_epoch, reset_in_child
from slipstream_actor.debug.serving import serve
from slipstream_actor.supervision.first_use import when_started

__all__ = ["VARIABLE", "serve_as_configured"]

logger: logging.Logger = logging.getLogger("slipstream_actor.debug")

VARIABLE = "SLIPSTREAM_DEBUG_DIR"
OWNER_ONLY = 0o700

_lock = threading.RLock()
# In which process it was tried, by its epoch: once in each.
_tried: int | None = None


def serve_as_configured() -> None:
    """Serve this process at `<directory>/<pid>.sock`, if the environment says so, once."""
    global _tried  # noqa: PLW0603 - the process has one
    directory = os.environ.get(VARIABLE)
    if not directory:
        return
    with _lock:
        if _tried == current_epoch():
            return
        _tried = current_epoch()
        path = os.path.join(directory, f"{os.getpid()}.sock")
        try:
            os.makedirs(directory, mode=OWNER_ONLY, exist_ok=True)
            serve(path)
        except OSError as error:
            # It is no reason for the program not to run.
            logger.warning("%s: nothing is served at %s: %s", VARIABLE, path, error)


def _reset_in_child() -> None:
    """Forget a lock that nobody may be there to release."""
    global _lock  # noqa: PLW0603 - nothing else could free it
    _lock = threading.RLock()


reset_in_child(_reset_in_child)
when_started(serve_as_configured)
