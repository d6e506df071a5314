"""Messages that wait for their delivery as they came: decoded they take many times as much."""

from __future__ import annotations

import logging

import msgspec

from slipstream_actor.protocol.events import MessageReceived

__all__ = ["UndecodedMessage", "decoded"]

logger: logging.Logger = logging.getLogger("slipstream_actor.connection")


class UndecodedMessage(msgspec.Struct, frozen=True, gc=False):
    """A `MessageReceived` whose payload is decoded when it is delivered: until then it takes the
    bytes that it came in."""

    topic: str
    event: str
    payload: msgspec.Raw


def decoded(message: UndecodedMessage) -> MessageReceived | None:
    """Return the message with its payload; `None`, with a warning, for one that is no JSON."""
    try:
        payload = msgspec.json.decode(message.payload)
    except (ValueError, RecursionError) as error:
        why = type(error).__name__
        logger.warning("%r on %r could not be decoded: %s", message.event, message.topic, why)
        return None
    return MessageReceived(message.topic, message.event, payload)
