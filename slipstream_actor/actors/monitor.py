"""Monitors: hearing of the end of another process (`Process.monitor`)."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
from pykka import ActorDeadError

from slipstream_actor.actors.forks import ForkedError, is_forked
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.names import Target, resolve
from slipstream_actor.actors.process import current

__all__ = ["Down", "Monitor", "end_of", "monitor"]


class Down(msgspec.Struct, frozen=True):
    """What `monitor` asked for has happened: the process `ref` has ended for `reason`.

    `reason` is `"normal"`, what `Stop` gave, `"shutdown"` from a supervisor, the exception that
    ended a client, or why a connection ended. Nobody had the name that was monitored: `ref` is
    that name, and the reason `"noproc"`. In a forked child it is `"forked"` for what is the
    parent's. Delivered to `handle_info`.
    """

    ref: Any
    reason: Any


class Monitor:
    """Tells `inbox`, once, that `ref` has `ended`."""

    def __init__(self, ref: Any, ended: Future[Any], inbox: Inbox) -> None:
        self.ref = ref
        self._ended = ended
        self._inbox = inbox
        self._over = False
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        # It ends with whom it tells, too: on a long life they would pile up.
        inbox.ended.add_done_callback(self._cancel)
        ended.add_done_callback(self._tell)

    def cancel(self) -> None:
        """Tell nothing any more (`demonitor`); a `Down` that is in the mailbox stays there."""
        if is_forked(self._inbox):
            return
        with self._lock:
            self._over = True
        self._forget()

    def _tell(self, ended: Future[Any]) -> None:
        with self._lock:
            if self._over:
                return
            self._inbox.tell(Down(self.ref, ended.get()))
            self._over = True
        self._forget()

    def _cancel(self, _: Future[Any]) -> None:
        self.cancel()

    def _forget(self) -> None:
        self._ended.remove_done_callback(self._tell)
        self._inbox.ended.remove_done_callback(self._cancel)


def monitor(target: Target) -> Monitor:
    """Have `Down(ref, reason)` delivered to the process that calls, when another one has ended.

    To `handle_info` of a client, to the mailbox of a plain thread. `target` is the ref of a
    client, a connection, a supervisor or a thread, or a name. It comes at once when the process
    has ended already, or when nobody has the name. Each call delivers once. Returns what has a
    `cancel()`. Raises `TypeError` for an actor that is not one of ours.
    """
    inbox = current().actor_inbox
    try:
        ref = resolve(target)
    except ActorDeadError as error:
        reason = error.reason if isinstance(error, ForkedError) else "noproc"
        return Monitor(target, ended_with(reason), inbox)
    return Monitor(ref, end_of(ref), inbox)


def end_of(ref: Any) -> Future[Any]:
    """Return the future of the reason that `ref` ends for."""
    if not isinstance(ref.actor_inbox, Inbox):
        raise TypeError(f"{ref} cannot be monitored: it is no actor of slipstream_actor")
    ended: Future[Any] = ref.actor_inbox.ended
    return ended_with(ForkedError(ref).reason) if is_forked(ref) and not ended.done else ended


def ended_with(reason: Any) -> Future[Any]:
    """Return the future of an end that has been."""
    ended: Future[Any] = Future()
    ended.set(reason)
    return ended
