"""A client that is suspended: its thread waits between two callbacks, and what it is told waits in
its mailbox, where it counts as undelivered; whoever looks inside is answered."""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from typing import Any

from pykka import ActorRef

from slipstream_actor.actors.calls import await_answer
from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.question import Question

__all__ = ["await_between", "is_suspended", "release", "suspend_here"]


class Suspension:
    """What is asked of a client while it is suspended; `None` ends it."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._over = False

    def offer(self, request: Request) -> bool:
        """Have the client answer; `False` when it is suspended no more."""
        with self._lock:
            if not self._over:
                self._asked.put(request)
            return not self._over

    def wake(self) -> None:
        """End it."""
        self._asked.put(None)

    def next(self) -> Request | None:
        """Wait for what is asked; `None` at the end."""
        return self._asked.get()

    def close(self) -> list[Request]:
        """Take nothing more; return what was asked and is not answered."""
        left = []
        with self._lock:
            self._over = True
            with contextlib.suppress(queue.Empty):
                while True:
                    left.append(self._asked.get_nowait())
        return [request for request in left if request is not None]


_suspended: weakref.WeakKeyDictionary[Any, Suspension] = weakref.WeakKeyDictionary()


def is_suspended(ref: Any) -> bool:
    """Whether the client is suspended."""
    return ref in _suspended


def suspend_here(client: Any, future: Future[Any]) -> None:
    """Suspend the client, in its thread, until it is released or shall stop."""
    inbox: Inbox = client.actor_inbox
    if client.actor_ref in _suspended:
        future.set(None)
        return
    suspension = _suspended[client.actor_ref] = Suspension()
    around, inbox.interrupt = inbox.interrupt, suspension.wake
    try:
        inbox.suspended = True
        future.set(None)
        while not inbox.stopping and (request := suspension.next()) is not None:
            client.on_receive(request)
    finally:
        inbox.suspended = False
        inbox.interrupt = around
        _suspended.pop(client.actor_ref, None)
        left = suspension.close()
    for request in left:
        client.on_receive(request)


def release(ref: Any) -> None:
    """Have the client go on, if it is suspended."""
    suspension = _suspended.get(ref)
    if suspension is not None:
        suspension.wake()


def await_between(request: Request, question: Question, timeout: float | None) -> Any:
    """Have an actor answer between callbacks, or while it is suspended; return the answer.

    Raises as `await_answer` does.
    """
    ref = question.ref
    suspension = _suspended.get(ref) if isinstance(ref, ActorRef) else None
    return await_answer(request, question, timeout, suspension.offer if suspension else None)
