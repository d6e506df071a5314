"""The socket's `await_*`, built on the mailbox's selective receive and on nothing else.

Each consumes the event that it awaits, or that event's own refusal, and no other: a disconnect
meanwhile fails the await and stays in the mailbox, for `handle_disconnect` or `await_disconnect`.
"""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace
from pykka import ActorRef

from slipstream_actor.actors.envelopes import LEAVE, TAKE, Interrupted, Match
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.search import Expired
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.errors import AwaitTimeoutError
from slipstream_actor.protocol.events import (
    JOIN_ENDS,
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, Disconnected
from slipstream_actor.socket.apply_event import (
    CONNECTION_ENDS,
    LeaveDone,
    ReconnectDue,
    RejoinDue,
    due_join,
    ends_leave,
    is_due,
    owed_leaves,
)
from slipstream_actor.socket.buffering import give_up_buffered, send_buffered
from slipstream_actor.socket.connecting import open_connection
from slipstream_actor.socket.ended import applied, with_ends
from slipstream_actor.socket.errors import (
    ConnectFailedError,
    JoinFailedError,
    NeverJoinedError,
    NotConnectedError,
)
from slipstream_actor.socket.joining import request, send_requested
from slipstream_actor.socket.log import say_lost
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.presences import begun, noting_older
from slipstream_actor.socket.records import is_stale
from slipstream_actor.socket.sending import fail_all_over
from slipstream_actor.socket.standing import stands, topic_stands
from slipstream_actor.socket.state import S, SocketState
from slipstream_actor.socket.telemetry import apply_event

__all__ = [
    "await_connect",
    "await_disconnect",
    "await_join",
    "await_leave",
    "Deadline",
    "disconnected_error",
    "last_words",
    "receive",
    "search",
    "timed_out",
]


class Deadline:
    """A timeout that several waits share."""

    def __init__(self, timeout: float | None, spent: float = 0.0) -> None:
        self.timeout: float | None = require_seconds("timeout", timeout)
        self._began = time.monotonic() - spent
        self._end = None if self.timeout is None else self._began + self.timeout

    def left(self) -> float | None:
        """Return the seconds that are left, `None` for ever."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def waited(self) -> float:
        """Return the seconds that are over."""
        return time.monotonic() - self._began


def receive(
    socket: SocketState, awaited: str, deadline: Deadline, match: Match, topic: Any = None
) -> Any:
    """Return the first event of the socket's connection that matches.

    Raises `AwaitTimeoutError`, whose text says how the socket and `topic` stand; at once where the
    connection is over and nothing matches of what it has told.
    """
    if has_told_all(socket, deadline):
        deadline = Deadline(0.0)
    try:
        return search(socket, deadline.left(), match)
    except Expired:
        raise timed_out(socket, awaited, deadline, topic) from None


def search(socket: SocketState, seconds: float | None, match: Match, since_ref: int = 0) -> Any:
    """Return the first event of the socket's connection that matches. Raises `Expired`."""
    source = socket._link.connection if socket._link is not None else None
    try:
        inbox = socket.socket_pid.actor_inbox
        return inbox.receive(match, seconds, source=source, since_ref=since_ref)
    except Interrupted:
        if isinstance(socket.socket_pid, ThreadRef):
            require_here(socket.socket_pid)  # A greenlet, which a fork copies.
        raise


def timed_out(
    socket: SocketState, awaited: str, deadline: Deadline, topic: Any
) -> AwaitTimeoutError:
    """Return the error of what did not come; it says how the socket and `topic` stand."""
    hint = stands(socket, topic)
    return AwaitTimeoutError(awaited, deadline.timeout, socket=socket, hint=hint)


def await_connect(socket: S, timeout: float | None, *, take: int = TAKE) -> S:
    """See `Socket.await_connect`. `take`: whether to consume the event."""
    require_owner(socket, "await_connect")
    deadline = Deadline(timeout)
    if socket.connected:
        return socket
    # Nobody connects what has no link, however long this waits.
    left = deadline if socket._link is not None else Deadline(0.0)

    def match(message: Any, _: Any) -> int:
        return decides_connecting(socket, message, take)

    while not socket.connected:
        event = receive(socket, "the connection", left, match)
        if type(event) is ReconnectDue:
            socket = open_connection(socket, "await_connect")
        elif type(event) is ChannelConnected:
            socket = after_connected(socket, event, take)
        else:
            if type(event) is ChannelConnectFailed:
                socket = apply_event(socket, event)
            raise ConnectFailedError(event.reason, socket=socket)
    if socket._lineage is not None and socket._link is not None:
        socket._lineage.connected = socket._link.connection
    return send_requested(socket)


def decides_connecting(socket: SocketState, message: Any, take: int) -> int:
    """Return what an `await_connect` that is to `take` the event does with a message."""
    kind, link = type(message), socket._link
    if kind is ChannelConnected:
        # One that stays is found again, though its connection is over by now.
        return take if link is None or link.status != "connected" else 0
    if kind is ChannelConnectFailed:
        return take
    if kind is ReconnectDue:
        return TAKE if is_due(socket, message) else 0
    return LEAVE if kind is ChannelClosed else 0


def after_connected(socket: S, event: ChannelConnected, take: int) -> S:
    """Return the socket after the connection that was awaited."""
    socket = apply_event(socket, event)
    if take != TAKE or socket._link is None:
        return socket
    return replace(socket, _link=replace(socket._link, awaited=True))


def await_disconnect(socket: S, timeout: float | None) -> S:
    """See `Socket.await_disconnect`."""
    require_owner(socket, "await_disconnect")
    deadline = Deadline(timeout)
    if socket._link is None or socket._link.status == "scheduled":
        return socket
    event = receive(
        socket,
        "the disconnect",
        deadline,
        lambda message, _: TAKE if type(message) in CONNECTION_ENDS else 0,
    )
    link, owner = socket._link, socket.socket_pid
    if not isinstance(owner, ThreadRef):
        for left in owed_leaves(socket):
            owner.actor_inbox.tell(LeaveDone(left.topic, None, link.connection, left.join_ref))
    socket = apply_event(socket, event)
    own = link.closing
    say_lost(socket, ClosedByClient() if own else event.reason)
    fail_all_over(owner, link.connection, event.reason)
    give_up_buffered(socket, Disconnected(event.reason))
    owner.actor_inbox.former.append(link.connection)
    return socket


def await_join(socket: S, topic: str, timeout: float | None) -> S:
    """See `Socket.await_join`."""
    require_owner(socket, "await_join")
    deadline = Deadline(timeout)
    if require_text("topic", topic) not in socket.joins:
        raise NeverJoinedError(f"await_join: {topic_stands(socket, topic)}")
    socket = asked_for(socket, topic, deadline)
    older: dict[int, Any] = {}

    def match(message: Any, _: Any) -> int:
        kind = type(message)
        if kind is TopicJoinSucceeded or kind in JOIN_ENDS:
            return TAKE if concerns_join(socket, message, topic) else 0
        if kind is RejoinDue:
            ours = message.topic == topic and due_join(socket, message) is not None
            return TAKE if ours else 0
        return LEAVE if kind in CONNECTION_ENDS else 0

    while not socket.joined(topic):
        join = socket.joins[topic]
        if join.status == "closed" and join.rejoin_in is None:
            reason = join.reason if join.reason is not None else ChannelEnded("closed")
            raise JoinFailedError(topic, reason, socket=socket)
        look = noting_older(match, socket, topic, older)
        event = receive(socket, f"the join of {topic!r}", deadline, look, topic)
        if type(event) is RejoinDue:
            socket = request(socket, socket.joins[topic], "await_join")
        else:
            socket = begun(after_join_event(socket, topic, event), topic, older)
    return socket


def asked_for(socket: S, topic: str, deadline: Deadline) -> S:
    """Return the socket with a connection, and the join asked for that is to be made on it.

    One that has ended in a plain thread, which has not looked since, is asked for anew.
    """
    was_joined = socket.joins[topic].status == "joined"
    if was_joined:
        socket = with_ends(socket, topic)
    if not socket.connected:
        socket = connect_first(socket, topic, deadline)
    join = socket.joins[topic]
    if join._details.lost or (was_joined and join.status == "closed"):
        socket = request(socket, join, "await_join")
    return socket


def after_join_event(socket: S, topic: str, event: Any) -> S:
    """Return the socket after the event that ended the wait for a join; raise a refusal."""
    if type(event) in CONNECTION_ENDS:
        raise JoinFailedError(topic, Disconnected(event.reason), socket=socket)
    socket = applied(socket, event)
    if type(event) is TopicJoinSucceeded:
        send_buffered(socket, topic)
        if socket._lineage is not None:
            socket._lineage.add_joined(socket.joins[topic].join_ref)
        return socket
    reason = ChannelEnded("left") if type(event) is TopicLeft else event.reason
    give_up_buffered(socket, ChannelEnded(reason))
    raise JoinFailedError(topic, reason, socket=socket)


def connect_first(socket: S, topic: str, deadline: Deadline) -> S:
    """Wait for the connection that a recorded join is sent on.

    A plain thread consumes the event; an actor leaves it for its `handle_connect`.
    """
    if socket._link is None:
        text = f"await_join: {topic!r} waits for a connection{stands(socket)}"
        raise NotConnectedError(text, socket=socket)
    take = TAKE if isinstance(socket.socket_pid, ThreadRef) else LEAVE
    try:
        return await_connect(socket, deadline.left(), take=take)
    except ConnectFailedError as error:
        raise JoinFailedError(topic, Disconnected(error.reason), socket=error.socket) from None


def concerns_join(socket: SocketState, event: Any, topic: str) -> bool:
    """Whether an event is about the socket's join of `topic`."""
    return event.topic == topic and not is_stale(socket.joins[topic], event.join_ref)


def await_leave(socket: S, topic: str, timeout: float | None) -> S:
    """See `Socket.await_leave`."""
    require_owner(socket, "await_leave")
    deadline = Deadline(timeout)
    if require_text("topic", topic) not in socket.joins:
        raise NeverJoinedError(f"await_leave: {topic_stands(socket, topic)}")
    socket = with_ends(socket, topic, of_leaves=True)
    join, in_thread = socket.joins[topic], isinstance(socket.socket_pid, ThreadRef)
    is_left = join.status == "closed" and not join._details.leaving
    awaited = f"the leave of {topic!r}"

    def match(message: Any, _: Any) -> int:
        if type(message) in CONNECTION_ENDS:
            return LEAVE
        if ends_leave(message, join):
            return TAKE
        # An actor has a callback for it.
        over = in_thread and type(message) in JOIN_ENDS and concerns_join(socket, message, topic)
        return TAKE if over else 0

    try:
        event = receive(socket, awaited, Deadline(0.0) if is_left else deadline, match, topic)
    except AwaitTimeoutError:
        if is_left:
            return socket
        raise
    if type(event) in CONNECTION_ENDS:
        if is_left:
            return socket
        raise disconnected_error(awaited, event, socket)
    return socket if type(event) is LeaveDone else applied(socket, event)


def last_words(socket: SocketState, deadline: Deadline, match: Match) -> Any:
    """Return what matches of what a connection that has just ended tells, `None` if nothing does:
    it is dead a moment before it has told all."""
    link = socket._link
    if link is None or link.status != "connected" or not has_told_all(socket, deadline):
        return None
    try:
        return search(socket, 0.0, match)
    except Expired:
        return None


def has_told_all(socket: SocketState, deadline: Deadline) -> bool:
    """Whether the socket's connection is over; one that has just ended is waited for."""
    connection = socket._link.connection if socket._link is not None else None
    if not isinstance(connection, ActorRef) or connection.is_alive():
        return False
    inbox: Any = connection.actor_inbox
    inbox.ended.wait(deadline.left())
    return True


def disconnected_error(awaited: str, event: Any, socket: SocketState) -> NotConnectedError:
    """Return the error of an await that the end of the connection has failed."""
    reason = Disconnected(event.reason)
    text = f"awaited {awaited}: {described(reason)}"
    return NotConnectedError(text, reason=reason, socket=socket)
