"""One push on its way to the connection, and what becomes of those that fail.

A plain push leaves nothing behind once it is sent. One that asks for an outcome stands in its
owner's ledger until it has one: a reply, or a reason, for which `handle_push_failed` is called. A
plain thread has no callbacks: there the reason is kept with the ref, for `await_reply`.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import msgspec
from pykka import ActorDeadError

from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.here import park_if_exiting
from slipstream_actor.actors.ledger import Asked
from slipstream_actor.actors.pressure import SendBuffer, byte_count
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.actors.search import Expired
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.events import PushFailed
from slipstream_actor.protocol.message import OWN_TOPIC, Message, Ref
from slipstream_actor.protocol.reasons import Disconnected
from slipstream_actor.socket.errors import NotConnectedError, SendBufferFullError
from slipstream_actor.socket.standing import stands
from slipstream_actor.socket.state import SocketState, encode
from slipstream_actor.socket.telemetry import push_ended

__all__ = [
    "RoomMade",
    "fail",
    "fail_all_over",
    "hears_outcomes",
    "not_sent",
    "note_ref",
    "room_of",
    "send",
    "tell",
]


class RoomMade(msgspec.Struct, frozen=True, eq=False):
    """There is room for a push that waits; each has its own."""


def send(
    socket: SocketState,
    connection: Any,
    ref: Ref,
    event: str,
    payload: Any,
    *,
    deadline: float | None = None,
    send_timeout: float | None = 0.0,
    crowded: bool = False,
) -> None:
    """Send a push, when there is room for it, or at once when it may be `crowded`.

    It asks for an outcome if it has a `deadline`, on the monotonic clock. Raises
    `NotConnectedError`, `SendBufferFullError`, `SerializerError`.
    """
    number, owner = str(ref), socket.socket_pid
    if type(owner) is ThreadRef:
        note_ref(owner, ref)
    data = encode(socket, Message(ref.join_ref, number, ref.topic, event, payload))
    room = room_of(connection)
    if room is not None:
        size = byte_count(data)
        if crowded:
            room.add(size)
        elif not room.reserve(size):
            left = until_either(send_timeout, deadline)
            await_room(socket, connection, size, ref.topic, event, left)
    awaited = deadline is not None
    command = PushMessage(
        ref.topic, event, payload, number, ref.join_ref, data, awaited, None, deadline
    )
    if not awaited:
        if not tell(connection, command):
            raise not_sent(socket, ref.topic, event)
        return
    ref.awaited = True
    ledger = owner.actor_inbox.ledger
    # That of a thread is not to be held by what waits for its outcome.
    known = copied_ref(ref) if type(owner) is ThreadRef else ref
    ledger.ask(Asked(known, event, connection))
    if not tell(connection, command):
        # Whoever has settled it meanwhile has told of it, or will.
        if ledger.settle(ref) is not None:
            raise not_sent(socket, ref.topic, event)
    elif not hears_outcomes(socket) and ledger.settle(ref) is not None:
        # Its owner has ended meanwhile, which may have settled its pushes before this one came. A
        # connection that has, has not: its end is told behind this.
        raise not_sent(socket, ref.topic, event)


def note_ref(owner: ThreadRef, ref: Ref) -> None:
    """Have a thread's inbox know that there is somebody who may await the outcome of a push."""
    inbox = owner.actor_inbox
    inbox.refs[str(ref)] = ref
    if current() is owner:
        inbox.tidy()


def copied_ref(ref: Ref) -> Ref:
    """Return another reference of the same push."""
    return Ref(str(ref), ref.topic, ref.join_ref, awaited=True)


def room_of(connection: Any) -> SendBuffer | None:
    """Return the send buffer of a connection, `None` for what a test has in the place of one."""
    try:
        room: SendBuffer | None = connection.actor_inbox.room
    except AttributeError:
        return None
    return room


def until_either(send_timeout: float | None, deadline: float | None) -> float | None:
    """Return the seconds that a push may wait for room: its own, or those for its reply."""
    if deadline is None:
        return send_timeout
    left = max(0.0, deadline - time.monotonic())
    return left if send_timeout is None else min(send_timeout, left)


def tell(connection: Any, command: Any) -> bool:
    """Send a command to a connection; `False` when there is none that lives."""
    try:
        connection.tell(command)
    except (ActorDeadError, AttributeError):
        return False
    return True


def hears_outcomes(socket: SocketState) -> bool:
    """Whether the socket's owner tells of the outcome of a push that is made now."""
    owner = socket.socket_pid
    inbox = owner.actor_inbox
    return not inbox.ending or (current() is owner and not inbox.told_all)


def await_room(
    socket: SocketState, connection: Any, size: int, topic: str, event: str, timeout: float | None
) -> None:
    """Wait in the mailbox of whoever pushes until there is room for `size` bytes."""
    room, inbox, made = connection.actor_inbox.room, current().actor_inbox, RoomMade()
    deadline = None if timeout is None else time.monotonic() + timeout
    left = timeout
    try:
        while not room.reserve(size, made, lambda: inbox.tell(made)):
            if left == 0.0:
                raise Expired
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            inbox.receive(lambda m, _: TAKE if m is made else 0, left)
            if not connection.is_alive():
                raise not_sent(socket, topic, event)
    except Expired:
        raise SendBufferFullError(
            f"push: {room.bytes} bytes wait to be sent, and {timeout} s made no room;"
            f" {event!r} on {topic!r} was not sent{stands(socket)}"
        ) from None
    finally:
        # The mailbox of a plain thread would keep it for ever.
        if not room.withdraw(made):
            with contextlib.suppress(Expired):
                inbox.receive(lambda m, _: TAKE if m is made else 0, 0.0, interruptible=False)


def fail(owner: Any, ref: Ref, event: str, reason: Any) -> None:
    """Tell of a push that has failed."""
    if isinstance(owner, ThreadRef):
        held = owner.actor_inbox.refs.get(ref)
        if held is not None:
            held.failure = reason
        push_ended(owner.actor_inbox.ledger, ref, reason)
    else:
        owner.actor_inbox.tell(PushFailed(ref.topic, event, ref, reason))


def fail_all_over(owner: Any, connection: Any, reason: Any) -> None:
    """Fail what still waits for an outcome over a connection that has ended, for `reason`."""
    if connection is None:
        return
    for asked in owner.actor_inbox.ledger.settle_all(connection):
        fail(owner, asked.ref, asked.event, Disconnected(reason))


def not_sent(socket: SocketState, topic: str, event: str) -> NotConnectedError:
    """Return the error of a push without a connection; at the program's end nobody is told."""
    park_if_exiting()
    if topic == OWN_TOPIC:
        return NotConnectedError(f"ping: it was not sent{stands(socket)}")
    return NotConnectedError(f"push: {event!r} on {topic!r} was not sent{stands(socket, topic)}")
