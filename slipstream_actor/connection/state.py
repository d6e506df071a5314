"""A look into a running connection: what `get_state` returns of one."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["ConnectionState", "Counters", "TopicState"]


class TopicState(msgspec.Struct, frozen=True):
    """One topic of a connection: its join's ref and `"joining"`, `"joined"` or `"leaving"`."""

    join_ref: str
    status: str


class Counters(msgspec.Struct, frozen=True):
    """What a connection has counted since it opened. `dropped`: messages that were nobody's."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_pending: int = 0
    dropped: int = 0


class ConnectionState(msgspec.Struct, frozen=True):
    """A connection's state.

    `status` is `"connecting"`, `"connected"` or `"closing"`; `topics` are its joins; `refs` maps
    each ref that something waits for to its event; `heartbeat_rtt` is in seconds, `None` before
    the first heartbeat was answered; `mailbox` is how many commands wait. `undelivered` counts the
    messages that the owner has not taken, `paused` says whether reading waits for it to;
    `send_buffer_bytes` are accepted and not sent.
    """

    status: str
    uri: str
    topics: Mapping[str, TopicState]
    refs: Mapping[str, str]
    counters: Counters
    heartbeat_rtt: float | None
    mailbox: int
    undelivered: int = 0
    paused: bool = False
    send_buffer_bytes: int = 0
