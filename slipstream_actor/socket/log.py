"""What the log says of a socket: where its events are applied, and where its owner asks for what
changes when it connects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.connection.log import place_of
from slipstream_actor.protocol.events import (
    ChannelConnected,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.protocol.reasons import ClosedByClient, ClosedByServer
from slipstream_actor.socket.history import note
from slipstream_actor.socket.records import left_until
from slipstream_actor.socket.state import SocketState, serializer_of
from slipstream_actor.telemetry.log import OwnerLog, Place, log_of

__all__ = [
    "next_attempt",
    "place",
    "say_applied",
    "say_disconnected",
    "say_lost",
    "say_postponed",
    "say_undecodable",
]


def place(socket: SocketState) -> Place | None:
    """Return where the socket connects to, `None` where it never was told to."""
    config = socket.channel_config
    return None if config is None else place_of(config)


def next_attempt(socket: SocketState) -> float | None:
    """Return the seconds until the socket connects, `None` when it will not by itself."""
    link = socket._link
    if link is None or link.closing:
        return None
    return left_until(link.timer.due) if link.timer is not None else 0.0


def say_applied(before: SocketState, after: SocketState, event: Any) -> None:
    """An event has changed the socket; what follows of it is not known yet."""
    note(after.socket_pid, event)
    say = SAID.get(type(event))
    if say is not None and (log := log_of(after.socket_pid)) is not None:
        say(log, before, after, event)


def say_connected(log: OwnerLog, _: SocketState, after: SocketState, __: Any) -> None:
    if (at := place(after)) is not None:
        log.connected(at)


def say_joined(log: OwnerLog, before: SocketState, after: SocketState, event: Any) -> None:
    join = before.joins.get(event.topic)
    if join is None or join.status != "joined":
        log.joined(event.topic, place(after))


def say_left(log: OwnerLog, before: SocketState, after: SocketState, event: Any) -> None:
    was, join = before.joins[event.topic], after.joins[event.topic]
    if was.status != "closed" and isinstance(join.reason, ClosedByServer):
        log.left(event.topic)


SAID: dict[type, Callable[[OwnerLog, SocketState, SocketState, Any], None]] = {
    ChannelConnected: say_connected,
    TopicJoinSucceeded: say_joined,
    TopicLeft: say_left,
}


def say_undecodable(socket: SocketState) -> None:
    """A message that had waited undecoded is none."""
    log, at = log_of(socket.socket_pid), place(socket)
    if log is not None and at is not None:
        name = type(serializer_of(socket)).__name__
        log.undecodable_late(at, DecodingFailed(name, "DecodeError", "something else"))


def say_disconnected(socket: SocketState) -> None:
    """The owner has called off the next attempt; one that ends says nothing of that."""
    owner = socket.socket_pid
    log, at = log_of(owner), place(socket)
    if log is not None and at is not None and not owner.actor_inbox.ending:
        log.stays(at, "disconnect was called")


def say_lost(socket: SocketState, reason: Any) -> None:
    """A client has awaited the end of its connection, which it has not asked for; a plain thread's
    connection says that itself."""
    log, at = log_of(socket.socket_pid), place(socket)
    if log is None or at is None or isinstance(socket.socket_pid, ThreadRef):
        return
    if isinstance(reason, ClosedByClient):
        log.stays(at, "disconnect was called")
    else:
        log.lost(at, reason, None)


def say_postponed(socket: SocketState, delay: float) -> None:
    """The owner has changed the time of the next attempt."""
    log = log_of(socket.socket_pid)
    if log is not None and not isinstance(socket.socket_pid, ThreadRef):
        log.postponed(delay)
