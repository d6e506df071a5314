"""`SocketState`: what a socket knows of its connection and its joins.

The other modules of the room work on the state, and `Socket` is the state with the public methods.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NoReturn, TypeAlias, TypeVar

import msgspec
from msgspec.structs import replace
from pykka import ActorRef

from slipstream_actor.actors.forks import not_portable
from slipstream_actor.actors.interrupts import is_of_a_handler
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.connection import Connection
from slipstream_actor.errors import SerializerError
from slipstream_actor.protocol.frozen_map import FrozenMap
from slipstream_actor.protocol.message import Message, no_fields
from slipstream_actor.protocol.presence import EMPTY, Tracked
from slipstream_actor.protocol.serializer import Serializer, V2Serializer, frame_of
from slipstream_actor.socket.lineage import Lineage
from slipstream_actor.socket.records import ConnectionLink, Join, JoinStatus, left_until
from slipstream_actor.telemetry.spans import OpenSpan

__all__ = [
    "S",
    "SocketState",
    "SocketStatus",
    "changed",
    "commit",
    "encode",
    "frozen",
    "is_joined",
    "is_wanted",
    "joins_with",
    "open_channel",
]

S = TypeVar("S", bound="SocketState")
DEFAULT_SERIALIZER = V2Serializer()

SocketStatus: TypeAlias = Literal[
    "new", "connecting", "connected", "closing", "waiting", "disconnected"
]


NOTHING_OPEN: Mapping[str | None, OpenSpan] = MappingProxyType({})


NO_JOINS: FrozenMap[str, Join] = FrozenMap()


class SocketState(msgspec.Struct, frozen=True):
    """All that a socket knows; it never changes."""

    socket_pid: Any
    assigns: Mapping[str, Any] = EMPTY
    channel_config: Configuration | None = None
    joins: Mapping[str, Join] = NO_JOINS
    metadata: Mapping[str, Any] = EMPTY
    reconnect_counter: int = 0
    response_headers: Mapping[str, str] | None = None
    last_failure: Any = None
    _link: ConnectionLink | None = None
    # A plain dictionary, never changed: each message looks into it.
    _presences: dict[str, Tracked] = {}
    # What telemetry tells of when it ends: the attempt to connect (`None`), joins by topic.
    _open_spans: Mapping[str | None, OpenSpan] = NOTHING_OPEN
    # When the server that refused the last attempt is to be asked again, on the monotonic clock.
    _retry_at: float | None = None
    # What all sockets have in common that descend from one.
    _lineage: Lineage | None = None
    # The last call that has asked something of the server, in this object alone: see `commit`.
    _asked: tuple[str] | None = None
    # What has been awaited to come to it in the method that runs: see `taking_back.Awaited`.
    _awaited: Any = None

    def __repr__(self) -> str:
        # The configuration holds tokens, and assigns may.
        return f"<{type(self).__name__} {self.status}>"

    def __reduce__(self) -> NoReturn:
        raise not_portable("a socket")

    __rich_repr__ = no_fields

    @property
    def status(self) -> SocketStatus:
        """How it stands: `"new"` (never connected), `"connecting"`, `"connected"`, `"closing"`
        (from `disconnect` on), `"waiting"` (a reconnect is scheduled) or `"disconnected"`."""
        link = self._link
        if link is None:
            return "new" if self.channel_config is None else "disconnected"
        if link.timer is not None:
            return "disconnected" if link.timer.cancelled else "waiting"
        if not link.alive:
            return "disconnected"
        if link.closing:
            return "closing"
        if link.opens_at is not None and link.opens_at > time.monotonic():
            return "waiting"
        return "connected" if link.status == "connected" else "connecting"

    @property
    def reconnect_in(self) -> float | None:
        """Seconds until the attempt to connect that is scheduled; `None` when there is none."""
        link = self._link
        if self.status != "waiting" or link is None:
            return None
        return left_until(link.timer.due if link.timer is not None else link.opens_at or 0.0)

    @property
    def channel_pid(self) -> ActorRef[Connection] | None:
        """The connection's `ActorRef`; `None` when there is none that is connected and alive."""
        link = self._link
        if link is None or link.status != "connected" or link.connection is None:
            return None
        return link.connection if link.connection.is_alive() else None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, and no `disconnect` has been asked of it."""
        return open_channel(self) is not None

    def join_status(self, topic: str) -> JoinStatus | None:
        """Return `"requested"`, `"joined"`, `"closed"`, or `None` if it was never asked for."""
        join = self.joins.get(require_text("topic", topic))
        if join is None:
            return None
        return "closed" if has_ended_unseen(self, join) else join.status

    def joined(self, topic: str) -> bool:
        """Whether `topic` is joined."""
        return self.join_status(topic) == "joined"

    def presences(self, topic: str) -> Mapping[str, Any]:
        """Return who is in `topic`: a read-only mapping of keys to presences.

        Empty before the first state has come, and when the topic is not tracked or is forgotten;
        while it is not joined, what it was last.
        """
        tracked = self._presences.get(require_text("topic", topic))
        return tracked.presences if tracked is not None else EMPTY


def open_channel(socket: SocketState) -> Any:
    """Return the connection that takes commands, `None` when there is none, or it is closing."""
    link = socket._link
    if link is None or link.status != "connected":
        return None
    connection = link.connection
    if connection is None or link.closing or not connection.is_alive():
        return None
    return connection


def is_joined(socket: SocketState, join: Join) -> bool:
    """Whether a join of the socket is one that it may push on."""
    return join.status == "joined" and not has_ended_unseen(socket, join)


def has_ended_unseen(socket: SocketState, join: Join) -> bool:
    """Whether a plain thread's join is over, and its event still waits to be looked at."""
    owner = socket.socket_pid
    if type(owner) is not ThreadRef or join.join_ref is None:
        return False
    return join.join_ref in owner.actor_inbox.ended_joins or socket.channel_pid is None


def is_wanted(socket: SocketState, topic: str) -> bool:
    """Whether `topic` is joined, being joined, or coming back."""
    join = socket.joins.get(topic)
    return join is not None and (
        join.status != "closed" or join._details.lost or join.rejoin_in is not None
    )


def joins_with(socket: SocketState, join: Join) -> FrozenMap[str, Join]:
    """Return the socket's joins with this one in the place of its topic's."""
    return frozen(socket.joins).with_item(join.topic, join)


def frozen(joins: Mapping[str, Join]) -> FrozenMap[str, Join]:
    """Return joins as what can be changed without a copy."""
    return joins if isinstance(joins, FrozenMap) else FrozenMap(joins)


def encode(socket: SocketState | None, message: Message) -> str | bytes:
    """Return the frame of a message, by the socket's serializer, the default one without any.

    Raises `SerializerError`, and nothing else but what a signal handler raises.
    """
    if message.ref is None:  # Only tried: whoever encodes is promised a ref.
        message = replace(message, join_ref="0", ref="0")
    try:
        return frame_of(serializer_of(socket), message)
    except SerializerError as error:
        cause = error.__cause__
        if cause is None or not is_of_a_handler(cause):
            raise
    raise cause


def serializer_of(socket: SocketState | None) -> Serializer:
    """Return the socket's serializer, the default one without any."""
    config = socket.channel_config if socket is not None else None
    serializer = config.serializer if config is not None else None
    return serializer or DEFAULT_SERIALIZER


def changed(socket: S, method: str, **changes: Any) -> S:
    """Return the socket with `changes` that `method` has made."""
    return commit(socket, method, replace(socket, **changes))


# What changes no more than the socket: who drops such a change may mean it.
OF_THE_SOCKET_ALONE = frozenset({"assign", "update", "track_presence"})

# Of these the last one counts: who drops what the default has asked for may have another server.
OF_THE_CONNECTION = frozenset({"connect", "reconnect", "disconnect"})


def commit(before: S, method: str, after: S) -> S:
    """Note that a callback would lose `after` by returning nothing, or a socket that does not know
    of what `method` has asked of the server; return it."""
    owner = current()
    if after is before or owner is not before.socket_pid:
        return after
    inbox = owner.actor_inbox
    if inbox.uncommitted is None:
        inbox.asked = None
    inbox.uncommitted = method
    if method in OF_THE_SOCKET_ALONE or method.startswith("await_"):
        return after
    former = inbox.asked
    knows = former is None or before._asked is former
    if not knows and not {method, former[0]} <= OF_THE_CONNECTION:
        inbox.asked = (former[0],)  # No socket knows of both: whichever is kept, one is lost.
        return after
    inbox.asked = (method,)
    return replace(after, _asked=inbox.asked)
