"""How the library logs: whatever a filter, a handler or a factory of records raises, nothing of it
comes out where something is logged.

`logging` itself guards what its own handlers write, and no filter: the usual one, which asks a web
framework for the current request, raises in every thread that has none.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any

__all__ = ["Logger", "get_logger", "guarded"]


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A logger of the program's, out of which no `Exception` comes."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave a line as it is; the base class replaces its fields."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log a line as `logging.Logger.log` does."""
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        with guarded(self.name, msg, *args):
            self.logger.log(level, msg, *args, **kwargs)


def get_logger(name: str) -> Logger:
    """Return the program's logger of that name, guarded."""
    return Logger(logging.getLogger(name))


@contextlib.contextmanager
def guarded(name: str, msg: object = "", *args: Any) -> Iterator[None]:
    """Say on standard error what `Exception` is raised by what logs, and go on behind the block.

    As `logging` does, nothing is said where `logging.raiseExceptions` is not set.
    """
    try:
        yield
    except Exception:
        if logging.raiseExceptions:
            report(name, msg, args)


def report(name: str, msg: object, args: tuple[Any, ...]) -> None:
    with contextlib.suppress(Exception):  # There may be no standard error, or none that takes it.
        line = str(msg) % args if args else str(msg)
        sys.stderr.write(f"--- Logging error ---\nnot logged by {name}: {line}\n")
        traceback.print_exc()
