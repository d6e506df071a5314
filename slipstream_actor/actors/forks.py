"""After `os.fork()`: the child has none of the parent's threads, and leaves its connections alone.

A child knows by an epoch, one number that every fork advances in it, what belongs to its parent. A
fork that runs no hooks of Python (uWSGI's, an embedder's) is noticed as soon as somebody asks: by a
page of memory that the kernel empties in a child, else by the process id.
Nothing here may block or be heard by the parent: a lock may be held by a thread that is not there,
`shutdown` of a socket would end the parent's connection.
"""

from __future__ import annotations

import _thread
import itertools
import mmap
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from msgspec import UNSET
from pykka import ActorDeadError, ActorProxy, ActorRef, ActorRegistry
from pykka._envelope import Envelope

from slipstream_actor.actors import here
from slipstream_actor.actors.here import park_if_exiting, waiting
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.question import Question
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import ClientEndedError, shown_reason

__all__ = [
    "ForkedError",
    "LocalRef",
    "after_fork",
    "current_epoch",
    "ended_error",
    "forget",
    "gone_error",
    "is_forked",
    "is_known_to_be_forked",
    "close_in_child",
    "renew_lock_in_child",
    "require_here",
    "reset_in_child",
    "end_copied_thread",
    "end_if_copied",
    "ended_for",
    "not_portable",
    "reason_of_end",
]

logger: Logger = get_logger("slipstream_actor")

# Linux's MADV_WIPEONFORK, which the module `mmap` does not name.
WIPE_ON_FORK = 18

_numbers = itertools.count(1)
_epoch = 0
_survivor: int | None = None
_sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_resets: list[Callable[[], object]] = []
_beginnings: list[Callable[[], object]] = []


class ForkedError(ClientEndedError):
    """Raised in a forked process for a client, connection, socket or future of its parent.

    None of their threads exists here, and the connection is the parent's: start another one. The
    `reason` is `"forked"`.
    """

    def __init__(self, what: Any) -> None:
        super().__init__(
            "forked",
            f"{what} belongs to the process that this one was forked from, and none of its threads"
            " is here: start the client after the fork, in each process that uses it (in"
            " gunicorn's post_fork hook, in multiprocessing's target, at a worker's first request)",
        )


class ProcessId:
    """Its only item is true in the process in which this was made: a system call each time."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _: int) -> bool:
        return os.getpid() == self._pid


def mark_of_this_process() -> Any:
    """Return what has a first item that is true in this process, and false in its children."""
    if sys.platform != "linux":
        return ProcessId()
    page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        page.madvise(WIPE_ON_FORK)
    except OSError:  # A kernel before 4.14.
        return ProcessId()
    page[0] = 1
    return page


_mark: Any = mark_of_this_process()


class Turn:
    """That of the thread which sees to a fork; its lock is held until it has."""

    def __init__(self) -> None:
        self.thread: int = threading.get_ident()
        self.taken: threading.Lock = threading.Lock()
        self.taken.acquire()


# Of which mark, in which process: a fork may come in the middle of a turn.
_turns: dict[tuple[Any, int], Turn] = {}


def current_epoch() -> int:
    """Return how often the ancestors of this process have forked down to it."""
    if not _mark[0]:
        _in_child()
    return _epoch


def is_forked(target: Any) -> bool:
    """Whether `target` (a reference, a future) was made before this process was forked."""
    if not _mark[0]:  # `current_epoch`, without its call: everything asks this.
        _in_child()
    epoch: int = getattr(target, "epoch", _epoch)
    return epoch != _epoch


def is_known_to_be_forked(target: Any) -> bool:
    """Return the same without asking the system, where somebody has asked before."""
    return bool(target.epoch != _epoch)


def require_here(target: Any) -> None:
    """Raise `ForkedError` when `target` was made before this process was forked."""
    if is_forked(target):
        raise ForkedError(target)


def ended_error(what: str, inbox: Any) -> ClientEndedError:
    """Return the error of an actor that has ended, or is about to; `what` begins its text."""
    reason = reason_of_end(inbox)
    if reason is None:
        return ClientEndedError(None, f"{what}: it is ending")
    return ended_for(reason, what)


def gone_error(what: str, inbox: Any) -> ClientEndedError:
    """Return that error for who asks; at the program's end nobody is told."""
    park_if_exiting()
    return ended_error(what, inbox)


def ended_for(reason: Any, what: str) -> ClientEndedError:
    """Return the error of an actor that has ended for `reason`; `what` begins its text."""
    error = ClientEndedError(reason, f"{what}: it has ended, {shown_reason(reason)}")
    if isinstance(reason, BaseException):
        error.__cause__ = reason
    return error


def reason_of_end(inbox: Any) -> Any:
    """Return what an actor has ended for, or is about to; `None` while nobody knows."""
    end = getattr(inbox, "ended", None)
    if end is not None and end.done:
        return end.get()
    reason = getattr(inbox, "ends_for", UNSET)
    if reason is not UNSET:
        return reason
    return inbox.stop_reason if getattr(inbox, "stopping", False) else None


class LocalRef(ActorRef[Any]):
    """An `ActorRef` that is dead in the children of the process that started its actor."""

    def __init__(self, actor: Any) -> None:
        super().__init__(actor)
        self.epoch: int = current_epoch()
        # How logs and errors call it: its owner's class and name, or a number.
        self.label: str = f"{self.actor_class.__name__}-{next(_numbers)}"
        self._proxy: ActorProxy[Any] | None = None

    def __str__(self) -> str:
        return self.label

    def __reduce__(self) -> NoReturn:
        raise not_portable(self.label)

    def standing(self, topic: str | None = None) -> str:
        """Return how it stands, as the text of a timeout has it; empty if there is nothing to say.

        Nobody is asked: it may be in a callback.
        """
        actor = self._actor_weakref()
        try:
            return str(actor._standing(topic)) if actor is not None else ""
        except Exception:  # Its state changes while this looks, or a `repr` is the user's.
            logger.debug("how %s stands is not known", self, exc_info=True)
            return ""

    def is_alive(self) -> bool:
        """Whether the actor runs, in this very process."""
        if not _mark[0]:  # As `is_forked`.
            _in_child()
        return self.epoch == _epoch and not self.actor_stopped.is_set()

    def tell(self, message: Any) -> None:
        """Send `message`. Raises `ClientEndedError`."""
        if not self.is_alive():
            require_here(self)
            raise gone_error(f"{self} is not there", self.actor_inbox)
        self.actor_inbox.put(Envelope(message))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message` and return the answer, or its future: Pykka's `ask`.

        Raises `ClientEndedError`, `AwaitTimeoutError` after `timeout` seconds, and `RuntimeError`
        in the actor itself, if it is to `block`.
        """
        require_here(self)
        timeout = require_seconds("timeout", timeout)
        if block:
            self._require_other("ask")
        future: Any = self.actor_class._create_future()
        if self.is_alive():
            future.answerer = self.actor_inbox
            future.question = Question(self, message)
            self.actor_inbox.put(Envelope(message, reply_to=future))
        else:
            future.fail(ended_error(str(Question(self, message)), self.actor_inbox))
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask the actor to stop: Pykka's `stop`. Raises `RuntimeError` as `ask` does."""
        require_here(self)
        timeout = require_seconds("timeout", timeout)
        if block:
            self._require_other("stop")
        return super().stop(block=block, timeout=timeout)

    def _require_other(self, method: str) -> None:
        if waiting.inbox is self.actor_inbox:
            raise RuntimeError(f"{method}: {self} would wait for itself")

    def proxy(self) -> ActorProxy[Any]:
        """Return a proxy of the actor, the same each time. Raises `ClientEndedError`."""
        require_here(self)
        proxy = self._proxy
        if proxy is not None and self.is_alive():
            return proxy
        try:
            self._proxy = proxy = super().proxy()
        except ActorDeadError:
            ended = gone_error(f"{self} is not there", self.actor_inbox)
            raise ended from ended.__cause__
        # It holds the actor, which is not to outlive its end.
        inbox: Any = self.actor_inbox
        inbox.ended.add_done_callback(self._drop_proxy)
        return proxy

    def _drop_proxy(self, _: Any) -> None:
        self._proxy = None


def not_portable(
    what: str,
    instead: str = "send a name or the arguments, and start a client in each process that uses one",
) -> TypeError:
    """Return the error for what somebody tries to send to another process, and is to do instead."""
    return TypeError(
        f"{what} belongs to this process and cannot be pickled: its threads and its connection are"
        f" here; {instead}"
    )


def close_in_child(sock: socket.socket) -> None:
    """Have a child close its copy of `sock`: with it open, the parent's close would not be seen."""
    _sockets.add(sock)


def reset_in_child(function: Callable[[], object]) -> None:
    """Have `function` called in every child, first: for what a module keeps. It must not block."""
    _resets.append(function)


def renew_lock_in_child(owner: Any, name: str) -> None:
    """Have every child begin with another lock as this attribute of a module, or of a class: nobody
    may be there to release the parent's."""
    reset_in_child(lambda: setattr(owner, name, threading.RLock()))


def after_fork(function: Callable[[], object]) -> None:
    """Have `function` called in every child, last: for what is to begin anew there.

    It runs in the child's only thread, before `os.fork()` returns, and may start clients; under
    gevent, which is not fit for that before it returns, in a greenlet behind it. What it raises is
    logged. `forget(function)` ends it; in a child it is to be said again.
    """
    _beginnings.append(function)


def forget(function: Callable[[], object]) -> None:
    """Call `function` in no child any more."""
    if function in _beginnings:
        _beginnings.remove(function)


def end_copied_thread() -> NoReturn:
    """End a thread of an actor in the child, where it is nobody, without a word.

    The thread that forked, in a callback, can simply end. gevent's, which a fork copies, must not:
    `threading` has forgotten them in the child, and would complain.
    """
    while threading.get_ident() != _survivor:
        threading.Event().wait()
    raise SystemExit


def end_if_copied(target: Any) -> None:
    """End the calling thread likewise, when `target`, which it works for, is the parent's."""
    if is_forked(target):
        end_copied_thread()


def _in_child() -> None:
    """See to a fork, once: without hooks several threads may notice it, and the others wait."""
    mark = _mark
    if mark[0]:
        return
    turn = first = Turn()
    beginnings: list[Callable[[], object]] = []
    try:
        first = _turns.setdefault((mark, os.getpid()), turn)
        if first is turn:
            beginnings = _reset()
    finally:
        turn.taken.release()
    if first.thread != turn.thread:
        with first.taken:
            return
    monkey: Any = sys.modules.get("gevent.monkey")
    if beginnings and monkey is not None and monkey.is_module_patched("threading"):
        _thread.start_new_thread(_begin, (beginnings,))  # A `Thread` would wait for its start.
    else:
        _begin(beginnings)


def _reset() -> list[Callable[[], object]]:
    """Forget what was the parent's; return what is to begin anew."""
    global _epoch, _mark, _survivor  # noqa: PLW0603 - numbers are compared faster than what holds them
    _epoch += 1
    here.exiting = False
    _survivor = threading.get_ident()
    beginnings = _beginnings[:]
    _beginnings.clear()
    for earlier in [turn for turn in _turns if turn[0] is not _mark]:
        del _turns[earlier]
    # All of Pykka's actors run in threads; whoever held the lock is gone too.
    ActorRegistry._actor_refs_lock = threading.RLock()
    ActorRegistry._actor_refs.clear()
    for sock in list(_sockets):
        _guarded(lambda sock=sock: _close_copy(sock))  # type: ignore[misc]
    _sockets.clear()
    for function in _resets:
        _guarded(function)
    # Last: whoever finds it finds all else as it is to be.
    _mark = mark_of_this_process()
    return beginnings


def _begin(functions: list[Callable[[], object]]) -> None:
    for function in functions:
        _guarded(function)


def _close_copy(sock: socket.socket) -> None:
    # Neither TLS's farewell nor gevent's hub has a part in this.
    descriptor = sock.detach()
    if descriptor >= 0:
        os.close(descriptor)


def _guarded(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        logger.exception("%r failed after a fork", function)


def _forget_main_thread() -> None:
    """Whichever thread forks is the main one of the child."""
    waiting.is_main = None


reset_in_child(_forget_main_thread)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
