"""`Socket.push`: sent at once, or kept until its topic is joined."""

from __future__ import annotations

import math
import time
from typing import Any

from slipstream_actor.actors.forks import require_here
from slipstream_actor.configuration.arguments import kind_given, require_seconds
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.message import Ref
from slipstream_actor.socket.buffering import REPLY_TIMEOUT, keep
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError
from slipstream_actor.socket.sending import not_sent, send
from slipstream_actor.socket.standing import stands, topic_stands
from slipstream_actor.socket.state import SocketState, is_joined, is_wanted, open_channel
from slipstream_actor.socket.telemetry import observed_push

__all__ = ["RESERVED", "push", "push_observed", "require_event"]

# Events that the server takes for a join or a leave, behind the socket's back; what to use instead.
RESERVED = {"phx_join": "join", "phx_leave": "leave"}


def push(
    socket: SocketState,
    topic: str,
    event: str,
    payload: Any,
    send_timeout: float | None,
    reply_timeout: float | None,
    buffer: bool | None,
    number: str | None = None,
) -> Ref:
    """See `Socket.push`."""
    if event in RESERVED:
        require_event("push", event)
    send_timeout = require_seconds("send_timeout", send_timeout)
    reply_timeout, buffer = terms(socket.channel_config, reply_timeout, buffer)
    deadline = None if reply_timeout is None else time.monotonic() + reply_timeout
    connection = open_channel(socket)
    if connection is None:
        require_here(socket.socket_pid)
    if number is None:
        number = socket.socket_pid.actor_inbox.next_ref()
    join = socket.joins.get(topic)
    if connection is not None and join is not None and is_joined(socket, join):
        ref = Ref(number, topic, join.join_ref)
        if buffer and deadline is None:
            deadline = time.monotonic() + REPLY_TIMEOUT
        try:
            send(
                socket,
                connection,
                ref,
                event,
                payload,
                deadline=deadline,
                send_timeout=send_timeout,
            )
            return ref
        except NotConnectedError:
            if not buffer:
                raise
    if buffer and socket.channel_config is not None and is_wanted(socket, topic):
        ref = Ref(number, topic, None, awaited=True)
        keep(socket, ref, event, payload, deadline)
        return ref
    if connection is None:
        raise not_sent(socket, topic, event)
    text = f"push: {event!r} was not sent{stands(socket)}; {topic_stands(socket, topic)}"
    join = socket.joins.get(topic)
    raise NotJoinedError(text, reason=join.reason if join is not None else None)


def require_event(method: str, event: str) -> None:
    """Raise `ValueError` for an event that is the protocol's own."""
    if event in RESERVED:
        raise ValueError(f"{method}: {event!r} is the protocol's own: use {RESERVED[event]}")


def push_observed(
    socket: SocketState,
    topic: str,
    event: str,
    payload: Any,
    send_timeout: float | None,
    reply_timeout: float | None,
    buffer: bool | None,
) -> Ref:
    """Push, and tell of it by telemetry."""
    require_here(socket.socket_pid)
    reply_timeout, buffer = terms(socket.channel_config, reply_timeout, buffer)
    number = socket.socket_pid.actor_inbox.next_ref()
    awaited = reply_timeout is not None or buffer
    with observed_push(socket, topic, event, payload, number, awaited=awaited):
        return push(socket, topic, event, payload, send_timeout, reply_timeout, buffer, number)


def terms(
    config: Configuration | None, reply_timeout: float | None, buffer: bool | None
) -> tuple[float | None, bool]:
    """Return a push's `reply_timeout` and `buffer`, with the options in the place of `None`."""
    if reply_timeout is None:
        if config is not None and config.reply_timeout_msec is not None:
            reply_timeout = config.reply_timeout_msec / 1000
    elif type(reply_timeout) not in (int, float):
        wrong = kind_given(reply_timeout)
        raise ValueError(f"reply_timeout must be seconds, more than 0, not {wrong}")
    elif not 0 < reply_timeout < math.inf:
        raise ValueError(f"reply_timeout must be seconds, more than 0, not {reply_timeout}")
    if buffer is None:
        buffer = config is not None and config.buffer_pushes
    elif not isinstance(buffer, bool):
        raise TypeError(f"buffer must be True, False or None, not {kind_given(buffer)}")
    return reply_timeout, buffer
