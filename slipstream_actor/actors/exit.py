"""The end of the program: our actors are daemons, so that they keep no interpreter from exiting,
and are stopped when it does, within a bounded time and with their close frames sent."""

from __future__ import annotations

import atexit
import functools
import math
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import pykka
from pykka._envelope import Envelope

from slipstream_actor.actors import here
from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.process import ThreadRef, current

__all__ = ["begins_exit", "closes_at_exit", "living_connections", "running", "stop_at_exit"]

logger: Logger = get_logger("slipstream_actor.shutdown")

# For an actor that never had a connection; of the others an option says it.
SHUTDOWN_SECONDS = 2.0

# What supervisors may take of the shortest time that a client has, and a client of its own: what
# is left is its connection's, if it does not come back from a callback.
SUPERVISING_SHARE = 0.5
CLIENT_SHARE = 0.75

# `multiprocessing`'s own have 10, for closing the queues, and less.
EXIT_PRIORITY = 20
MULTIPROCESSING = "multiprocessing.util"

# The actors whose threads run. Pykka's registry has none of those that are ending, nor a client's
# connection.
running: set[Any] = set()
reset_in_child(running.clear)

_kinds: set[type[pykka.Actor]] = set()
# Those that are yet to be stopped, each with its process.
_left: set[tuple[type[pykka.Actor], int]] = set()
# What is called when the exit begins.
_beginnings: list[Callable[[], object]] = []
_announced: set[type[pykka.Actor]] = set()

# Weakly both ways: a thread's reference holds those of its connections.
_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
_seconds: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()


@functools.cache
def stop_at_exit(kind: type[pykka.Actor], pid: int) -> None:
    """Have this process stop its actors of `kind` when it exits."""
    atexit.register(stop_all, kind, pid)
    _left.add((kind, pid))
    _kinds.add(kind)
    if MULTIPROCESSING in sys.modules:
        finalize(kind)


def finalize(kind: type[pykka.Actor]) -> None:
    """Say the same to `multiprocessing`: the children that it forks leave by `os._exit`."""
    util: Any = sys.modules[MULTIPROCESSING]
    util.Finalize(None, stop_all, (kind, os.getpid()), exitpriority=EXIT_PRIORITY)


def _before_fork() -> None:
    """Have a child of `multiprocessing` say it again: it forgets what was said in a fork's hook."""
    util: Any = sys.modules.get(MULTIPROCESSING)
    for kind in _kinds - _announced if util is not None else ():
        _announced.add(kind)
        util.register_after_fork(kind, finalize)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


@atexit.register
def stop_left() -> None:
    """Stop those that were started by functions which the exit has called: what is registered in
    the middle of an exit is not called any more."""
    for kind, pid in list(_left):
        stop_all(kind, pid)


def begins_exit(function: Callable[[], None]) -> Callable[[], None]:
    """Have `function` called when the exit begins, before anybody is stopped; return it."""
    _beginnings.append(function)
    return function


def closes_at_exit(connection: Any, owner: Any, seconds: float) -> None:
    """Have the exit close `connection`, and give its owner so many `seconds` to end."""
    _owners[connection] = weakref.ref(owner)
    _seconds[owner] = max(seconds, _seconds.get(owner, 0.0))


def stop_all(kind: type[pykka.Actor], pid: int) -> None:
    """Stop the actors of `kind`, each within its own time."""
    if os.getpid() != pid:
        return  # In a forked child their threads do not exist.
    _left.discard((kind, pid))
    here.exiting, here.kept_until = True, math.inf
    try:
        for begin in _beginnings:
            begin()
        Exit(kind).run()
    except (SystemExit, KeyboardInterrupt):
        return  # A signal's handler: the program wants to be gone now, and ends anyhow.
    finally:
        stop_at_exit.cache_clear()  # Who is started from now on says it anew.
        here.kept_until = time.monotonic() + here.KEPT_BEHIND


class Exit:
    """One exit: the supervisors, the clients, then the connections; those of a kind all at once.

    Supervisors are first, lest they restart what is stopped here. The connections that are still
    there are the plain threads', those of clients that do not come back from a callback, and those
    that have yet to write what was accepted before they were closed or replaced. Who is ending
    already is waited for like the others.
    """

    def __init__(self, kind: type[pykka.Actor]) -> None:
        self._started = time.monotonic()
        self._kind = kind
        # Of those that were told to stop: a connection that is told twice waits for no close frame.
        self._ends: dict[Any, Future[Any]] = {}

    def run(self) -> None:
        """Stop them and wait; return when they have ended or their time is over."""
        orders: list[list[Any]] = [[], [], []]
        for ref in actors_of(self._kind):
            orders[getattr(ref.actor_class, "stop_order", 1)].append(ref)
        supervisors, clients, connections = orders
        least = min(map(seconds_of, clients), default=SHUTDOWN_SECONDS)
        self._stop(supervisors)
        for supervisor in supervisors:
            self._wait(supervisor, SUPERVISING_SHARE * least)
        connections += self._stop_clients(clients)
        owners = [*map(owner_of, connections)]
        hold_still(owners)
        self._stop(connections)
        for connection, owner in zip(connections, owners, strict=True):
            self._wait(connection, seconds_of(owner))

    def _stop_clients(self, clients: list[Any]) -> list[Any]:
        """Stop the clients, and the connections of those that do not come back; return these."""
        clients = sorted(clients, key=seconds_of)
        self._stop(clients)
        left = []
        for client in clients:
            if not self._wait(client, CLIENT_SHARE * seconds_of(client)):
                logger.info("%s does not end: its connection is closed without it", client)
                left += connections_of(client)
                self._stop(left)
        return left

    def _stop(self, refs: list[Any]) -> None:
        """Ask those to stop that were not asked before."""
        for ref in refs:
            if ref not in self._ends:
                self._ends[ref] = stop(ref)

    def _wait(self, ref: Any, seconds: float) -> bool:
        """Wait for the end of an actor until so many `seconds` after the start."""
        return self._ends[ref].wait(max(0.0, self._started + seconds - time.monotonic()))


def actors_of(kind: type[pykka.Actor]) -> list[Any]:
    """Return the actors of `kind` that there are, each once."""
    # In this order: whoever ends meanwhile is in one of them.
    registered = pykka.ActorRegistry.get_by_class(kind)
    return [*dict.fromkeys([*registered, *running])]


def stop(ref: Any) -> Future[Any]:
    """Ask an actor to stop, unless it is ending; return what is done when it has ended."""
    end: Future[Any] = Future()
    _ = ref.stop(block=False)
    # Nobody handles what comes behind a stop, or the last message: it is refused at the very end.
    # A stop in its place would interrupt `terminate`.
    ref.actor_inbox.put(Envelope(None, reply_to=end))
    return end


def hold_still(owners: list[Any]) -> None:
    """Tell plain threads nothing more, but the one that exits."""
    for owner in owners:
        if isinstance(owner, ThreadRef) and owner is not current():
            owner.actor_inbox.deaf = True


def owner_of(connection: Any) -> Any:
    """Return the client or thread that a connection belongs to, `None` if it is gone."""
    owner = _owners.get(connection)
    return owner() if owner is not None else None


def seconds_of(owner: Any) -> float:
    """Return the time that the exit gives a client, or a thread with its connections."""
    return SHUTDOWN_SECONDS if owner is None else _seconds.get(owner, SHUTDOWN_SECONDS)


def connections_of(owner: Any) -> list[Any]:
    """Return the connections of `owner` that have not ended."""
    return [ref for ref in list(running) if owner_of(ref) is owner]


def living_connections() -> list[tuple[Any, Any]]:
    """Return the connections that are alive, each with the client or thread that it belongs to."""
    refs = (reference() for reference in _owners.keyrefs())
    return [(ref, owner_of(ref)) for ref in refs if ref is not None and ref.is_alive()]
