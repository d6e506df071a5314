"""A Pykka future that follows another one, calls back when it is done, and is completed once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, NoReturn, TypeAlias, TypeVar

import msgspec
import pykka

from slipstream_actor.actors.awaitable import require_own_callback, waiting_for
from slipstream_actor.actors.forks import current_epoch, not_portable, require_here
from slipstream_actor.actors.here import Interrupted, is_main_thread, park_if_exiting, waiting
from slipstream_actor.actors.question import Question
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import AwaitTimeoutError, SlipstreamError

__all__ = ["Future"]

T = TypeVar("T")
ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Outcome(msgspec.Struct, frozen=True):
    """What `get` returns, raises or asks; or the future that is followed and not done yet."""

    value: Any = None
    error: BaseException | None = None
    traceback: TracebackType | None = None
    source: pykka.Future[Any] | None = None
    followed: pykka.Future[Any] | None = None

    def result(self) -> Any:
        """Return the value or raise the exception."""
        if self.error is not None:
            raise self.error.with_traceback(self.traceback)
        return self.value


class Future(pykka.Future[T]):
    """The future of our actors.

    `set` to another future it follows that one: `get` yields the value itself. A second
    completion is ignored, where Pykka's raises `queue.Full` and kills the actor's thread.

    It holds no lock: a signal handler, or garbage that is collected in the middle of anything
    here, may complete it, or ask it, too. Who completes it is settled by one step of a dict.
    """

    # Of an actor that was asked: its own thread cannot wait for this.
    answerer: Any = None
    # What it is asked for, while it is.
    question: Question | None = None
    # What it is made of by `map` and its like: it has a value when these are done.
    _made_of: tuple[pykka.Future[Any], ...] = ()
    # What Pykka's constructor gives to each of them; one that is mapped gets its own.
    _get_hook = None
    _get_hook_result = pykka.Future[Any]()._get_hook_result

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Shut until it is done; a getter opens it again behind itself.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._outcomes: dict[str, Outcome] = {}
        # A list, since most futures have none or one, and an empty deque takes 760 bytes.
        self._callbacks: list[Callable[[Future[T]], object]] = []

    def __reduce__(self) -> NoReturn:
        raise not_portable("a future", "send what its get returns")

    @property
    def done(self) -> bool:
        """Whether there is a value or an exception, or a foreign future to ask."""
        return self._outcome() is not None

    def has_failed_with(self, error: BaseException) -> bool:
        """Whether it has an exception, and that is `error`."""
        outcome = self._outcome()
        return outcome is not None and outcome.error is error

    def get(self, *, timeout: float | None = None) -> T:
        """Return the value or raise the exception, waiting up to `timeout` seconds for it.

        Raises `AwaitTimeoutError` when there is none by then, `ClientEndedError` when whoever was
        to complete it has ended, `ForkedError` in a forked child, where nobody is left who could,
        and `RuntimeError` in the thread of the actor that was asked. In an actor a request to stop
        ends the wait.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        deadline = None
        if timeout is not None:
            timeout = within_lock(require_seconds("timeout", timeout))
            deadline = None if timeout is None else time.monotonic() + timeout
        if (outcome := self._outcome()) is None:
            if waiting.inbox is None:
                self.wait(timeout)
            else:
                self._wait_in(waiting.inbox, timeout)
            if (outcome := self._outcome()) is None:
                park_if_exiting()
                raise self._expired(timeout)
        if outcome.source is not None:
            return self._ask_source(outcome.source, timeout, deadline)
        if isinstance(outcome.error, SlipstreamError):
            park_if_exiting()
        return outcome.result()  # type: ignore[no-any-return]

    def _result(self) -> T:
        """Return the value or raise the exception of one that is done.

        For who has completed it: others wait for him, and at the program's end `get` may keep him.
        """
        outcome = self._outcome()
        if outcome is None or outcome.source is not None:  # It is made of others, or Pykka's own.
            return self.get()
        return outcome.result()  # type: ignore[no-any-return]

    def _expired(self, timeout: float | None) -> AwaitTimeoutError:
        """Return the error of who has waited in vain: what for, and how that stands."""
        question = self.question
        if question is None:
            return AwaitTimeoutError("a result", timeout)
        return AwaitTimeoutError(str(question), timeout, hint=question.standing())

    def _ask_source(
        self, source: pykka.Future[Any], timeout: float | None, deadline: float | None
    ) -> T:
        """Ask a future of Pykka's own, whose time is over when ours is."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            return source.get(timeout=left)  # type: ignore[no-any-return]
        except pykka.Timeout as error:
            if isinstance(error, AwaitTimeoutError) or deadline is None:
                raise
            raise self._expired(timeout) from None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is done, whoever asks to stop meanwhile; return whether it is."""
        if not self.done:
            require_here(self)
            timeout = within_lock(timeout)
            try:
                self._gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
            finally:
                # Also behind the exception of a signal handler: others wait at it.
                if self.done:
                    open_gate(self._gate)
        return self.done

    def _wait_in(self, inbox: Any, timeout: float | None) -> None:
        """Wait in an actor until it is done, or the actor shall stop."""
        require_here(self)
        if self.answerer is inbox:
            raise RuntimeError("get: the actor would wait for its own answer")
        gate = threading.Lock()
        gate.acquire()
        around, inbox.interrupt = inbox.interrupt, lambda: open_gate(gate)
        done: Callable[[Future[T]], object] = lambda _: open_gate(gate)  # noqa: E731
        try:
            self.add_done_callback(done)
            if not inbox.stopping:
                gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        finally:
            inbox.interrupt = around
            self.remove_done_callback(done)
            if inbox.stopping and around is not None:
                around()
        if inbox.stopping and not self.done:
            raise Interrupted

    def set(self, value: Any = None) -> None:
        """Complete with `value`, or follow it if it is a future. Ignored when completed before."""
        if isinstance(value, Future) and value._get_hook is None:
            if (outcome := value._outcome()) is not None:
                self._settle("first", outcome)
            else:
                self._set_to_follow(value)
            return
        # A plain Pykka future, and a `map`, know no completion: they are asked when we are.
        foreign = isinstance(value, pykka.Future)
        self._settle("first", Outcome(source=value) if foreign else Outcome(value))

    def _set_to_follow(self, future: Future[Any]) -> None:
        following = Outcome(followed=future)
        # First the callback: between the two a signal handler may raise.
        future.add_done_callback(self._follow)
        try:
            if self._outcomes.setdefault("first", following) is not following:
                future.remove_done_callback(self._follow)
        finally:
            if future.done:  # Meanwhile.
                self._follow(future)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Complete with an exception, the one being handled by default."""
        kind, error, _ = exc_info or sys.exc_info()
        self.fail(error if error is not None else (kind or Exception)())

    def fail(self, error: BaseException) -> bool:
        """Complete with `error`; `False` when it was completed before."""
        return self._settle("first", Outcome(None, error, error.__traceback__))

    def remove_done_callback(self, function: Callable[[Future[T]], object]) -> None:
        """Call `function` no more, if it has not been called yet."""
        with contextlib.suppress(ValueError):
            self._callbacks.remove(function)

    def abandon(self, error: BaseException) -> None:
        """Complete with `error` also where it follows a future that is not done yet."""
        outcome = Outcome(None, error, error.__traceback__)
        if not self._settle("first", outcome) and not self.done:
            self._settle("second", outcome)

    def add_done_callback(self, function: Callable[[Future[T]], object]) -> None:
        """Call `function(self)` once done, in the thread that completes it; at once if it is.

        Raises `TypeError` in an `asyncio.wait`.
        """
        require_own_callback(function)
        try:
            self._callbacks.append(function)
        finally:
            if self.done:
                self._call_back()

    def cancel(self) -> bool:
        """Complete with `CancelledError`, if nobody has begun what it is the result of.

        Returns whether it was cancelled. What was told to an actor by a proxy or by `ask` cannot
        be taken back: `False`.
        """
        return False

    # Pykka's, of which each can be awaited.

    def map(self, func: Callable[[Any], Any]) -> Future[Any]:
        """Return a future of what `func` makes of the value."""
        return self._made(pykka.Future.map(self._plain(), func))

    def filter(self, func: Callable[[Any], Any]) -> Future[Any]:
        """Return a future of the items of the value that `func` is true of."""
        return self._made(pykka.Future.filter(self._plain(), func))

    def reduce(self, func: Callable[[Any, Any], Any], *args: Any) -> Future[Any]:
        """Return a future of what `func` makes of the items of the value, one after the other."""
        return self._made(pykka.Future.reduce(self._plain(), func, *args))

    def join(self, *futures: pykka.Future[Any]) -> Future[Any]:
        """Return a future of a list: the values of this one and of `futures`."""
        return self._made(pykka.Future.join(self._plain(), *futures), *futures)

    def _plain(self) -> Future[Any]:
        """Return one whose class is made without arguments: Pykka makes another of it."""
        return self

    def _made(self, future: Any, *others: pykka.Future[Any]) -> Future[Any]:
        """Return a future with what it was made of."""
        future._made_of = (self, *others)
        return future  # type: ignore[no-any-return]

    def _to_await(self) -> Future[Any]:
        """Return the future that is done, with a callback, when this one has a value.

        Raises `ForkedError` where nobody is left who could complete it.
        """
        if not self._made_of and not self.done:
            require_here(self)
        made_of = [
            f._to_await() if isinstance(f, Future) else in_a_thread(f) for f in self._made_of
        ]
        return AllOf(made_of) if len(made_of) > 1 else made_of[0] if made_of else self

    def as_concurrent(self) -> concurrent.futures.Future[T]:
        """Return a `concurrent.futures.Future` that is completed with this one.

        To cancel the one cancels the other. Raises `ForkedError`, as `get` does.
        """
        twin: concurrent.futures.Future[T] = concurrent.futures.Future()

        def complete(_: Any) -> None:
            if not twin.set_running_or_notify_cancel():
                return
            try:
                value = self._result()
            except BaseException as error:
                twin.set_exception(error)
            else:
                twin.set_result(value)

        def follow(done: Future[Any]) -> None:
            try:
                outcome = done._outcome()
                if outcome is None or outcome.source is None:
                    unless_locked(twin, complete)
                else:  # One of Pykka's own, which is not to be waited for here.
                    in_a_thread(outcome.source).add_done_callback(complete)
            except BaseException as error:  # There are no threads, or a signal handler has raised.
                if not twin.done():
                    twin.set_exception(error)
                raise

        awaited = self._to_await()
        if awaited.done:  # Not as a callback, whose exceptions are nobody's.
            follow(awaited)
        else:
            # Not `twin.cancelled()`, which takes its lock.
            twin.add_done_callback(lambda _: awaited.done or awaited.cancel())
            awaited.add_done_callback(follow)
        return twin

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for it in a coroutine, of asyncio or trio; one that is cancelled cancels it."""
        awaited = self._to_await()
        try:
            yield from waiting_for(awaited)
            outcome = awaited._outcome()
            if outcome is not None and outcome.source is not None:
                # One of Pykka's own, which says nothing when it is done.
                yield from waiting_for(in_a_thread(outcome.source))
        except BaseException:
            awaited.cancel()
            raise
        return self.get()

    def _outcome(self) -> Outcome | None:
        outcome = self._outcomes.get("first")
        if outcome is not None and outcome.followed is not None:
            return self._outcomes.get("second")
        return outcome

    def _settle(self, place: str, outcome: Outcome) -> bool:
        """Have `outcome` in its place, and open the gate; return whether it was the first there."""
        try:
            return self._outcomes.setdefault(place, outcome) is outcome
        finally:
            # Also behind the exception of a signal handler.
            if self.done:
                try:
                    self._completed()
                finally:
                    open_gate(self._gate)
                    self.answerer = self.question = None
                    if self._callbacks:
                        self._call_back()

    def _completed(self) -> None:
        """It is done; who waits for it does not know yet."""

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                function = self._callbacks.pop(0)
            except IndexError:
                return  # Another thread was faster.
            try:
                with contextlib.suppress(Exception):
                    function(self)
            except BaseException as error:
                self._call_back()
                # In the main thread it may be a signal handler's; elsewhere it would end whoever
                # has completed this, a connection perhaps.
                if not isinstance(error, SystemExit) or is_main_thread():
                    raise

    def _follow(self, done: Future[Any]) -> None:
        first, outcome = self._outcomes.get("first"), done._outcome()
        if outcome is not None and first is not None and first.followed is done:
            self._settle("second", outcome)


class AllOf(Future[None]):
    """Is done when all of some futures are."""

    def __init__(self, futures: list[Future[Any]]) -> None:
        super().__init__()
        self._futures = futures
        self._done_ones = itertools.count(1)
        for future in futures:
            future.add_done_callback(self._one_is_done)

    def _one_is_done(self, _: Any) -> None:
        if next(self._done_ones) == len(self._futures):
            self.set(None)

    def cancel(self) -> bool:
        """Cancel all of them; return whether one was."""
        return sum(future.cancel() for future in self._futures) > 0


def within_lock(timeout: float | None) -> float | None:
    """Return a timeout; `None`, for ever, for a longer one than a lock can be told of."""
    return None if timeout is None or timeout > threading.TIMEOUT_MAX else timeout


def open_gate(gate: Any) -> None:
    """Let everybody through who waits at `gate`, one behind the other."""
    try:  # Not `suppress`, which costs more.
        gate.release()
    except RuntimeError:
        pass  # It is open.


def unless_locked(twin: concurrent.futures.Future[Any], complete: Callable[[Any], object]) -> None:
    """Call `complete(twin)`, in a thread when its lock cannot be had at once.

    The exception of a signal handler may leave it locked, for good, by who waits for `twin`; the
    connection's thread is not to wait for that.
    """
    if twin._condition.acquire(blocking=False):
        twin._condition.release()
        complete(twin)
        return
    name = "slipstream_actor future"
    try:
        threading.Thread(target=complete, args=(twin,), name=name, daemon=True).start()
    except RuntimeError:  # The system has no more threads, and mostly the lock is free by now.
        complete(twin)


def in_a_thread(foreign: pykka.Future[Any]) -> Future[None]:
    """Return a future that is done when one of Pykka's own is."""
    done: Future[None] = Future()

    def ask() -> None:
        with contextlib.suppress(BaseException):
            foreign.get()
        done.set(None)

    threading.Thread(target=ask, name="slipstream_actor future", daemon=True).start()
    return done
