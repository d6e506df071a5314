"""Wrong uses of the test kit, told where they are made, not by a wait that comes to nothing."""

from __future__ import annotations

import inspect
from typing import Any

import pykka

from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.client.runner import known_socket
from slipstream_actor.configuration.arguments import kind_given, require_delay, require_seconds
from slipstream_actor.errors import ConfigurationError
from slipstream_actor.protocol.matching import require_text_pattern
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.socket import Socket
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.testing.kit.clients import living, title
from slipstream_actor.testing.kit.requests import PushRequest

__all__ = [
    "require_handle",
    "require_patterns",
    "require_push",
    "require_reply",
    "require_test_mode",
    "seconds_or",
]

TEXTS = ("topic", "event")
CLIENTS = (pykka.ActorRef, pykka.ActorProxy, Socket, ThreadRef)


def require_reply(reply: Any) -> None:
    """Raise `TypeError` for what is no `Reply`."""
    if not isinstance(reply, Reply):
        raise TypeError(f"reply must be a Reply, not {type(reply).__name__}")


def require_answer(answer: Any) -> None:
    """Raise `TypeError` for a coroutine function: nobody would await what it returns."""
    for function in (answer, getattr(answer, "__call__", None)):  # noqa: B004 - an object's is meant
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("answer must be a function that returns it, no coroutine function")


def require_handle(handle: Any) -> None:
    """Raise `TypeError` for what is no handle."""
    if not isinstance(handle, ClientHandle):
        raise TypeError(f"override takes the handle to replace, not {kind_given(handle)}")


def seconds_or(name: str, seconds: float | None, default: float) -> float:
    """Return `seconds`, or the default for `None`.

    Raises `TypeError` for what is no number, `ValueError` for NaN and infinity.
    """
    if seconds is None:
        return default
    require_seconds(name, seconds)
    return require_delay(name, seconds)


def require_patterns(**patterns: Any) -> dict[str, Any]:
    """Return the patterns; raise `TypeError` for one that stands where another argument was meant.

    No request has a client or a reply in these places, nor a topic or an event that is no text.
    """
    for name, pattern in patterns.items():
        if isinstance(pattern, CLIENTS):
            meant = "client="
        elif isinstance(pattern, Reply):
            meant = "reply="
        else:
            if name in TEXTS:
                require_text_pattern(name, pattern)
            continue
        raise TypeError(f"{name} cannot be of {type(pattern).__name__}: did you mean {meant}?")
    return patterns


def require_push(client: Any, ref: Any) -> str:
    """Return the ref of a push of the client, a reference, that `ref` is or has.

    Raises `TypeError` for what is neither, `ValueError` for a push of another client.
    """
    if isinstance(ref, PushRequest):
        if ref.client is not client:
            raise ValueError(f"a push of {title(ref.client)} is no push of {title(client)}")
        return ref.ref
    if not isinstance(ref, str):
        raise TypeError(f"ref must be a PushRequest or its ref, not {type(ref).__name__}")
    return ref


def require_test_mode(client: Any) -> None:
    """Raise `ConfigurationError` for a client that connects to a server of its own.

    One that never connected is told events by hand, and a plain thread is what its socket says.
    """
    ref = living(client)
    socket = (
        client
        if isinstance(client, Socket)
        else known_socket(ref)
        if isinstance(ref, pykka.ActorRef)
        else None
    )
    config = socket.channel_config if socket is not None else None
    if config is not None and not config.test_mode:
        raise ConfigurationError(
            "test_mode",
            f"{title(ref)} has a connection of its own;"
            " only a client that connects with test_mode=True can be accepted or refused by a test",
        )
