"""What a socket's methods raise. Each that carries a `socket` carries the one to go on with."""

from __future__ import annotations

from typing import Any

from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.hints import hint
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import JoinTimeout

__all__ = [
    "ConnectFailedError",
    "JoinFailedError",
    "NeverJoinedError",
    "NotConfiguredError",
    "NotConnectedError",
    "NotJoinedError",
    "NotOwnerError",
    "SendBufferFullError",
    "failed_decoding",
    "path_of",
    "undecoded",
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
        why = [described(reason, path_of(socket))]
        if isinstance(reason, JoinTimeout):
            why += undecoded(socket)  # It may have answered.
        super().__init__(f"awaited the join of {topic!r}: {'; '.join(why)}")
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


def failed_decoding(socket: Any) -> Any:
    """Return how a socket's connection decodes, if it has failed at that; else `None`."""
    link = getattr(socket, "_link", None)
    connection = link.connection if link is not None else None
    decoding = getattr(getattr(connection, "actor_inbox", None), "decoding", None)
    return decoding if decoding is not None and decoding.failures else None


def undecoded(socket: Any) -> list[str]:
    """Return what is said of the messages that a socket's connection could not decode, if any."""
    if (decoding := failed_decoding(socket)) is None:
        return []
    known = hint(decoding.last)
    return [str(decoding) if known is None else f"{decoding} (hint: {known})"]
