"""Pushes that are kept until their topic is joined."""

from __future__ import annotations

import copy
import time
from collections.abc import Hashable
from typing import Any

import msgspec

from slipstream_actor.actors.interrupts import is_of_a_handler
from slipstream_actor.actors.pressure import byte_count
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.actors.push_buffer import BufferedPush
from slipstream_actor.errors import SerializerError
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.reasons import (
    BufferExpired,
    BufferOverflow,
    ChannelEnded,
    ClosedByServer,
    Disconnected,
    LeftByClient,
    PushTimeout,
)
from slipstream_actor.socket.errors import NotConnectedError, SendBufferFullError
from slipstream_actor.socket.sending import fail, hears_outcomes, not_sent, note_ref, send
from slipstream_actor.socket.standing import stands
from slipstream_actor.socket.state import SocketState, encode, is_wanted

__all__ = [
    "REPLY_TIMEOUT",
    "BufferDue",
    "catch_up",
    "expire",
    "give_up_buffered",
    "keep",
    "send_buffered",
    "tend_buffer",
]


# Seconds for the reply to a push that was kept and names no time, from when it is sent: they are
# phoenix.js's.
REPLY_TIMEOUT = 10.0


class BufferDue(msgspec.Struct, frozen=True):
    """A buffered push may have expired, or another thread has buffered one."""


def keep(socket: SocketState, ref: Ref, event: str, payload: Any, deadline: float | None) -> None:
    """Keep a push until its topic is joined."""
    config = socket.channel_config
    assert config is not None
    size = byte_count(encode(socket, Message(str(ref), str(ref), ref.topic, event, payload)))
    if size > config.buffer_max_bytes:
        raise SendBufferFullError(
            f"push: {event!r} on {ref.topic!r} has {size} bytes; buffer_max_bytes is"
            f" {config.buffer_max_bytes}{stands(socket)}"
        )
    owner = socket.socket_pid
    if isinstance(owner, ThreadRef):
        note_ref(owner, ref)
    buffer = owner.actor_inbox.buffer
    expires = time.monotonic() + config.buffer_max_age_msec / 1000
    if deadline is not None:
        expires = min(expires, deadline)
    kept = BufferedPush(
        buffer_key(socket, ref.topic), ref, event, copied(payload), size, expires, deadline
    )
    for oldest in buffer.add(kept, config.buffer_max_pushes, config.buffer_max_bytes):
        fail(owner, oldest.ref, oldest.event, BufferOverflow())
    if not hears_outcomes(socket) and buffer.take_out(ref):
        raise not_sent(socket, ref.topic, event)
    if isinstance(owner, ThreadRef):
        return
    if current() is not owner:
        owner.actor_inbox.tell(BufferDue())
    elif buffer.timer is None:
        buffer.timer = owner.actor_inbox.send_at(expires, BufferDue())


def expire(owner: Any, kept: BufferedPush) -> None:
    """Fail a push that was kept for too long, or for the whole time that its reply had."""
    over = kept.deadline is not None and kept.deadline <= kept.expires
    fail(owner, kept.ref, kept.event, PushTimeout() if over else BufferExpired())


def copied(payload: Any, what: str = "push: a payload to be kept") -> Any:
    """Return a copy, in which what the caller does with its payload meanwhile does not show.

    Raises `SerializerError`, that calls it `what`, when there is none.
    """
    try:
        # What `copy` has no copy of.
        return bytes(payload) if isinstance(payload, memoryview) else copy.deepcopy(payload)
    except Exception as error:
        if is_of_a_handler(error):
            raise
        raise SerializerError(f"{what} cannot be copied: {error}") from error


def buffer_key(socket: SocketState, topic: str) -> Hashable:
    """Return what tells the buffered pushes of a socket's topic from others of its owner."""
    return socket.metadata.get("socket_id"), topic


def send_buffered(socket: SocketState, topic: str, join_ref: str | None = None) -> None:
    """Send what was kept for `topic`, which has been joined, and drop what is too old.

    What a connection that dies meanwhile does not take is kept on.
    """
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    if not buffer:
        return
    link, now = socket._link, time.monotonic()
    pushes = buffer.take(buffer_key(socket, topic))
    for at, kept in enumerate(pushes):
        if kept.expires <= now:
            expire(owner, kept)
            continue
        kept.ref.join_ref = join_ref or socket.joins[topic].join_ref
        try:
            if link is None:
                raise not_sent(socket, topic, kept.event)
            send(
                socket,
                link.connection,
                kept.ref,
                kept.event,
                kept.payload,
                deadline=now + REPLY_TIMEOUT if kept.deadline is None else kept.deadline,
                crowded=True,
            )
        except NotConnectedError:
            kept.ref.join_ref = None
            buffer.put_back(pushes[at:])
            return


def tend_buffer(socket: SocketState) -> None:
    """Drop what is too old, send what another thread kept for a topic that is joined, and fail what
    it kept for one that nobody wants by now."""
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    for kept in buffer.take_expired(time.monotonic()):
        expire(owner, kept)
    for topic in buffer.topics():
        if socket.joined(topic):
            send_buffered(socket, topic)
    give_up_buffered(socket)
    if buffer.timer is not None:
        buffer.timer.cancel()
    expiry = buffer.expiry()
    buffer.timer = owner.actor_inbox.send_at(expiry, BufferDue()) if expiry is not None else None


def give_up_buffered(socket: SocketState, reason: Any = None) -> None:
    """Fail what is kept for topics that nobody wants to be joined any more, for `reason` or for
    what their joins have ended with."""
    buffer = socket.socket_pid.actor_inbox.buffer
    for topic in buffer.topics() if buffer else ():
        if not is_wanted(socket, topic):
            why = reason if reason is not None else why_over(socket, topic)
            fail_buffered(socket, topic, why)


def fail_buffered(socket: SocketState, topic: str, reason: Any) -> None:
    """Fail what is kept for `topic`."""
    owner = socket.socket_pid
    for kept in owner.actor_inbox.buffer.take(buffer_key(socket, topic)):
        fail(owner, kept.ref, kept.event, reason)


def catch_up(socket: SocketState, topic: str) -> None:
    """Send, or fail, what another thread has kept for `topic` after the answer to its join had been
    taken. Of what this socket does not know, a later one may."""
    if socket.joined(topic):
        send_buffered(socket, topic)
    elif topic in socket.joins and not is_wanted(socket, topic):
        fail_buffered(socket, topic, why_over(socket, topic))


def why_over(socket: SocketState, topic: str) -> Any:
    """Return the reason of a push whose topic nobody wants any more."""
    join = socket.joins.get(topic)
    ended = join.reason if join is not None else None
    if isinstance(ended, Disconnected):
        return ended
    by_leave = ended is None or isinstance(ended, (LeftByClient, ClosedByServer))
    return ChannelEnded("left" if by_leave else ended)
