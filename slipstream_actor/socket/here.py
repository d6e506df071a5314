"""The short way of a push, and of the await of its reply: where a client has nothing else to do,
all of it is done in the client's thread; else a push is left to its connection as it will be
written. What is not so goes the long way."""

from __future__ import annotations

import time
from typing import Any

from slipstream_actor.actors.forks import is_forked
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.protocol.message import Ref, Reply
from slipstream_actor.socket.sending import note_ref
from slipstream_actor.socket.state import SocketState
from slipstream_actor.socket.telemetry import push_ended

__all__ = ["await_here", "push_here"]


def driven_by(socket: SocketState) -> Any:
    """Return the inbox of the socket's connection, if it is the calling client's to drive."""
    owner, link = socket.socket_pid, socket._link
    if current() is not owner or (driven := owner.actor_inbox.driven) is None or link is None:
        return None
    if driven.close_requested or link.status != "connected":
        return None
    return driven if link.connection.actor_inbox is driven and not is_forked(owner) else None


def push_here(socket: SocketState, topic: str, event: str, payload: Any) -> Ref | None:
    """Push what asks for no outcome; `None` when it has to go the long way."""
    driven = driven_by(socket)
    if driven is None or (join := socket.joins.get(topic)) is None:
        return None
    # All at once: the connection may end meanwhile.
    write, leave, queue = driven.write_here, driven.leave_here, driven.queue_here
    if write is None or leave is None or queue is None:
        return None
    owner = socket.socket_pid
    inbox, join_ref = owner.actor_inbox, join.join_ref
    if join.status != "joined" or join_ref is None or inbox.observer is not None:
        return None
    first = inbox.first_since_wait()
    if join_ref in inbox.ended_joins:
        return None
    ref: Ref | None = None if first else leave(topic, join_ref, event, payload)
    if ref is None and (first or driven.turn.parked):
        ref = write(topic, join_ref, event, payload)
    if type(owner) is not ThreadRef:
        return ref or queue(topic, join_ref, event, payload)
    if ref is not None:
        # What waits for the reply holds the one there is.
        ref = Ref(str(ref), topic, join_ref)
        note_ref(owner, ref)
    return ref


def await_here(socket: SocketState, ref: Any, timeout: Any) -> tuple[Reply | None, float]:
    """Return the reply to a push, if nothing else comes before it, and the seconds that it took."""
    seconds = require_seconds("timeout", timeout)
    if type(ref) is not Ref or seconds is None or ref.failure is not None:
        return None, 0.0
    link = socket._link
    if link is None or driven_by(socket) is None:
        return None, 0.0
    inbox = socket.socket_pid.actor_inbox
    if inbox.burst is not None and inbox.burst.events:
        return None, 0.0
    join = socket.joins.get(ref.topic)
    if join is None or join.join_ref != ref.join_ref:
        return None, 0.0
    started = time.monotonic()
    try:
        event = inbox.await_reply(ref, seconds)
        if event is None:
            return None, time.monotonic() - started
        ledger, reply = inbox.ledger, event.reply
        ledger.settle(ref)
        if ledger.open_spans:
            push_ended(ledger, ref, reply)
        return reply, 0.0
    except BaseException:  # Ctrl-C.
        if inbox.in_main:
            inbox.put_back_reply(link.connection)
        raise
