"""Requests from outside: pushes of any thread, whose replies go straight to whoever asked.

A request does not queue behind the client's callbacks. It goes to the connection as the client's
socket has it, and the connection completes the future; while the topic is joining, or the
connection is away, it waits here, in its turn, for as long as it has.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.expiry import Expiry, call_at
from slipstream_actor.actors.forks import ended_for
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.question import Question
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.errors import (
    AwaitTimeoutError,
    CancelledError,
    SerializerError,
    SlipstreamError,
    shown,
)
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.message import Message, Reply
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import ChannelEnded, PushTimeout
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError, SendBufferFullError
from slipstream_actor.socket.sending import room_of, tell
from slipstream_actor.socket.state import SocketState, encode, is_wanted, open_channel

__all__ = ["PendingRequest", "RequestFuture", "Requests"]

# Seconds after which whoever waits for a request ends it, if the connection has not: it may hang
# in what a user's code does in its thread.
GRACE = 0.25
MOST_REQUESTS = 10_000

_numbers = itertools.count()


class RequestFuture(Future[Reply]):
    """The future of a request. It is completed by its time, whether somebody waits or not."""

    def __init__(self, request: PendingRequest) -> None:
        super().__init__()
        self._request = request

    def get(self, *, timeout: float | None = None) -> Reply:
        """Return the reply, of any status; see `request` for what it raises."""
        deadline = self._request.deadline
        waits = timeout is None and deadline is not None and not self.done
        if waits and not self._wait_until((deadline or 0.0) + GRACE):
            self._request.time_out()
        return super().get(timeout=timeout)

    def cancel(self) -> bool:
        """Complete with `CancelledError`; what was not sent by then is never sent.

        Returns whether there was no outcome yet.
        """
        return self.fail(CancelledError(f"{self._request} was cancelled"))

    def _wait_until(self, due: float) -> bool:
        try:
            super().get(timeout=max(0.0, due - time.monotonic()))
        except AwaitTimeoutError:
            return self.done
        except Exception:  # Its own, for which it is asked again.
            return True
        return True

    def _expired(self, timeout: float | None) -> AwaitTimeoutError:
        error = super()._expired(timeout)
        error.maybe_sent = self._request.maybe_sent
        return error

    def _wait_in(self, inbox: Any, timeout: float | None) -> None:
        if isinstance(inbox, SelectorInbox):
            raise RuntimeError(
                f"get: a connection's thread would wait for {self._request}, which a connection"
                " completes: in a callback of a future, or in a callable of the configuration,"
                " nothing is to be waited for"
            )
        super()._wait_in(inbox, timeout)


class PendingRequest:
    """One request, from the call to its outcome.

    `ref` is the client's, as it is called now; `when_ended` takes it over, unsent, when that
    client ends, if somebody does.
    """

    def __init__(
        self, ref: Any, topic: str, event: str, payload: Any, timeout: float | None
    ) -> None:
        self.ref: Any = ref
        self.topic: str = topic
        self.event: str = event
        self.payload: Any = payload
        self.timeout: float | None = timeout
        self.deadline: float | None = None if timeout is None else time.monotonic() + timeout
        self.number: int = next(_numbers)
        self.future: RequestFuture = RequestFuture(self)
        self.when_ended: Callable[[PendingRequest, SlipstreamError], object] | None = None
        # Where it waits, or was sent.
        self.owner: Requests | None = None
        # The join on which it was not taken any more.
        self.refused: Any = None
        # Whether the connection has begun to send it.
        self.maybe_sent: bool = False
        self._expiry: Expiry | None = None
        self.future.question = Question(ref, text=str(self), topic=topic)

    def __str__(self) -> str:
        return f"the reply of {self.ref} to {shown(self.event)} on {shown(self.topic)}"

    def wait(self) -> None:
        """From now on nobody but this sees to its time."""
        if self._expiry is None and self.deadline is not None:
            self._expiry = call_at(self.deadline, self.time_out)

    def hand_over(self) -> None:
        """The connection sees to its time."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def time_out(self, hint: str = "") -> None:
        """Its time is over."""
        if not self.future.done:
            question = Question(self.ref, text=str(self), topic=self.topic)
            why = f"{hint}{question.standing()}"
            self.future.fail(
                AwaitTimeoutError(str(self), self.timeout, hint=why, maybe_sent=self.maybe_sent)
            )

    # what the connection calls, in its thread

    def begin(self) -> bool:
        """Whether it is still to be sent; from now on it may have been."""
        self.maybe_sent = not self.future.done
        return self.maybe_sent

    def conclude(self, outcome: Any, *, paused: bool = False) -> None:
        """Take the outcome of what was sent."""
        if isinstance(outcome, Reply):
            self.future.set(outcome)
        elif isinstance(outcome, PushTimeout):
            self.time_out(": it was sent, and reading is paused" if paused else ": it was sent")
        else:
            text = f"{self}: it was sent, and there will be none: {described(outcome)}"
            kind = NotJoinedError if isinstance(outcome, ChannelEnded) else NotConnectedError
            self.future.fail(kind(text, reason=outcome, maybe_sent=True))

    def give_back(self) -> None:
        """It was not sent: it takes its turn again, behind what the client is told meanwhile."""
        self.maybe_sent = False
        if self.deadline is not None and self.deadline <= time.monotonic():
            self.time_out()
        elif self.owner is not None:
            self.owner.again(self)


class Requests:
    """The requests of one client: those that wait, by topic, and how many have no outcome."""

    def __init__(self, ref: Any, socket: Callable[[], SocketState | None]) -> None:
        self._ref = ref
        self._socket = socket
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._waiting: dict[str, deque[PendingRequest]] = {}
        self._open: dict[int, PendingRequest] = {}
        self._end: Any = None
        # The connection whose `handle_connect` has returned.
        self._greeted: Any = None

    def __len__(self) -> int:
        return len(self._open)

    def pending(self) -> list[PendingRequest]:
        """Return those that have no outcome yet."""
        with self._lock:
            return list(self._open.values())

    def submit(self, request: PendingRequest) -> None:
        """Send a request, or have it wait. Raises `SerializerError` for a payload that is none."""
        socket = self._socket()
        config = socket.channel_config if socket is not None else None
        most = config.max_requests if config is not None else MOST_REQUESTS
        request.ref, request.owner = self._ref, self
        with self._lock:
            if self._end is not None:
                failure: SlipstreamError | None = ended_for(self._end, str(request))
            elif len(self._open) >= most:
                failure = SendBufferFullError(
                    f"request: {most} of {self._ref} have no outcome yet (max_requests)"
                )
            else:
                failure = self._enter(request)
        if failure is not None:
            self._fail(request, failure)
        # Again: what it waits for may have come before it stood there.
        self.flush()

    def _enter(self, request: PendingRequest) -> SlipstreamError | None:
        self._open[request.number] = request
        done, failure = False, None
        try:
            if request.topic not in self._waiting:
                done, failure = self._attempt(request)
            if not done:
                request.payload = self._checked(request)
                self._keep(request)
        except SerializerError:
            del self._open[request.number]
            raise
        request.future.add_done_callback(lambda _: self._open.pop(request.number, None))
        return failure

    def _checked(self, request: PendingRequest) -> Any:
        """Return a copy of the payload, in which what its owner does meanwhile does not show."""
        self._encoded(self._socket(), request, "0", "0")
        try:
            return copy.deepcopy(request.payload)
        except Exception as error:
            raise SerializerError(
                f"request: a payload that waits cannot be copied: {error}"
            ) from error

    def again(self, request: PendingRequest) -> None:
        """A request comes back that was not sent, since its join or its connection was over."""
        with self._lock:
            if self._end is None:
                self._keep(request)
                queue = self._waiting[request.topic]
                self._waiting[request.topic] = deque(sorted(queue, key=lambda r: r.number))
        if self._end is not None:
            self._fail(request, ended_for(self._end, str(request)))
        self.flush()

    def flush(self) -> None:
        """Send what need not wait any more: the socket has changed, or there is room."""
        if not self._waiting:
            return
        failures: list[tuple[PendingRequest, SlipstreamError]] = []
        with self._lock:
            for topic in list(self._waiting):
                queue = self._waiting[topic]
                while queue:
                    done, failure = self._attempt(queue[0])
                    if failure is not None:
                        failures.append((queue[0], failure))
                    if not done:
                        break
                    queue.popleft()
                if not queue:
                    self._waiting.pop(topic, None)
        # Not under the lock: whoever is called back then may do what he likes.
        for request, failure in failures:
            request.future.fail(failure)

    def greet(self, connection: Any) -> None:
        """Its `handle_connect` has returned: what it wants of this connection is known."""
        self._greeted = connection
        self.flush()

    def end(self, reason: Any) -> None:
        """The client has ended: what waits is failed, or taken over."""
        with self._lock:
            self._end = reason
            waiting = sorted(
                itertools.chain.from_iterable(self._waiting.values()), key=lambda r: r.number
            )
            self._waiting.clear()
        for request in waiting:
            self._fail(request, ended_for(reason, str(request)))

    def _fail(self, request: PendingRequest, failure: SlipstreamError) -> None:
        self._open.pop(request.number, None)
        if request.when_ended is not None and self._end is not None:
            request.when_ended(request, failure)
        else:
            request.future.fail(failure)

    def _keep(self, request: PendingRequest) -> None:
        self._waiting.setdefault(request.topic, deque()).append(request)
        request.wait()

    def _attempt(self, request: PendingRequest) -> tuple[bool, SlipstreamError | None]:
        """Send it if it can be; return whether it waits no more, and what it failed with."""
        if request.future.done:
            return True, None
        socket = self._socket()
        connection = open_channel(socket) if socket is not None else None
        if socket is None or connection is None or connection is not self._greeted:
            return False, None
        join = socket.joins.get(request.topic)
        if join is None or join.status != "joined":
            if is_wanted(socket, request.topic):
                return False, None
            reason = join.reason if join is not None else None
            text = (
                f"{request}: it was not sent{Question(self._ref, topic=request.topic).standing()}"
            )
            return True, NotJoinedError(text, reason=reason)
        if join.join_ref is None or request.refused == join.join_ref:
            return False, None
        return self._send(socket, connection, join.join_ref, request), None

    def _send(
        self, socket: SocketState, connection: Any, join_ref: str, request: PendingRequest
    ) -> bool:
        """Hand it to the connection; `False` when that has no room, or is not there any more."""
        number = socket.socket_pid.actor_inbox.next_ref()
        data = self._encoded(socket, request, join_ref, number)
        room = room_of(connection)
        if room is not None and not room.reserve(len(data), self, self.flush):
            return False
        request.refused = join_ref
        request.hand_over()
        command = PushMessage(
            request.topic,
            request.event,
            request.payload,
            number,
            join_ref,
            data,
            awaited=True,
            deadline=request.deadline,
            request=request,
        )
        if tell(connection, command):
            return True
        request.wait()
        return False

    def _encoded(
        self, socket: SocketState | None, request: PendingRequest, join_ref: str, number: str
    ) -> str | bytes:
        message = Message(join_ref, number, request.topic, request.event, request.payload)
        return encode(socket, message)
