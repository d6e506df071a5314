"""A look into a running actor of ours: `get_state`, Erlang's `:sys.get_state`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream_actor.future import Future
from slipstream_actor.mail import Request
from slipstream_actor.process import Target, await_answer, resolve

if TYPE_CHECKING:
    from slipstream_actor.children import Child
    from slipstream_actor.socket import Socket

__all__ = [
    "ClientState",
    "ConnectionState",
    "Counters",
    "GetState",
    "SupervisorState",
    "TopicState",
    "get_state",
]


class GetState(Request):
    """Ask an actor for a snapshot of its state."""


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


class ClientState(msgspec.Struct, frozen=True):
    """A client's state: its socket, how many messages wait, and the ref of its connection."""

    socket: Socket
    mailbox: int
    connection: Any


class SupervisorState(msgspec.Struct, frozen=True):
    """A supervisor's state.

    Its `children` as `which_children` has them, its options, how many `restarts` of the last
    `max_seconds` count, and how many messages wait.
    """

    children: tuple[Child, ...]
    strategy: str
    max_restarts: int
    max_seconds: float
    restarts: int
    mailbox: int


def get_state(target: Target, timeout: float | None = 5.0) -> Any:
    """Return a snapshot of a client (`ClientState`), a connection (`ConnectionState`) or a
    supervisor (`SupervisorState`).

    Raises `ActorDeadError`, and `AwaitTimeoutError` after `timeout` seconds: an actor that is in
    the middle of a callback answers when it has returned.
    """
    ref = resolve(target)
    return await_answer(ref, GetState(None, Future()), f"the state of {ref}", timeout)
