"""What a client wants of its connection: verb first, one frozen struct each.

A person or a test may send one by hand: `socket.channel_pid.tell(CloseConnection())`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.protocol.message import no_fields

__all__ = [
    "CloseConnection",
    "CollectGarbage",
    "JoinTopic",
    "LeaveTopic",
    "OpenConnection",
    "PushMessage",
    "ResumeReading",
]


class OpenConnection(msgspec.Struct, frozen=True):
    """Connect. A connection is sent it once, when it starts; `ChannelConnected` or
    `ChannelConnectFailed` follows."""


class CloseConnection(msgspec.Struct, frozen=True):
    """Close the connection, or stop connecting. `ChannelClosed` follows."""


class JoinTopic(msgspec.Struct, frozen=True):
    """Join `topic`. `TopicJoinSucceeded` or `TopicJoinFailed` follows.

    Without a `join_ref` the connection takes the next one. `data` is the encoded message, where
    the sender has encoded it; `timeout` is in seconds, by default `join_timeout_msec`.
    """

    topic: str
    payload: Any = msgspec.field(default_factory=dict)
    join_ref: str | None = None
    data: str | bytes | None = None
    timeout: float | None = None

    def __repr__(self) -> str:
        # Params may hold tokens.
        return f"JoinTopic(topic={self.topic!r}, join_ref={self.join_ref!r})"

    __rich_repr__ = no_fields


class LeaveTopic(msgspec.Struct, frozen=True):
    """Leave the topic's join, the current one or that of `join_ref`. `TopicLeft` follows.

    `timeout` is in seconds, by default `join_timeout_msec`.
    """

    topic: str
    join_ref: str | None = None
    timeout: float | None = None


class PushMessage(msgspec.Struct, frozen=True, gc=False):
    """Push an event. `data` is the encoded message, where the sender has encoded it.

    `awaited`: the connection remembers the ref until its reply, and reports `PushFailed` when the
    join or the connection ends first, or `reply_timeout` seconds pass; a `deadline`, on the
    monotonic clock, counts in their place: after it the push is not sent either. `request`: what
    is told the outcome in the owner's place, by the connection itself.
    """

    topic: str
    event: str
    payload: Any = msgspec.field(default_factory=dict)
    ref: str | None = None
    join_ref: str | None = None
    data: str | bytes | None = None
    awaited: bool = False
    reply_timeout: float | None = None
    deadline: float | None = None
    request: Any = None

    def __repr__(self) -> str:
        # Payloads may hold tokens, and `data` is the payload again.
        return f"PushMessage(topic={self.topic!r}, event={self.event!r}, ref={self.ref!r})"

    __rich_repr__ = no_fields


class ResumeReading(msgspec.Struct, frozen=True):
    """Read again: the owner has taken most of what was delivered."""


class CollectGarbage(msgspec.Struct, frozen=True):
    """Release the connection's idle buffers."""
