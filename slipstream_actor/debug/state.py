"""A look into a running actor of ours: `get_state`, Erlang's `:sys.get_state`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeAlias, TypeVar, overload

from pykka import ActorProxy, ActorRef

from slipstream_actor.actors.envelopes import GetState
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import ThreadRef, require_other
from slipstream_actor.actors.question import Question
from slipstream_actor.actors.running import running_in
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.state import ClientState
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.connection.connection import Connection
from slipstream_actor.connection.state import ConnectionState
from slipstream_actor.debug.suspension import await_between
from slipstream_actor.socket.socket import Socket
from slipstream_actor.supervision.state import SupervisorState
from slipstream_actor.supervision.supervisor import Supervisor

__all__ = ["get_state"]


C = TypeVar("C", bound=ClientActor)
S = TypeVar("S", bound=Supervisor)
State: TypeAlias = ClientState | ConnectionState | SupervisorState


@overload
def get_state(target: ActorRef[C] | ActorProxy[C], timeout: float | None = ...) -> ClientState: ...
@overload
def get_state(
    target: ActorRef[Connection] | None, timeout: float | None = ...
) -> ConnectionState: ...
@overload
def get_state(
    target: ActorRef[S] | ActorProxy[S], timeout: float | None = ...
) -> SupervisorState: ...
@overload
def get_state(target: Hashable, timeout: float | None = ...) -> State: ...
def get_state(target: Target, timeout: float | None = 5.0) -> Any:
    """Return a snapshot of a client (`ClientState`), a connection (`ConnectionState`) or a
    supervisor (`SupervisorState`).

    Raises `TypeError` for what is none of these, `ClientEndedError`, and `AwaitTimeoutError` after
    `timeout` seconds: an actor that is in the middle of a callback answers when it has returned,
    and the error names that callback. In a callback of its own it would wait for itself:
    `RuntimeError`.
    """
    timeout = require_seconds("timeout", timeout)
    if isinstance(target, Socket):
        raise TypeError(
            "get_state is for a client, by its ref or its name, or for socket.channel_pid; what a"
            " socket knows it says itself: socket.status, socket.last_failure, socket.joins"
        )
    ref = resolve(target)
    if not isinstance(ref, ThreadRef):
        require_other("get_state", ref)
    running = running_in(ref) if isinstance(getattr(ref, "actor_inbox", None), Inbox) else None
    question = Question(ref, text=f"the state of {ref}")
    return await_between(GetState(running, Future()), question, timeout)
