"""Pushes: sent, kept until their topic is joined, and told of when they fail.

A plain push leaves nothing behind once it is sent. One that asks for an outcome stands in its
owner's ledger until it has one: a reply, or a reason, for which `handle_push_failed` is called. A
plain thread has no callbacks: there the reason is kept with the ref, for `await_reply`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import msgspec
from pykka import ActorDeadError, Timeout

from slipstream_actor.actors.envelopes import TAKE, Burst
from slipstream_actor.actors.exit import rest
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.ledger import Asked, BufferedPush
from slipstream_actor.actors.pressure import SendBuffer
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import (
    NotConnectedError,
    NotJoinedError,
    SendBufferFullError,
    SerializerError,
)
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.events import PushFailed
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.reasons import (
    BufferExpired,
    BufferOverflow,
    ClosedByClient,
    Disconnected,
)
from slipstream_actor.socket.telemetry import observed_push, push_ended

if TYPE_CHECKING:
    from slipstream_actor.configuration.configuration import Configuration
    from slipstream_actor.socket.socket import Socket

__all__ = [
    "BufferDue",
    "RoomMade",
    "fail_all_over",
    "give_up_buffered",
    "push",
    "push_observed",
    "send",
    "send_buffered",
    "tend_buffer",
]

# Seconds for the reply to a push that asks for an outcome and names no time: phoenix.js's.
REPLY_TIMEOUT = 10.0

# Events that the server takes for a join or a leave, behind the socket's back; what to use instead.
RESERVED = {"phx_join": "join", "phx_leave": "leave"}


class BufferDue(msgspec.Struct, frozen=True):
    """A buffered push may have expired, or another thread has buffered one."""


class RoomMade(msgspec.Struct, frozen=True, eq=False):
    """There is room in a send buffer that was full."""

    room: SendBuffer


def push(
    socket: Socket,
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
        raise ValueError(f"push: {event!r} is the protocol's own: use {RESERVED[event]}")
    require_seconds("send_timeout", send_timeout)
    reply_timeout, buffer = terms(socket.channel_config, reply_timeout, buffer)
    connection = socket.channel_pid
    if connection is None:
        require_here(socket.socket_pid)
    if number is None:
        number = socket.socket_pid.actor_inbox.next_ref()
    join = socket.joins.get(topic)
    if connection is not None and join is not None and join.status == "joined":
        ref = Ref(number, topic, join.join_ref)
        try:
            send(socket, connection, ref, event, payload, reply_timeout, send_timeout)
            return ref
        except NotConnectedError:
            if not buffer:
                raise
    if buffer and socket.channel_config is not None and socket._is_wanted(topic):
        ref = Ref(number, topic, None)
        keep(socket, ref, event, payload, reply_timeout or REPLY_TIMEOUT)
        return ref
    if connection is None:
        raise not_sent(socket, topic, event)
    raise NotJoinedError(f"push: {topic!r} is not joined; {event!r} was not sent")


def push_observed(
    socket: Socket,
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
    awaited = reply_timeout is not None
    with observed_push(socket, topic, event, payload, number, awaited=awaited):
        return push(socket, topic, event, payload, send_timeout, reply_timeout, buffer, number)


def terms(
    config: Configuration | None, reply_timeout: float | None, buffer: bool | None
) -> tuple[float | None, bool]:
    """Return a push's `reply_timeout` and `buffer`, with the options in the place of `None`."""
    if reply_timeout is not None and (
        type(reply_timeout) not in (int, float) or not reply_timeout > 0
    ):
        raise ValueError(f"reply_timeout must be seconds, more than 0, not {reply_timeout!r}")
    if buffer is not None and not isinstance(buffer, bool):
        raise TypeError(f"buffer must be True, False or None, not {buffer!r}")
    if config is not None:
        if buffer is None:
            buffer = config.buffer_pushes
        if reply_timeout is None and config.reply_timeout_msec is not None:
            reply_timeout = config.reply_timeout_msec / 1000
    if buffer and reply_timeout is None:
        reply_timeout = REPLY_TIMEOUT
    return reply_timeout, bool(buffer)


def send(
    socket: Socket,
    connection: Any,
    ref: Ref,
    event: str,
    payload: Any,
    reply_timeout: float | None = None,
    send_timeout: float | None = 0.0,
    *,
    crowded: bool = False,
) -> None:
    """Send a push, when there is room for it, or at once when it may be `crowded`.

    Raises `NotConnectedError`, `SendBufferFullError`, `SerializerError`.
    """
    number = str(ref)
    data = socket._encode(Message(ref.join_ref, number, ref.topic, event, payload))
    room = getattr(getattr(connection, "actor_inbox", None), "room", None)
    if room is not None:
        if crowded:
            room.add(len(data))
        elif not room.reserve(len(data)):
            await_room(socket, connection, len(data), ref.topic, event, send_timeout)
    awaited = reply_timeout is not None
    ledger = socket.socket_pid.actor_inbox.ledger
    if awaited:
        ledger.ask(Asked(ref, event, connection))
    command = PushMessage(
        ref.topic, event, payload, number, ref.join_ref, data, awaited, reply_timeout
    )
    try:
        connection.tell(command)
    except ActorDeadError:
        ledger.settle(ref)
        raise not_sent(socket, ref.topic, event) from None
    if not awaited or (connection.is_alive() and is_told(socket)):
        return
    # One of them ended meanwhile, and its pushes may have been settled before this one came.
    if not is_told(socket):
        if ledger.settle(ref) is not None:
            raise not_sent(socket, ref.topic, event)
    elif not isinstance(socket.socket_pid, ThreadRef):
        # Whether it was sent nobody knows. Behind all that the connection said: also a reply.
        failure = PushFailed(ref.topic, event, ref, Disconnected(why_ended(connection)))
        socket.socket_pid.actor_inbox.tell(Burst(connection, [failure]))


def why_ended(connection: Any) -> Any:
    """Return the reason of a connection that is dead, or about to be told so."""
    try:
        return connection.actor_inbox.ended.get(timeout=1.0)
    except (AttributeError, Timeout):
        return ClosedByClient()


def is_told(socket: Socket) -> bool:
    """Whether the socket's owner tells of the outcome of a push that is made now."""
    owner = socket.socket_pid
    inbox = owner.actor_inbox
    return not inbox.ending or (current() is owner and not inbox.told_all)


def await_room(
    socket: Socket, connection: Any, size: int, topic: str, event: str, timeout: float | None
) -> None:
    """Wait in the mailbox of whoever pushes until there is room for `size` bytes."""
    room, inbox = connection.actor_inbox.room, current().actor_inbox
    deadline = None if timeout is None else time.monotonic() + timeout
    while not room.reserve(size, inbox, lambda: inbox.tell(RoomMade(room))):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            inbox.receive(lambda m, _: TAKE if type(m) is RoomMade and m.room is room else 0, left)
        except TimeoutError:
            raise SendBufferFullError(
                f"push: {room.bytes} bytes wait to be sent, and {timeout} s made no room;"
                f" {event!r} on {topic!r} was not sent"
            ) from None
        if not connection.is_alive():
            raise not_sent(socket, topic, event)


# buffered pushes


def keep(socket: Socket, ref: Ref, event: str, payload: Any, reply_timeout: float) -> None:
    """Keep a push until its topic is joined."""
    config = socket.channel_config
    assert config is not None
    size = len(socket._encode(Message(None, str(ref), ref.topic, event, payload)))
    if size > config.buffer_max_bytes:
        raise SendBufferFullError(
            f"push: {event!r} on {ref.topic!r} has {size} bytes; buffer_max_bytes is"
            f" {config.buffer_max_bytes}"
        )
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    expires = time.monotonic() + config.buffer_max_age_msec / 1000
    kept = BufferedPush(
        key(socket, ref.topic), ref, event, copied(payload), size, expires, reply_timeout
    )
    for oldest in buffer.add(kept, config.buffer_max_pushes, config.buffer_max_bytes):
        fail(owner, oldest.ref, oldest.event, BufferOverflow())
    if not is_told(socket) and buffer.take_out(ref):
        raise not_sent(socket, ref.topic, event)
    if isinstance(owner, ThreadRef):
        return
    if current() is not owner:
        owner.actor_inbox.tell(BufferDue())
    elif buffer.timer is None:
        buffer.timer = owner.actor_inbox.send_at(expires, BufferDue())


def copied(payload: Any) -> Any:
    """Return a copy, in which what the caller does with its payload meanwhile does not show."""
    try:
        return copy.deepcopy(payload)
    except Exception as error:
        raise SerializerError(f"push: a payload to be kept cannot be copied: {error}") from error


def key(socket: Socket, topic: str) -> Hashable:
    """Return what tells the buffered pushes of a socket's topic from others of its owner."""
    return socket.metadata.get("socket_id"), topic


def send_buffered(socket: Socket, topic: str, join_ref: str | None = None) -> None:
    """Send what was kept for `topic`, which has been joined, and drop what is too old.

    What a connection that dies meanwhile does not take is kept on.
    """
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    if not buffer:
        return
    link, now = socket._link, time.monotonic()
    pushes = buffer.take(key(socket, topic))
    for at, kept in enumerate(pushes):
        if kept.expires <= now:
            fail(owner, kept.ref, kept.event, BufferExpired())
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
                kept.reply_timeout,
                crowded=True,
            )
        except NotConnectedError:
            kept.ref.join_ref = None
            buffer.put_back(pushes[at:])
            return


def tend_buffer(socket: Socket) -> None:
    """Drop what is too old, and send what another thread kept for a topic that is joined."""
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    for kept in buffer.take_expired(time.monotonic()):
        fail(owner, kept.ref, kept.event, BufferExpired())
    for topic in buffer.topics():
        if socket.joined(topic):
            send_buffered(socket, topic)
    if buffer.timer is not None:
        buffer.timer.cancel()
    expiry = buffer.expiry()
    buffer.timer = owner.actor_inbox.send_at(expiry, BufferDue()) if expiry is not None else None


def give_up_buffered(socket: Socket, reason: Any) -> None:
    """Fail what is kept for topics that nobody wants to be joined any more."""
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    for topic in buffer.topics() if buffer else ():
        if not socket._is_wanted(topic):
            for kept in buffer.take(key(socket, topic)):
                fail(owner, kept.ref, kept.event, reason)


# failures


def fail(owner: Any, ref: Ref, event: str, reason: Any) -> None:
    """Tell of a push that has failed."""
    if isinstance(owner, ThreadRef):
        ref.failure = reason
        push_ended(owner.actor_inbox.ledger, ref, reason)
    else:
        owner.actor_inbox.tell(PushFailed(ref.topic, event, ref, reason))


def fail_all_over(owner: Any, connection: Any, reason: Any) -> None:
    """Fail what still waits for an outcome over a connection that has ended, for `reason`."""
    if connection is None:
        return
    for asked in owner.actor_inbox.ledger.settle_all(connection):
        fail(owner, asked.ref, asked.event, Disconnected(reason))


def not_sent(socket: Socket, topic: str, event: str) -> NotConnectedError:
    """Return the error of a push without a connection; at the program's end nobody is told."""
    rest(socket.socket_pid)
    return NotConnectedError(f"push: not connected; {event!r} on {topic!r} was not sent")
