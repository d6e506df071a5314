"""The socket's topics: asked for, joined again, left, forgotten."""

from __future__ import annotations

import weakref
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.interrupts import is_of_a_handler
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.configuration.arguments import require_optional_delay, require_text
from slipstream_actor.configuration.params import evaluate, has_callables
from slipstream_actor.configuration.retry import delay as delay_of
from slipstream_actor.protocol.commands import JoinTopic, LeaveTopic
from slipstream_actor.protocol.events import TopicJoinFailed
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.presence import forgotten
from slipstream_actor.protocol.reasons import ChannelEnded, ParamsFailed
from slipstream_actor.socket.apply_event import (
    LeaveAsked,
    LeaveDone,
    RejoinDue,
    being_left,
    left_by_client,
)
from slipstream_actor.socket.buffering import give_up_buffered
from slipstream_actor.socket.ended import with_ends
from slipstream_actor.socket.errors import NeverJoinedError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.records import Join, JoinDetails, with_details
from slipstream_actor.socket.sending import tell
from slipstream_actor.socket.standing import topic_stands
from slipstream_actor.socket.state import (
    S,
    SocketState,
    changed,
    commit,
    encode,
    frozen,
    is_wanted,
    joins_with,
    open_channel,
)
from slipstream_actor.socket.telemetry import begin_join, conclude

__all__ = ["forget", "join", "leave", "rejoin", "request", "send_requested"]


def join(socket: S, topic: str, params: Any, timeout: float | None) -> S:
    """See `Socket.join`."""
    require_owner(socket, "join")
    require_text("topic", topic)
    require_optional_delay("timeout", timeout, more_than_none=True)
    socket = with_ends(socket, topic)
    known = socket.joins.get(topic)
    if known is not None and known.status != "closed" and known.join_ref is not None:
        return socket
    counter = 0
    leaving: tuple[str, ...] = ()
    if known is not None:
        counter, leaving = known.rejoin_counter, known._details.leaving
        cancel_rejoin(known)
    details = JoinDetails(leaving=leaving, timeout=timeout)
    asked = Join(topic, params, rejoin_counter=counter, _details=details)
    require_params(socket, asked)
    return request(socket, asked, "join")


def rejoin(socket: S, topic: str, params: Any, delay: float | None) -> S:
    """See `Socket.rejoin`."""
    require_owner(socket, "rejoin")
    require_text("topic", topic)
    require_optional_delay("delay", delay)
    socket = with_ends(socket, topic)
    known = socket.joins.get(topic)
    if known is None:
        raise NeverJoinedError(f"rejoin: {topic_stands(socket, topic)}")
    if known.status != "closed":
        return socket
    is_scheduled = known.rejoin_in is not None
    if is_scheduled and delay is None and params is UNSET:
        return socket
    attempt = known.rejoin_counter + (not is_scheduled)
    again = replace(
        known, params=known.params if params is UNSET else params, rejoin_counter=attempt
    )
    if params is not UNSET:
        require_params(socket, again)
    cancel_rejoin(known)
    seconds = seconds_until(socket, again) if delay is None else delay
    timer = socket.socket_pid.actor_inbox.send_after(seconds, None)
    again = with_details(again, rejoin=timer, lost=False)
    timer.message = RejoinDue(weakref.ref(timer), topic)
    return changed(socket, "rejoin", joins=joins_with(socket, again))


def seconds_until(socket: SocketState, join: Join) -> float:
    """Return the delay of a rejoin: the policy's."""
    config = socket.channel_config
    if config is None:
        return 0.0
    return delay_of(
        "rejoin_after_msec",
        config.rejoin_after_msec,
        join.rejoin_counter,
        config.rejoin_jitter_msec,
        join.reason,
    )


def leave(socket: S, topic: str, timeout: float | None) -> S:
    """See `Socket.leave`."""
    require_owner(socket, "leave")
    require_text("topic", topic)
    require_optional_delay("timeout", timeout, more_than_none=True)
    socket = with_ends(socket, topic, of_leaves=True)
    known = socket.joins.get(topic)
    if known is None or not is_wanted(socket, topic):
        return socket
    cancel_rejoin(known)
    is_asked = known.status != "closed" and tell_to_leave(socket, known, timeout)
    gone = being_left(known) if is_asked else left_by_client(known)
    if not is_asked and known.status != "closed":
        gone = replace(gone, join_ref=None)  # Only the socket knows of it.
    left = conclude(replace(socket, joins=joins_with(socket, gone)))
    give_up_buffered(left, ChannelEnded("left"))
    if not is_asked and not isinstance(socket.socket_pid, ThreadRef):
        socket.socket_pid.actor_inbox.tell(LeaveDone(topic, known))
    # What the server answers is told, also if this is lost.
    return left if is_asked else commit(socket, "leave", left)


def tell_to_leave(socket: SocketState, join: Join, timeout: float | None) -> bool:
    """Whether the connection was told to leave a join that the server knows of."""
    link = socket._link
    if link is None or join.join_ref is None:
        return False
    command = LeaveTopic(join.topic, join.join_ref, timeout)
    if isinstance(socket.socket_pid, ThreadRef):
        return tell(link.connection, command)
    asked = LeaveAsked(join.topic, str(join.join_ref))
    socket.socket_pid.actor_inbox.tell(asked)  # Ahead of the server's answer.
    asked.made = tell(link.connection, command)
    return asked.made


def forget(socket: S, topic: str) -> S:
    """See `Socket.forget`."""
    require_owner(socket, "forget")
    require_text("topic", topic)
    socket = with_ends(socket, topic, of_leaves=True)
    known = socket.joins.get(topic)
    if known is None:
        raise NeverJoinedError(f"forget: {topic_stands(socket, topic)}")
    if known.status != "closed":
        raise ValueError(f"forget: {topic!r} is {known.status}: leave it first")
    if known._details.leaving:
        raise ValueError(f"forget: the leave of {topic!r} is not answered yet")
    cancel_rejoin(known)
    joins, presences = frozen(socket.joins).without(topic), forgotten(socket._presences, topic)
    without = replace(socket, joins=joins, _presences=presences)
    give_up_buffered(without, ChannelEnded("left"))
    return commit(socket, "forget", without)


def cancel_rejoin(join: Join) -> None:
    """A rejoin that is scheduled is not made."""
    if join._details.rejoin is not None:
        join._details.rejoin.cancel()


def require_params(socket: SocketState, join: Join) -> None:
    """Raise `SerializerError` for params that are no JSON; callables are called at the join."""
    if not has_callables(join.params):
        encode(socket, Message("0", "0", join.topic, "phx_join", join.params))


def request(socket: S, join: Join, method: str) -> S:
    """Ask for a join: now if connected, else it is recorded.

    Params that raise, or have become no JSON, fail that join alone.
    """
    connection = open_channel(socket)
    if socket._lineage is not None:
        socket._lineage.add_topic(join.topic)
    begun = begin_join(socket, join)
    asked = with_details(
        replace(join, status="requested", reason=None, join_ref=None), lost=False, rejoin=None
    )
    if connection is None:
        return changed(begun, method, joins=joins_with(begun, asked))
    inbox = socket.socket_pid.actor_inbox
    ref = inbox.next_ref()
    try:
        params = evaluate(join.params) if has_callables(join.params) else join.params
        data = encode(socket, Message(ref, ref, join.topic, "phx_join", params))
    except Exception as error:
        if is_of_a_handler(error):
            raise
        inbox.tell(Burst(connection, [TopicJoinFailed(join.topic, ParamsFailed(error), ref)]))
        asked = replace(asked, join_ref=ref)
    else:
        command = JoinTopic(join.topic, params, ref, data, join._details.timeout)
        if tell(connection, command):
            asked = replace(asked, join_ref=ref)
    return changed(begun, method, joins=joins_with(begun, asked))


def send_requested(socket: S) -> S:
    """Send the joins that were recorded before the connection came, and those that the last
    one had."""
    if not socket.connected:
        return socket
    asked = socket
    for join in socket.joins.values():
        if join.status == "requested" and join.join_ref is None:
            asked = request(asked, join, "join")
        elif join._details.lost:
            asked = request(asked, join, "rejoin")
    return asked
