"""One request from outside, from the call to its outcome: it is the future of its reply."""

from __future__ import annotations

import contextvars
import itertools
import queue
import time
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.awaitable import require_own_callback
from slipstream_actor.actors.expiry import Expiry, call_at
from slipstream_actor.actors.forks import is_forked
from slipstream_actor.actors.future import Future, Outcome
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.interrupts import put_off
from slipstream_actor.actors.question import Question
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.errors import AwaitTimeoutError, CancelledError, shown
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import ChannelEnded, ConnectFailed, PushTimeout
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError
from slipstream_actor.socket.telemetry import request_ended

__all__ = ["PendingRequest", "RequestFuture"]

_numbers = itertools.count()

# What a future has in the place of a mailbox.
NO_MAIL: queue.SimpleQueue[Any] = queue.SimpleQueue()


class InContext:
    """A function that runs in the context variables of whoever has given it."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function: Callable[[Any], object] = function
        self.context: contextvars.Context = contextvars.copy_context()

    def __call__(self, future: Any) -> None:
        self.context.run(self.function, future)


class RequestFuture(Future[Any]):
    """A future that is completed by its time, whether somebody waits or not. What it is the outcome
    of is a subclass, and says so as text."""

    @property
    def done(self) -> bool:
        """Whether there is a value or an exception: it follows no other future."""
        return bool(self._outcomes)

    def _plain(self) -> Future[Any]:
        follower = Follower()
        follower.set(self)
        return follower

    def _completed(self) -> None:
        """It has an outcome."""
        raise NotImplementedError

    def timeout_error(self, timeout: float | None) -> AwaitTimeoutError:
        """Return the error that says how it stands."""
        raise NotImplementedError

    def cancel(self) -> bool:
        """Complete with `CancelledError`; what was not sent by then is never sent.

        Returns whether there was no outcome yet.
        """
        return self.fail(CancelledError(f"{self} was cancelled"))

    def add_done_callback(self, function: Callable[[Future[Any]], object]) -> None:
        """Call `function(self)` once done, in the caller's context variables, in the thread that
        completes it: mostly the connection's, where nothing is to be waited for. Raises
        `TypeError` in an `asyncio.wait`."""
        require_own_callback(function)
        super().add_done_callback(InContext(function))

    def remove_done_callback(self, function: Callable[[Future[Any]], object]) -> None:
        """Call `function` no more, if it has not been called yet."""
        # Compared by what they are, and not as equal: a list that asks a method meanwhile takes out
        # what stands in that place by then.
        for held in self._callbacks[:]:
            if isinstance(held, InContext) and held.function == function:
                super().remove_done_callback(held)
                return

    def _expired(self, timeout: float | None) -> AwaitTimeoutError:
        return self.timeout_error(timeout)

    def _wait_in(self, inbox: Any, timeout: float | None) -> None:
        require_no_connection(inbox, self)
        super()._wait_in(inbox, timeout)


class Follower(Future[Any]):
    """What is made of such a one follows it by this."""

    def _wait_in(self, inbox: Any, timeout: float | None) -> None:
        require_no_connection(inbox, "what is made of a reply")
        super()._wait_in(inbox, timeout)


def require_no_connection(inbox: Any, awaited: object) -> None:
    """Raise `RuntimeError` when a connection would wait for what a connection completes."""
    if isinstance(inbox, SelectorInbox):
        raise RuntimeError(
            f"get: a connection's thread would wait for {awaited}, which a connection"
            " completes: in a callback of a future, or in a callable of the configuration,"
            " nothing is to be waited for"
        )


class PendingRequest(RequestFuture):
    """One request. A plain thread that waits for its outcome steps the connection meanwhile.

    `ref` is the client's, as it is called now; `when_ended` takes it over, unsent, when that
    client ends, if somebody does.
    """

    # What it is to the connection that it drives: see `selector_inbox.Waiter`.
    REQUESTS = 1
    _queue = NO_MAIL
    _sleeping = False
    driving: SelectorInbox | None = None
    expected: Any = None

    ref: Any = None
    when_ended: Callable[[PendingRequest, Exception], object] | None = None
    # Where it waits, or was sent, and what the push is called there: a `requests.Requests`.
    owner: Any = None
    push_ref: str = ""
    # The connection that it was handed to last, on which join, and what was.
    inbox: SelectorInbox | None = None
    handed: str | None = None
    data: str | bytes = ""
    span: Any = None
    # Whether the connection has begun to send it.
    maybe_sent: bool = False
    _expiry: Expiry | None = None

    def __init__(self, topic: str, event: str, payload: Any, timeout: float | None) -> None:
        super().__init__()
        self.topic: str = topic
        self.event: str = event
        self.payload: Any = payload
        self.timeout: float | None = timeout
        self.deadline: float | None = None if timeout is None else time.monotonic() + timeout
        self.number: int = next(_numbers)

    def __str__(self) -> str:
        return f"the reply of {self.ref} to {shown(self.event)} on {shown(self.topic)}"

    def wait(self, timeout: float | None = None) -> bool:
        """See `Future.wait`."""
        inbox, owner = self.inbox, self.owner
        if inbox is None or owner is None or self._outcomes or waiting.inbox is not None:
            return super().wait(timeout)
        started, alone = time.monotonic(), len(owner.open) == 1
        if alone and inbox.is_worth_driving and not is_forked(self):
            put_off(inbox, self._drive, inbox, timeout)
            if timeout is not None:
                timeout -= time.monotonic() - started
        try:
            return bool(self._outcomes) or super().wait(timeout)
        finally:
            inbox.note_wait(started, alone=alone)

    def _drive(self, inbox: SelectorInbox, timeout: float | None) -> None:
        """Step the connection until this is done."""
        if not inbox.drive(self, timeout):
            inbox.cool_down()
        self._conclude_all()

    def _conclude_all(self) -> None:
        """Tell the outcomes that have come while this has driven: its own, as a rule."""
        expected, self.expected = iter(self.expected or ()), None
        for request, outcome in expected:
            try:
                request.conclude(outcome)
            finally:  # Whatever a callback has raised.
                for another, its_outcome in expected:
                    another.conclude(its_outcome)

    def keep_time(self) -> None:
        """From now on nobody but this sees to its time; it fails where there are no more threads
        for that."""
        if self._expiry is None and self.deadline is not None and not self.done:
            try:
                self._expiry = call_at(self.deadline, self.time_out)
            except RuntimeError as error:
                self.fail_untimed(error)
            if self.done:  # Meanwhile.
                self.stop_waiting()

    def fail_untimed(self, error: RuntimeError) -> None:
        """Nobody would see to its time: it is not sent."""
        reason = ConnectFailed("io", str(error))
        self.fail(NotConnectedError(f"{self}: it was not sent: {error}", reason=reason))

    def stop_waiting(self) -> None:
        """The connection sees to its time, or nobody need."""
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel()

    def time_out(self, hint: str = "") -> None:
        """Its time is over."""
        if not self.done:
            self.fail(self.timeout_error(self.timeout, hint))

    def timeout_error(self, timeout: float | None, hint: str = "") -> AwaitTimeoutError:
        """Return the error that says how it stands."""
        standing = Question(self.ref, text=str(self), topic=self.topic).standing()
        sent = self.maybe_sent
        return AwaitTimeoutError(str(self), timeout, hint=f"{hint}{standing}", maybe_sent=sent)

    def fail_or_go_on(self, failure: Exception) -> None:
        """Its client has ended: it fails, or somebody takes it over."""
        if self.owner is not None:
            self.owner.forget(self)
        if self.when_ended is not None and not self.done:
            self.when_ended(self, failure)
        else:
            self.fail(failure)

    def _completed(self) -> None:
        if self.expected is None:
            self.expected = ()
        driving, self.driving, self.inbox = self.driving, None, None
        if self._sleeping and driving is not None:
            driving.wake()
        if self._expiry is not None:
            self.stop_waiting()
        if self.owner is not None:
            self.owner.forget(self)
        span, self.span = self.span, None
        if span is not None:
            request_ended(span, self)

    # what the connection calls, in its thread

    def begin(self) -> bool:
        """Whether it is still to be sent; from now on it may have been."""
        self.maybe_sent = not self.done
        return self.maybe_sent

    def conclude(self, outcome: Any, *, paused: bool = False) -> None:
        """Take the outcome of what was sent."""
        if type(outcome) is Reply:
            self._settle("first", Outcome(outcome))
        elif isinstance(outcome, PushTimeout):
            self.time_out(": it was sent, and reading is paused" if paused else ": it was sent")
        else:
            text = f"{self}: it was sent, and there will be none: {described(outcome)}"
            kind = NotJoinedError if isinstance(outcome, ChannelEnded) else NotConnectedError
            self.fail(kind(text, reason=outcome, maybe_sent=True))

    def give_back(self) -> None:
        """It was not sent: it takes its turn again, behind what the client is told meanwhile."""
        self.maybe_sent = False
        if self.deadline is not None and self.deadline <= time.monotonic():
            self.time_out()
        elif self.owner is not None:
            self.owner.again(self)
