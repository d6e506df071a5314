"""Exit statuses, and the failures that have them."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from slipstream_actor.errors import AwaitTimeoutError, ConfigurationError, SlipstreamError
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ClosedByServer,
    ConnectFailed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    ParamsFailed,
)
from slipstream_actor.socket.errors import (
    ConnectFailedError,
    JoinFailedError,
    NotConnectedError,
    NotJoinedError,
)

__all__ = ["Exit", "Failure", "status_of", "status_of_error"]


class Exit(IntEnum):
    """What the tool's exit status says."""

    OK = 0
    OTHER = 1
    USAGE = 2
    RESOLVE = 3
    CONNECT = 4
    TLS = 5
    PROXY = 6
    UPGRADE = 7
    VERSION = 8
    HEARTBEAT = 9
    JOIN = 10
    REPLY = 11
    NO_REPLY = 12
    LOST = 13
    # As shells have it of what a signal has ended: 128 and its number.
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class Failure(Exception):
    """The command has failed; `logged`: its log, if that is on, has said so."""

    def __init__(self, status: Exit, text: str, *, logged: bool = False) -> None:
        super().__init__(text)
        self.status: Exit = status
        self.text: str = text
        self.logged: bool = logged


KINDS = {
    "resolve": Exit.RESOLVE,
    "tls": Exit.TLS,
    "proxy": Exit.PROXY,
    "upgrade": Exit.UPGRADE,
}
# Of an attempt whose time was over, or that broke, the detail names the phase.
PHASES = {
    "name resolution": Exit.RESOLVE,
    "the TLS handshake": Exit.TLS,
    "the proxy": Exit.PROXY,
    "the upgrade": Exit.UPGRADE,
}
STATUSES: dict[type, Exit] = {
    HeartbeatTimeout: Exit.HEARTBEAT,
    DecodingFailed: Exit.VERSION,
    JoinRefused: Exit.JOIN,
    JoinTimeout: Exit.JOIN,
    ParamsFailed: Exit.JOIN,
    ChannelCrashed: Exit.JOIN,
    ClosedByServer: Exit.JOIN,
}


def status_of(reason: Any) -> Exit:
    """Return the exit status for a reason that a connection or a join ended with."""
    if isinstance(reason, Disconnected):
        return status_of(reason.reason)
    if not isinstance(reason, ConnectFailed):
        return STATUSES.get(type(reason), Exit.LOST)
    if reason.kind in ("timeout", "io"):
        phases = (status for begin, status in PHASES.items() if reason.detail.startswith(begin))
        return next(phases, Exit.CONNECT)
    return KINDS.get(reason.kind, Exit.CONNECT)


def status_of_error(error: SlipstreamError) -> Exit:
    """Return the exit status for what a plain thread's call has raised."""
    if isinstance(error, ConfigurationError):
        return Exit.USAGE
    if isinstance(error, (ConnectFailedError, JoinFailedError)):
        return status_of(error.reason)
    if isinstance(error, NotJoinedError):
        return Exit.JOIN
    if isinstance(error, NotConnectedError):
        return Exit.LOST
    return Exit.NO_REPLY if isinstance(error, AwaitTimeoutError) else Exit.OTHER
