"""The socket's `await_message` and `messages`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from slipstream_actor.actors.envelopes import LEAVE, TAKE
from slipstream_actor.errors import AwaitTimeoutError
from slipstream_actor.protocol.events import (
    MessageReceived,
    TopicJoinClosed,
    TopicLeft,
)
from slipstream_actor.protocol.matching import ANY, matches, require_text_pattern
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import ChannelEnded
from slipstream_actor.protocol.undecoded import MESSAGES, event_of
from slipstream_actor.socket.apply_event import CONNECTION_ENDS
from slipstream_actor.socket.awaiting import Deadline, disconnected_error, receive
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError
from slipstream_actor.socket.log import say_undecodable
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.presences import is_tracked
from slipstream_actor.socket.standing import stands
from slipstream_actor.socket.state import SocketState

__all__ = ["await_message", "messages"]


def await_message(
    socket: SocketState, topic: Any, event: Any, payload: Any, timeout: float | None
) -> MessageReceived:
    """See `Socket.await_message`."""
    require_owner(socket, "await_message")
    require_text_pattern("topic", topic)
    require_text_pattern("event", event)
    awaited = described_message(topic, event, payload)
    deadline = Deadline(timeout)

    join = socket.joins.get(topic) if isinstance(topic, str) else None

    def match(message: Any, _: Any) -> int:
        kind = type(message)
        if kind in MESSAGES:
            found = (
                not is_tracked(socket, message)
                and matches(topic, message.topic)
                and matches(event, message.event)
                and (payload is ANY or has_payload(message, payload))
            )
            return TAKE if found else 0
        if kind in (TopicJoinClosed, TopicLeft) and join is not None:
            ours = message.topic == topic and join.join_ref in (message.join_ref, None)
            return LEAVE if ours and message.join_ref is not None else 0
        return LEAVE if kind in CONNECTION_ENDS else 0

    try:
        left = deadline if socket._link else Deadline(0.0)
        received = receive(socket, awaited, left, match, topic)
    except AwaitTimeoutError:
        if socket._link is None or not socket._link.alive:
            text = f"awaited {awaited}{stands(socket, topic)}"
            raise NotConnectedError(text, socket=socket) from None
        raise
    if type(received) in MESSAGES:
        if (whole := event_of(received)) is None:  # No message after all.
            say_undecodable(socket)
            return await_message(socket, topic, event, payload, deadline.left())
        return whole
    if type(received) in CONNECTION_ENDS:
        raise disconnected_error(awaited, received, socket)
    reason = ChannelEnded(getattr(received, "reason", "left"))
    raise NotJoinedError(f"awaited {awaited}: {described(reason)}", reason=reason, socket=socket)


def described_message(topic: Any, event: Any, payload: Any) -> str:
    """Return how an error calls what is awaited; a payload may be a secret."""
    matching = "" if payload is ANY else " and a payload that matches"
    return f"a message with topic {topic!r}, event {event!r}{matching}"


def has_payload(message: Message | MessageReceived, pattern: Any) -> bool:
    """Whether the payload of a message matches; one that is no JSON is taken out, to be told of."""
    whole = event_of(message)
    return whole is None or matches(pattern, whole.payload)


def messages(
    socket: SocketState, topic: Any, event: Any, payload: Any, timeout: float | None
) -> Iterator[MessageReceived]:
    """See `Socket.messages`."""
    while True:
        try:
            message = await_message(socket, topic, event, payload, timeout)
        except AwaitTimeoutError:
            return
        yield message
