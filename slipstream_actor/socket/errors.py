"""What a socket's methods raise. Each that carries a `socket` carries the one to go on with."""

from __future__ import annotations

from typing import Any

from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.reason_texts import described

__all__ = [
    "ConnectFailedError",
    "JoinFailedError",
    "NeverJoinedError",
    "NotConfiguredError",
    "NotConnectedError",
    "NotJoinedError",
    "NotOwnerError",
    "SendBufferFullError",
    "path_of",
]


class NotConfiguredError(SlipstreamError):
    """Raised by `socket.reconnect()` when the socket never had a configuration."""


class NeverJoinedError(SlipstreamError):
    """Raised by `socket.rejoin(topic)` and awaits when `topic` was never joined."""


class NotConnectedError(SlipstreamError):
    """The operation needs a connection. Raised by `push`, and by awaits that a disconnect ended.

    `reason` says why there is none, where that is known; `maybe_sent`, of a `request`, that the
    server may have heard it.
    """

    def __init__(
        self, message: str, *, reason: Any = None, socket: Any = None, maybe_sent: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.socket = socket
        self.maybe_sent = maybe_sent


class NotJoinedError(SlipstreamError):
    """The operation needs a joined topic. Raised by `push`, and by `await_reply` if its join ends.

    `reason` says why, where that is known; `maybe_sent`, of a `request`, that the server may have
    heard it.
    """

    def __init__(
        self, message: str, *, reason: Any = None, socket: Any = None, maybe_sent: bool = False
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.socket = socket
        self.maybe_sent = maybe_sent


class SendBufferFullError(SlipstreamError):
    """Raised by `push`: the send buffer had no room within `send_timeout` seconds."""


class ConnectFailedError(SlipstreamError):
    """Raised by `await_connect`: the attempt failed for `reason`."""

    def __init__(self, reason: Any, *, socket: Any, awaited: str = "the connection") -> None:
        super().__init__(f"awaited {awaited}: {described(reason, path_of(socket))}")
        self.reason = reason
        self.socket = socket
        self.awaited = awaited


class JoinFailedError(SlipstreamError):
    """Raised by `await_join`: the join of `topic` failed for `reason`."""

    def __init__(self, topic: str, reason: Any, *, socket: Any) -> None:
        super().__init__(f"awaited the join of {topic!r}: {described(reason, path_of(socket))}")
        self.topic = topic
        self.reason = reason
        self.socket = socket
        self.awaited: str = f"the join of {topic!r}"


class NotOwnerError(SlipstreamError):
    """Raised by what asks for something or waits, in a thread that does not own the socket.

    That is `await_*`, `join`, `rejoin`, `leave`, `forget`, `connect`, `reconnect`, `disconnect`,
    `close`, `ping`, `messages`, `track_presence` and `collect_garbage`; `push` works in every
    thread. Events go to the actor or thread that made the socket, so no other could ever receive
    them. `track_presence`, whose events only an actor has callbacks for, raises it in a plain
    thread too.
    """


def path_of(socket: Any) -> str | None:
    """Return the path of a socket's URI, for a hint; `None` without one."""
    config = getattr(socket, "channel_config", None)
    return config.uri.path if config is not None else None
