"""What happened on a connection: past tense, one frozen struct each.

The connection sends them to the owner of the socket, several in one burst; `apply_event` changes
the socket by them, and each leads to the callback that its docstring names. One that is sent by
hand (`ref.tell(ChannelClosed(…))`) is taken at its word.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from slipstream_actor.protocol.message import Reply, no_fields

logger: logging.Logger = logging.getLogger("slipstream_actor.connection")

__all__ = [
    "ChannelClosed",
    "ChannelConnectFailed",
    "ChannelConnected",
    "Event",
    "MessageReceived",
    "UndecodedMessage",
    "decoded",
    "PushFailed",
    "ReplyReceived",
    "TopicJoinClosed",
    "TopicJoinFailed",
    "TopicJoinSucceeded",
    "TopicLeft",
]


class ChannelConnected(msgspec.Struct, frozen=True):
    """The websocket is open: `handle_connect`. `channel_pid` is the connection."""

    channel_pid: Any
    response_headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"ChannelConnected(channel_pid={self.channel_pid!r})"

    __rich_repr__ = no_fields


class ChannelConnectFailed(msgspec.Struct, frozen=True):
    """An attempt to connect failed: `handle_disconnect(reason)`, unless an await took it."""

    reason: Any


class ChannelClosed(msgspec.Struct, frozen=True):
    """The connection ended, and every join with it: `handle_disconnect(reason)`."""

    reason: Any


class TopicJoinSucceeded(msgspec.Struct, frozen=True):
    """The server accepted a join: `handle_join(topic, response)`."""

    topic: str
    response: Any = msgspec.field(default_factory=dict)
    join_ref: str | None = None


class TopicJoinFailed(msgspec.Struct, frozen=True):
    """A join was refused or timed out: `handle_topic_close(topic, reason)`."""

    topic: str
    reason: Any
    join_ref: str | None = None


class TopicJoinClosed(msgspec.Struct, frozen=True):
    """A join ended by a crash of the channel: `handle_topic_close(topic, reason)`."""

    topic: str
    reason: Any
    join_ref: str | None = None


class TopicLeft(msgspec.Struct, frozen=True):
    """A join ended by our leave or by the server's `phx_close`: `handle_leave(topic)`."""

    topic: str
    join_ref: str | None = None


class MessageReceived(msgspec.Struct, frozen=True, gc=False):
    """A push or broadcast of the server: `handle_message(topic, event, payload)`."""

    topic: str
    event: str
    payload: Any = msgspec.field(default_factory=dict)


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


class ReplyReceived(msgspec.Struct, frozen=True, gc=False):
    """A reply to a push: `handle_reply(ref, reply)`."""

    topic: str
    ref: str
    reply: Reply


class PushFailed(msgspec.Struct, frozen=True):
    """A push that asked for an outcome will get no reply (docs/protocol.md#note-18):
    `handle_push_failed(ref, topic, event, reason)`."""

    topic: str
    event: str
    ref: str
    reason: Any


Event: TypeAlias = (
    ChannelConnected
    | ChannelConnectFailed
    | ChannelClosed
    | TopicJoinSucceeded
    | TopicJoinFailed
    | TopicJoinClosed
    | TopicLeft
    | MessageReceived
    | UndecodedMessage
    | ReplyReceived
    | PushFailed
)
