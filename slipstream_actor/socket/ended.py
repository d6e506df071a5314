"""Ends of a plain thread's joins that it has not looked at: seen as soon as it looks.

A client is told by callbacks. A thread has none: its connection notes the end of a join beside the
inbox, where the event waits for whoever awaits it, and what a socket says of the topic is true.
"""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.protocol.events import JOIN_ENDS
from slipstream_actor.protocol.reasons import ChannelEnded
from slipstream_actor.socket.apply_event import reinterpret
from slipstream_actor.socket.buffering import give_up_buffered
from slipstream_actor.socket.state import S
from slipstream_actor.socket.telemetry import apply_event

__all__ = ["applied", "with_ends"]

# Seconds in which a connection tells of an end that it has noted.
SOON = 1.0


def with_ends(socket: S, topic: str, *, of_leaves: bool = False) -> S:
    """Return a plain thread's socket after the end of its join of `topic`, if that has come; also
    after those `of_leaves` of the topic's earlier joins."""
    join = socket.joins.get(topic)
    if not isinstance(socket.socket_pid, ThreadRef) or join is None:
        return socket
    for ref in join._details.leaving if of_leaves else ():
        socket = with_end(socket, topic, ref)
    return with_end(socket, topic, join.join_ref)


def with_end(socket: S, topic: str, ref: str | None) -> S:
    """Return the socket after the end of one join, if that has come."""
    inbox = socket.socket_pid.actor_inbox
    if (connection := inbox.ended_joins.get(ref)) is None:
        return socket

    def is_end(message: Any, _: Any) -> int:
        ours = type(message) in JOIN_ENDS and message.topic == topic and message.join_ref == ref
        return TAKE if ours else 0

    try:
        event = inbox.receive(is_end, SOON if connection.is_alive() else 0.0)
    except TimeoutError:
        return socket
    socket = applied(socket, event)
    give_up_buffered(socket, ChannelEnded(getattr(event, "reason", "left")))
    return socket


def applied(socket: S, event: Any) -> S:
    """Return the socket after an event of a join that was taken."""
    if type(event) in JOIN_ENDS:  # Behind its success the end of a join may have come already.
        socket.socket_pid.actor_inbox.ended_joins.pop(event.join_ref, None)
    meant = reinterpret(socket, event, None)
    return socket if meant is None else apply_event(socket, meant)
