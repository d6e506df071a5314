"""From bytes that have come to events: decoded, and given to the protocol."""

from __future__ import annotations

import time
from typing import Any

from slipstream_actor.protocol.incoming import take_in
from slipstream_actor.protocol.message import Message
from slipstream_actor.telemetry import frame_log
from slipstream_actor.wire.frames import Data
from slipstream_actor.wire.websocket import Transport

__all__ = ["receive"]


def receive(connection: Any, transport: Transport) -> None:
    """Decode what has come, and let the protocol make events of it."""
    received = transport.receive()
    if connection._status == "closing" and connection.flow.full:
        # We are leaving: what the owner has no room for is read for the close frame behind it.
        connection._dropped += len(received)
        return
    if not received:
        return
    now, decoding = time.monotonic(), connection._decoding
    longest = decoding.longest(connection.flow.undelivered_bytes)
    try:
        messages = decoding.decode_all(received, longest)
    except Exception:  # One of them is no message, or binary behind others.
        received, messages = decode_each(connection, received, longest)
    give(connection, received, messages, now)


def give(connection: Any, received: list[Data], messages: list[Message], now: float) -> None:
    """Give messages to the protocol, and drop those that are nobody's."""
    frame_log.received(messages)
    for at in take_in(connection._protocol, messages, now):
        drop(connection, received[at], f"{messages[at].event} is nobody's")


def decode_each(
    connection: Any, received: list[Data], longest: int
) -> tuple[list[Data], list[Message]]:
    """Return the frames that are messages, and those; drop the others."""
    found: list[Data] = []
    messages: list[Message] = []
    decoding = connection._decoding
    for data in received:
        try:
            messages.append(decoding.decode(data, longest))
        except Exception as error:
            decoding.fail(error, data)
            drop(connection, data, type(error).__name__)
        else:
            found.append(data)
    return found, messages


def drop(connection: Any, data: Data, why: str) -> None:
    """Count a message that is nobody's, and say so."""
    connection._dropped += 1
    connection._log.dropped(data, why)
