"""`SocketState`: what a socket knows of its connection and its joins, and how events change it.

A change is a function of the state and the event, without effects. The other modules of the room
work on the state, and `Socket` is the state with the public methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace
from pykka import ActorRef

from slipstream_actor.actors.envelopes import Timer
from slipstream_actor.actors.process import current
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.connection import Connection
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
from slipstream_actor.protocol.message import Message, no_fields
from slipstream_actor.protocol.presence import EMPTY, Tracked, unsynced
from slipstream_actor.protocol.reasons import ClosedByClient, JoinRefused
from slipstream_actor.telemetry.spans import OpenSpan

__all__ = [
    "CONNECTION_ENDS",
    "ConnectionLink",
    "Join",
    "JoinStatus",
    "ReconnectDue",
    "RejoinDue",
    "S",
    "SocketState",
    "apply_event",
    "reinterpret",
    "changed",
    "commit",
    "encode",
    "is_stale",
    "is_wanted",
    "joins_with",
    "undecodable",
    "without_connection",
]

S = TypeVar("S", bound="SocketState")

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


class ConnectionLink(msgspec.Struct, frozen=True, eq=False):
    """The socket's way to a connection: about to be, being, or having been made.

    `lease` is what a plain thread's sockets of one connection have in common, a
    `process.ConnectionLease`.
    """

    status: Literal["scheduled", "connecting", "connected"]
    connection: Any = None
    timer: Timer | None = None
    lease: Any = None


NOTHING_OPEN: Mapping[str | None, OpenSpan] = MappingProxyType({})


class SocketState(msgspec.Struct, frozen=True):
    """All that a socket knows; it never changes."""

    socket_pid: Any
    assigns: Mapping[str, Any] = EMPTY
    channel_config: Configuration | None = None
    joins: Mapping[str, Join] = EMPTY
    metadata: Mapping[str, Any] = EMPTY
    reconnect_counter: int = 0
    response_headers: Mapping[str, str] | None = None
    _link: ConnectionLink | None = None
    # Topics that the last connection had, and that the next one is to join again.
    _rejoins: frozenset[str] = frozenset()
    # A plain dictionary, never changed: each message looks into it.
    _presences: dict[str, Tracked] = {}
    # What telemetry tells of when it ends: the attempt to connect (`None`), joins by topic.
    _open_spans: Mapping[str | None, OpenSpan] = NOTHING_OPEN

    def __repr__(self) -> str:
        # The configuration holds tokens; assigns are what Slipstream shows too.
        return f"<Socket assigns={dict(self.assigns)!r}>"

    __rich_repr__ = no_fields

    @property
    def channel_pid(self) -> ActorRef[Connection] | None:
        """The connection's `ActorRef`; `None` when there is none that is connected and alive."""
        link = self._link
        if link is None or link.status != "connected" or link.connection is None:
            return None
        return link.connection if link.connection.is_alive() else None

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.channel_pid is not None

    def join_status(self, topic: str) -> JoinStatus | None:
        """Return `"requested"`, `"joined"`, `"closed"`, or `None` if it was never asked for."""
        join = self.joins.get(require_text("topic", topic))
        return join.status if join is not None else None

    def joined(self, topic: str) -> bool:
        """Whether `topic` is joined."""
        return self.join_status(topic) == "joined"

    def presences(self, topic: str) -> Mapping[str, Any]:
        """Return who is in `topic`: a read-only mapping of keys to presences.

        Empty before the first state has come, and when the topic is not tracked; while it is not
        joined, what it was last.
        """
        tracked = self._presences.get(require_text("topic", topic))
        return tracked.presences if tracked is not None else EMPTY


def is_wanted(socket: SocketState, topic: str) -> bool:
    """Whether `topic` is joined, being joined, or to be joined on the next connection."""
    join = socket.joins.get(topic)
    return join is not None and (join.status != "closed" or topic in socket._rejoins)


def joins_with(socket: SocketState, join: Join) -> Mapping[str, Join]:
    """Return the socket's joins with this one in the place of its topic's."""
    return MappingProxyType({**socket.joins, join.topic: join})


def encode(socket: SocketState, message: Message) -> str | bytes:
    """Return the frame of a message, by the socket's serializer."""
    assert socket.channel_config is not None
    assert socket.channel_config.serializer is not None
    if message.ref is None:  # Only tried: whoever encodes is promised a ref.
        message = replace(message, join_ref="0", ref="0")
    return socket.channel_config.serializer.encode(message)


def undecodable(socket: SocketState) -> str:
    """Return what the connection could not decode, for an error's text; empty if there was none."""
    connection = socket._link.connection if socket._link is not None else None
    decoding = getattr(getattr(connection, "actor_inbox", None), "decoding", None)
    return f": {decoding}" if decoding is not None and decoding.failures else ""


def changed(socket: S, method: str, **changes: Any) -> S:
    """Return the socket with `changes` that `method` has made."""
    return commit(socket, method, replace(socket, **changes))


def commit(before: S, method: str, after: S) -> S:
    """Note that a callback which returns nothing now would lose `after`, and return it."""
    if after is not before:
        owner = current()
        if owner is before.socket_pid:
            owner.actor_inbox.uncommitted = method
    return after


class ReconnectDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `reconnect` is over; void when the socket has another link by now."""

    link: Any


class RejoinDue(msgspec.Struct, frozen=True, eq=False):
    """The delay of a `rejoin` is over; void when the socket has another join by now."""

    join: Join


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
        link = ConnectionLink(
            "connected", event.channel_pid, lease=link.lease if link and same else None
        )
    return replace(socket, _link=link, response_headers=event.response_headers, reconnect_counter=0)


def apply_closed(socket: S, _: ChannelClosed | ChannelConnectFailed) -> S:
    return replace(without_connection(socket), _link=None)


def without_connection(socket: S) -> S:
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
    )
    presences = unsynced(socket._presences, event.topic)
    return replace(socket, joins=joins_with(socket, join), _presences=presences)


def apply_ended(socket: S, event: TopicJoinFailed | TopicJoinClosed | TopicLeft) -> S:
    join = socket.joins.get(event.topic)
    if join is None or is_stale(join, event.join_ref):
        return socket
    refusal = event.reason if isinstance(event, TopicJoinFailed) else None
    response = refusal.response if isinstance(refusal, JoinRefused) else join.response
    join = replace(join, status="closed", response=response, join_ref=None)
    return replace(socket, joins=joins_with(socket, join))


def reinterpret(socket: SocketState, event: Event, source: Any) -> Event:
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
CHANGES: dict[type, Callable[[Any, Any], Any]] = {
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
