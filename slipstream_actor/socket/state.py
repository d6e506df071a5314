"""What a socket knows of its connection and its joins, and how events change it.

A change is a function of the socket and the event, without effects.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Timer
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    Event,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import no_fields
from slipstream_actor.protocol.reasons import ClosedByClient, JoinRefused
from slipstream_actor.socket.presences import unsynced

if TYPE_CHECKING:
    from slipstream_actor.socket.socket import Socket

__all__ = [
    "CONNECTION_ENDS",
    "Join",
    "JoinStatus",
    "Link",
    "ReconnectDue",
    "RejoinDue",
    "apply_event",
    "as_it_counts",
    "is_stale",
    "without_connection",
]

JoinStatus: TypeAlias = Literal["requested", "joined", "closed"]


class Join(msgspec.Struct, frozen=True):
    """What the socket knows of one topic.

    `response` is the server's last answer to the join. `join_ref` is the ref of the join that the
    server knows of, `None` while it has not been asked, and when the join is over.
    """

    topic: str
    params: Any = msgspec.field(default_factory=dict)
    status: JoinStatus = "requested"
    rejoin_counter: int = 0
    response: Any = None
    join_ref: str | None = None

    def __repr__(self) -> str:
        # Params may hold tokens.
        return f"<Join {self.topic!r} status={self.status!r} join_ref={self.join_ref!r}>"

    __rich_repr__ = no_fields


class Link(msgspec.Struct, frozen=True, eq=False):
    """The socket's way to a connection: about to be, being, or having been made.

    `hold` is what a plain thread's sockets of one connection have in common: see `process.Hold`.
    """

    status: Literal["scheduled", "connecting", "connected"]
    connection: Any = None
    timer: Timer | None = None
    hold: Any = None


class ReconnectDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `reconnect` is over; void when the socket has another link by now."""

    link: Any


class RejoinDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `rejoin` is over; void when the socket has another join by now."""

    join: Join


def apply_event(socket: Socket, event: Event) -> Socket:
    """Return the socket as `event` leaves it.

    An event of a join that is no longer the topic's changes nothing; one without a join_ref, as a
    test sends it, is taken at its word.
    """
    change = CHANGES.get(type(event))
    return socket if change is None else change(socket, event)


def apply_connected(socket: Socket, event: ChannelConnected) -> Socket:
    link = socket._link
    if link is None or link.status != "connected" or link.connection is not event.channel_pid:
        same = link is not None and link.connection is event.channel_pid
        link = Link("connected", event.channel_pid, hold=link.hold if link and same else None)
    return replace(socket, _link=link, response_headers=event.response_headers, reconnect_counter=0)


def apply_closed(socket: Socket, _: ChannelClosed | ChannelConnectFailed) -> Socket:
    return replace(without_connection(socket), _link=None)


def without_connection(socket: Socket) -> Socket:
    """Return the socket with every join closed that the connection had, to be joined again later.

    What was never sent stays asked for.
    """
    config = socket.channel_config
    joins, lost = {}, set(socket._rejoins)
    for topic, join in socket.joins.items():
        if join.join_ref is None and join.status != "joined":
            joins[topic] = join
            continue
        if join.status != "closed" and (config is None or config.rejoin_on_reconnect):
            lost.add(topic)
        joins[topic] = replace(join, status="closed", join_ref=None)
    return replace(socket, joins=MappingProxyType(joins), _rejoins=frozenset(lost))


def apply_joined(socket: Socket, event: TopicJoinSucceeded) -> Socket:
    join = socket.joins.get(event.topic) or Join(event.topic)
    if is_stale(join, event.join_ref) or (event.join_ref is not None and join.status == "closed"):
        return socket
    join = replace(
        join,
        status="joined",
        rejoin_counter=0,
        response=event.response,
        join_ref=event.join_ref or join.join_ref,
    )
    presences = unsynced(socket._presences, event.topic)
    return replace(socket, joins=socket._joins_with(join), _presences=presences)


def apply_ended(socket: Socket, event: TopicJoinFailed | TopicJoinClosed | TopicLeft) -> Socket:
    join = socket.joins.get(event.topic)
    if join is None or is_stale(join, event.join_ref):
        return socket
    refusal = event.reason if isinstance(event, TopicJoinFailed) else None
    response = refusal.response if isinstance(refusal, JoinRefused) else join.response
    join = replace(join, status="closed", response=response, join_ref=None)
    return replace(socket, joins=socket._joins_with(join))


def as_it_counts(socket: Socket, event: Event, source: Any) -> Event:
    """Return what an event means after what we have asked for meanwhile.

    The end of a connection that we were closing is our own; the end of a join that we were leaving
    is its leave, also when the topic has been asked for again.
    """
    if type(event) in CONNECTION_ENDS:
        if getattr(getattr(source, "actor_inbox", None), "close_requested", False):
            return ChannelClosed(ClosedByClient())
    elif isinstance(event, (TopicJoinClosed, TopicJoinFailed)):
        join = socket.joins.get(event.topic)
        if join is None or event.join_ref is None:
            return event
        if join.status == "closed" or join.join_ref != event.join_ref:
            return TopicLeft(event.topic, event.join_ref)
    return event


CONNECTION_ENDS = (ChannelClosed, ChannelConnectFailed)

# The types of the arguments follow from the keys.
CHANGES: dict[type, Callable[[Socket, Any], Socket]] = {
    ChannelConnected: apply_connected,
    ChannelConnectFailed: apply_closed,
    ChannelClosed: apply_closed,
    TopicJoinSucceeded: apply_joined,
    TopicJoinFailed: apply_ended,
    TopicJoinClosed: apply_ended,
    TopicLeft: apply_ended,
}


def is_stale(join: Join, join_ref: str | None) -> bool:
    """Whether `join_ref` is that of another join than the socket's."""
    return join_ref is not None and join_ref != join.join_ref
