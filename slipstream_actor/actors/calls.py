"""GenServer's ways to talk to another process: call, cast and reply."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from pykka import ActorDeadError

from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import ThreadRef, require_other
from slipstream_actor.actors.question import Question
from slipstream_actor.configuration.arguments import kind_given, require_seconds

__all__ = [
    "Cast",
    "From",
    "answering",
    "await_answer",
    "call",
    "cast",
    "not_understood",
    "refuse_unknown",
    "reply",
]

A = TypeVar("A")
R = TypeVar("R", bound=Request)

if TYPE_CHECKING:
    from typing_extensions import TypeVar as DefaultedTypeVar

    Answered = DefaultedTypeVar("Answered", default=Any)
else:
    Answered = TypeVar("Answered")


class Cast(msgspec.Struct, frozen=True):
    """What `cast` tells an actor."""

    message: Any


class From(msgspec.Struct, frozen=True):
    """Who asked, in `handle_call`: the address that `reply` answers to."""

    future: Future[Any]


# Not `Answered` alone: mypy would not look at what the answer is assigned to or returned as.
def call(target: Target, message: Any, timeout: float | None = 5.0) -> Answered | Any:
    """Send `message` to the actor's `handle_call` and return its answer (`GenServer.call`).

    For type checkers it is of the type that the caller says: `n: int = call("shop", "stock")`.

    Raises what the callback raised (which ends the actor, as in GenServer), `ClientEndedError` when
    the actor is dead, unknown or ends before it answers, and `AwaitTimeoutError` when there is no
    answer within `timeout` seconds; `None` waits for ever. An actor that calls itself gets a
    `RuntimeError`.
    """
    timeout = require_seconds("timeout", timeout)
    ref = resolve(target)
    require_other("call", ref)
    text = f"the answer of {ref} to a call"
    return await_answer(Request(message, Future()), Question(ref, text=text), timeout)


def await_answer(
    request: Request,
    question: Question,
    timeout: float | None,
    offer: Callable[[Request], bool] | None = None,
) -> Any:
    """Send `request` to whom the `question` is for, and return its answer. It goes another way
    than through the mailbox where an `offer` takes it.

    Raises `AwaitTimeoutError` after `timeout` seconds, `ClientEndedError`, and `TypeError` for
    whoever answers nobody.
    """
    ref = question.ref
    if isinstance(ref, ThreadRef) or not isinstance(getattr(ref, "actor_inbox", None), Inbox):
        raise TypeError(f"{ref} cannot be asked: it is no actor of slipstream_actor")
    request.future.question = question
    if offer is None or not offer(request):
        ref.tell(request)
    try:
        return request.future.get(timeout=timeout)
    finally:
        request.future.set(None)  # Nobody waits any more: the actor may forget it.


def cast(target: Target, message: Any) -> None:
    """Send `message` to the actor's `handle_cast` (`GenServer.cast`).

    A dead actor gets nothing, nor does the parent's in a forked child: neither is an error. Raises
    `TypeError` for what is neither a reference nor a name.
    """
    try:
        resolve(target).tell(Cast(message))
    except ActorDeadError:
        return


def reply(from_: From, value: Any) -> None:
    """Answer a caller (`GenServer.reply`), from any callback or thread. Only the first counts.

    A `value` that is a future answers when it is set. Raises `ForkedError` in a forked child for a
    caller of its parent, and `TypeError` for what is no caller.
    """
    if not isinstance(from_, From):
        raise TypeError(f"reply takes the from_ of a handle_call, not {kind_given(from_)}")
    require_here(from_.future)
    from_.future.set(value)


def answering(handle: Callable[[A, R], object]) -> Callable[[A, R], None]:
    """Have what the handling of a request raises go to whoever asked, and to nobody else: the
    actor lives on."""

    @functools.wraps(handle)
    def guarded(actor: A, request: R) -> None:
        try:
            handle(actor, request)
        except Exception as error:
            request.future.fail(error)

    return guarded


def not_understood(actor: Any, message: Any) -> TypeError:
    """Return the error for whoever asks an actor what it does not know."""
    return TypeError(f"{actor} does not understand {type(message).__name__}")


def refuse_unknown(actor: Any, message: Any) -> None:
    """Answer a request that an actor does not know; other messages are nobody's."""
    if isinstance(message, Request):
        message.future.fail(not_understood(actor, message))
