"""Messages that wait for their delivery as they came: decoded they take many times as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from slipstream_actor.protocol.events import MessageReceived

__all__ = ["UndecodedMessage", "decoded"]

decode: Callable[[msgspec.Raw], Any] = msgspec.json.Decoder().decode


class UndecodedMessage(msgspec.Struct, frozen=True, gc=False):
    """A `MessageReceived` whose payload is decoded when it is delivered: until then it takes the
    bytes that it came in."""

    topic: str
    event: str
    payload: msgspec.Raw


def decoded(message: UndecodedMessage) -> MessageReceived | None:
    """Return the message with its payload, `None` for one that is no JSON."""
    try:
        payload = decode(message.payload)
    except (ValueError, RecursionError):
        return None
    return MessageReceived(message.topic, message.event, payload)
