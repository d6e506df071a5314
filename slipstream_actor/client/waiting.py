"""Waiting for a client from outside: for scripts, readiness probes and shutdowns."""

from __future__ import annotations

from typing import Any

import pykka

from slipstream_actor.actors.calls import await_answer
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import require_other
from slipstream_actor.client.client import WatchJoin
from slipstream_actor.client.runner import known_socket
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.errors import AwaitTimeoutError, shown
from slipstream_actor.socket.state import undecodable

__all__ = ["wait", "wait_until_joined"]


def wait(target: Target, timeout: float | None = None) -> Any:
    """Wait until a client or a supervisor has ended, and return the reason: `"normal"`, what
    `Stop` gave, `"shutdown"` from a supervisor, or the exception that ended it.

    Clients run in daemon threads: a script that has nothing else to do waits for them. Raises
    `AwaitTimeoutError` after `timeout` seconds, `ActorDeadError` for a name nobody has, and
    `RuntimeError` in a callback of that very client.
    """
    timeout = require_seconds("timeout", timeout)
    ref = resolve(target)
    require_here(ref)
    require_other("wait", ref)
    try:
        return ref.actor_inbox.ended.get(timeout=timeout)
    except pykka.Timeout:
        raise AwaitTimeoutError(f"the end of {ref}", timeout) from None


def wait_until_joined(target: Target, topic: str, timeout: float | None = 5.0) -> None:
    """Wait until a client has joined `topic`.

    Raises `AwaitTimeoutError` after `timeout` seconds, `ActorDeadError` when the client is dead or
    ends first, and `RuntimeError` in a callback of that very client.
    """
    timeout = require_seconds("timeout", timeout)
    require_text("topic", topic)
    ref = resolve(target)
    require_other("wait_until_joined", ref)
    await_answer(
        ref,
        WatchJoin(topic, Future()),
        f"{ref} joining {topic!r}",
        timeout,
        hint=lambda: f": {how_it_stands(ref, topic)}",
    )


def how_it_stands(ref: Any, topic: str) -> str:
    """Return what a client knows of a topic, without asking it: it may be in a callback."""
    socket = known_socket(ref)
    if socket is None:
        return "the client has not begun"
    join = socket.joins.get(topic)
    if join is None:
        return "it was never asked for"
    if not socket.connected:
        return f"{join.status}, and not connected"
    answer = f", the last answer was {shown(join.response)}" if join.response is not None else ""
    return f"{join.status}{answer}{undecodable(socket)}"
