"""Pushes that whoever pushes writes itself, those that were sent by hand, and requests, of which
the connection itself tells the outcome.

A request is whatever has the three methods of `Requested`; who makes them stands further up.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.here import waiting
from slipstream_actor.connection.telemetry import CONNECTION
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import PushMessage, ResumeReading
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.requests import OpenRequests
from slipstream_actor.protocol.serializer import Encoder, Serializer
from slipstream_actor.telemetry import frame_log

__all__ = ["Requested", "completed", "conclude", "is_full", "queue_here", "write_here"]


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


def is_full(subscriptions: Iterable[Any], *, urgent: bool) -> bool:
    """Whether one of the owner's subscriptions has no room, of twice the size when it is urgent."""
    return any(subscription.full(urgent=urgent) for subscription in subscriptions)


def write_here(
    connection: Any,
    encode: Encoder,
    topic: str,
    join_ref: str,
    event: str,
    payload: Any,
    first: bool,
) -> Ref | None:
    """Write a push that asks for no outcome, in the client's thread; return its ref.

    Only the `first` of a callback at once; those behind it, while the client drives, when it waits
    again. Returns `None`, and has done nothing, when the connection's thread has something to do,
    or somebody looks at what that does.
    """
    inbox, transport = connection.actor_inbox, connection._transport
    turn = inbox.turn
    if CONNECTION or not turn.take():
        return None
    around, waiting.inbox = waiting.inbox, inbox  # As in `drive`.
    try:
        if inbox.has_mail or connection._status != "connected" or not (first or turn.parked):
            return None
        if transport.pending_bytes > (0 if first else connection._room.limit):
            connection._room.note(transport.pending_bytes)  # Whoever pushes now waits for room.
            return None
        number = connection._owner.actor_inbox.next_ref()
        data = encode(join_ref, number, topic, event, payload)
        if data is None or not transport.queue(data):
            return None
        ref = Ref(number, topic, join_ref)
        connection._protocol.plain.add(number, ref)
        if first:
            transport.flush()
            if transport.pending_bytes or transport.write_error:
                inbox.tell(ResumeReading())  # Its thread sees to the rest.
        elif not inbox.unwritten:
            inbox.watch_write(True)
            inbox.unwritten = True
        if frame_log.is_on():
            frame_log.sending([PushMessage(topic, event, payload, number, join_ref)])
        return ref
    finally:
        waiting.inbox = around
        turn.give()


def queue_here(
    connection: Any, encode: Encoder, topic: str, join_ref: str, event: str, payload: Any
) -> Ref | None:
    """Leave a push that asks for no outcome to the connection's thread; return its ref, or `None`,
    and have done nothing, when there is no room, or no such thread any more."""
    inbox, number = connection.actor_inbox, connection._owner.actor_inbox.next_ref()
    data = encode(join_ref, number, topic, event, payload)
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
    return replace(push, ref=ref, join_ref=join_ref, data=serializer.encode(message))
