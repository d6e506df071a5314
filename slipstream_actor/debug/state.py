"""A look into a running actor of ours: `get_state`, Erlang's `:sys.get_state`."""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.calls import await_answer
from slipstream_actor.actors.envelopes import GetState
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import ThreadRef, require_other
from slipstream_actor.configuration.arguments import require_seconds

__all__ = ["get_state"]


def get_state(target: Target, timeout: float | None = 5.0) -> Any:
    """Return a snapshot of a client (`ClientState`), a connection (`ConnectionState`) or a
    supervisor (`SupervisorState`).

    Raises `TypeError` for what is none of these, `ActorDeadError`, and `AwaitTimeoutError` after
    `timeout` seconds: an actor that is in the middle of a callback answers when it has returned. In
    a callback of its own it would wait for itself: `RuntimeError`.
    """
    timeout = require_seconds("timeout", timeout)
    ref = resolve(target)
    if not isinstance(ref, ThreadRef):
        require_other("get_state", ref)
    return await_answer(ref, GetState(None, Future()), f"the state of {ref}", timeout)
