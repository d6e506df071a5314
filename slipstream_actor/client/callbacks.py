"""Which callback an event leads to, and what callbacks may return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.inbox import Mailbox
from slipstream_actor.errors import CallbackReturnError
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

__all__ = ["CALLBACKS", "is_normal", "lost", "wrong_return"]

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

NORMAL = ("normal", "shutdown")
ALLOWED = {
    "init": "the Socket, None, Next, Stop or Ignore",
    "handle_call": "Answer, Next or Stop",
}


def wrong_return(name: str, result: Any) -> CallbackReturnError:
    """Return the error for a callback that returned what it may not."""
    allowed = ALLOWED.get(name, "the Socket, None, Next or Stop")
    return CallbackReturnError(f"{name} returned {type(result).__name__}; it may return {allowed}")


def lost(name: str, inbox: Mailbox, instead: str) -> CallbackReturnError:
    """Return the error for a callback that made a new socket and dropped it."""
    method, inbox.uncommitted = inbox.uncommitted, None
    return CallbackReturnError(
        f"{name} called socket.{method}(), whose result would be lost: {instead}"
    )


def is_normal(reason: Any) -> bool:
    """Whether an end for `reason` is a normal one: GenServer's three."""
    return reason in NORMAL or (isinstance(reason, tuple) and reason[:1] == ("shutdown",))
