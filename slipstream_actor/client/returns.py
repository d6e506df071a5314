"""What a callback may return besides the socket or nothing: GenServer's tuples, as values; and the
errors for what it may not."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
import pykka
from msgspec import UNSET

from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import CallbackReturnError
from slipstream_actor.socket.socket import Socket

__all__ = [
    "Answer",
    "CallResult",
    "CallbackResult",
    "Ignore",
    "InitResult",
    "Next",
    "Stop",
    "is_normal",
    "is_lost",
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
    Raises `TypeError` and, for a timeout of NaN, `ValueError`.
    """

    socket: Socket | None = None
    timeout: float | None = None
    then: Any = UNSET

    def __post_init__(self) -> None:
        require_return(self, self.socket)
        require_idle(self, self.timeout)


class Answer(msgspec.Struct, frozen=True):
    """Answer the caller of `handle_call` with `value`: GenServer's `{:reply, value, s}`.

    A `value` that is a future answers when it is set. `timeout` and `then` as in `Next`, and what
    is raised.
    """

    value: Any
    socket: Socket | None = None
    timeout: float | None = None
    then: Any = UNSET

    def __post_init__(self) -> None:
        require_return(self, self.socket)
        require_idle(self, self.timeout)


class Stop(msgspec.Struct, frozen=True):
    """End the client for `reason`: GenServer's `{:stop, reason, s}`.

    `"normal"`, `"shutdown"` and `("shutdown", term)` are the normal reasons; a supervisor
    restarts a transient client after any other. `answer` answers the caller of `handle_call`, once
    `terminate` has run. Raises `TypeError`.
    """

    reason: Any
    socket: Socket | None = None
    answer: Any = UNSET

    def __post_init__(self) -> None:
        require_return(self, self.socket)


class Ignore(msgspec.Struct, frozen=True):
    """Returned by `init`: end before having begun; `start` raises `StartIgnored`."""


# What overrides are held to by type checkers: `async def` and `-> int` are none of these.
CallbackResult: TypeAlias = Socket | Next | Stop | None
"""What a callback may return: the socket to go on with, or `None` when it did not change."""

InitResult: TypeAlias = Socket | Next | Stop | Ignore | None
"""What `init` may return."""

CallResult: TypeAlias = Answer | Next | Stop | pykka.Future[Any]
"""What `handle_call` may return. A future answers when it is set, as `Answer(future)` does."""


def require_return(result: Any, socket: Any) -> None:
    """Raise `TypeError` unless a result's socket is one, or `None`."""
    if socket is not None and not isinstance(socket, Socket):
        name = type(result).__name__
        raise TypeError(f"{name}: socket must be a Socket or None, not {type(socket).__name__}")


def require_idle(result: Any, timeout: Any) -> None:
    """Have an idle timeout that is a number, or `None` for ever, in a result that is frozen."""
    if timeout is not None:
        seconds = require_seconds(f"{type(result).__name__}: timeout", timeout)
        if seconds is None:
            msgspec.structs.force_setattr(result, "timeout", None)


def wrong_return_error(name: str, result: Any) -> CallbackReturnError:
    """Return the error for a callback that returned what it may not."""
    allowed = ALLOWED.get(name, "the Socket, None, Next or Stop")
    return CallbackReturnError(f"{name} returned {type(result).__name__}; it may return {allowed}")


def is_lost(inbox: Inbox, socket: Socket) -> bool:
    """Whether a callback goes on with a socket that does not know of all that it has asked."""
    asked = inbox.asked if inbox.uncommitted is not None else None
    return asked is not None and asked is not socket._asked


def lost_socket_error(name: str, inbox: Inbox, socket: Socket, instead: str) -> CallbackReturnError:
    """Return the error for a callback that made a new socket and goes on with `socket`."""
    lost = inbox.asked if is_lost(inbox, socket) else None
    method = inbox.uncommitted if lost is None else lost[0]
    inbox.uncommitted = None
    return CallbackReturnError(
        f"{name} called socket.{method}(), whose result would be lost: {instead}"
    )


def is_normal(reason: Any) -> bool:
    """Whether an end for `reason` is a normal one: GenServer's three."""
    if isinstance(reason, tuple):
        return isinstance(first := reason[0] if reason else None, str) and first == "shutdown"
    # Of what is no text it is not asked whether it is equal: that may raise.
    return isinstance(reason, str) and reason in NORMAL
