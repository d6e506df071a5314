"""Who am I: an actor or a plain thread; and GenServer's ways to talk to another: send, call, cast.

A process is named by its reference: an actor by its `ActorRef`, a plain thread by a `ThreadRef`.
Both have `tell`, `is_alive` and `actor_inbox`. Where a reference is taken, so is a name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias, TypeVar

import msgspec
import pykka
from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import Interrupted, Request
from slipstream_actor.actors.forks import current_epoch, is_forked, require_here, reset_in_child
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Mailbox
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import AlreadyStartedError, AwaitTimeoutError
from slipstream_actor.protocol.commands import CloseConnection

__all__ = [
    "Cast",
    "From",
    "ThreadRef",
    "await_answer",
    "await_future",
    "become",
    "call",
    "cast",
    "current",
    "name_of",
    "register",
    "reply",
    "resolve",
    "unregister",
    "whereis",
]

Target: TypeAlias = Any  # An ActorRef, an ActorProxy, a ThreadRef, or a registered name.
T = TypeVar("T")

_here = threading.local()
_names: dict[Hashable, ActorRef[Any]] = {}
_names_lock = threading.Lock()


class Cast(msgspec.Struct, frozen=True):
    """What `cast` tells an actor."""

    message: Any


class From(msgspec.Struct, frozen=True):
    """Who asked, in `handle_call`: the address that `reply` answers to."""

    future: Future[Any]


class ThreadRef:
    """A plain thread as the owner of a socket: what an `ActorRef` is to an actor."""

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        self.actor_inbox: Mailbox = Mailbox()
        self._thread = threading.current_thread()
        self._connections: list[ActorRef[Any]] = []

    def own(self, connection: ActorRef[Any]) -> None:
        """Have `connection` closed when the thread ends."""
        self._connections = [ref for ref in self._connections if ref.is_alive()]
        self._connections.append(connection)

    def end(self) -> None:
        """Close what the thread owns: nobody could ever await its events."""
        self.actor_inbox.deaf = True
        for connection in self._connections:
            with contextlib.suppress(ActorDeadError):
                connection.tell(CloseConnection())
        self.actor_inbox.ended.set("normal")

    def __repr__(self) -> str:
        return f"<ThreadRef {self._thread.name}>"

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive() and not is_forked(self)

    def tell(self, message: Any) -> None:
        """Put `message` into the thread's mailbox, where its `await_*` look."""
        if not self.is_alive():
            require_here(self)
            raise ActorDeadError(f"{self!r} has ended")
        self.actor_inbox.put(Envelope(message))


class Hold:
    """What every socket of a plain thread's connection holds.

    When the last of them is gone nobody can await what the connection has said: it is dropped
    when the thread connects again.
    """

    def __init__(self, ref: ThreadRef, connection: ActorRef[Any]) -> None:
        self._former = ref.actor_inbox.former
        self._connection = connection

    def __del__(self) -> None:
        # In whatever thread; of all that could be done, an append alone needs no lock.
        self._former.append(self._connection)


class ThreadEnd:
    """Lives in a thread's locals alone, and so ends with the thread."""

    def __init__(self, ref: ThreadRef) -> None:
        self._ref = ref
        self._pid = os.getpid()

    def __del__(self) -> None:
        # In a child every other thread of its parent seems to end, before any hook has run.
        if os.getpid() == self._pid:
            self._ref.end()


def current() -> Any:
    """Return the reference of the process that calls: its `ActorRef` or `ThreadRef`."""
    try:
        return _here.ref
    except AttributeError:
        _here.ref = ref = ThreadRef()
        _here.end = ThreadEnd(ref)
        return ref


def become(ref: ActorRef[Any] | None) -> None:
    """Say that the calling thread is the actor `ref`'s; `None` when it no longer is."""
    if ref is None:
        _here.__dict__.pop("ref", None)  # A fork in a callback has forgotten it.
    else:
        _here.ref = ref


def await_future(future: Future[T]) -> T:
    """Return `future.get()`; in an actor, raise `Interrupted` when it is asked to stop first."""
    here = current()
    if not isinstance(here, ActorRef):
        return future.get()
    inbox: Any = here.actor_inbox
    outcome: Future[T] = Future()
    inbox.interrupt = lambda: outcome.fail(Interrupted())
    try:
        if inbox.stopping and not future.done:
            raise Interrupted
        future.add_done_callback(outcome.set)
        return outcome.get()
    finally:
        inbox.interrupt = None
        future.remove_done_callback(outcome.set)


def register(name: Hashable, ref: ActorRef[Any]) -> None:
    """Give `ref` a name. Raises `AlreadyStartedError` when a living actor has it."""
    with _names_lock:
        holder = _names.get(name)
        if holder is not None and holder.is_alive():
            raise AlreadyStartedError(name, holder)
        _names[name] = ref


def unregister(name: Hashable, ref: ActorRef[Any]) -> None:
    """Take the name from `ref`, if it still has it."""
    with _names_lock:
        if _names.get(name) is ref:
            del _names[name]


def whereis(name: Hashable) -> ActorRef[Any] | None:
    """Return the living actor that was started with `name=name`, or `None`."""
    with _names_lock:
        ref = _names.get(name)
    return ref if ref is not None and ref.is_alive() else None


def name_of(ref: ActorRef[Any]) -> Hashable | None:
    """Return the name that `ref` was started with, while it lives; `None` without one."""
    with _names_lock:
        return next((name for name, holder in _names.items() if holder is ref), None)


def resolve(target: Target) -> Any:
    """Return the reference that `target` is, or that it names.

    Raises `ActorDeadError` if there is none, `ForkedError` if it was the parent's.
    """
    if isinstance(target, pykka.ActorProxy):
        return target.actor_ref
    if hasattr(target, "tell") and hasattr(target, "is_alive"):
        return target
    ref = whereis(target)
    if ref is None:
        require_here(_names.get(target))
        raise ActorDeadError(f"no actor has the name {target!r}")
    return ref


def call(target: Target, message: Any, timeout: float | None = 5.0) -> Any:
    """Send `message` to the actor's `handle_call` and return its answer (`GenServer.call`).

    Raises what the callback raised (which ends the actor, as in GenServer), `ActorDeadError` when
    the actor is dead, unknown or ends before it answers, and `AwaitTimeoutError` when there is no
    answer within `timeout` seconds; `None` waits for ever. An actor that calls itself gets a
    `RuntimeError`.
    """
    require_seconds("timeout", timeout)
    ref = resolve(target)
    if ref is current():
        raise RuntimeError(f"call: {ref} would wait for itself")
    return await_answer(ref, Request(message, Future()), f"the answer of {ref}", timeout)


def await_answer(
    ref: Any,
    request: Request,
    awaited: str,
    timeout: float | None,
    hint: Callable[[], str] = str,
) -> Any:
    """Send `request` and return its answer; `AwaitTimeoutError` after `timeout` seconds, with a
    `hint` that is made then."""
    ref.tell(request)
    try:
        return request.future.get(timeout=timeout)
    except pykka.Timeout:
        request.future.set(None)  # Nobody waits any more: the actor may forget it.
        raise AwaitTimeoutError(awaited, timeout, hint=hint()) from None


def cast(target: Target, message: Any) -> None:
    """Send `message` to the actor's `handle_cast` (`GenServer.cast`). A dead actor gets nothing."""
    try:
        resolve(target).tell(Cast(message))
    except ActorDeadError:
        return


def reply(from_: From, value: Any) -> None:
    """Answer a caller (`GenServer.reply`), from any callback or thread. Only the first counts.

    A `value` that is a future answers when it is set. Raises `ForkedError` in a forked child for a
    caller of its parent.
    """
    require_here(from_.future)
    from_.future.set(value)


def _reset_in_child() -> None:
    """Forget who the forking thread was, and a lock that nobody may be there to release.

    The names stay: they are those of dead actors.
    """
    global _here, _names_lock  # noqa: PLW0603 - nothing else could free them
    _here = threading.local()
    _names_lock = threading.Lock()


reset_in_child(_reset_in_child)
