"""From events to callbacks: a connection's bursts are taken one by one, each applied to the socket
and handed to the callback that it leads to."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.client.callbacks import CALLBACKS
from slipstream_actor.client.handlers import EVERY_OTHER, Route, Routes
from slipstream_actor.client.log import say_after
from slipstream_actor.client.runner import CallbackRunner
from slipstream_actor.protocol.commands import CloseConnection, LeaveTopic
from slipstream_actor.protocol.events import (
    JOIN_ENDS,
    ChannelConnected,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import Message, PartlyDecoded
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, Disconnected
from slipstream_actor.protocol.undecoded import MESSAGES, event_of
from slipstream_actor.socket import presences
from slipstream_actor.socket.apply_event import (
    CONNECTION_ENDS,
    ConnectionReplaced,
    LeaveAsked,
    LeaveDone,
    apply_leave_asked,
    owed_leaves,
    reinterpret,
)
from slipstream_actor.socket.buffering import give_up_buffered, send_buffered
from slipstream_actor.socket.joining import send_requested
from slipstream_actor.socket.log import say_undecodable
from slipstream_actor.socket.records import is_stale
from slipstream_actor.socket.sending import fail_all_over, tell
from slipstream_actor.socket.socket import Socket
from slipstream_actor.socket.telemetry import CLIENT, apply_event, push_ended

__all__ = ["EventDelivery"]

JOIN_OUTCOMES = (TopicJoinSucceeded, TopicJoinFailed, TopicJoinClosed)


class EventDelivery(CallbackRunner):
    """A client as the one that is told events."""

    _slipstream_routes: ClassVar[Routes | None] = None

    def _deliver(self, burst: Burst) -> None:  # noqa: C901 - what is a call costs each message
        """Take a connection's events one by one, as long as it is the socket's."""
        inbox, kept = self.actor_inbox, self._slipstream
        events, flow, routes = burst.events, burst.flow, self._slipstream_routes
        ledger = inbox.ledger
        inbox.note_burst(len(events))
        inbox.burst = burst
        inbox.uncommitted = None
        # The burst in hand counts no more: it is one read's, or one message's.
        flow.taken_bytes += burst.size
        burst.size = 0
        socket: Any = None
        try:
            while events and not inbox.stopping and not kept.ended:
                if kept.socket is not socket or socket is None:
                    if (socket := self._socket_of(burst.source)) is None:
                        return
                    tracked = socket._presences
                    plain = Message if routes is None and not tracked else None
                if kept.idle is not None:  # Asked here: a call costs more.
                    self._cancel_idle()
                if type(events[0]) is plain and "handle_message" not in CLIENT:
                    result = self._deliver_plain(events, flow, socket)
                    if result is not None or inbox.uncommitted is not None:
                        self._follow("handle_message", result, socket)
                    continue
                event = events.popleft()  # `burst.take`, without its call.
                flow.taken += 1
                if flow.paused:
                    flow.relieve()
                kind = type(event)
                if (
                    kind is PartlyDecoded
                    and (not tracked or event.topic not in tracked)
                    and (whole := event_of(event)) is not None
                ):
                    event, kind = whole, Message
                if (
                    kind is Message
                    and (not tracked or event.topic not in tracked)
                    and "handle_message" not in CLIENT
                ):
                    topic, told = event.topic, event.event
                    name = "handle_message" if routes is None else routes.find(topic, told).name
                    result = getattr(self, name)(topic, told, event.payload, socket)
                elif kind is ReplyReceived and "handle_reply" not in CLIENT:
                    if not ledger.is_clear(event.ref) and not self._settles(event):
                        continue
                    name = "handle_reply"
                    result = self.handle_reply(event.ref, event.reply, socket)
                else:
                    self._handle_event(event, burst.source)
                    continue
                if (result is None or result is socket) and inbox.uncommitted is None:
                    continue
                self._follow(name, result, socket)
        finally:
            inbox.burst = None

    def _deliver_plain(self, events: deque[Any], flow: Inflow, socket: Socket) -> Any:
        """Call `handle_message` for the messages that stand first, as long as that changes nothing;
        return what the last call wants, `None` where that is nothing."""
        inbox, kept, take, handle = (
            self.actor_inbox,
            self._slipstream,
            events.popleft,
            self.handle_message,
        )
        while events:
            event = take()
            if type(event) is not Message:
                events.appendleft(event)
                break
            flow.taken += 1
            if flow.paused:
                flow.relieve()
            result = handle(event.topic, event.event, event.payload, socket)
            if result is not None and result is not socket:
                return result
            if (
                inbox.uncommitted is not None
                or inbox.stopping
                or kept.socket is not socket
                or "handle_message" in CLIENT
            ):
                break
        return None

    def _socket_of(self, connection: Any) -> Socket | None:
        """Return the socket, if this is its connection; else close that."""
        socket = self._slipstream.socket or self.socket
        if socket._link is None or socket._link.connection is not connection:
            self._close_lost(connection)
            return None
        return socket

    def _close_lost(self, connection: Any) -> None:
        """One that was replaced, or whose socket was lost with an exception, is nobody's."""
        if not tell(connection, CloseConnection()):
            fail_all_over(self.actor_ref, connection, ClosedByClient())

    def _handle_event(self, event: Any, source: Any) -> None:
        """Apply an event to the socket and call its callback."""
        if type(event) in MESSAGES:
            self._deliver_message(event)
            return
        link = self.socket._link
        if type(event) in JOIN_ENDS:
            self.actor_inbox.ended_joins.pop(event.join_ref, None)
        if type(event) in CONNECTION_ENDS:
            self._end_connection(source)
        elif type(event) in JOIN_OUTCOMES:
            self._tell_leaves_before(event, source)
        if self._slipstream.ended or self.socket._link is not link:
            return  # A callback has ended the client, or replaced the connection.
        socket = self.socket
        meant = reinterpret(socket, event, source)
        if meant is None:
            return
        self._slipstream.socket = apply_event(socket, meant)
        if not self._prepare(meant, source, socket):
            return
        name, arguments = CALLBACKS[type(meant)]
        ends = True
        try:
            self._run(name, *arguments(meant))
            ends = self._slipstream.ended
        finally:
            if ends:
                say_after(self.socket, meant, ends=True)
        if not ends:
            self._follow_up(meant)

    def _follow_up(self, event: Any) -> None:
        """Do what an event leads to when its callback has returned."""
        if type(event) is ChannelConnected:
            self.socket = send_requested(self.socket)
            link = self.socket._link
            self._slipstream.requests.greet(link.connection if link is not None else None)
        elif type(event) is TopicJoinSucceeded:
            self._note_joins()
        elif type(event) in CONNECTION_ENDS:
            say_after(self.socket, event, ends=False)
            give_up_buffered(self.socket, Disconnected(event.reason))
        elif type(event) in JOIN_ENDS:
            say_after(self.socket, event, ends=False)
            self._slipstream.requests.flush()
            reason = getattr(event, "reason", "left")
            give_up_buffered(self.socket, ChannelEnded(reason))

    def _end_connection(self, source: Any) -> None:
        """Tell what the connection that has ended has not told of topics that were left."""
        link = self.socket._link
        if source is None and link is not None:
            # Taken at its word: what connection there is, is no longer wanted.
            tell(link.connection, CloseConnection())
        self._tell_leaves(owed_leaves(self.socket), source)

    def _tell_leaves_before(self, event: Any, source: Any) -> None:
        """What is told of a join comes behind the ends of those that were left before it."""
        join = self.socket.joins.get(event.topic)
        if join is not None and join._details.leaving and not is_stale(join, event.join_ref):
            refs = [ref for ref in join._details.leaving if ref != event.join_ref]
            self._tell_leaves([TopicLeft(event.topic, ref) for ref in refs], source)

    def _tell_leaves(self, leaves: list[TopicLeft], source: Any) -> None:
        for left in leaves:
            if not self._slipstream.ended:
                self._handle_event(left, source)

    def _prepare(self, event: Any, source: Any, before: Socket) -> bool:
        """Do what an event means for pushes; return whether it has a callback."""
        kind = type(event)
        if kind is ReplyReceived:
            return self._settles(event)
        if kind is PushFailed:
            # Of a connection's only the first counts; one that was sent by hand, always.
            if self.actor_inbox.ledger.settle(event.ref) is None and source is not None:
                return False
            push_ended(self.actor_inbox.ledger, event.ref, event.reason)
        elif kind is TopicJoinSucceeded:
            if not self.socket.joined(event.topic):
                self._take_back(event, source)
                return False
            send_buffered(self.socket, event.topic)
            self._slipstream.requests.flush()
        elif kind is ChannelConnected:
            self._slipstream.told_end = None
        elif kind in CONNECTION_ENDS and before._link is not None:
            self._slipstream.told_end = before._link.connection
            fail_all_over(self.actor_ref, before._link.connection, event.reason)
        return True

    def _settles(self, replied: ReplyReceived) -> bool:
        """Whether a reply is its push's outcome; none is when another one came first."""
        ledger, ref = self.actor_inbox.ledger, replied.ref
        if ledger.settle(ref) is None and getattr(ref, "awaited", False):
            return False
        if ledger.open_spans:
            push_ended(ledger, ref, replied.reply)
        return True

    def _take_back(self, event: TopicJoinSucceeded, source: Any) -> None:
        """A join has succeeded that is not the socket's: it was left, or a callback has lost it."""
        join = self.socket.joins.get(event.topic)
        left = join is not None and event.join_ref in join._details.leaving
        if not left and event.join_ref is not None:
            tell(source, LeaveTopic(event.topic, event.join_ref))
            give_up_buffered(self.socket, ChannelEnded("left"))

    def _leave_done(self, done: LeaveDone) -> None:
        if done.connection is not None and self._slipstream.told_end is done.connection:
            return  # The end that was awaited has come back, and has told of it.
        link = self.socket._link
        if done.join_ref is not None and link is not None and link.connection is done.connection:
            self._handle_event(TopicLeft(done.topic, done.join_ref), None)
        elif done.former is None or self.socket.joins.get(done.topic) is not done.former:
            self._run("handle_leave", done.topic)

    def _leave_asked(self, asked: LeaveAsked) -> None:
        self._slipstream.socket = apply_leave_asked(self.socket, asked)

    def _connection_replaced(self, replaced: ConnectionReplaced) -> None:
        """Tell its end; the connection that took its place stays the one there is.

        A callback that has failed after `connect` has lost the new one: the socket still has the
        old one, which tells its end itself.
        """
        link, connection = self.socket._link, replaced.connection
        if link is not None and link.connection is connection:
            return
        if self._slipstream.told_end is connection:
            return
        for topic in replaced.left:
            self._leave_done(LeaveDone(topic))
        if self._is_ending():
            return
        self.actor_inbox.replacing = True
        try:
            self._run("handle_disconnect", ClosedByClient())
        finally:
            self.actor_inbox.replacing = False

    # messages

    def _route_of(self, message: MessageReceived) -> Route:
        if self._slipstream_routes is None:
            return EVERY_OTHER
        return self._slipstream_routes.find(message.topic, message.event)

    def _deliver_message(self, came: Message | MessageReceived) -> None:
        """Call whom a message is for: the presence callbacks, a handler, or `handle_message`.

        What `track_presence` takes goes to a handler too, if that names the very event.
        """
        if (message := event_of(came)) is None:
            say_undecodable(self.socket)
            return
        route = self._route_of(message)
        if presences.is_tracked(self.socket, message):
            self._deliver_presence(message, came)
            if route.pattern.event != message.event or self._is_ending():
                return
            self._cancel_idle()
        arguments = message.topic, message.event, message.payload
        self._run(route.name, *arguments, told_as=EVERY_OTHER.name)

    def _deliver_presence(self, message: MessageReceived, came: Any) -> None:
        """Apply a state or a diff to the socket, and call the callbacks that it leads to."""
        self._slipstream.socket, calls = presences.receive(self.socket, message, came)
        link = self.socket._link
        for name, arguments in calls:
            if self._is_ending() or self.socket._link is not link:
                return  # It is not this connection's client any more.
            self._cancel_idle()
            self._run(name, *arguments)

    def _is_ending(self) -> bool:
        return self._slipstream.ended or self.actor_inbox.stopping
