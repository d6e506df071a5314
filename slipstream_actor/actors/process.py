"""Who am I: an actor, or a plain thread.

A process is known by its reference: an actor by its `ActorRef`, a plain thread by a `ThreadRef`.
Both have `tell`, `is_alive` and `actor_inbox`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any, TypeVar

from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import Interrupted
from slipstream_actor.actors.forks import current_epoch, is_forked, require_here, reset_in_child
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.protocol.commands import CloseConnection

__all__ = ["ConnectionLease", "ThreadRef", "await_future", "set_current", "current"]

T = TypeVar("T")

_here = threading.local()


class ThreadRef:
    """A plain thread as the owner of a socket: what an `ActorRef` is to an actor."""

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        self.actor_inbox: Inbox = Inbox()
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


class ConnectionLease:
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


def set_current(ref: ActorRef[Any] | None) -> None:
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


def _reset_in_child() -> None:
    """Forget who the forking thread was."""
    global _here  # noqa: PLW0603 - of all threads' locals
    _here = threading.local()


reset_in_child(_reset_in_child)
