"""The socket's topics: asked for, joined again, left."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.forks import require_here
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.configuration.params import evaluate, has_callables
from slipstream_actor.configuration.retry import delay
from slipstream_actor.protocol.commands import JoinTopic, LeaveTopic
from slipstream_actor.protocol.events import TopicJoinFailed
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reasons import ChannelEnded, ParamsFailed
from slipstream_actor.socket.buffering import give_up_buffered
from slipstream_actor.socket.connecting import tell
from slipstream_actor.socket.errors import NeverJoinedError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.state import (
    Join,
    RejoinDue,
    S,
    changed,
    commit,
    encode,
    is_wanted,
    joins_with,
)
from slipstream_actor.socket.telemetry import begin_join, conclude

__all__ = ["join", "leave", "rejoin", "request", "send_requested"]


def join(socket: S, topic: str, params: Any) -> S:
    """See `Socket.join`."""
    require_here(socket.socket_pid)
    known = socket.joins.get(require_text("topic", topic))
    if known is not None and known.status != "closed" and known.join_ref is not None:
        return socket
    counter = known.rejoin_counter if known is not None else 0
    return request(socket, Join(topic, params, rejoin_counter=counter), "join")


def rejoin(socket: S, topic: str, params: Any) -> S:
    """See `Socket.rejoin`."""
    require_here(socket.socket_pid)
    join = socket.joins.get(require_text("topic", topic))
    if join is None:
        raise NeverJoinedError(f"rejoin: {topic!r} was never joined")
    if join.status != "closed":
        return socket
    require_owner(socket, "rejoin")
    attempt = join.rejoin_counter + 1
    again = Join(
        topic,
        join.params if params is UNSET else params,
        rejoin_counter=attempt,
        response=join.response,
    )
    config = socket.channel_config
    seconds = delay("rejoin_after_msec", config.rejoin_after_msec, attempt) if config else 0.0
    socket.socket_pid.actor_inbox.send_after(seconds, RejoinDue(again))
    return changed(socket, "rejoin", joins=joins_with(socket, again))


def leave(socket: S, topic: str) -> S:
    """See `Socket.leave`."""
    require_here(socket.socket_pid)
    join = socket.joins.get(require_text("topic", topic))
    if join is None or not is_wanted(socket, topic):
        return socket
    joins = joins_with(socket, replace(join, status="closed"))
    left = replace(socket, joins=joins, _rejoins=socket._rejoins - {topic})
    left = conclude(left)
    give_up_buffered(left, ChannelEnded("left"))
    if join.join_ref is None:
        return commit(socket, "leave", left)  # Only the socket knows of it.
    if socket._link is not None:
        tell(socket._link.connection, LeaveTopic(topic))
    return left


def request(socket: S, join: Join, method: str) -> S:
    """Ask for a join: now if connected, else it is recorded."""
    connection = socket.channel_pid
    inbox = socket.socket_pid.actor_inbox
    ref = inbox.next_ref() if connection is not None else None
    params = join.params
    if has_callables(params):
        if connection is None:
            return changed(begin_join(socket, join), method, joins=joins_with(socket, join))
        try:
            params = evaluate(params)
            encode(socket, Message(ref, ref, join.topic, "phx_join", params))
        except Exception as error:
            begun = begin_join(socket, join)
            failed = TopicJoinFailed(join.topic, ParamsFailed(error), ref)
            inbox.tell(Burst(connection, [failed]))
            join = replace(join, join_ref=ref)
            return changed(begun, method, joins=joins_with(socket, join))
    elif socket.channel_config is not None:
        # Encoded again where it is sent; here it is only to fail where the mistake is.
        encode(socket, Message(ref, ref, join.topic, "phx_join", params))
    begun = begin_join(socket, join)
    if connection is not None and tell(connection, JoinTopic(join.topic, params, ref)):
        join = replace(join, join_ref=ref)
    return changed(begun, method, joins=joins_with(socket, join))


def send_requested(socket: S) -> S:
    """Send the joins that were recorded before the connection came, and those that the last
    one had."""
    asked = socket
    if not asked.connected:
        return asked
    for join in socket.joins.values():
        if join.status == "requested" and join.join_ref is None:
            asked = request(asked, join, "join")
        elif join.status == "closed" and join.topic in socket._rejoins:
            asked = request(asked, replace(join, status="requested"), "rejoin")
    return replace(asked, _rejoins=frozenset()) if asked._rejoins else asked
