"""Requests from outside: pushes of any thread, whose replies go straight to whoever asked.

A request does not queue behind the client's callbacks. It goes to the connection as the client's
socket has it, and the connection completes the future; while the topic is joining, or the
connection is away, it waits here, in its turn, for as long as it has.
"""

from __future__ import annotations

import contextvars
import copy
import heapq
import itertools
import threading
import time
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
from slipstream_actor.protocol.serializer import decodes_as_ours
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError, SendBufferFullError
from slipstream_actor.socket.sending import room_of, tell
from slipstream_actor.socket.state import (
    SocketState,
    encode,
    is_wanted,
    open_channel,
    serializer_of,
)
from slipstream_actor.socket.telemetry import CLIENT, begin_request, request_ended

__all__ = ["PendingRequest", "RequestFuture", "Requests"]

# Seconds after which a request is ended that the connection has not: it may hang in what a user's
# code does in its thread.
GRACE = 0.25
MOST_REQUESTS = 10_000
# So many are done, and behind one that waits, before they are looked for.
MANY = 64

_numbers = itertools.count()


class InContext:
    """A function that runs in the context variables of whoever has given it."""

    __slots__ = ("context", "function")

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function: Callable[[Any], object] = function
        self.context: contextvars.Context = contextvars.copy_context()

    def __call__(self, future: Any) -> None:
        self.context.run(self.function, future)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InContext) and other.function == self.function

    def __hash__(self) -> int:
        return hash(self.function)


class RequestFuture(Future[Reply]):
    """The future of a request. It is completed by its time, whether somebody waits or not."""

    def __init__(self, request: PendingRequest) -> None:
        super().__init__()
        self._request = request

    def cancel(self) -> bool:
        """Complete with `CancelledError`; what was not sent by then is never sent.

        Returns whether there was no outcome yet.
        """
        return self.fail(CancelledError(f"{self._request} was cancelled"))

    def add_done_callback(self, function: Callable[[Future[Reply]], object]) -> None:
        """Call `function(self)` once done, in the caller's context variables, in the thread that
        completes it: mostly the connection's, where nothing is to be waited for."""
        super().add_done_callback(InContext(function))

    def remove_done_callback(self, function: Callable[[Future[Reply]], object]) -> None:
        """Call `function` no more, if it has not been called yet."""
        super().remove_done_callback(InContext(function))

    def _call_back(self) -> None:
        self._request.over()
        super()._call_back()

    def _expired(self, timeout: float | None) -> AwaitTimeoutError:
        return self._request.timeout_error(timeout)

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
        # Where it waits, or was sent, and what the push is called there.
        self.owner: Requests | None = None
        self.push_ref: str = ""
        # The join on which it was handed to a connection, and what was.
        self.handed: str | None = None
        self.data: str | bytes = ""
        self.span: Any = None
        # Whether the connection has begun to send it.
        self.maybe_sent: bool = False
        self._expiry: Expiry | None = None

    def __str__(self) -> str:
        return f"the reply of {self.ref} to {shown(self.event)} on {shown(self.topic)}"

    def wait(self) -> None:
        """From now on nobody but this sees to its time."""
        if self._expiry is None and self.deadline is not None and not self.future.done:
            self._expiry = call_at(self.deadline, self.time_out)
            if self.future.done:  # Meanwhile.
                self.stop_waiting()

    def stop_waiting(self) -> None:
        """The connection sees to its time, or nobody need."""
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel()

    def time_out(self, hint: str = "") -> None:
        """Its time is over."""
        if not self.future.done:
            self.future.fail(self.timeout_error(self.timeout, hint))

    def timeout_error(self, timeout: float | None, hint: str = "") -> AwaitTimeoutError:
        """Return the error that says how it stands."""
        standing = Question(self.ref, text=str(self), topic=self.topic).standing()
        sent = self.maybe_sent
        return AwaitTimeoutError(str(self), timeout, hint=f"{hint}{standing}", maybe_sent=sent)

    def fail_or_go_on(self, failure: SlipstreamError) -> None:
        """Its client has ended: it fails, or somebody takes it over."""
        if self.owner is not None:
            self.owner.forget(self)
        if self.when_ended is not None and not self.future.done:
            self.when_ended(self, failure)
        else:
            self.future.fail(failure)

    def over(self) -> None:
        """It has an outcome."""
        self.stop_waiting()
        if self.owner is not None:
            self.owner.forget(self)
        span, self.span = self.span, None
        if span is not None:
            request_ended(span, self.future)

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
    """The requests of one client: those that wait, by topic, and how many have no outcome.

    No lock is held while one is encoded, handed over or completed: whoever has the turn sends what
    waits, and whoever comes meanwhile leaves word of what is new.
    """

    def __init__(self, ref: Any, socket: Callable[[], SocketState | None]) -> None:
        self._ref = ref
        self._socket = socket
        # Both reentrant: garbage may be collected, or a signal handled, while they are held.
        self._lock = threading.RLock()
        self._turn = threading.RLock()
        # Of each topic a heap, oldest first. It stays until its last one is sent: what is asked for
        # meanwhile stands behind it.
        self._waiting: dict[str, list[tuple[int, PendingRequest]]] = {}
        # The topics for which there may be something to do; `None` for all.
        self._news: dict[str | None, bool] = {}
        self._open: dict[int, PendingRequest] = {}
        self._end: Any = None
        self._watch: Expiry | None = None
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
        request.ref, request.owner = self._ref, self
        request.push_ref = self._ref.actor_inbox.next_ref()
        if not self._admit(request):
            return
        if "push" in CLIENT and request.span is None:
            request.span = begin_request(self._socket(), request)
        try:
            outcome = request.topic not in self._waiting and self._attempt(request)
            if outcome is False:
                self._copy_payload(request)
                self._keep(request)
        except SerializerError as error:
            request.future.fail(error)
            raise
        if isinstance(outcome, SlipstreamError):
            request.future.fail(outcome)

    def _admit(self, request: PendingRequest) -> bool:
        """Count it, or fail it: the client has ended, or there are too many."""
        socket = self._socket()
        config = socket.channel_config if socket is not None else None
        most = config.max_requests if config is not None else MOST_REQUESTS
        with self._lock:
            ended, full = self._end is not None, len(self._open) >= most
            if not ended and not full:
                self._open[request.number] = request
                if request.deadline is not None:
                    self._watch_until(request.deadline + GRACE)
        if ended:
            request.fail_or_go_on(ended_for(self._end, str(request)))
        elif full:
            text = f"request: {most} of {self._ref} have no outcome yet (max_requests)"
            request.future.fail(SendBufferFullError(text))
        elif request.future.done:  # It was, or is meanwhile: it has waited elsewhere.
            self.forget(request)
            return False
        return not ended and not full

    def forget(self, request: PendingRequest) -> None:
        """It has an outcome."""
        self._open.pop(request.number, None)
        if self._end is not None and not self._open:
            self._watch_no_more()

    def again(self, request: PendingRequest) -> None:
        """A request comes back that was not sent, since its join or its connection was over."""
        serializer = serializer_of(self._socket())
        if isinstance(request.data, str) and decodes_as_ours(serializer):
            # As it was at the call, whatever its owner has done with it since.
            request.payload = serializer.decode_text(request.data).payload
        self._keep(request)

    def _copy_payload(self, request: PendingRequest) -> None:
        """Have a payload in which what its owner does meanwhile does not show."""
        encode(self._socket(), self._message(request, "0"))
        try:
            request.payload = copy.deepcopy(request.payload)
        except Exception as error:
            raise SerializerError(
                f"request: a payload that waits cannot be copied: {error}"
            ) from error

    def _keep(self, request: PendingRequest) -> None:
        request.wait()
        with self._lock:
            queue = self._waiting.setdefault(request.topic, [])
            heapq.heappush(queue, (request.number, request))
        # Behind that: what it waits for may have come before it stood there.
        self.flush(request.topic)

    def flush(self, topic: str | None = None) -> None:
        """Send what need not wait any more: the socket has changed, or there is room."""
        if not self._waiting:
            return
        self._news[topic] = True
        over: list[tuple[PendingRequest, SlipstreamError]] = []
        while self._news and self._turn.acquire(blocking=False):
            try:
                while self._news:
                    self._send_waiting(self._news.popitem()[0], over)
            finally:
                self._turn.release()
        # Behind its turn: whoever is called back then may do what he likes.
        for request, failure in over:
            if self._end is not None:
                request.fail_or_go_on(failure)
            else:
                request.future.fail(failure)

    def greet(self, connection: Any) -> None:
        """Its `handle_connect` has returned: what it wants of this connection is known."""
        self._greeted = connection
        self.flush()

    def end(self, reason: Any) -> None:
        """The client has ended: what waits is failed, or taken over."""
        with self._lock:
            self._end = reason
        self.flush()
        if not self._open:
            self._watch_no_more()

    def _send_waiting(
        self, topic: str | None, over: list[tuple[PendingRequest, SlipstreamError]]
    ) -> None:
        for name in list(self._waiting) if topic is None else [topic]:
            queue = self._waiting.get(name)
            if queue is None:
                continue  # Whoever had the turn before has sent it all.
            while queue:
                # It is taken out first: it may come back before it is handed over.
                entry = heapq.heappop(queue)
                request = entry[1]
                outcome = self._attempt_again(request)
                if outcome is False:
                    heapq.heappush(queue, entry)
                    self._tidy(queue)
                    break
                if outcome is not True:
                    over.append((request, outcome))
            with self._lock:
                if not queue and self._waiting.get(name) is queue:
                    del self._waiting[name]

    def _attempt_again(self, request: PendingRequest) -> bool | SlipstreamError:
        if self._end is not None:
            return ended_for(self._end, str(request))
        try:
            return self._attempt(request)
        except SerializerError as error:
            return error

    def _tidy(self, queue: list[tuple[int, PendingRequest]]) -> None:
        """Let go of those behind the first that have timed out, or were cancelled."""
        if len(queue) > MANY + 2 * len(self._open):
            with self._lock:
                queue[:] = [entry for entry in queue if not entry[1].future.done]
                heapq.heapify(queue)

    def _attempt(self, request: PendingRequest) -> bool | SlipstreamError:
        """Send it if it can be; return `False` when it has to wait, or what it has failed with."""
        if request.future.done:
            return True
        socket = self._socket()
        connection = open_channel(socket) if socket is not None else None
        if socket is None or connection is None or connection is not self._greeted:
            return False
        join = socket.joins.get(request.topic)
        if join is None or join.status != "joined":
            if is_wanted(socket, request.topic):
                return False
            reason = join.reason if join is not None else None
            standing = Question(self._ref, topic=request.topic).standing()
            return NotJoinedError(f"{request}: it was not sent{standing}", reason=reason)
        if join.join_ref is None or request.handed == join.join_ref:
            return False
        return self._send(socket, connection, join.join_ref, request)

    def _send(
        self, socket: SocketState, connection: Any, join_ref: str, request: PendingRequest
    ) -> bool:
        """Hand it to the connection; `False` when that has no room, or is not there any more."""
        data = encode(socket, self._message(request, join_ref))
        room = room_of(connection)
        if room is not None and not room.reserve(len(data), self, self.flush):
            return False
        request.handed, request.data = join_ref, data
        request.stop_waiting()
        command = PushMessage(
            request.topic,
            request.event,
            request.payload,
            request.push_ref,
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

    def _message(self, request: PendingRequest, join_ref: str) -> Message:
        return Message(join_ref, request.push_ref, request.topic, request.event, request.payload)

    # what nobody else ends

    def _watch_until(self, due: float) -> None:
        if self._watch is None or due < self._watch.due:
            self._watch_no_more()
            self._watch = call_at(due, self._end_overdue)

    def _watch_no_more(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    def _end_overdue(self) -> None:
        """End what the connection should have ended, and look again when the next one is due."""
        now = time.monotonic()
        with self._lock:
            self._watch = None
            timed = [(r.deadline + GRACE, r) for r in self.pending() if r.deadline is not None]
            later = [due for due, _ in timed if due > now]
            if later:
                self._watch_until(max(now + GRACE, min(later)))
        for due, request in timed:
            if due <= now:
                request.time_out()
