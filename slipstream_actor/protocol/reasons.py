"""Why a connection, a join or a push ended: values to match on in callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from slipstream_actor.protocol.message import no_fields

__all__ = [
    "BufferExpired",
    "BufferOverflow",
    "ChannelCrashed",
    "ChannelEnded",
    "ClosedByClient",
    "ClosedByPeer",
    "ClosedByServer",
    "ConnectFailed",
    "ConnectionCrashed",
    "Disconnected",
    "HeartbeatTimeout",
    "JoinRefused",
    "JoinTimeout",
    "LeftByClient",
    "ParamsFailed",
    "PushTimeout",
    "TransportFailed",
]

ConnectFailedKind: TypeAlias = Literal[
    "resolve", "refused", "timeout", "tls", "upgrade", "proxy", "io"
]


class ConnectFailed(msgspec.Struct, frozen=True):
    """An attempt to connect failed.

    `kind` tells where: `"resolve"` (no address for the name), `"refused"` (TCP), `"timeout"`
    (`connect_timeout_msec` passed), `"tls"` (handshake or verification), `"upgrade"` (the server
    answered with something other than a 101: then `status`, `headers` with names in lower case,
    and the start of the `body` are its answer, docs/protocol.md#note-37 to #note-39), `"proxy"`,
    `"io"` (all else). `retryable` is `False` for an error in the configuration, which no other
    attempt will mend.
    """

    kind: ConnectFailedKind
    detail: str = ""
    status: int | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    body: str = ""
    retryable: bool = True

    def __repr__(self) -> str:
        # Headers and body may hold cookies, tokens or a redirect's query.
        status = "" if self.status is None else f", status={self.status}"
        return f"ConnectFailed(kind={self.kind!r}, detail={self.detail!r}{status})"

    __rich_repr__ = no_fields

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping cannot be pickled.
        headers = dict(self.headers)
        return ConnectFailed, (
            self.kind,
            self.detail,
            self.status,
            headers,
            self.body,
            self.retryable,
        )


class ClosedByPeer(msgspec.Struct, frozen=True):
    """The server closed the connection.

    `code` and `reason` are those of its close frame; as RFC 6455 section 7.1.5 has it, 1005
    stands for a close frame without a code and 1006 for an end without a close frame. No code
    alone means "stay away" (docs/protocol.md#note-31 to #note-34).
    """

    code: int
    reason: str = ""


class ClosedByClient(msgspec.Struct, frozen=True):
    """We closed the connection: `socket.disconnect()`, or the client ended."""


class HeartbeatTimeout(msgspec.Struct, frozen=True):
    """The server did not answer a heartbeat before the next one was due, nor did an unfinished
    message move meanwhile."""


class TransportFailed(msgspec.Struct, frozen=True):
    """The connection broke, or the server violated the websocket protocol."""

    error: str


class ConnectionCrashed(msgspec.Struct, frozen=True):
    """The connection's actor raised `error`: a defect of this library or of a custom serializer."""

    error: BaseException


class JoinRefused(msgspec.Struct, frozen=True):
    """The server refused the join with `response` (docs/protocol.md#note-11)."""

    response: Any


class JoinTimeout(msgspec.Struct, frozen=True):
    """No answer to the join within `join_timeout_msec`."""


class ParamsFailed(msgspec.Struct, frozen=True):
    """The join was not sent: a callable in its params raised `error`, or what it returned cannot
    be encoded."""

    error: Exception

    def __repr__(self) -> str:
        # Its text may hold what the callable was to return.
        return f"ParamsFailed({type(self.error).__name__})"

    __rich_repr__ = no_fields


class LeftByClient(msgspec.Struct, frozen=True):
    """The topic was left by `socket.leave`."""


class ClosedByServer(msgspec.Struct, frozen=True):
    """The server closed the channel with a `phx_close` that nobody had asked for."""


class ChannelCrashed(msgspec.Struct, frozen=True):
    """The server sent `phx_error` for the channel, with this payload (docs/protocol.md#note-3 and
    #note-4)."""

    payload: Any


class Disconnected(msgspec.Struct, frozen=True):
    """The connection ended, for `reason`."""

    reason: Any


class PushTimeout(msgspec.Struct, frozen=True):
    """No reply to the push within its `reply_timeout`."""


class ChannelEnded(msgspec.Struct, frozen=True):
    """The join that the push belongs to ended: by `TopicLeft`'s or a crash's `reason`
    (docs/protocol.md#note-18)."""

    reason: Any


class BufferOverflow(msgspec.Struct, frozen=True):
    """The push was the oldest in a full buffer."""


class BufferExpired(msgspec.Struct, frozen=True):
    """The push waited in the buffer longer than `buffer_max_age_msec`."""
