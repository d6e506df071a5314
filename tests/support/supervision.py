"""What the tests of supervision share: a child that ends as it is told, and a log of who does."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from slipstream_actor import (
    Child,
    ChildSpec,
    ClientActor,
    Ignore,
    Socket,
    Stop,
    Supervisor,
    monitor,
    whereis,
)
from tests.actors.test_monitor import take_down
from tests.support.clients import PATIENCE, eventually


class Events(queue.Queue[Any]):
    """What the children did, in order."""

    def take(self, *expected: Any) -> None:
        """Hold that exactly this is what happened next."""
        assert [self.get(timeout=PATIENCE) for _ in expected] == list(expected)

    def take_all(self) -> list[Any]:
        """Return all that has happened."""
        return [self.get_nowait() for _ in range(self.qsize())]


class Worker(ClientActor):
    """Puts ("init", key) and ("terminate", key, reason) into `events`."""

    def init(self, events: Events, key: Any, begin: Callable[[], Any] | None = None) -> Any:
        self.events, self.key = events, key
        events.put(("init", key))
        return begin() if begin is not None else None

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Stop):
            return message
        message()
        return socket

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return message()

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.events.put(("terminate", self.key, reason))


class Boom(Exception):
    """What children crash with."""


def worker(events: Events, key: Any, **options: Any) -> ChildSpec:
    """Return the specification of a `Worker` that is known by its key."""
    begin = options.pop("begin", None)
    return ChildSpec(Worker, events, key, begin, **{"id": key, "name": key, **options})


def end(ref: Any, how: Any) -> Any:
    """End a child, and return the reason when its supervisor has been told.

    Its supervisor watches it for longer than we do, and so is told before.
    """
    monitor(ref)
    if how == "stop":
        ref.stop()
    else:
        ref.tell(how)
    return take_down(ref).reason


def restarted(name: Any, old: Any) -> Any:
    """Return the ref of a child's replacement, when it is there."""
    return eventually(lambda: (ref := whereis(name)) is not None and ref is not old and ref)


def children_of(supervisor: Any) -> list[Child]:
    """Return its children when it has done what it is about.

    `Supervisor.which_children` is answered while a child is being stopped, a proxy's call is not.
    """
    children: list[Child] = supervisor.proxy().which_children().get(timeout=PATIENCE)
    return children


def running(supervisor: Any) -> list[Any]:
    """Return the ids of the children that run."""
    return [child.id for child in children_of(supervisor) if child.ref is not None]


def known(supervisor: Any) -> list[Any]:
    """Return the ids of all children."""
    return [child.id for child in children_of(supervisor)]


class Failures:
    """An `init` that does one thing after the other, and then nothing."""

    def __init__(self, *acts: Any) -> None:
        self._acts = list(acts)

    def __call__(self) -> Any:
        act = self._acts.pop(0) if self._acts else None
        if isinstance(act, BaseException):
            raise act
        return act if isinstance(act, Stop | Ignore) or not callable(act) else act()


@contextmanager
def supervising(children: Iterable[Any], *args: Any, **options: Any) -> Iterator[Any]:
    """Start a supervisor, and stop it at the end."""
    ref = Supervisor.start(children, *args, **options)
    try:
        yield ref
    finally:
        ref.stop()
