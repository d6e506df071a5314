"""What happened on a connection: past tense, one frozen struct each.

The connection sends them to the owner of the socket, several in one burst; `apply_event` changes
the socket by them, and each leads to the callback that its docstring names. One that is sent by
hand (`ref.tell(ChannelClosed(…))`) is taken at its word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from slipstream_actor.protocol.message import Reply, no_fields

__all__ = [
    "ChannelClosed",
    "ChannelConnectFailed",
    "ChannelConnected",
    "Event",
    "MessageReceived",
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


# What ends a join.
JOIN_ENDS = (TopicJoinFailed, TopicJoinClosed, TopicLeft)

Event: TypeAlias = (
    ChannelConnected
    | ChannelConnectFailed
    | ChannelClosed
    | TopicJoinSucceeded
    | TopicJoinFailed
    | TopicJoinClosed
    | TopicLeft
    | MessageReceived
    | ReplyReceived
    | PushFailed
)
