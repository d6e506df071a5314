"""A Pykka future that follows another one, calls back when it is done, and is completed once."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import pykka

from slipstream_actor.actors.forks import current_epoch, require_here
from slipstream_actor.configuration.arguments import require_seconds

__all__ = ["Future"]

T = TypeVar("T")
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Future(pykka.Future[T]):
    """The future of our actors.

    `set` to another future it follows that one: `get` yields the value itself. A second
    completion is ignored, where Pykka's raises `queue.Full` and kills the actor's thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: int = current_epoch()
        # One lock is the gate that `get` waits at; the other guards the completion.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._once = threading.Lock()
        self._taken = self._complete = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._source: pykka.Future[Any] | None = None
        self._callbacks: list[Callable[[Future[T]], object]] = []

    @property
    def done(self) -> bool:
        """Whether there is a value or an exception, or a foreign future to ask."""
        return self._complete

    def get(self, *, timeout: float | None = None) -> T:
        """Return the value or raise the exception, waiting up to `timeout` seconds for it.

        Raises `pykka.Timeout` when there is none by then, and `ForkedError` in a forked child,
        where nobody is left who could complete it.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        timeout = require_seconds("timeout", timeout)
        timeout = None if timeout is None or timeout > threading.TIMEOUT_MAX else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._complete:
            require_here(self)
            if not self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
                raise pykka.Timeout(f"{timeout} seconds")
            self._gate.release()
        if self._source is not None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return self._source.get(timeout=left)  # type: ignore[no-any-return]
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)
        return self._value  # type: ignore[no-any-return]

    def set(self, value: Any = None) -> None:
        """Complete with `value`, or follow it if it is a future. Ignored when completed before."""
        if not self._take():
            return
        if isinstance(value, Future) and value._get_hook is None:
            value.add_done_callback(self._follow)
        else:
            # A plain Pykka future, and a `map`, know no completion: they are asked when we are.
            foreign = isinstance(value, pykka.Future)
            self._settle(None, None if foreign else value, value if foreign else None)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Complete with an exception, the one being handled by default."""
        kind, error, _ = exc_info or sys.exc_info()
        self.fail(error if error is not None else (kind or Exception)())

    def fail(self, error: BaseException) -> bool:
        """Complete with `error`; `False` when it was completed before."""
        if not self._take():
            return False
        self._settle(error)
        return True

    def remove_done_callback(self, function: Callable[[Future[T]], object]) -> None:
        """Call `function` no more, if it has not been called yet."""
        with self._once:
            if function in self._callbacks:
                self._callbacks.remove(function)

    def abandon(self, error: BaseException) -> None:
        """Complete with `error` also where it follows a future that is not done yet."""
        self._take()
        self._settle(error)

    def add_done_callback(self, function: Callable[[Future[T]], object]) -> None:
        """Call `function(self)` once done, in the thread that completes it; at once if it is."""
        with self._once:
            if not self._complete:
                self._callbacks.append(function)
                return
        function(self)

    def _take(self) -> bool:
        with self._once:
            taken, self._taken = self._taken, True
        return not taken

    def _settle(
        self,
        error: BaseException | None = None,
        value: Any = None,
        source: pykka.Future[Any] | None = None,
    ) -> None:
        """Open the gate, with what `get` shall return, raise or ask; the first time counts."""
        with self._once:
            if self._complete:
                return
            self._value, self._error, self._source = value, error, source
            self._traceback = error.__traceback__ if error is not None else None
            self._complete = True
            self._gate.release()
            callbacks, self._callbacks = self._callbacks, []
        for function in callbacks:
            with contextlib.suppress(Exception):
                function(self)

    def _follow(self, done: Future[Any]) -> None:
        self._settle(done._error, done._value, done._source)
