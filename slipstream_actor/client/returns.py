"""What a callback may return besides the socket or nothing: GenServer's tuples, as values; and the
errors for what it may not."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET

from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.errors import CallbackReturnError
from slipstream_actor.socket.socket import Socket

__all__ = [
    "Answer",
    "Ignore",
    "Next",
    "Stop",
    "is_normal",
    "lost_socket_error",
    "wrong_return_error",
]

NORMAL = ("normal", "shutdown")
ALLOWED = {
    "init": "the Socket, None, Next, Stop or Ignore",
    "handle_call": "Answer, Next or Stop",
}


class Next(msgspec.Struct, frozen=True):
    """Go on with `socket` (`None`: unchanged): GenServer's `{:noreply, s, timeout | continue}`.

    `timeout`: seconds without a message after which `handle_info("timeout", socket)` is called.
    `then`: a term for which `handle_continue(then, socket)` is called before anything else.
    """

    socket: Socket | None = None
    timeout: float | None = None
    then: Any = UNSET


class Answer(msgspec.Struct, frozen=True):
    """Answer the caller of `handle_call` with `value`: GenServer's `{:reply, value, s}`.

    A `value` that is a future answers when it is set. `timeout` and `then` as in `Next`.
    """

    value: Any
    socket: Socket | None = None
    timeout: float | None = None
    then: Any = UNSET


class Stop(msgspec.Struct, frozen=True):
    """End the client for `reason`: GenServer's `{:stop, reason, s}`.

    `"normal"`, `"shutdown"` and `("shutdown", term)` are the normal reasons; a supervisor
    restarts a transient client after any other. `answer` answers the caller of `handle_call`.
    """

    reason: Any
    socket: Socket | None = None
    answer: Any = UNSET


class Ignore(msgspec.Struct, frozen=True):
    """Returned by `init`: end before having begun; `start` returns `None`."""


def wrong_return_error(name: str, result: Any) -> CallbackReturnError:
    """Return the error for a callback that returned what it may not."""
    allowed = ALLOWED.get(name, "the Socket, None, Next or Stop")
    return CallbackReturnError(f"{name} returned {type(result).__name__}; it may return {allowed}")


def lost_socket_error(name: str, inbox: Inbox, instead: str) -> CallbackReturnError:
    """Return the error for a callback that made a new socket and dropped it."""
    method, inbox.uncommitted = inbox.uncommitted, None
    return CallbackReturnError(
        f"{name} called socket.{method}(), whose result would be lost: {instead}"
    )


def is_normal(reason: Any) -> bool:
    """Whether an end for `reason` is a normal one: GenServer's three."""
    return reason in NORMAL or (isinstance(reason, tuple) and reason[:1] == ("shutdown",))
