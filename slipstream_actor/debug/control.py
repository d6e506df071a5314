"""What changes a client from outside, between two of its callbacks: Erlang's `sys:suspend`,
`sys:resume` and `sys:replace_state`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.envelopes import Between
from slipstream_actor.actors.forks import gone_error, require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import require_other
from slipstream_actor.actors.question import Question
from slipstream_actor.client.client import ClientActor
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.debug.suspension import await_between, release, suspend_here
from slipstream_actor.socket.connecting import revive_timers
from slipstream_actor.socket.socket import Socket

__all__ = ["client_of", "replace_state", "resume", "suspend"]


def suspend(client: Target, timeout: float | None = 5.0) -> None:
    """Have a client call no callback until `resume`; returns when none runs any more.

    Its connection goes on, and stops reading when too much waits. `get_state` and `replace_state`
    are answered, a stop ends it. Twice is as once. Raises `AwaitTimeoutError` after `timeout`
    seconds, which names the callback that runs, and then it is not suspended; `ClientEndedError`;
    `TypeError` for what is no client; `RuntimeError` in a callback of its own.
    """
    run_between("suspend", client, suspend_here, "the suspension of {}", timeout)


def resume(client: Target) -> None:
    """Have a client that is suspended go on; of another one nothing. Waits for nothing.

    Raises `ClientEndedError`, and `TypeError` for what is no client.
    """
    release(client_of("resume", client))


def replace_state(
    client: Target, function: Callable[[Socket], Socket], timeout: float | None = 5.0
) -> Socket:
    """Have a client go on with the socket that `function(socket)` returns; return that one.

    The function runs in the client's thread, between callbacks, as a method of its own does: what
    it raises is raised here, and the client lives on with the socket that it had. Raises
    `AwaitTimeoutError` after `timeout` seconds, which names the callback that runs, and then the
    function is not called later; `CallbackReturnError` and `TypeError` for what is no socket of the
    client; else as `suspend`.
    """

    def replace(actor: ClientActor, future: Future[Any]) -> None:
        given = actor._begin()
        try:
            actor.socket = function(given)
        except Exception:
            revive_timers(actor.socket)
            raise
        future.set(actor.socket)

    socket: Socket = run_between("replace_state", client, replace, "the new state of {}", timeout)
    return socket


def run_between(
    method: str,
    client: Target,
    function: Callable[[Any, Future[Any]], None],
    text: str,
    timeout: float | None,
) -> Any:
    """Have the client run `function` between callbacks; return what that completes its future
    with."""
    timeout = require_seconds("timeout", timeout)
    ref = client_of(method, client)
    require_other(method, ref)
    question = Question(ref, text=text.format(ref))
    return await_between(Between(function, Future()), question, timeout)


def client_of(method: str, client: Target) -> Any:
    """Return the ref of a client that is alive. Raises `ClientEndedError` and `TypeError`."""
    ref = resolve(client)
    if not issubclass(getattr(ref, "actor_class", object), ClientActor):
        raise TypeError(f"{method}: {ref} is no client")
    require_here(ref)
    if not ref.is_alive():
        raise gone_error(f"{method}: {ref} is not there", ref.actor_inbox)
    return ref
