"""What ends the tool from outside: Ctrl-C, and a SIGTERM.

Their handlers raise, and not everything that runs in the main thread lets an exception through. A
callback of a weak reference, which each import has, loses it; `__set_name__` makes another of it;
and a `KeyboardInterrupt` that comes in the `exec` of a text, which is how dataclasses are made, has
the interpreter end itself with SIGINT in the end, though somebody has caught it. All of that is
where modules are imported, and the tool imports what a command needs when it needs it: what comes
in the middle of an import is raised behind it.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, TypeAlias

__all__ = ["Terminated", "ending_on_signals", "stay"]

Handler: TypeAlias = Any  # What `signal.signal` takes and returns.

# Seconds that an import may hold up a signal; a second signal does not wait.
PATIENCE = 5.0
# Seconds from one look whether it is over to the next.
INTERVAL = 0.01
IMPORTING = "<frozen importlib."
HAS_TIMER = hasattr(signal, "setitimer")


class Terminated(BaseException):
    """A SIGTERM came."""


RAISED: dict[int, type[BaseException]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
}


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Have Ctrl-C raise `KeyboardInterrupt`, and a SIGTERM `Terminated`; neither gets lost.

    Leaves a SIGINT alone that somebody else sees to, or that is to be ignored. Without effect in a
    thread that is not the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = Signals()
    try:
        signals.install()
        yield
    finally:
        signals.restore()


def stay() -> NoReturn:
    """Do nothing until a signal raises."""
    while True:
        # One that comes when a sleep is about to begin is handled behind it.
        time.sleep(1.0)


class Signals:
    """The handlers of the signals that end the tool, and the one that waits to be raised."""

    def __init__(self) -> None:
        self._before: dict[int, Handler] = {}
        self._unraisable_before = sys.unraisablehook
        self._postponed: int | None = None
        self._until = 0.0

    def install(self) -> None:
        """Handle them from now on."""
        sys.unraisablehook = self._lost
        self._handle(signal.SIGTERM, self._come)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._handle(signal.SIGINT, self._come)

    def restore(self) -> None:
        """Leave them to whoever had them before."""
        self._forget()
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        sys.unraisablehook = self._unraisable_before

    def _handle(self, number: int, handler: Handler) -> None:
        self._before.setdefault(number, signal.signal(number, handler))

    def _come(self, number: int, frame: FrameType | None) -> None:
        """One of the signals has come."""
        if self._postponed is None and HAS_TIMER and is_importing(frame):
            self._postpone(number)
        else:
            self._raise(number)

    def _lost(self, unraisable: Any) -> None:
        """What is raised here goes nowhere: a finalizer, or a callback of a weak reference."""
        numbers = [n for n, kind in RAISED.items() if issubclass(unraisable.exc_type, kind)]
        if numbers and HAS_TIMER and threading.current_thread() is threading.main_thread():
            self._postpone(numbers[0])
        else:
            self._unraisable_before(unraisable)

    def _postpone(self, number: int) -> None:
        self._postponed, self._until = number, time.monotonic() + PATIENCE
        # Not before it is needed: it may be somebody else's.
        self._handle(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL)

    def _look(self, _: int, frame: FrameType | None) -> None:
        """See whether what was postponed can be raised."""
        if self._postponed is None:
            return
        if is_importing(frame) and time.monotonic() < self._until:
            signal.setitimer(signal.ITIMER_REAL, INTERVAL)
        else:
            self._raise(self._postponed)

    def _raise(self, number: int) -> None:
        self._forget()
        raise RAISED[number]

    def _forget(self) -> None:
        if self._postponed is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._postponed = None


def is_importing(frame: FrameType | None) -> bool:
    """Whether an import has called what runs."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTING):
            return True
        frame = frame.f_back
    return False
