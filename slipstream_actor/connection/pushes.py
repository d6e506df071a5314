"""Pushes that whoever pushes writes itself, or leaves to whoever steps the connection next, those
that were sent by hand, and requests, of which the connection itself tells the outcome.

A request is whatever has the three methods of `Requested`; who makes them stands further up.
"""

from __future__ import annotations

import typing
from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.here import waiting
from slipstream_actor.connection.telemetry import CONNECTION
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import PushMessage, ResumeReading
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.requests import OpenRequests
from slipstream_actor.protocol.serializer import Serializer, encode_push, frame_of
from slipstream_actor.telemetry import frame_log
from slipstream_actor.wire.frames import TEXT

__all__ = [
    "Requested",
    "completed",
    "conclude",
    "is_left_to_write",
    "leave_here",
    "queue_here",
    "take_left",
    "waits_for_room",
    "write_here",
    "write_left",
]


# So many pushes are left at most, and none behind one of more than so many bytes: then they are
# written, and the server has something to do while more are made.
MOST_LEFT, LONGEST_LEFT = 64, 4_096
LEFT_BYTES = MOST_LEFT * LONGEST_LEFT


class Requested(typing.Protocol):
    """What a `PushMessage` may carry."""

    def begin(self) -> bool:
        """Whether it is wanted still; from now on it may have been sent."""

    def conclude(self, outcome: Any, *, paused: bool) -> None:
        """Take the `Reply`, or the reason that there is none; whether reading was `paused`."""

    def give_back(self) -> None:
        """It was not sent, since its join or its connection was over: it may be sent again."""


def conclude(requests: OpenRequests, *, paused: bool) -> None:
    """Tell those that have an outcome by now."""
    if requests.outcomes:
        outcomes, requests.outcomes = iter(requests.outcomes), []
        try:
            for request, outcome in outcomes:
                request.conclude(outcome, paused=paused)
        finally:
            requests.outcomes[:0] = outcomes  # Those behind one whose callback has raised.
    if requests.unsent:
        unsent, requests.unsent = iter(requests.unsent), []
        try:
            for request, _ in unsent:
                request.give_back()
        finally:
            requests.unsent[:0] = unsent


def waits_for_room(connection: Any, *, urgent: bool) -> bool:
    """Whether one of the owner's subscriptions has no room, of twice the size when it is urgent.

    That one tells the connection when it has; one that closes or has ended waits for none.
    """
    inbox, subscriptions = connection.actor_inbox, connection._owner.actor_inbox.subscriptions
    return connection._status == "connected" and any(
        subscription.pauses(inbox, urgent=urgent) for subscription in subscriptions
    )


def write_here(connection: Any, topic: str, join_ref: str, event: str, payload: Any) -> Ref | None:
    """Write a push that asks for no outcome, in the client's thread; return its ref.

    Returns `None`, and has done nothing, when the connection's thread has something to do, or
    somebody looks at what that does.
    """
    inbox, transport = connection.actor_inbox, connection._transport
    turn = inbox.turn
    if CONNECTION or not turn.take():
        return None
    around, waiting.inbox = waiting.inbox, inbox  # As in `drive`.
    try:
        if inbox.has_mail or connection._status != "connected" or transport.pending_bytes:
            return None
        number = connection._owner.actor_inbox.next_ref()
        data = encode_push(join_ref, number, topic, event, payload)
        if data is None:
            return None
        if inbox.left:
            take_left(connection)
        if not transport.queue([(TEXT, data)]):
            return None
        ref = Ref(number, topic, join_ref)
        connection._protocol.plain.add(number, ref)
        transport.flush()
        if is_left_to_write(transport):
            see_to_the_rest(connection)
        if frame_log.is_on():
            frame_log.sending([PushMessage(topic, event, payload, number, join_ref)])
        return ref
    finally:
        waiting.inbox = around
        turn.give()


def leave_here(connection: Any, topic: str, join_ref: str, event: str, payload: Any) -> Ref | None:
    """Leave a push that asks for no outcome to whoever steps the connection next, its driver as
    soon as that waits again; return its ref.

    Returns `None`, and has done nothing, when nobody drives the connection, or something has to be
    written before it.
    """
    inbox, left = connection.actor_inbox, connection.actor_inbox.left
    turn = inbox.turn
    # In this order: whoever has just taken what was told before is awake, or drives.
    if inbox.has_mail or not turn.parked or turn.driven:
        return None
    if CONNECTION or connection._status != "connected" or connection._transport.pending_bytes:
        return None
    if connection._room.limit < LEFT_BYTES:
        return None
    number = connection._owner.actor_inbox.next_ref()
    data = encode_push(join_ref, number, topic, event, payload)
    if data is None:
        return None
    ref = Ref(number, topic, join_ref)
    if frame_log.is_on():
        frame_log.sending([PushMessage(topic, event, payload, number, join_ref)])
    left.append((data, number, ref))
    # In this order: whoever takes the turn looks at what was left behind that.
    here = turn.parked and not turn.driven
    enough = len(left) >= MOST_LEFT or len(data) > LONGEST_LEFT
    if (enough or not here) and not wrote_left_here(connection):
        inbox.tell(ResumeReading())
    return ref


def take_left(connection: Any) -> None:
    """Take over the pushes that were left to whoever steps the connection, who has the turn.

    More may be left meanwhile.
    """
    left, add = connection.actor_inbox.left, connection._protocol.plain.add
    taken = left[:]
    del left[: len(taken)]
    for _, number, ref in taken:
        add(number, ref)
    connection._transport.queue([(TEXT, data) for data, _, _ in taken])


def write_left(connection: Any) -> None:
    """Write the pushes that were left; who has the turn does."""
    inbox, transport = connection.actor_inbox, connection._transport
    if inbox.left:
        take_left(connection)
        transport.flush()
        inbox.watch_write(transport.wants_write)
        if transport.write_error is not None:
            inbox.tell(ResumeReading())


def is_left_to_write(transport: Any) -> bool:
    """Whether something waits to be written, or cannot be."""
    return bool(transport.pending_bytes or transport.write_error is not None)


def see_to_the_rest(connection: Any) -> None:
    """Have the connection's thread see to what the socket did not take."""
    connection._room.note(connection._transport.pending_bytes)  # Whoever pushes now waits for room.
    connection.actor_inbox.tell(ResumeReading())


def wrote_left_here(connection: Any) -> bool:
    """Write the pushes that were left, if the turn can be had."""
    turn, transport = connection.actor_inbox.turn, connection._transport
    if not turn.take():
        return False
    around, waiting.inbox = waiting.inbox, connection.actor_inbox  # As in `drive`.
    try:
        take_left(connection)
        transport.flush()
        if is_left_to_write(transport):
            see_to_the_rest(connection)
    finally:
        waiting.inbox = around
        turn.give()
    return True


def queue_here(connection: Any, topic: str, join_ref: str, event: str, payload: Any) -> Ref | None:
    """Leave a push that asks for no outcome to the connection's thread; return its ref, or `None`,
    and have done nothing, when there is no room, or no such thread any more."""
    inbox, number = connection.actor_inbox, connection._owner.actor_inbox.next_ref()
    data = encode_push(join_ref, number, topic, event, payload)
    if data is None or inbox.closed or not connection._room.reserve(len(data)):
        return None
    ref = Ref(number, topic, join_ref)
    inbox.tell(PushMessage(topic, event, payload, ref, join_ref, data.decode()))
    return ref


def completed(
    push: PushMessage, ref: str, protocol: Protocol, serializer: Serializer
) -> PushMessage:
    """Return a push with what one has not that somebody sent by hand."""
    join_ref = push.join_ref or protocol.current_join_ref(push.topic)
    message = Message(join_ref, ref, push.topic, push.event, push.payload)
    return replace(push, ref=ref, join_ref=join_ref, data=frame_of(serializer, message))
