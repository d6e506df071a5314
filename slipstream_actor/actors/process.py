"""Who am I: an actor, or a plain thread.

A process is known by its reference: an actor by its `ActorRef`, a plain thread by a `ThreadRef`.
Both have `tell`, `is_alive` and `actor_inbox`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from typing import Any, NoReturn

from pykka import ActorDeadError, ActorRef
from pykka._envelope import Envelope

from slipstream_actor.actors.finalizer import WithFinalizer
from slipstream_actor.actors.forks import (
    current_epoch,
    is_forked,
    not_portable,
    require_here,
    reset_in_child,
)
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.thread_inbox import ThreadInbox
from slipstream_actor.errors import ClientEndedError
from slipstream_actor.protocol.commands import CloseConnection

__all__ = ["ConnectionLease", "ThreadRef", "current", "require_other", "set_current"]

_here = threading.local()


class ThreadRef:
    """A plain thread as the owner of a socket: what an `ActorRef` is to an actor."""

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        self.actor_inbox: ThreadInbox = ThreadInbox()
        self._thread = threading.current_thread()
        self._connections: list[ActorRef[Any]] = []

    def own(self, connection: ActorRef[Any]) -> None:
        """Have `connection` closed when the thread ends."""
        self._connections.append(connection)
        # One by one: a signal handler may connect meanwhile.
        for ref in tuple(self._connections):
            if not ref.is_alive():
                with contextlib.suppress(ValueError):
                    self._connections.remove(ref)

    def end(self) -> None:
        """Close what the thread owns: nobody could ever await its events."""
        self.actor_inbox.deaf = True
        for connection in tuple(self._connections):
            with contextlib.suppress(ActorDeadError):
                connection.tell(CloseConnection())
        self.actor_inbox.ended.set("normal")

    @property
    def label(self) -> str:
        """How logs and errors call it."""
        return f"thread {self._thread.name}"

    def __repr__(self) -> str:
        return f"<ThreadRef {self._thread.name}>"

    def __reduce__(self) -> NoReturn:
        raise not_portable(self.label)

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive() and not is_forked(self)

    def tell(self, message: Any) -> None:
        """Put `message` into the thread's mailbox, where its `await_*` look."""
        if not self.is_alive():
            require_here(self)
            raise ClientEndedError("normal", f"{self!r} has ended")
        self.actor_inbox.put(Envelope(message))


class ConnectionLease(WithFinalizer):
    """What every socket of a plain thread's connection holds.

    When the last of them is gone nobody can await what the connection has said: it is closed, and
    what it has said is dropped when the thread connects again.
    """

    def __init__(self, ref: ThreadRef, connection: ActorRef[Any]) -> None:
        self._inbox = ref.actor_inbox
        self._connection = connection

    def __del__(self) -> None:
        # In whatever thread, at any time: what is done here takes no lock that is not re-entrant.
        if self._is_finalizing():
            return  # What was open at the interpreter's exit is closed.
        connection = self._connection
        self._inbox.former.append(connection)
        inbox: Any = connection.actor_inbox
        if inbox.close_requested or self._inbox.deaf or not connection.is_alive():
            return
        inbox.close_requested = True
        with contextlib.suppress(ActorDeadError):
            connection.tell(CloseConnection())
        # Last: a program may have made an error of it.
        warnings.warn(
            f"the last socket of {connection} is gone: it is closed; call socket.close(), or use"
            " the socket in a with block",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )


class ThreadEnd(WithFinalizer):
    """Lives in a thread's locals alone, and so ends with the thread."""

    def __init__(self, ref: ThreadRef) -> None:
        self._ref = ref
        self._getpid = os.getpid  # Kept, as `_is_finalizing` is.
        self._pid = os.getpid()

    def __del__(self) -> None:
        # In a child every other thread of its parent seems to end, before any hook has run.
        if self._getpid() == self._pid and not self._is_finalizing():
            self._ref.end()


def current() -> Any:
    """Return the reference of the process that calls: its `ActorRef` or `ThreadRef`."""
    try:
        return _here.ref
    except AttributeError:
        made = ThreadRef()
        # A signal handler may have made one meanwhile.
        ref = _here.__dict__.setdefault("ref", made)
        if ref is made:
            _here.end = ThreadEnd(made)
        return ref


def set_current(ref: ActorRef[Any] | None) -> None:
    """Say that the calling thread is the actor `ref`'s; `None` when it no longer is."""
    if ref is None:
        _here.__dict__.pop("ref", None)  # A fork in a callback has forgotten it.
        waiting.inbox = None
    else:
        _here.ref = ref
        waiting.inbox = ref.actor_inbox


def require_other(method: str, ref: Any) -> None:
    """Raise `RuntimeError` when the process that calls, and would wait for `ref`, is `ref`."""
    if ref is current():
        raise RuntimeError(f"{method}: {ref} would wait for itself")


def _reset_in_child() -> None:
    """Forget who the forking thread was."""
    global _here  # noqa: PLW0603 - of all threads' locals
    _here = threading.local()
    waiting.inbox = None


reset_in_child(_reset_in_child)
