"""What a client in test mode has in place of a connection; its other side is a test.

The client tells it its commands, in whatever thread it runs; they become requests that a test
takes, and what the test answers becomes events of this connection and no other.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from slipstream_actor.actors.envelopes import Burst, Timer
from slipstream_actor.actors.expiry import Expiry, call_at
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.actors.process import current
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic, LeaveTopic, PushMessage
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    PushFailed,
    ReplyReceived,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import Ref, Reply, as_ref
from slipstream_actor.protocol.reasons import (
    ChannelEnded,
    ClosedByClient,
    Disconnected,
    JoinRefused,
    PushTimeout,
)
from slipstream_actor.protocol.serializer import encode_json
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
    Request,
)

__all__ = ["FakeConnection", "as_sent"]


class FakeInbox:
    """What the package asks a connection's inbox for."""

    def __init__(self) -> None:
        self.close_requested = False

    def tell(self, command: Any) -> None:
        """Take a command of a subscription: a test is never told to read on."""


class PendingPush(msgspec.Struct, frozen=True, eq=False):
    """A push whose failure is told: to its client, or to whoever has made a `request`."""

    ref: Ref
    event: str
    timer: Timer | Expiry | None
    request: Any = None


class FakeConnection:
    """One connection of `client`, played by a test; `on_request` is told each request, in order.

    `name` is the client's registered one, `label` what messages call it; `closed_by_end` is true
    when the end of the client has closed the connection.
    """

    def __init__(
        self,
        client: Any,
        name: Any,
        label: str,
        on_request: Callable[[FakeConnection, Request], None],
    ) -> None:
        self.client = client
        self.name = name
        self.label = label
        self.closed_by_end: bool = False
        self.actor_inbox: FakeInbox = FakeInbox()
        self._on_request = on_request
        self._joins: dict[str, str | None] = {}
        self._pending: dict[str, PendingPush] = {}
        self._requested: set[str] = set()
        self._answered: set[str] = set()
        # Reentrant: a signal may be handled while it is held.
        self._lock = threading.RLock()
        self._farewell: Inflow | None = None
        self._hung_up = False
        # What became of the connection, to whoever waits for a reply over it.
        self._over: Disconnected | None = None
        self._on_end: Callable[[Future[Any]], None] = lambda ended: None

    def __repr__(self) -> str:
        return f"<FakeConnection of {self.label}>"

    # the client's side: what it needs of a connection

    def is_alive(self) -> bool:
        """Whether the client can still use it: until it has taken the event of the end."""
        if self._farewell is None:
            return True
        return not (self._farewell.taken or self.actor_inbox.close_requested)

    def tell(self, command: Any) -> None:
        """Take a command, in the thread of whoever gives it. Raises `ClientEndedError`."""
        # A request waits for the next connection from the moment on that this one has ended.
        asked = isinstance(command, PushMessage) and command.request is not None
        if not self.is_alive() or (asked and self._over is not None):
            raise ClientEndedError("normal", f"{self!r} is closed")
        if isinstance(command, JoinTopic):
            self._fail_requests(self._joins.get(command.topic), ChannelEnded("left"))
            self._joins[command.topic] = command.join_ref
            params = as_sent(command.payload)
            request: Request = JoinRequest(self.client, command.topic, params, command.join_ref)
        elif isinstance(command, LeaveTopic):
            join_ref = self._joins.get(command.topic)
            request = LeaveRequest(self.client, command.topic, join_ref)
        elif isinstance(command, PushMessage):
            if (command.topic, command.event) == ("phoenix", "heartbeat"):
                # Answered as Phoenix does: it is no request of the client's author.
                self.send(ReplyReceived("phoenix", command.ref or "", Reply("ok")))
                return
            pushed = self._pushed(command)
            if pushed is None:
                return
            request = pushed
        elif isinstance(command, CloseConnection):
            if self._hung_up or self.actor_inbox.close_requested:
                return
            self.actor_inbox.close_requested = True
            if self.client.actor_inbox.told_all:
                # What it means is known when the client has said why it ends.
                self.closed_by_end = True
                return
            request = DisconnectRequest(self.client)
        else:
            return
        self._on_request(self, request)

    def _pushed(self, command: PushMessage) -> PushRequest | None:
        ref = Ref(command.ref or "", command.topic, command.join_ref, awaited=command.awaited)
        asked = command.request
        if asked is not None:
            if not asked.begin():
                return None
            timer = None
            if command.deadline is not None:
                timer = call_at(command.deadline, lambda: self._conclude(ref, PushTimeout()))
            self._pending[ref] = PendingPush(ref, command.event, timer, asked)
            self._requested.add(ref)
            if self._over is not None:  # It came while the others were told.
                self._conclude(ref, self._over)
        elif command.awaited:
            self._pending[ref] = PendingPush(ref, command.event, self._limit(ref, command))
        payload = as_sent(command.payload)
        return PushRequest(self.client, command.topic, command.event, payload, ref)

    def _conclude(self, ref: str, outcome: Any) -> None:
        """Tell whoever has made a request its outcome, unless it has one."""
        pending = self._pending.pop(ref, None) if ref in self._requested else None
        if pending is not None:
            if pending.timer is not None:
                pending.timer.cancel()
            pending.request.conclude(outcome, paused=False)

    def _fail_requests(self, join_ref: str | None, reason: Any) -> None:
        for pending in list(self._pending.values()):
            if pending.ref.join_ref == join_ref:
                self._conclude(pending.ref, reason)

    def _limit(self, ref: Ref, command: PushMessage) -> Timer | None:
        """Have the client hear of a push that was not replied to in its time."""
        due = command.deadline
        if due is None:
            if command.reply_timeout is None:
                return None
            due = time.monotonic() + command.reply_timeout
        failure = PushFailed(command.topic, command.event, ref, PushTimeout())
        timer = Timer(Burst(self, [failure]), due)
        inbox = self.client.actor_inbox
        if current() is self.client:
            inbox.schedule(timer)
        else:
            inbox.tell(timer)
        return timer

    # the test's side

    def send(self, *events: Any) -> None:
        """Have the client take events of this connection; a dead client takes none."""
        self._tell(Burst(self, events))

    def answer_join(self, request: JoinRequest, reply: Reply) -> None:
        """Accept a join, or refuse it."""
        if request.join_ref is not None:
            with self._lock:
                if self.has_answered(request.join_ref):
                    return
                self._answered.add(request.join_ref)
        topic, response = request.topic, as_sent(reply.response)
        if reply.ok:
            self.send(TopicJoinSucceeded(topic, response, request.join_ref))
        else:
            self.send(TopicJoinFailed(topic, JoinRefused(response), request.join_ref))

    def has_answered(self, ref: str | None) -> bool:
        """Whether a join or a push has been answered: by its ref."""
        return ref in self._answered

    def answer_leave(self, request: LeaveRequest) -> None:
        """Have a topic left, and what was pushed to it without an answer fail."""
        self._fail_requests(request.join_ref, ChannelEnded("left"))
        failed = [
            PushFailed(request.topic, pending.event, pending.ref, ChannelEnded("left"))
            for pending in list(self._pending.values())
            if pending.ref.topic == request.topic and pending.ref.join_ref == request.join_ref
        ]
        for failure in failed:
            self._settle(failure.ref)
        if self._joins.get(request.topic) == request.join_ref:
            self._joins[request.topic] = None
        self.send(*failed, TopicLeft(request.topic, request.join_ref))

    def answer_push(self, topic: str, ref: str, reply: Reply) -> None:
        """Reply to a push, or to a request.

        As with a server, the first reply counts, and none to what was pushed on a former join.
        """
        join_ref = getattr(ref, "join_ref", None)
        with self._lock:
            if self.has_answered(ref) or join_ref not in (None, self._joins.get(topic, join_ref)):
                return
            self._answered.add(ref)
        sent = Reply(reply.status, as_sent(reply.response))
        if ref in self._requested:
            self._conclude(ref, sent)
            return
        self._settle(ref)
        self.send(ReplyReceived(topic, as_ref(ref, topic, None), sent))

    def answer_disconnect(self) -> None:
        """Close the connection, as the client has asked."""
        self.hang_up(ClosedByClient())

    def hang_up(self, reason: Any) -> None:
        """Close the connection: once, whoever asks."""
        if self._hung_up:
            return
        self._hung_up = True
        self.end_requests(reason)
        # First, lest the client has taken its event while it still seems to live.
        self._farewell = farewell = Inflow(0, 0, math.inf, lambda: None)
        self._tell(Burst(self, [ChannelClosed(reason)], farewell))

    def end_requests(self, reason: Any) -> None:
        """Have the requests under way fail, and those that come yet: nobody will reply to them."""
        self._over = self._over or Disconnected(reason)
        for pending in list(self._pending.values()):
            self._conclude(pending.ref, self._over)

    def watch(self, function: Callable[[FakeConnection, Any], None]) -> None:
        """Have requests fail and `function(connection, reason)` called when the client ends, until
        `withdraw`."""

        def client_ended(ended: Future[Any]) -> None:
            self.end_requests(ClosedByClient())
            function(self, ended.get())

        self._on_end = client_ended
        self.client.actor_inbox.ended.add_done_callback(self._on_end)

    def withdraw(self) -> None:
        """Watch the client no more; take the connection back, if the client is this very thread
        and has not taken it yet.

        Nobody else would: it would be that of the thread's next client, in another test.
        """
        inbox = self.client.actor_inbox
        inbox.ended.remove_done_callback(self._on_end)
        if current() is not self.client:
            return
        for event in inbox.take_all(ChannelConnected):
            if event.channel_pid is self:
                self._hung_up = True
            else:
                inbox.tell(event)

    def _settle(self, ref: str) -> None:
        pending = self._pending.pop(ref, None)
        if pending is not None and pending.timer is not None:
            pending.timer.cancel()

    def _tell(self, burst: Burst) -> None:
        # Not `client.tell`: an actor that runs `terminate` is dead to Pykka, and still awaits.
        inbox = self.client.actor_inbox
        for subscription in inbox.subscriptions:
            subscription.take(tuple(burst.events))
        if not inbox.deaf:
            inbox.tell(burst)


def as_sent(value: Any) -> Any:
    """Return `value` as it is on the other side of the wire: bytes, or what JSON makes of it.

    What only a serializer of the client's own could encode stays what it is.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        return msgspec.json.decode(encode_json(value))
    except (TypeError, ValueError, RecursionError):
        return value
