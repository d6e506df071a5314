"""Handlers by pattern: `@on("rooms:*", "new:msg")` on a method of a client, what function heads
are in Elixir and `channel.on` in phoenix.js."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from slipstream_actor.client.declaration import require_arguments
from slipstream_actor.client.defaults import CALLBACK_NAMES
from slipstream_actor.client.returns import CallbackResult
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.errors import near
from slipstream_actor.socket.socket import Socket

__all__ = [
    "EVERY_OTHER",
    "Route",
    "Routes",
    "on",
    "require_prefix",
    "routes_of",
    "warn_of_near_misses",
]

# A method as `handle_message` is one; the decorated one keeps its own type.
F = TypeVar("F", bound=Callable[[Any, str, str, Any, Socket], CallbackResult])

ANYTHING = "*"
ARGUMENTS = ("self", "topic", "event", "payload", "socket")
CALLBACKS = frozenset(CALLBACK_NAMES)
HANDLED = [n.removeprefix("handle_") for n in CALLBACK_NAMES if n.startswith("handle_")]
# Where a class has its handlers by name, as they were when they were decorated.
NOTED = "_slipstream_handlers"
PLAIN = [n for n in CALLBACK_NAMES if not n.startswith("handle_")]
# How alike a method's name is to a callback's, for it to be a slip of the pen.
ALIKE = 0.88
ALIKE_HEAD = 0.8
# What a class remembers of topics and events; there may be any number of them.
MOST_FOUND = 1_024


class Pattern(NamedTuple):
    """Which messages a handler is for."""

    topic: str
    event: str

    @property
    def rank(self) -> tuple[bool, int, bool]:
        """What the most specific pattern has most of: the topic counts first."""
        return not self.topic.endswith(ANYTHING), len(self.topic), self.event != ANYTHING

    def matches(self, topic: str, event: str) -> bool:
        """Whether it is for a message."""
        if self.event not in (ANYTHING, event):
            return False
        if self.topic.endswith(ANYTHING):
            return topic.startswith(self.topic[:-1])
        return topic == self.topic


class Route(NamedTuple):
    """A pattern, and the name of the method that handles what matches it."""

    pattern: Pattern
    name: str


class Routes:
    """The handlers of a class, the most specific first."""

    def __init__(self, patterns: dict[Pattern, str]) -> None:
        ranked = sorted(patterns, key=lambda pattern: pattern.rank, reverse=True)
        self._routes = [Route(pattern, patterns[pattern]) for pattern in ranked]
        self._found: dict[tuple[str, str], Route] = {}

    def find(self, topic: str, event: str) -> Route:
        """Return the route of a message; `handle_message` is the last one."""
        route = self._found.get((topic, event))
        return route if route is not None else self._search(topic, event)

    def _search(self, topic: str, event: str) -> Route:
        matching = (r for r in self._routes if r.pattern.matches(topic, event))
        route = next(matching, EVERY_OTHER)
        if len(self._found) >= MOST_FOUND:
            self._found.clear()
        self._found[topic, event] = route
        return route


EVERY_OTHER = Route(Pattern(ANYTHING, ANYTHING), "handle_message")


def on(topic: str = ANYTHING, event: str = ANYTHING) -> Callable[[F], F]:
    """Have a method of a client handle the messages of `topic` with the name `event`.

    The method's signature, and what it may return, are `handle_message`'s: `(self, topic, event,
    payload, socket)`. `topic` is exact, or a prefix before a final `*`, as in a Phoenix socket;
    `event` is exact, or `"*"` for all. One method may have several patterns. Of those that match
    the most specific counts, and no other is called: an exact topic before a prefix, a longer
    prefix before a shorter one, and for the same topic an exact event before all. Raises
    `TypeError` for what can be no pattern or no handler.
    """
    require_text("topic", topic)
    require_text("event", event)
    require_prefix("on: topic", topic)
    if ANYTHING in event and event != ANYTHING:
        raise TypeError(f"on: event {event!r}: a * may only stand alone")
    pattern = Pattern(topic, event)

    def decorate(method: F) -> F:
        require_method(pattern, method)
        note(method, sys._getframe(1).f_locals)
        patterns = (*patterns_of(method), pattern)
        method._slipstream_patterns = patterns  # type: ignore[attr-defined]
        return method

    return decorate


def require_prefix(what: str, pattern: str) -> None:
    """Raise `TypeError` for a `*` that is not at the end of a text: it would match literally."""
    if ANYTHING in pattern[:-1]:
        raise TypeError(f"{what} {pattern!r}: a * may only stand at the end")


def require_method(pattern: Pattern, method: Any) -> None:
    """Raise `TypeError` unless `method` is a function that can be called as a handler is."""
    decoration = f"@on({pattern.topic!r}, {pattern.event!r})"
    if not inspect.isfunction(method):
        raise TypeError(f"{decoration} belongs on a method, not on {method!r}")
    if method.__name__ in CALLBACKS:
        raise TypeError(f"{decoration}: {method.__name__} is a callback, which is called as such")
    if inspect.iscoroutinefunction(method) or inspect.isgeneratorfunction(method):
        raise TypeError(f"{decoration}: {method.__qualname__} would not run when it is called")
    require_arguments(f"{decoration}: {method.__qualname__}", method, ARGUMENTS)


def note(method: Any, namespace: dict[str, Any]) -> None:
    """Have a class know its handlers, so that it can tell of one that is lost.

    Raises `TypeError` if it has one of this name already.
    """
    if "__qualname__" not in namespace:  # That of no class.
        return
    former = namespace.get(method.__name__)
    if patterns_of(former) and former is not method:
        raise TypeError(
            f"on: {method.__qualname__} is there already, and would be lost: handlers have names"
            " of their own (one method may have several patterns)"
        )
    namespace.setdefault(NOTED, {})[method.__name__] = method


def patterns_of(method: Any) -> tuple[Pattern, ...]:
    if not inspect.isfunction(method):
        return ()
    patterns: tuple[Pattern, ...] = getattr(method, "_slipstream_patterns", ())
    return patterns


def routes_of(cls: type) -> Routes | None:
    """Return the routes of a class and its bases, or `None` when there are none.

    A method overrides that of its name, and keeps its patterns unless it has some of its own; a
    pattern overrides that of a base. Raises `TypeError` for two methods of one class with the same
    pattern, and for a handler that is lost.
    """
    methods: dict[str, dict[Pattern, str]] = {}
    for base in reversed(cls.__mro__):
        if "_slipstream_routes" not in vars(base):  # Else it was looked at when it was made.
            require_kept(base)
        taken: dict[Pattern, str] = {}
        for name, pattern in declared(base):
            if taken.setdefault(pattern, name) != name:
                raise TypeError(
                    f"{base.__qualname__}.{taken[pattern]} and .{name} are both"
                    f" @on({pattern.topic!r}, {pattern.event!r})"
                )
        for name in {*taken.values()}:
            methods.pop(name, None)
            methods[name] = {p: n for p, n in taken.items() if n == name}
    # Those of the most derived class come last, and win.
    patterns = {p: n for found in methods.values() for p, n in found.items()}
    return Routes(patterns) if patterns else None


def declared(base: type) -> Iterator[tuple[str, Pattern]]:
    """Yield the patterns of a class of its own, with the names of their methods."""
    for name, method in vars(base).items():
        for pattern in patterns_of(method):
            yield name, pattern


def require_kept(base: type) -> None:
    """Raise `TypeError` for a handler that something else has taken the place of."""
    for name, method in vars(base).get(NOTED, {}).items():
        if name in vars(base) and not patterns_of(vars(base)[name]):
            raise TypeError(
                f"on: {method.__qualname__} would be lost: what has its name in the end is another"
                " method, or what a decorator above its @on has made of it"
            )


def warn_of_near_misses(cls: type) -> None:
    """Warn of methods that would be a callback, but for a slip of the pen."""
    for name, method in vars(cls).items():
        function = getattr(method, "__func__", method)  # Of a static method, say.
        if name in CALLBACKS or patterns_of(method) or not callable(function):
            continue
        for meant in callbacks_meant(name):
            warnings.warn(
                f"{cls.__qualname__}.{name} is no callback; is it to be {meant}?",
                stacklevel=4,  # Past `__init_subclass__` and `ABCMeta.__new__`.
            )


def callbacks_meant(name: str) -> list[str]:
    """Return the callbacks that a name may be a slip of the pen for."""
    head, _, tail = name.partition("_")
    if tail in PLAIN:
        return [tail] if head in ("handle", "on") else []
    if head == "handle":
        plain = tail.removesuffix("ed")
        meant = [plain] if plain in HANDLED else near(tail, HANDLED, alike=ALIKE)
    elif tail not in HANDLED or head.startswith("handle"):
        return []
    else:
        meant = [tail] if head == "on" or near(head, ["handle"], alike=ALIKE_HEAD) else []
    return [f"handle_{tail}" for tail in meant]
