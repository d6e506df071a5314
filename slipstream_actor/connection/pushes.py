"""Pushes that whoever pushes writes itself, those that were sent by hand, and requests, of which
the connection itself tells the outcome.

A request is whatever has the three methods of `Requested`; who makes them stands further up.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from slipstream_actor.connection.telemetry import CONNECTION
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import PushMessage, ResumeReading
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.requests import OpenRequests
from slipstream_actor.protocol.serializer import Serializer
from slipstream_actor.telemetry import frame_log

__all__ = ["Requested", "completed", "conclude", "is_full", "write_here"]


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
        outcomes, requests.outcomes = requests.outcomes, []
        for request, outcome in outcomes:
            request.conclude(outcome, paused=paused)
    if requests.unsent:
        unsent, requests.unsent = requests.unsent, []
        for request, _ in unsent:
            request.give_back()


def is_full(subscriptions: Iterable[Any], *, urgent: bool) -> bool:
    """Whether one of the owner's subscriptions has no room, of twice the size when it is urgent."""
    return any(subscription.full(urgent=urgent) for subscription in subscriptions)


def write_here(connection: Any, push: PushMessage) -> bool:
    """Write a push that asks for no outcome, in the thread that pushes it.

    Returns `False`, and has done nothing, when the connection's thread has something to do, or
    telemetry wants to see that thread do it.
    """
    inbox, transport, data = connection.actor_inbox, connection._transport, push.data
    if data is None or CONNECTION or not inbox.take_turn():
        return False
    try:
        if connection._status != "connected" or transport.pending_bytes or transport.write_error:
            return False
        connection._protocol.push(push, 0.0)
        frame_log.sending((push,))
        transport.send((data,))
        connection._room.update(len(data), transport.pending_bytes)
        if transport.pending_bytes or transport.write_error:
            inbox.tell(ResumeReading())  # Its thread sees to the rest.
        return True
    finally:
        inbox.end_turn()


def completed(
    push: PushMessage, ref: str, protocol: Protocol, serializer: Serializer
) -> PushMessage:
    """Return a push with what one has not that somebody sent by hand."""
    join_ref = push.join_ref or protocol.current_join_ref(push.topic)
    message = Message(join_ref, ref, push.topic, push.event, push.payload)
    return replace(push, ref=ref, join_ref=join_ref, data=serializer.encode(message))
