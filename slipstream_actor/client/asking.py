"""`request` and `invoke`: what a web worker asks of a client, from any thread and coroutine."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from pykka import ActorDeadError
from pykka.messages import ProxyCall

from slipstream_actor.actors.forks import gone_error, require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.question import Question
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.invocation import Invocation, InvocationFuture, method_name
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.client.requests import MOST_REQUESTS, Requests
from slipstream_actor.client.runner import kept_of
from slipstream_actor.configuration.arguments import require_seconds, require_text
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.pushes import RESERVED, require_event

__all__ = [
    "drain",
    "invoke",
    "most_requests",
    "open_requests",
    "pending",
    "request",
    "requests_of",
    "submit",
]

P = ParamSpec("P")
R = TypeVar("R")

NO_PAYLOAD: dict[str, Any] = {}


def request(
    client: Target,
    topic: str,
    event: str,
    payload: Any = NO_PAYLOAD,
    *,
    timeout: float | None = 5.0,
) -> Future[Reply]:
    """Push `event` with `payload` (JSON or `bytes`) on `topic`; return the future of its reply.

    From any thread and coroutine, thousands at once: it goes straight to the connection, behind no
    callback. Waits, within its `timeout` in seconds (`None`: for ever), until the client has
    connected and its `handle_connect` has returned, and for a topic that is joining or coming back.
    In order per thread. `client` is a ref, a name or a handle.

    Raises at the call `TypeError` and `ValueError` for wrong arguments, and `SerializerError` for a
    payload that is no JSON. All else comes out of the future: a `Reply` of any status;
    `AwaitTimeoutError`; `NotJoinedError` for a topic that nobody wants; `NotJoinedError` and
    `NotConnectedError`, with `maybe_sent`, when the channel or the connection ends before the
    reply; `NotConnectedError` also where the system has no thread that could see to its time;
    `SendBufferFullError` when `max_requests` are without an outcome; `ClientEndedError`. What times
    out or is cancelled before it was sent is never sent.
    """
    asked = pending(topic, event, payload, timeout)
    try:
        if (take := getattr(client, "_take_request", None)) is not None:
            take(asked)
        else:
            submit(asked, client)
    except BaseException:  # Nobody has it, whatever a signal handler has raised.
        asked.cancel()
        raise
    return asked


def pending(topic: str, event: str, payload: Any, timeout: float | None) -> PendingRequest:
    """Return a request that nobody has yet. Raises `TypeError` and `ValueError`."""
    if type(topic) is not str or type(event) is not str or event in RESERVED:
        require_text("topic", topic)
        require_event("request", require_text("event", event))
    return PendingRequest(topic, event, payload, require_seconds("timeout", timeout))


def submit(asked: PendingRequest, client: Target) -> None:
    """Hand a request to a client. Raises `TypeError` for what is none, and `SerializerError`."""
    try:
        ref = asked.ref = resolve(client)
        requests = requests_of(ref)
    except SlipstreamError as error:
        asked.fail_or_go_on(error)
    else:
        requests.submit(asked)


def open_requests(ref: Any) -> int:
    """Return how many requests of a client have no outcome yet."""
    kept = kept_of(ref)
    return len(kept.requests) if kept is not None else 0


def most_requests(ref: Any) -> int:
    """Return how many requests of a client may be without an outcome."""
    kept = kept_of(ref)
    return kept.requests.most if kept is not None else MOST_REQUESTS


def drain(ref: Any, seconds: float) -> None:
    """Wait until no request of a client is without an outcome, up to so many seconds."""
    kept, deadline = kept_of(ref), time.monotonic() + seconds
    for asked in kept.requests.pending() if kept is not None else ():
        asked.wait(max(0.0, deadline - time.monotonic()))


def requests_of(ref: Any) -> Requests:
    """Return the requests of a client. Raises `ClientEndedError`, and `TypeError` for another."""
    require_here(ref)
    if (kept := kept_of(ref)) is not None:
        return kept.requests
    kind = getattr(ref, "actor_class", None)
    if not isinstance(kind, type) or not issubclass(kind, ClientActor):
        raise TypeError(f"request is for a client, by its ref, its name or its handle, not {ref!r}")
    raise gone_error(f"{ref} is not there", ref.actor_inbox)


@overload
def invoke(
    client: Target,
    method: Callable[Concatenate[Any, P], Future[R]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Future[R]: ...
@overload
def invoke(
    client: Target, method: Callable[Concatenate[Any, P], R], *args: P.args, **kwargs: P.kwargs
) -> Future[R]: ...
def invoke(client: Target, method: Any, *args: Any, **kwargs: Any) -> Future[Any]:
    """Have a client call its own `method`, between callbacks, and return the future of the result.

    What a proxy's method does, with the types of the method: `invoke(chat, Chat.say, "hello")`.
    One that returns a future completes this one with it. It runs in the context variables of the
    caller. Raises `TypeError` for what is no method of that client; all else, what the method
    raises and `ClientEndedError` too, comes out of the future. `cancel()` of the future takes back
    what has not begun.
    """
    name = method_name(method)
    future = InvocationFuture()
    try:
        ref = resolve(client)
        require_here(ref)
    except ActorDeadError as error:
        future.fail(error)
        return future
    known = getattr(getattr(ref, "actor_class", None), name, None)
    if known is None:
        raise TypeError(f"invoke: {ref} has no method {name}")
    call = ProxyCall(attr_path=(name,), args=args, kwargs=kwargs)
    future.question = Question(ref, call)
    future.answerer = ref.actor_inbox
    try:
        ref.tell(Invocation(call, future, contextvars.copy_context()))
    except ActorDeadError as error:
        future.fail(error)
    return future
