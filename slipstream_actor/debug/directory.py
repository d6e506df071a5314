"""A directory in which every process that uses a handle serves itself: `SLIPSTREAM_DEBUG_DIR`, or
what `serve_in` names."""

from __future__ import annotations

import os
import sys
import threading

from slipstream_actor.actors.forks import current_epoch, renew_lock_in_child
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.debug.serving import DebugServer, serve
from slipstream_actor.debug.sockets import SUFFIX
from slipstream_actor.supervision.first_use import VARIABLE, has_started, when_started

__all__ = ["VARIABLE", "serve_as_configured", "serve_in", "serve_no_more", "served_directories"]

logger: Logger = get_logger("slipstream_actor.debug")

OWNER_ONLY = 0o700

_lock = threading.RLock()
renew_lock_in_child(sys.modules[__name__], "_lock")
# What `serve_in` was given, each once; a child of a fork has it too.
_configured: dict[str, None] = {}
# In which process that was done, by its epoch, and what it has tried to serve.
_tried_in: int | None = None
_tried: dict[str, DebugServer | None] = {}


def serve_in(directory: str | os.PathLike[str]) -> None:
    """Have every process that uses a handle serve itself at `<directory>/<pid>.sock`: this one and
    those that it forks, each from its first use of a `ClientHandle` on.

    What `SLIPSTREAM_DEBUG_DIR` does, which outranks it where it is set. The directory is made then,
    for its owner alone; where that cannot be, or nothing can be served, a warning says so, and the
    program goes on. Opens nothing itself; twice is as once. Raises `TypeError` for no path.
    """
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise TypeError(f"directory must be a str or a path of one, not {directory!r}")
    with _lock:
        if path:
            _configured.setdefault(os.path.abspath(path))
    if has_started():
        serve_as_configured()


def served_directories() -> list[str]:
    """Return the directories in which processes serve themselves: the environment's, else those of
    `serve_in`."""
    directory = os.environ.get(VARIABLE)
    return [directory] if directory else list(_configured)


def serve_as_configured() -> None:
    """Serve this process in each of the directories, once."""
    global _tried_in  # noqa: PLW0603 - the process has one
    with _lock:
        if _tried_in != current_epoch():
            _tried_in = current_epoch()
            _tried.clear()
        for directory in served_directories():
            if directory not in _tried:
                _tried[directory] = served_at(directory)


def served_at(directory: str) -> DebugServer | None:
    """Serve this process in a directory; it is no reason for the program not to run."""
    path = os.path.join(directory, f"{os.getpid()}{SUFFIX}")
    try:
        os.makedirs(directory, mode=OWNER_ONLY, exist_ok=True)
        return serve(path)
    except OSError as error:
        logger.warning("%s: nothing is served at %s: %s", VARIABLE, path, error)
        return None


def serve_no_more() -> None:
    """Close what this process serves: it leaves without running what is registered for its exit."""
    with _lock:
        servers = list(_tried.values()) if _tried_in == current_epoch() else []
    for server in servers:
        if server is not None:
            server.close()


when_started(serve_as_configured)
