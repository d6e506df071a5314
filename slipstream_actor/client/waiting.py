"""Waiting for a client from outside: for scripts, readiness probes and shutdowns."""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.calls import await_answer
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import require_other
from slipstream_actor.actors.question import Question
from slipstream_actor.client.client import WatchJoin
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.errors import AwaitTimeoutError, shown

__all__ = ["wait", "wait_until_joined"]


def wait(target: Target, timeout: float | None = None) -> Any:
    """Wait until a client or a supervisor has ended, and return the reason: `"normal"`, what
    `Stop` gave, `"shutdown"` from a supervisor, or the exception that ended it.

    Clients run in daemon threads: a script that has nothing else to do waits for them. Raises
    `AwaitTimeoutError` after `timeout` seconds, `ClientEndedError` for a name nobody has, and
    `RuntimeError` in a callback of that very client.
    """
    timeout = require_seconds("timeout", timeout)
    ref = resolve(target)
    require_here(ref)
    require_other("wait", ref)
    try:
        return ref.actor_inbox.ended.get(timeout=timeout)
    except AwaitTimeoutError:
        hint = Question(ref).standing()
        raise AwaitTimeoutError(f"the end of {ref}", timeout, hint=hint) from None


def wait_until_joined(target: Target, topic: str, timeout: float | None = 5.0) -> None:
    """Wait until a client has joined `topic`.

    Raises `AwaitTimeoutError` after `timeout` seconds, whose text says what it waited in and what
    went wrong last, `ClientEndedError` when the client has ended or ends first, and `RuntimeError`
    in a callback of that very client.
    """
    timeout = require_seconds("timeout", timeout)
    require_text("topic", topic)
    ref = resolve(target)
    require_other("wait_until_joined", ref)
    question = Question(ref, text=f"{ref} joining {shown(topic)}", topic=topic)
    await_answer(WatchJoin(topic, Future()), question, timeout)
