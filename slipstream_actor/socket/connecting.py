"""The socket's connection: asked for, scheduled again, closed, replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace
from pykka import ActorDeadError

from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.here import park_if_exiting
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.process import ConnectionLease, ThreadRef, current
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.retry import delay
from slipstream_actor.connection.connection import Connection
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.protocol.events import ChannelClosed
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient
from slipstream_actor.socket.buffering import give_up_buffered
from slipstream_actor.socket.errors import NotConfiguredError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.sending import fail_all_over
from slipstream_actor.socket.state import (
    ConnectionLink,
    ReconnectDue,
    S,
    SocketState,
    changed,
    commit,
    without_connection,
)
from slipstream_actor.socket.telemetry import begin_connect, conclude, reconnecting

__all__ = ["connect", "disconnect", "drop_link", "open_connection", "reconnect", "tell"]


def connect(socket: S, uri: Any, options: Mapping[str, Any]) -> S:
    """See `Socket.connect`."""
    require_here(socket.socket_pid)
    config = Configuration.validate(uri, options)
    drop_link(socket)
    fresh = replace(without_connection(socket), channel_config=config, _rejoins=frozenset())
    give_up_buffered(fresh, ChannelEnded("left"))
    return open_connection(fresh, "connect")


def reconnect(socket: S) -> S:
    """See `Socket.reconnect`."""
    require_here(socket.socket_pid)
    config = socket.channel_config
    if config is None:
        raise NotConfiguredError("reconnect: the socket has never been connected")
    link = socket._link
    if socket.connected or (link is not None and link.status == "connecting" and alive(link)):
        return socket
    if link is not None and link.timer is not None and not link.timer.cancelled:
        return socket
    require_owner(socket, "reconnect")
    attempt = socket.reconnect_counter + 1
    seconds = delay(
        "reconnect_after_msec",
        config.reconnect_after_msec,
        attempt,
        config.reconnect_jitter_msec,
    )
    if link is not None:
        let_go(socket, link.connection)
    timer = socket.socket_pid.actor_inbox.send_after(seconds, None)
    link = ConnectionLink("scheduled", timer=timer)
    timer.message = ReconnectDue(link)
    waiting = replace(without_connection(socket), _link=link, reconnect_counter=attempt)
    if waiting._open_spans:
        waiting = conclude(waiting, ChannelClosed(ClosedByClient()))
    reconnecting(waiting, attempt, seconds)
    return commit(socket, "reconnect", waiting)


def disconnect(socket: S) -> S:
    """See `Socket.disconnect`."""
    require_here(socket.socket_pid)
    link = socket._link
    if link is None:
        return socket
    if link.timer is not None:
        link.timer.cancel()
        return changed(socket, "disconnect", _link=None)
    if isinstance(inbox := getattr(link.connection, "actor_inbox", None), Inbox):
        inbox.close_requested = True
    tell(link.connection, CloseConnection())
    return socket


def open_connection(socket: S, method: str) -> S:
    """Start a connection for this socket, now."""
    park_if_exiting()
    config = socket.channel_config
    assert config is not None
    if current() is socket.socket_pid:
        events = isinstance(socket.socket_pid, ThreadRef)
        fail_over(socket, socket.socket_pid.actor_inbox.discard_former(events=events))
    begun = begin_connect(socket)
    connection = None if config.test_mode else Connection.open(socket.socket_pid, config)
    lease = None
    if isinstance(socket.socket_pid, ThreadRef) and connection is not None:
        lease = ConnectionLease(socket.socket_pid, connection)
    link = ConnectionLink("connecting", connection, lease=lease)
    return changed(begun, method, _link=link)


def drop_link(socket: SocketState) -> None:
    """Let go of the connection that there is: what it still says is nobody's."""
    link = socket._link
    if link is None:
        return
    if link.timer is not None:
        link.timer.cancel()
    if link.connection is not None:
        tell(link.connection, CloseConnection())
        let_go(socket, link.connection)


def let_go(socket: SocketState, connection: Any) -> None:
    """Drop what a connection has said, and fail what it has not answered."""
    if connection is None:
        return
    if current() is socket.socket_pid:
        events = isinstance(socket.socket_pid, ThreadRef)
        fail_over(socket, socket.socket_pid.actor_inbox.discard(connection, events=events))
    fail_over(socket, [connection])


def fail_over(socket: SocketState, connections: list[Any]) -> None:
    """Fail what these connections have not answered."""
    for connection in connections:
        fail_all_over(socket.socket_pid, connection, ClosedByClient())


def alive(link: ConnectionLink) -> bool:
    """Whether the connection of a link is alive, or there is none to be, as in test mode."""
    return link.connection is None or link.connection.is_alive()


def tell(connection: Any, command: Any) -> bool:
    """Send a command to a connection; `False` when there is none that lives."""
    try:
        connection.tell(command)
    except (ActorDeadError, AttributeError):
        return False
    return True
