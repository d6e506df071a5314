"""From bytes that have come to events: decoded, and given to the protocol."""

from __future__ import annotations

import time
from types import MethodType
from typing import Any

from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.actors.selector_inbox import READABLE, SelectorInbox
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.commands import ResumeReading
from slipstream_actor.protocol.incoming import take_in
from slipstream_actor.protocol.message import Message
from slipstream_actor.telemetry import frame_log
from slipstream_actor.wire.frames import Data
from slipstream_actor.wire.websocket import Transport

__all__ = ["give_to_subscriptions", "hear", "inflow_of", "may_have_more", "receive"]

# More than what a socket holds, of a server that never stops sending.
MOST_READS = 64


def inflow_of(config: Configuration, inbox: SelectorInbox) -> Inflow:
    """Return what counts the messages that the connection of that inbox tells its owner."""
    marks = config.high_watermark, config.low_watermark, config.max_undelivered_bytes
    return Inflow(*marks, resume=MethodType(read_on, inbox))


def read_on(inbox: SelectorInbox) -> None:
    """Have the connection read again, if it has stopped; any thread may ask."""
    inbox.tell(ResumeReading())


def receive(connection: Any, transport: Transport) -> None:
    """Decode what has come, and let the protocol make events of it."""
    received = transport.receive()
    if connection._status == "closing" and (connection.flow.full or connection._leaves_out):
        # We are leaving: what the owner has no room for is read for the close frame behind it, and
        # so is all that comes behind that, lest there be a gap.
        connection._leaves_out = True
        connection._dropped += len(received)
        return
    if not received:
        return
    now, decoding, flow = time.monotonic(), connection._decoding, connection.flow
    try:
        messages = decoding.decode_all(received, flow)
    except Exception:  # One of them is no message, or binary behind others.
        longest = decoding.longest(flow)
        for data in received:
            if (message := decoded(connection, data, longest)) is not None:
                give(connection, [data], [message], now)
    else:
        give(connection, received, messages, now)


def hear(connection: Any) -> None:
    """Read all that has come by now, as far as there is room: what was answered in time is no
    timeout, whatever kept this process from reading it."""
    transport = connection._transport
    for _ in range(MOST_READS if transport is not None else 0):
        before = transport.bytes_in
        if connection._paused or connection._status == "closed":
            return
        connection._ready(READABLE)
        if not may_have_more(transport, before):
            return


def may_have_more(transport: Transport, before: int) -> bool:
    """Whether more may have come than a read has taken, which began at so many `bytes_in`."""
    return transport.bytes_in != before or transport.read_again


def give(connection: Any, received: list[Data], messages: list[Message], now: float) -> None:
    """Give messages to the protocol, and drop those that are nobody's."""
    if frame_log.is_on():
        frame_log.received(messages)
    for at in take_in(connection._protocol, messages, now):
        drop(connection, received[at], f"{messages[at].event} is nobody's")


def give_to_subscriptions(connection: Any, events: list[Any]) -> None:
    """Have the owner's subscriptions take what is theirs of what has been read."""
    for subscription in connection._owner.actor_inbox.subscriptions:
        subscription.take(events)


def decoded(connection: Any, data: Data, longest: int) -> Message | None:
    """Return the message of a frame, as far as it is decoded now; `None` when it is none."""
    decoding = connection._decoding
    try:
        message: Message = decoding.decode(data, longest)
    except Exception as error:
        decoding.fail(error, data)
        drop(connection, data, type(error).__name__)
        return None
    return message


def drop(connection: Any, data: Data, why: str) -> None:
    """Count a message that is nobody's, and say so."""
    connection._dropped += 1
    connection._log.dropped(data, why)
