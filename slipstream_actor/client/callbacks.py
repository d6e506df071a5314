"""Which callback an event leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)

__all__ = ["CALLBACKS"]

# Each event's callback, and what it is called with before the socket: the one place of dispatch.
CALLBACKS: dict[type, tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    ChannelConnected: ("handle_connect", lambda event: ()),
    ChannelConnectFailed: ("handle_disconnect", lambda event: (event.reason,)),
    ChannelClosed: ("handle_disconnect", lambda event: (event.reason,)),
    TopicJoinSucceeded: ("handle_join", lambda event: (event.topic, event.response)),
    TopicJoinFailed: ("handle_topic_close", lambda event: (event.topic, event.reason)),
    TopicJoinClosed: ("handle_topic_close", lambda event: (event.topic, event.reason)),
    TopicLeft: ("handle_leave", lambda event: (event.topic,)),
    MessageReceived: ("handle_message", lambda event: (event.topic, event.event, event.payload)),
    ReplyReceived: ("handle_reply", lambda event: (event.ref, event.reply)),
    PushFailed: (
        "handle_push_failed",
        lambda event: (event.ref, event.topic, event.event, event.reason),
    ),
}
