"""Connections of Django's ORM in a client's thread, where no request begins and ends.

Django closes what is stale, or too old, before and after each request. A client's callbacks run in
a thread of its own, so a connection that the database has dropped would stay there for ever. The
clients of the settings are therefore started as a subclass, made here, whose callbacks and public
methods do before and after what a request does.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any

from slipstream_actor.client.client import ClientActor

__all__ = ["with_fresh_connections"]

# The first and the last that runs in the thread.
BOUNDS = ("init", "terminate")


class Here(threading.local):
    """Whether this thread is in a callback: what that calls closes nothing."""

    inside = False


_here = Here()


def with_fresh_connections(client_class: type[Any]) -> type[Any]:
    """Return a subclass whose callbacks begin and end as a request does."""
    wrapped = {name: fresh(name, getattr(client_class, name)) for name in names(client_class)}
    return type(
        client_class.__name__,
        (client_class,),
        {
            **wrapped,
            "__module__": client_class.__module__,
            "__qualname__": client_class.__qualname__,
            "__doc__": client_class.__doc__,
        },
    )


def names(client_class: type[Any]) -> Iterator[str]:
    """Yield the names of the methods of its own: callbacks, handlers, what proxies call."""
    yield from BOUNDS
    found: set[str] = set(BOUNDS)
    for base in client_class.__mro__:
        if base in ClientActor.__mro__:
            continue
        for name, method in vars(base).items():
            if name not in found and not name.startswith("_") and inspect.isfunction(method):
                found.add(name)
                yield name


def fresh(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return `method` between two closings of what is stale; at the ends, of all."""

    @functools.wraps(method)
    def closing(*args: Any, **kwargs: Any) -> Any:
        from django.db import close_old_connections, connections

        if _here.inside:
            return method(*args, **kwargs)
        _here.inside = True
        try:
            close_old_connections()
            return method(*args, **kwargs)
        finally:
            _here.inside = False
            if name in BOUNDS:
                connections.close_all()
            else:
                close_old_connections()

    return closing
