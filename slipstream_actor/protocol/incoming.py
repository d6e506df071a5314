"""Messages of the server, many at once: the two kinds that most are take no call each."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from slipstream_actor.protocol.events import MessageReceived, ReplyReceived
from slipstream_actor.protocol.message import Message, reply_of
from slipstream_actor.protocol.undecoded import UndecodedMessage

__all__ = ["RESERVED", "take_in"]

RESERVED = frozenset({"phx_reply", "phx_error", "phx_close"})


def take_in(protocol: Any, messages: list[Message], now: float) -> list[int]:
    """Make events of messages; return which of them are nobody's, by their places."""
    nobodys: list[int] = []
    channels, plain, told = protocol.channels, protocol.plain.recent, protocol.events.append
    current = current_ref = None  # a topic and its join: mostly those of the next message, too
    for at, message in enumerate(messages):
        topic, event, payload = message.topic, message.event, message.payload
        if event not in RESERVED:
            join_ref = message.join_ref
            if (join_ref != current_ref or topic != current) and join_ref is not None:
                if (channel := channels.get(topic)) is None or channel.join_ref != join_ref:
                    nobodys.append(at)  # a message of a former join
                    continue
                current, current_ref = topic, join_ref
            if type(payload) is Raw:
                told(UndecodedMessage(topic, event, payload))
            else:
                told(MessageReceived(topic, event, payload))
        elif (
            event == "phx_reply"
            and (ref := plain.get(message.ref)) is not None
            and ref.join_ref == message.join_ref
            and ref.topic == topic
            and (channel := channels.get(topic)) is not None
            and channel.join_ref == ref.join_ref
            and (reply := reply_of(payload)) is not None
        ):
            del plain[message.ref]
            told(ReplyReceived(topic, ref, reply))
        else:
            current = current_ref = None  # It may end a join.
            handled = protocol.receive_reserved(message, now)
            if handled is None:
                told(MessageReceived(topic, event, payload))
            elif not handled:
                nobodys.append(at)
    return nobodys
