"""Requests from outside: pushes of any thread, whose replies go straight to whoever asked.

A request does not queue behind the client's callbacks. It goes to the connection as the client's
socket has it, and the connection completes the future; while the topic is joining, or the
connection is away, it waits here, in its turn, for as long as it has.
"""

from __future__ import annotations

import heapq
import threading
import time
from typing import Any, Protocol

from slipstream_actor.actors.expiry import Expiry, call_at
from slipstream_actor.actors.forks import ended_for
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.interrupts import put_off
from slipstream_actor.actors.one_at_a_time import OneAtATime
from slipstream_actor.actors.pressure import byte_count
from slipstream_actor.actors.question import Question
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.serializer import (
    decodes_as_ours,
    encodes_as_ours,
    payload_of_binary,
)
from slipstream_actor.socket.buffering import copied
from slipstream_actor.socket.errors import NotJoinedError, SendBufferFullError
from slipstream_actor.socket.sending import room_of, tell
from slipstream_actor.socket.state import (
    SocketState,
    encode,
    is_wanted,
    open_channel,
    serializer_of,
)
from slipstream_actor.socket.telemetry import CLIENT, begin_request

__all__ = ["MOST_REQUESTS", "Requests", "full_error"]

# Seconds after which a request is ended that the connection has not: it may hang in what a user's
# code does in its thread.
GRACE = 0.25
MOST_REQUESTS = 10_000
# So many are done, and behind one that waits, before they are looked for.
MANY = 64


def full_error(most: int, whose: object) -> SendBufferFullError:
    """Return the error of a request that is one too many."""
    return SendBufferFullError(f"request: {most} of {whose} have no outcome yet (max_requests)")


class HasSocket(Protocol):
    """What a client keeps, its socket among it."""

    @property
    def socket(self) -> SocketState | None: ...


class Requests:
    """The requests of one client: those that wait, by topic, and how many have no outcome.

    No lock is held while one is encoded, handed over or completed: whoever has the turn sends what
    waits, and whoever comes meanwhile leaves word of what is new.
    """

    def __init__(self, ref: Any, client: HasSocket) -> None:
        self._ref = ref
        self._client = client
        # Both reentrant: garbage may be collected, or a signal handled, while they are held.
        self._lock = threading.RLock()
        self._sending = OneAtATime()
        # Of each topic a heap, oldest first. It stays until its last one is sent: what is asked for
        # meanwhile stands behind it.
        self._waiting: dict[str, list[tuple[int, PendingRequest]]] = {}
        # How many have come to stand there since all topics were looked at.
        self._kept = 0
        # The topics for which there may be something to do; `None` for all.
        self._news: dict[str | None, bool] = {}
        # Those that have no outcome yet, by their numbers.
        self.open: dict[int, PendingRequest] = {}
        self._end: Any = None
        self._watch: Expiry | None = None
        # Whether the last look came late.
        self._was_late = False
        # The connection whose `handle_connect` has returned.
        self._greeted: Any = None
        # Its own, if it is one that may be driven.
        self._inbox: SelectorInbox | None = None

    def __len__(self) -> int:
        return len(self.open)

    def pending(self) -> list[PendingRequest]:
        """Return those that have no outcome yet."""
        with self._lock:
            return list(self.open.values())

    def submit(self, request: PendingRequest) -> None:
        """Send a request, or have it wait. Raises `SerializerError` for a payload that is none."""
        request.ref, request.owner = self._ref, self
        request.push_ref = self._ref.actor_inbox.next_ref()
        if self._is_sent_here(request):
            return
        if not self._admit(request):
            return
        try:
            if "push" in CLIENT and request.span is None:
                request.span = begin_request(self._client.socket, request)
            outcome = request.topic not in self._waiting and self._attempt(request)
            if outcome is False:
                self._copy_payload(request)
                self._keep(request)
        except Exception as error:  # Whatever it is, this one is not to count any more.
            request.fail(error)
            raise
        if isinstance(outcome, Exception):
            request.fail(outcome)

    def _is_sent_here(self, request: PendingRequest) -> bool:
        """Write it in this thread, where that is worth it; whether it was."""
        inbox = self._inbox
        if inbox is None or inbox.request_here is None or self.open or self._waiting:
            return False
        if not inbox.is_worth_driving or waiting.inbox is not None or "push" in CLIENT:
            return False
        if request.deadline is None:
            return False
        return bool(put_off(inbox, self._write_here, inbox, request))

    def _write_here(self, inbox: SelectorInbox, request: PendingRequest) -> bool:
        with self._lock:
            write = inbox.request_here
            if self._end is not None or write is None:
                return False
            untimed = self._count(request)
        if untimed is not None:
            request.fail_untimed(untimed)
            return True
        request.inbox = inbox
        try:
            written = write(request)
        except BaseException:  # Of a handler of the frame log.
            self.forget(request)
            raise
        if not written:
            self.forget(request)
        return written

    @property
    def most(self) -> int:
        """How many may be without an outcome."""
        socket = self._client.socket
        config = socket.channel_config if socket is not None else None
        return config.max_requests if config is not None else MOST_REQUESTS

    def _admit(self, request: PendingRequest) -> bool:
        """Count it, or fail it: the client has ended, there are too many, or no threads."""
        most = self.most
        with self._lock:
            ended, full = self._end is not None, len(self.open) >= most
            untimed = None if ended or full else self._count(request)
        if ended:
            request.fail_or_go_on(ended_for(self._end, str(request)))
        elif full:
            request.fail(full_error(most, self._ref))
        elif untimed is not None:
            request.fail_untimed(untimed)
        elif request.done:  # It was, or is meanwhile: it has waited elsewhere.
            self.forget(request)
        else:
            return True
        return False

    def _count(self, request: PendingRequest) -> RuntimeError | None:
        """Count it, and have its time seen to; return what that failed with, and it is not."""
        try:
            if request.deadline is not None:
                self._watch_until(request.deadline + GRACE)
        except RuntimeError as error:  # The system has no more threads.
            return error
        self.open[request.number] = request
        return None

    def forget(self, request: PendingRequest) -> None:
        """It has an outcome."""
        self.open.pop(request.number, None)
        if self._end is not None and not self.open:
            self._watch_no_more()

    def again(self, request: PendingRequest) -> None:
        """A request comes back that was not sent, since its join or its connection was over."""
        serializer = serializer_of(self._client.socket)
        # As it was at the call, whatever its owner has done with it since.
        if isinstance(request.data, str) and decodes_as_ours(serializer):
            request.payload = serializer.decode_text(request.data).payload
        elif isinstance(request.data, bytes) and encodes_as_ours(serializer):
            request.payload = payload_of_binary(request.data)
        self._keep(request)

    def _copy_payload(self, request: PendingRequest) -> None:
        """Have a payload in which what its owner does meanwhile does not show."""
        encode(self._client.socket, self._message(request, "0"))
        request.payload = copied(request.payload, "request: a payload that waits")

    def _keep(self, request: PendingRequest) -> None:
        request.keep_time()
        with self._lock:
            queue = self._waiting.setdefault(request.topic, [])
            heapq.heappush(queue, (request.number, request))
            self._kept += 1
            # Of topics that nobody asks anything of any more, those that have timed out go too.
            all_topics = self._kept > MANY + 2 * len(self.open)
            if all_topics:
                self._kept = 0
        # Behind that: what it waits for may have come before it stood there.
        self.flush(None if all_topics else request.topic)

    def flush(self, topic: str | None = None) -> None:
        """Send what need not wait any more: the socket has changed, or there is room."""
        if not self._waiting:
            return
        self._news[topic] = True
        over: list[tuple[PendingRequest, Exception]] = []
        self._sending.do(lambda: self._news, lambda: self._send_news(over))
        # Behind that: whoever is called back then may do what he likes.
        for request, failure in over:
            if self._end is not None:
                request.fail_or_go_on(failure)
            else:
                request.fail(failure)

    def _send_news(self, over: list[tuple[PendingRequest, Exception]]) -> None:
        try:
            while self._news:
                self._send_waiting(self._news.popitem()[0], over)
        except BaseException:  # A signal handler's: some of them may not have been looked at.
            self._news[None] = True
            raise

    def greet(self, connection: Any) -> None:
        """Its `handle_connect` has returned, or the callback that has awaited it: what it wants of
        this connection is known."""
        self._greeted = connection
        inbox = getattr(connection, "actor_inbox", None)
        self._inbox = inbox if isinstance(inbox, SelectorInbox) else None  # As a test's is not.
        self.flush()

    def end(self, reason: Any) -> None:
        """The client has ended: what waits is failed, or taken over."""
        with self._lock:
            self._end = reason
        self.flush()
        if not self.open:
            self._watch_no_more()

    def _send_waiting(
        self, topic: str | None, over: list[tuple[PendingRequest, Exception]]
    ) -> None:
        for name in list(self._waiting) if topic is None else [topic]:
            queue = self._waiting.get(name)
            if queue is None:
                continue  # Whoever had the turn before has sent it all.
            while queue:
                # It is taken out first: it may come back before it is handed over.
                with self._lock:
                    entry = heapq.heappop(queue)
                request = entry[1]
                outcome = self._attempt_again(request)
                if outcome is False:
                    with self._lock:
                        heapq.heappush(queue, entry)
                    self._tidy(queue)
                    break
                if outcome is not True:
                    over.append((request, outcome))
            with self._lock:
                if not queue and self._waiting.get(name) is queue:
                    del self._waiting[name]

    def _attempt_again(self, request: PendingRequest) -> bool | Exception:
        if self._end is not None:
            return ended_for(self._end, str(request))
        try:
            return self._attempt(request)
        except Exception as error:  # Those behind it are to be sent.
            return error

    def _tidy(self, queue: list[tuple[int, PendingRequest]]) -> None:
        """Let go of those behind the first that have timed out, or were cancelled."""
        if len(queue) > MANY + 2 * len(self.open):
            with self._lock:
                queue[:] = [entry for entry in queue if not entry[1].done]
                heapq.heapify(queue)

    def _attempt(self, request: PendingRequest) -> bool | Exception:
        """Send it if it can be; return `False` when it has to wait, or what it has failed with."""
        if request.done:
            return True
        socket = self._client.socket
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
        request.inbox = self._inbox
        data = encode(socket, self._message(request, join_ref))
        room = room_of(connection)
        if room is not None and not room.reserve(byte_count(data), self, self.flush):
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
        request.keep_time()
        return False

    def _message(self, request: PendingRequest, join_ref: str) -> Message:
        return Message(join_ref, request.push_ref, request.topic, request.event, request.payload)

    # what nobody else ends

    def _watch_until(self, due: float) -> None:
        if self._watch is None or due < self._watch.due:
            watch = call_at(due, self._end_overdue)
            self._watch_no_more()
            self._watch = watch

    def _watch_no_more(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()

    def _end_overdue(self) -> None:
        """End what the connection should have ended, and look again when the next one is due."""
        now = time.monotonic()
        with self._lock:
            late, self._watch = self._comes_late(now), None
            timed = [(r.deadline + GRACE, r) for r in self.pending() if r.deadline is not None]
            if late:
                timed = [(max(due, now + GRACE), request) for due, request in timed]
            later = [due for due, _ in timed if due > now]
            if later:
                self._watch_until(max(now + GRACE, min(later)))
        for due, request in timed:
            if due <= now:
                request.time_out()

    def _comes_late(self, now: float) -> bool:
        """Whether this look does, and the one before did not: the process was kept away (a frozen
        virtual machine), and the connection's thread has to hear first what has come meanwhile."""
        late = self._watch is not None and now > self._watch.due + GRACE
        self._was_late = late and not self._was_late
        return self._was_late
