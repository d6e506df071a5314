"""What a message or a command is, on one line, without what is in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from slipstream_actor.actors.calls import Cast
from slipstream_actor.actors.envelopes import Between, GetState, Request
from slipstream_actor.actors.monitor import Down
from slipstream_actor.client.callbacks import CALLBACKS
from slipstream_actor.client.client import UNNOTICED
from slipstream_actor.client.invocation import Invocation
from slipstream_actor.protocol.commands import CloseConnection, JoinTopic, LeaveTopic, PushMessage
from slipstream_actor.protocol.undecoded import MESSAGES
from slipstream_actor.telemetry.redaction import name

__all__ = ["is_message", "what_is", "what_is_sent"]

OURS = "slipstream_actor."

# What a proxy does, a call, a cast, and an event without a topic.
WORDS: dict[type, Callable[[Any], str]] = {
    ProxyCall: lambda message: f"method {'.'.join(message.attr_path)}()",
    ProxyGetAttr: lambda message: f"attribute {'.'.join(message.attr_path)}",
    ProxySetAttr: lambda message: f"assignment of {'.'.join(message.attr_path)}",
    Invocation: lambda message: f"method {'.'.join(message.message.attr_path)}()",
    Cast: lambda _: "cast",
    Request: lambda _: "call",
    Down: lambda down: f"Down of {down.ref}",
    _ActorStop: lambda _: "stop",
}
SENT: dict[type, Callable[[Any], str]] = {
    JoinTopic: lambda join: f"{name(join.topic)} phx_join",
    LeaveTopic: lambda leave: f"{name(leave.topic)} phx_leave",
    PushMessage: lambda push: f"{name(push.topic)} {name(push.event)}",
    CloseConnection: lambda _: "close",
}


def is_message(message: Any) -> bool:
    """Whether it is one that a client is told, and none of the library's own."""
    kind = type(message)
    if kind in CALLBACKS or kind in WORDS or kind in MESSAGES:
        return True
    if message is None or isinstance(message, (*UNNOTICED, Between, GetState)):
        return False
    return not kind.__module__.startswith(OURS)


def what_is(message: Any) -> str:
    """Return what a message is: an event by its topic and name, of a user's the type."""
    words = WORDS.get(type(message))
    if words is not None:
        return words(message)
    kind = type(message).__name__
    topic, event = getattr(message, "topic", None), getattr(message, "event", None)
    if type(message) in MESSAGES or type(message) in CALLBACKS:
        return " ".join(name(part) for part in (topic, event or kind) if isinstance(part, str))
    return f"info {kind}"


def what_is_sent(command: Any) -> str | None:
    """Return what a command has the connection send; `None` of one that sends nothing."""
    words = SENT.get(type(command))
    return None if words is None else words(command)
