"""The socket's connection: asked for, scheduled again, closed, replaced."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.here import park_if_exiting
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.process import ConnectionLease, ThreadRef
from slipstream_actor.configuration.arguments import require_optional_delay
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.retry import delay as delay_of
from slipstream_actor.connection.connection import Connection
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.protocol.events import ChannelClosed
from slipstream_actor.protocol.frozen_map import FrozenMap
from slipstream_actor.protocol.reasons import ClosedByClient, Disconnected
from slipstream_actor.socket.apply_event import (
    ConnectionReplaced,
    ReconnectDue,
    owed_leaves,
    without_connection,
)
from slipstream_actor.socket.buffering import give_up_buffered
from slipstream_actor.socket.errors import NotConfiguredError
from slipstream_actor.socket.log import say_disconnected, say_postponed
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.records import ConnectionLink, Join, left_until, with_details
from slipstream_actor.socket.sending import fail_all_over, tell
from slipstream_actor.socket.state import S, SocketState, changed, commit, frozen
from slipstream_actor.socket.telemetry import begin_connect, conclude, reconnecting

__all__ = [
    "ask_to_close",
    "connect",
    "disconnect",
    "drop_link",
    "open_connection",
    "reconnect",
    "revive_timers",
]


def connect(socket: S, uri: Any, options: Mapping[str, Any]) -> S:
    """See `Socket.connect`."""
    require_owner(socket, "connect")
    config = Configuration.validate(uri, options)
    if socket.socket_pid.actor_inbox.replacing:
        return socket
    replace_link(socket)
    fresh = replace(socket, channel_config=config)
    if socket.channel_config is not None:
        reason = ClosedByClient()
        fresh = without_connection(fresh, reason)
        fresh = replace(fresh, joins=not_carried_over(fresh, reason), reconnect_counter=0)
        give_up_buffered(fresh, Disconnected(reason))
    return open_connection(fresh, "connect")


def not_carried_over(socket: SocketState, reason: Any) -> FrozenMap[str, Join]:
    """Return the joins, none of which is to be asked for on the next connection.

    One that was never sent is over with its connection too; one that is lost stays so for what it
    was lost for.
    """
    joins = frozen(socket.joins)
    for topic, join in socket.joins.items():
        if join.status == "closed" and not join._details.lost:
            continue
        over = join.reason if join.status == "closed" else Disconnected(reason)
        left = replace(join, status="closed", join_ref=None, reason=over)
        joins = joins.with_item(topic, with_details(left, lost=False, rejoin=None))
    return joins


def reconnect(socket: S, delay: float | None) -> S:
    """See `Socket.reconnect`."""
    require_owner(socket, "reconnect")
    require_optional_delay("delay", delay)
    config, link = socket.channel_config, socket._link
    if config is None:
        raise NotConfiguredError("reconnect: the socket has never been connected")
    status = socket.status
    if socket.socket_pid.actor_inbox.replacing or status == "connecting":
        return socket
    if status == "connected" and delay != 0:
        return socket
    if status == "waiting" and delay is None:
        return socket
    lost = socket
    if link is not None:
        replace_link(socket)
        if status != "waiting":
            lost = without_connection(socket, ClosedByClient())
    is_another = status not in ("connected", "waiting")
    attempt = lost.reconnect_counter + is_another
    seconds = seconds_until(lost, config, attempt) if delay is None else delay
    lost = replace(lost, reconnect_counter=attempt)
    waiting = scheduled(lost, seconds, by_itself=delay is not None)
    if waiting._open_spans:
        waiting = conclude(waiting, ChannelClosed(ClosedByClient()))
    reconnecting(waiting, attempt, seconds)
    if status == "waiting":
        say_postponed(waiting, seconds)
    return commit(socket, "reconnect", waiting)


def seconds_until(socket: SocketState, config: Configuration, attempt: int) -> float:
    """Return the delay of an attempt: the policy's, or what the server has asked for if that is
    longer; both with a random part of the jitter, lest all clients come back at once."""
    policy, jitter = config.reconnect_after_msec, config.reconnect_jitter_msec
    seconds = delay_of("reconnect_after_msec", policy, attempt, jitter, socket.last_failure)
    if socket._retry_at is None:
        return seconds
    asked = left_until(socket._retry_at) + delay_of("reconnect_jitter_msec", (0,), 1, jitter)
    return max(seconds, asked)


def scheduled(socket: S, seconds: float, *, by_itself: bool) -> S:
    """Return the socket with an attempt to connect in so many seconds.

    A plain thread, which has no loop to be called back in, makes it at its next `await_connect`,
    unless it is to be made `by_itself`: then the connection that is opened waits for the time.
    """
    owner = socket.socket_pid
    if by_itself and isinstance(owner, ThreadRef):
        return open_connection(socket, "reconnect", delay=seconds)
    timer = owner.actor_inbox.send_after(seconds, None)
    timer.message = ReconnectDue(weakref.ref(timer))
    if socket._lineage is not None:
        socket._lineage.add_timer(timer)
    return replace(socket, _link=ConnectionLink("scheduled", timer=timer))


def revive_timers(socket: SocketState) -> None:
    """What a lost socket had cancelled, a reconnect and rejoins, is made after all."""
    link, inbox = socket._link, socket.socket_pid.actor_inbox
    timers = [link.timer if link is not None else None]
    timers += [join._details.rejoin for join in socket.joins.values()]
    for timer in timers:
        if timer is not None and timer.cancelled:
            inbox.revive(timer)


def disconnect(socket: S) -> S:
    """See `Socket.disconnect`."""
    require_owner(socket, "disconnect")
    link = socket._link
    if link is None:
        return socket
    if link.timer is not None:
        link.timer.cancel()
        say_disconnected(socket)
        return changed(socket, "disconnect", _link=None)
    ask_to_close(link.connection)
    return socket


def ask_to_close(connection: Any) -> None:
    """Have a connection closed; whoever looks at a socket of it sees that at once."""
    if isinstance(inbox := getattr(connection, "actor_inbox", None), Inbox):
        inbox.close_requested = True
    tell(connection, CloseConnection())


def open_connection(socket: S, method: str, *, delay: float = 0.0) -> S:
    """Start a connection for this socket, now or in so many seconds."""
    park_if_exiting()
    config, owner = socket.channel_config, socket.socket_pid
    assert config is not None
    fail_over(socket, owner.actor_inbox.discard_former())
    owner.actor_inbox.forget_ended_joins()
    begun = begin_connect(socket)
    if socket._lineage is not None:
        socket._lineage.has_connected = True
    connection = None if config.test_mode else Connection.open(owner, config, delay)
    lease = None
    if connection is not None:
        if isinstance(owner, ThreadRef):
            lease = ConnectionLease(owner, connection)
        if socket._lineage is not None:
            socket._lineage.add_connection(connection)
    opens_at = time.monotonic() + delay if delay else None
    link = ConnectionLink("connecting", connection, lease=lease, opens_at=opens_at)
    return changed(begun, method, _link=link)


def replace_link(socket: SocketState) -> None:
    """Let go of the connection that there is, and tell what is owed of it."""
    link, inbox = socket._link, socket.socket_pid.actor_inbox
    if link is None:
        return
    drop_link(socket)
    if link.status == "connected" and not isinstance(socket.socket_pid, ThreadRef):
        left = [owed.topic for owed in owed_leaves(socket)]
        inbox.tell(ConnectionReplaced(link.connection, left))


def drop_link(socket: SocketState) -> None:
    """Let go of the connection that there is: what it still says is nobody's."""
    link = socket._link
    if link is None:
        return
    if link.timer is not None:
        link.timer.cancel()
    if link.connection is not None:
        ask_to_close(link.connection)
        discarded = socket.socket_pid.actor_inbox.discard(link.connection)
        fail_over(socket, [*discarded, link.connection])


def fail_over(socket: SocketState, connections: list[Any]) -> None:
    """Fail what these connections have not answered."""
    for connection in connections:
        fail_all_over(socket.socket_pid, connection, ClosedByClient())
