"""Messages of the server, many at once: the two kinds that most are take no call each."""

from __future__ import annotations

import functools
from typing import Any

from msgspec.structs import replace

from slipstream_actor.protocol.events import ReplyReceived
from slipstream_actor.protocol.joins import JOINED, REPLACED
from slipstream_actor.protocol.message import Message, reply_of

__all__ = ["RESERVED", "take_in"]

RESERVED = frozenset({"phx_reply", "phx_error", "phx_close"})


def take_in(protocol: Any, messages: list[Message], now: float) -> list[int]:
    """Make events of messages; return which of them are nobody's, by their places."""
    nobodys: list[int] = []
    channels, plain, told = protocol.channels, protocol.plain.recent, protocol.events.append
    if protocol.former:
        told = functools.partial(tell_apart, protocol)
    current = current_ref = None  # a topic and its join: mostly those of the next message, too
    for at, message in enumerate(messages):
        topic, event = message.topic, message.event
        if event not in RESERVED:
            join_ref = message.join_ref
            if (join_ref != current_ref or topic != current) and join_ref is not None:
                if (channel := channels.get(topic)) is None or channel.join_ref != join_ref:
                    nobodys.append(at)  # a message of a former join
                    continue
                current, current_ref = topic, join_ref
            told(message)
        elif (
            event == "phx_reply"
            and (ref := plain.get(message.ref)) is not None
            and ref.join_ref == message.join_ref
            and ref.topic == topic
            and (channel := channels.get(topic)) is not None
            and channel.join_ref == ref.join_ref
            and (reply := reply_of(message.payload)) is not None
        ):
            del plain[message.ref]
            told(ReplyReceived(topic, ref, reply))
        else:
            current = current_ref = None  # It may end a join.
            handled = protocol.receive_reserved(message, now)
            if handled is None:
                told(message)
            elif not handled:
                nobodys.append(at)
    return nobodys


def tell_apart(protocol: Any, event: Any) -> None:
    """Note an event; a broadcast that was sent to a join which another has replaced, as its own.

    Such are those that come before its phx_close: Phoenix ends the one before it begins the other,
    and tells it afterwards (docs/protocol.md#note-14).
    """
    if isinstance(event, Message) and event.join_ref is None:
        current = protocol.channels.get(event.topic)
        former = current.follows if current is not None and current.state is JOINED else None
        if former is not None and former.state is REPLACED:
            event = replace(event, join_ref=former.join_ref)
    protocol.events.append(event)
