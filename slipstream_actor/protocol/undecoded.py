"""Messages as they wait for their delivery: as they came, and of long ones the payload too, since
decoded that takes many times as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from slipstream_actor.protocol.events import MessageReceived
from slipstream_actor.protocol.message import Message, PartlyDecoded

__all__ = ["MESSAGES", "as_told", "event_of"]

decode: Callable[[msgspec.Raw], Any] = msgspec.json.Decoder().decode

MESSAGES = frozenset({Message, PartlyDecoded, MessageReceived})


def event_of(message: Message | MessageReceived) -> MessageReceived | None:
    """Return the event that a message is, `None` for one whose payload is no JSON."""
    if isinstance(message, MessageReceived):
        return message
    payload = message.payload
    if isinstance(message, PartlyDecoded):
        try:
            payload = decode(message.payload)
        except (ValueError, RecursionError):
            return None
    return MessageReceived(message.topic, message.event, payload)


def as_told(event: Any) -> Any:
    """Return an event of the protocol as its callback is told it; a message whose payload is no
    JSON stays as it came."""
    return (event_of(event) or event) if isinstance(event, Message) else event
