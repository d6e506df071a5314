"""What a callback may return besides the socket or nothing: GenServer's tuples, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

if TYPE_CHECKING:
    from slipstream_actor.socket.socket import Socket

__all__ = ["Answer", "Ignore", "Next", "Stop"]


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
