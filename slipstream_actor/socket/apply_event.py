"""How events change a socket: functions of the state and the event, without effects."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from slipstream_actor.actors.envelopes import TimerDue
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.retry_after import retry_after
from slipstream_actor.protocol.events import (
    JOIN_ENDS,
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    Event,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.presence import unsynced
from slipstream_actor.protocol.reasons import (
    ClosedByClient,
    ClosedByServer,
    ConnectFailed,
    Disconnected,
    JoinRefused,
    LeftByClient,
)
from slipstream_actor.socket.records import (
    ConnectionLink,
    Join,
    JoinDetails,
    is_stale,
    with_details,
)
from slipstream_actor.socket.state import S, SocketState, frozen, joins_with

__all__ = [
    "CONNECTION_ENDS",
    "ConnectionReplaced",
    "LeaveAsked",
    "LeaveDone",
    "ReconnectDue",
    "RejoinDue",
    "apply_event",
    "apply_leave_asked",
    "being_left",
    "decides",
    "due_join",
    "ends_leave",
    "is_due",
    "left_by_client",
    "owed_leaves",
    "reinterpret",
    "without_connection",
]


class ReconnectDue(TimerDue, frozen=True, eq=False):
    """The delay of a `reconnect` is over; nobody's when the socket has another link by now."""


class RejoinDue(TimerDue, frozen=True, eq=False):
    """The delay of a `rejoin` is over; nobody's when the socket has another join by now."""

    topic: str


def is_due(socket: SocketState, due: ReconnectDue) -> bool:
    """Whether it is the attempt that the socket has scheduled whose delay is over."""
    link = socket._link
    return link is not None and due.is_of(link.timer)


def due_join(socket: SocketState, due: RejoinDue) -> Join | None:
    """Return the join whose delay is over, `None` when its topic has another one by now."""
    join = socket.joins.get(due.topic)
    return join if join is not None and due.is_of(join._details.rejoin) else None


class LeaveDone(msgspec.Struct, frozen=True, eq=False):
    """A topic was left of which the server did not know: `handle_leave`, told to oneself.

    Void when the socket still has the `former` join: then whoever left it has lost the leave. Of a
    leave that a `connection` owed when its end was awaited it is the end of the join of `join_ref`,
    once more perhaps, when the socket still has that connection: then the await is lost.
    """

    topic: str
    former: Join | None = None
    connection: Any = None
    join_ref: str | None = None


class LeaveAsked(msgspec.Struct):
    """The server was told to leave a join, told to oneself: a socket that does not know of it,
    since a callback has not returned it, learns it so. Not `made` when nobody was there to tell."""

    topic: str
    join_ref: str
    made: bool = True


def left_by_client(join: Join) -> Join:
    """Return a join that we have left."""
    gone = replace(join, status="closed", params={}, reason=LeftByClient())
    return with_details(gone, lost=False, rejoin=None)


def being_left(join: Join) -> Join:
    """Return a join that the server was told to leave."""
    refs = (*join._details.leaving, str(join.join_ref))
    return with_details(left_by_client(join), leaving=refs)


def apply_leave_asked(socket: S, asked: LeaveAsked) -> S:
    """Return the socket with a join left that it still has."""
    join = socket.joins.get(asked.topic)
    if not asked.made or join is None or join.status == "closed":
        return socket
    if join.join_ref != asked.join_ref:
        return socket
    return replace(socket, joins=joins_with(socket, being_left(join)))


class ConnectionReplaced(msgspec.Struct, frozen=True):
    """A connection has given way to another one: its `handle_disconnect`, told to oneself, and
    `handle_leave` for the topics whose leave it will not tell any more."""

    connection: Any
    left: list[str]


def apply_event(socket: S, event: Event) -> S:
    """Return the socket as `event` leaves it.

    An event of a join that is no longer the topic's changes nothing; one without a join_ref, as a
    test sends it, is taken at its word.
    """
    change: Callable[[S, Any], S] | None = CHANGES.get(type(event))
    return socket if change is None else change(socket, event)


def apply_connected(socket: S, event: ChannelConnected) -> S:
    link = socket._link
    if link is None or link.status != "connected" or link.connection is not event.channel_pid:
        same = link is not None and link.connection is event.channel_pid
        lease = link.lease if link is not None and same else None
        link = ConnectionLink(
            "connected",
            event.channel_pid,
            lease=lease,
            since=time.monotonic(),
            attempts=socket.reconnect_counter,
        )
    return replace(
        socket,
        _link=link,
        response_headers=event.response_headers,
        reconnect_counter=0,
        _retry_at=None,
    )


def apply_closed(socket: S, event: ChannelClosed | ChannelConnectFailed) -> S:
    own = isinstance(event.reason, ClosedByClient)
    return replace(
        without_connection(socket, event.reason),
        _link=None,
        last_failure=socket.last_failure if own else event.reason,
        _retry_at=retry_at(socket.channel_config, event.reason),
    )


def retry_at(config: Configuration | None, reason: Any) -> float | None:
    """Return when a server that is too busy has asked to be asked again, `None` if it has not."""
    if config is None or not config.honor_retry_after:
        return None
    if not isinstance(reason, ConnectFailed) or reason.status not in (429, 503):
        return None
    seconds = retry_after(reason.headers, time.time())
    if seconds is None:
        return None
    return time.monotonic() + min(seconds, config.max_retry_after_msec / 1000)


def without_connection(socket: S, reason: Any) -> S:
    """Return the socket with every join closed that the connection had, to be joined again later.

    What was never sent stays asked for. After a connection that has not lasted the count of
    attempts goes on.
    """
    config, link = socket.channel_config, socket._link
    again = config is None or config.rejoin_on_reconnect
    joins = frozen(socket.joins)
    for topic, join in socket.joins.items():
        if (ended := disconnected(socket, join, reason, again=again)) is not join:
            joins = joins.with_item(topic, ended)
    counter = socket.reconnect_counter
    if link is not None and link.since is not None and not has_lasted(config, link.since):
        counter = link.attempts
    return replace(socket, joins=joins, reconnect_counter=counter)


def disconnected(socket: SocketState, join: Join, reason: Any, *, again: bool) -> Join:
    """Return a join as the end of its connection leaves it."""
    never_sent = join.status == "requested" and join.join_ref is None
    over = join.status == "closed" and join.join_ref is None and join.rejoin_in is None
    if never_sent or over:
        # Of earlier joins that were left, the end is told with that of the connection.
        return with_details(join, leaving=()) if join._details.leaving else join
    details = JoinDetails(timeout=join._details.timeout)
    if join.status == "closed":
        lost = join.rejoin_in is not None and again
        return replace(join, join_ref=None, _details=replace(details, lost=lost))
    return replace(
        join,
        status="closed",
        join_ref=None,
        reason=Disconnected(reason),
        rejoin_counter=counted(socket, join),
        _details=replace(details, lost=again),
    )


def has_lasted(config: Configuration | None, since: float) -> bool:
    """Whether what has been there `since` a time has lasted for `stable_after_msec`."""
    if config is None:
        return True
    return time.monotonic() - since >= config.stable_after_msec / 1000


def counted(socket: SocketState, join: Join) -> int:
    """Return the count of a join's rejoins: after one that has not lasted it goes on."""
    since = join._details.since
    if since is None or has_lasted(socket.channel_config, since):
        return join.rejoin_counter
    return join._details.attempts


def apply_joined(socket: S, event: TopicJoinSucceeded) -> S:
    join = socket.joins.get(event.topic) or Join(event.topic)
    if is_stale(join, event.join_ref) or (event.join_ref is not None and join.status == "closed"):
        return socket
    join = replace(
        join,
        status="joined",
        rejoin_counter=0,
        response=event.response,
        join_ref=event.join_ref or join.join_ref,
        reason=None,
        _details=replace(
            join._details,
            since=time.monotonic(),
            attempts=join.rejoin_counter,
            lost=False,
            rejoin=None,
        ),
    )
    presences = unsynced(socket._presences, event.topic)
    return replace(socket, joins=joins_with(socket, join), _presences=presences)


def apply_ended(socket: S, event: TopicJoinFailed | TopicJoinClosed) -> S:
    join = socket.joins.get(event.topic)
    if join is None or is_stale(join, event.join_ref):
        return socket
    refusal = event.reason if isinstance(event, TopicJoinFailed) else None
    response = refusal.response if isinstance(refusal, JoinRefused) else join.response
    join = replace(
        join,
        status="closed",
        response=response,
        join_ref=None,
        reason=event.reason,
        rejoin_counter=counted(socket, join),
    )
    return replace(socket, joins=joins_with(socket, join))


def apply_left(socket: S, event: TopicLeft) -> S:
    join = socket.joins.get(event.topic)
    if join is None:
        return socket
    if event.join_ref is not None and event.join_ref in join._details.leaving:
        leaving = tuple(ref for ref in join._details.leaving if ref != event.join_ref)
        join = with_details(join, leaving=leaving)
        if join.join_ref == event.join_ref:
            join = replace(join, join_ref=None)
    elif is_stale(join, event.join_ref):
        return socket
    else:
        own = isinstance(join.reason, LeftByClient)
        reason = join.reason if own else ClosedByServer()
        join = replace(join, status="closed", join_ref=None, reason=reason)
    return replace(socket, joins=joins_with(socket, join))


def reinterpret(socket: SocketState, event: Event, source: Any) -> Event | None:
    """Return what an event means after what we have asked for meanwhile, `None` for nothing.

    The end of a connection that we were closing is our own; the end of a join that we were leaving
    is its leave; that of a join which is not the socket's is nobody's.
    """
    if type(event) in CONNECTION_ENDS:
        if getattr(getattr(source, "actor_inbox", None), "close_requested", False):
            return ChannelClosed(ClosedByClient())
    elif isinstance(event, (TopicJoinClosed, TopicJoinFailed, TopicLeft)):
        join = socket.joins.get(event.topic)
        if event.join_ref is None:
            return event
        if join is not None and event.join_ref in join._details.leaving:
            return TopicLeft(event.topic, event.join_ref)
        if join is None or is_stale(join, event.join_ref):
            return None
    return event


def owed_leaves(socket: SocketState) -> list[TopicLeft]:
    """Return the ends of leaves that the connection will not tell any more."""
    return [
        TopicLeft(topic, ref)
        for topic, join in socket.joins.items()
        for ref in join._details.leaving
    ]


def ends_leave(message: Any, join: Join) -> bool:
    """Whether `message` is the end of the topic's leave: the last one, where there are several."""
    kind = type(message)
    if kind not in (LeaveDone, *JOIN_ENDS) or message.topic != join.topic:
        return False
    leaving = join._details.leaving
    if kind is LeaveDone:
        return True
    if not leaving:
        return kind is TopicLeft and not is_stale(join, message.join_ref)
    if join.status == "closed" and join.join_ref in leaving:
        leaving = (join.join_ref,)
    return message.join_ref is None or message.join_ref in leaving


def decides(socket: SocketState, message: Any, topic: str) -> bool:
    """Whether `message` is the success or the end of the join that the socket has of `topic`, not
    of one that was left."""
    if type(message) not in (TopicJoinSucceeded, *JOIN_ENDS) or message.topic != topic:
        return False
    join = socket.joins.get(topic)
    return join is None or join.join_ref is None or not is_stale(join, message.join_ref)


CONNECTION_ENDS = (ChannelClosed, ChannelConnectFailed)

# The types of the arguments follow from the keys.
CHANGES: dict[type, Callable[[Any, Any], Any]] = {
    ChannelConnected: apply_connected,
    ChannelConnectFailed: apply_closed,
    ChannelClosed: apply_closed,
    TopicJoinSucceeded: apply_joined,
    TopicJoinFailed: apply_ended,
    TopicJoinClosed: apply_ended,
    TopicLeft: apply_left,
}
