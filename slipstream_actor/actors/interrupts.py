"""Ctrl-C in the main thread while that steps a connection: it comes when the step is over; and
what is a signal handler's of what is caught.

A handler of Python's may raise between any two steps of the main thread. Where the only one is that
of Ctrl-C, as in most programs, it is put aside meanwhile; where there are others the main thread
steps nothing: `signal.signal` would undo what `signal.siginterrupt` has set for them.
"""

from __future__ import annotations

import enum
import importlib
import time
import traceback
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.actors.here import is_main_thread

__all__ = ["is_of_a_handler", "put_off", "putting_off"]

T = TypeVar("T")

# What is beneath `signal`, which looks each handler up among names.
signal: Any = importlib.import_module("_signal")
SIGNALS = sorted(signal.valid_signals())
# Seconds after which another Ctrl-C comes at once, in the middle of whatever hangs.
IMPATIENT = 1.0
USUAL = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN, None)


class Handlers(enum.Enum):
    """What may raise in the main thread: no handler, that of Ctrl-C alone, or another one."""

    NONE = enum.auto()
    CTRL_C = enum.auto()
    OTHERS = enum.auto()


class Driven(Protocol):
    """The inbox of a connection that the main thread steps."""

    def wake(self) -> None:
        """End its wait."""


class PuttingOff:
    """What is put off in the main thread, and whose wait that ends."""

    def __init__(self) -> None:
        self.driven: Driven | None = None
        # The same, once Ctrl-C was pressed: it alone is to be left, other threads drive others.
        self.interrupted: Driven | None = None
        # When it was pressed.
        self.noted: float | None = None
        self._seen: list[Any] = []
        self._handlers = Handlers.OTHERS

    @property
    def handlers(self) -> Handlers:
        """What is installed now; it is looked at before every step."""
        found = [*map(signal.getsignal, SIGNALS)]
        if found != self._seen:
            others = [f for s, f in zip(SIGNALS, found, strict=True) if s != signal.SIGINT]
            usual = signal.getsignal(signal.SIGINT)
            if any(map(callable, others)) or usual not in USUAL:
                self._handlers = Handlers.OTHERS
            else:
                self._handlers = Handlers.CTRL_C if callable(usual) else Handlers.NONE
            self._seen = found
        return self._handlers

    def note(self, _number: int, _frame: object) -> None:
        """Be the handler meanwhile."""
        noted, self.noted = self.noted, time.monotonic()
        if noted is not None and self.noted - noted > IMPATIENT:
            raise KeyboardInterrupt
        if (driven := self.driven) is not None:
            self.interrupted = driven
            driven.wake()

    def reset(self) -> None:
        """The main thread of the parent, which would put it back, is not in this process."""
        self.driven = self.interrupted = None
        if signal.getsignal(signal.SIGINT) == self.note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


putting_off: PuttingOff = PuttingOff()
reset_in_child(putting_off.reset)


def put_off(driven: Driven, function: Callable[..., T], *args: Any) -> T | None:
    """Return what `function(*args)` does, a Ctrl-C in which wakes `driven` and is raised behind it.

    Only in the main thread; elsewhere it is no more than the call. Returns `None`, and has called
    nothing, where a handler might raise.
    """
    if not is_main_thread() or (handlers := putting_off.handlers) is Handlers.NONE:
        return function(*args)
    if handlers is Handlers.OTHERS or putting_off.driven is not None:
        return None
    putting_off.noted = None
    try:
        putting_off.driven = driven
        signal.signal(signal.SIGINT, putting_off.note)
        return function(*args)
    finally:
        putting_off.driven = putting_off.interrupted = None
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if putting_off.noted is not None:
            raise KeyboardInterrupt


def is_of_a_handler(error: BaseException) -> bool:
    """Whether a signal handler has raised `error`, in the middle of what it is caught from."""
    if not is_main_thread():
        return False
    codes = [code_of(handler) for handler in map(signal.getsignal, SIGNALS) if callable(handler)]
    return any(frame.f_code in codes for frame, _ in traceback.walk_tb(error.__traceback__))


def code_of(handler: Any) -> Any:
    """Return the code of a function, of a method, or of what is called as one."""
    function = getattr(handler, "func", handler)  # As that of `functools.partial`.
    if not hasattr(function, "__code__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 - an object's is meant
    return getattr(function, "__code__", None)
