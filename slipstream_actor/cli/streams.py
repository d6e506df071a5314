"""The standard streams as the commands take them: all are there, all bytes can be read, and all
texts written.

One that is closed is `None` to Python.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NoReturn, TextIO

__all__ = ["with_streams"]

NAMES = {"stdin": "standard input", "stdout": "standard output"}


@contextmanager
def with_streams() -> Iterator[None]:
    """Have all standard streams meanwhile.

    One that is closed raises `OSError` when it is read or written to; what is said on standard
    error is lost then. A command that does not need it does not notice.
    """
    with ExitStack() as stack:
        for attribute, name in NAMES.items():
            if getattr(sys, attribute) is None:
                # Unbuffered, as with `python -u`: nothing is left to be written at the end.
                closed: Any = Closed(name)
                put(stack, attribute, io.TextIOWrapper(closed, "utf-8", write_through=True))
        if sys.stderr is None:
            # Without one, what is printed to it goes to standard output.
            put(stack, "stderr", stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
        # In each locale a byte that is not UTF-8 is the line's fault, and not the end.
        reconfigure(sys.stdin, "surrogateescape")
        # And so is what a locale has no letter for.
        reconfigure(sys.stdout, "backslashreplace")
        yield


def reconfigure(stream: TextIO, errors: str) -> None:
    """Have a stream do something else than fail with what its encoding does not know."""
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):  # Somebody has read, or closed it.
            stream.reconfigure(errors=errors)


def put(stack: ExitStack, attribute: str, stream: TextIO) -> None:
    """Put a stream into the place of one that is closed, until the stack is left."""
    stack.callback(setattr, sys, attribute, None)
    setattr(sys, attribute, stream)


class Closed(io.RawIOBase):
    """Raises `OSError` with its name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, _: Any) -> NoReturn:
        raise OSError(errno.EBADF, f"{self._name} is closed")

    def write(self, _: Any) -> NoReturn:
        raise OSError(errno.EBADF, f"{self._name} is closed")
