"""Events for whoever wants to measure, log or trace: Erlang's `:telemetry`.

    def log(event, measurements, metadata):
        print(event, measurements["duration"])

    telemetry.attach("log-joins", ("slipstream", "client", "join", "stop"), log)

Handlers run in the thread in which the event happens, in the order in which they were attached.
What a handler raises is logged, and the handler is detached: telemetry disturbs nobody. The
library's own events are the table `slipstream_actor.telemetry.events.EVENTS`. Erlang's `config` is
a closure, or a `functools.partial`, here, and `span` may be used by a `with`.

Attached handlers are inherited by forked children, as logging's are.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from slipstream_actor.actors.forks import renew_lock_in_child
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.errors import SlipstreamError

__all__ = [
    "AlreadyAttachedError",
    "EventName",
    "Handler",
    "HandlerFunction",
    "attach",
    "attach_many",
    "detach",
    "execute",
    "list_handlers",
]

EventName: TypeAlias = tuple[str, ...]
HandlerFunction: TypeAlias = Callable[[EventName, dict[str, Any], dict[str, Any]], object]

logger: Logger = get_logger("slipstream_actor.telemetry")

NOTHING: Mapping[str, Any] = MappingProxyType({})
FAILURE = ("telemetry", "handler", "failure")

# Each event's handlers. The tuples are replaced, never changed: `execute` needs no lock.
_handlers: dict[EventName, tuple[Handler, ...]] = {}
_followed: dict[EventName, set[str]] = {}
# Reentrant: garbage may be collected, or a signal handled, while it is held.
_lock = threading.RLock()
renew_lock_in_child(sys.modules[__name__], "_lock")


class AlreadyAttachedError(SlipstreamError, ValueError):
    """Raised by `attach` and `attach_many`: a handler has the id `handler_id`."""

    def __init__(self, handler_id: Hashable) -> None:
        super().__init__(f"a handler with the id {handler_id!r} is attached")
        self.handler_id = handler_id


class Handler(msgspec.Struct, frozen=True, eq=False):
    """A function that is attached to one event, under an id."""

    id: Hashable
    event_name: EventName
    function: HandlerFunction


# attaching


def attach(handler_id: Hashable, event: EventName, function: HandlerFunction) -> None:
    """Have `function(event, measurements, metadata)` called whenever `event` happens.

    Raises `AlreadyAttachedError` when a handler has this id.
    """
    attach_many(handler_id, [event], function)


def attach_many(
    handler_id: Hashable, events: Iterable[EventName], function: HandlerFunction
) -> None:
    """Attach `function` to several events, under one id: it is detached from all of them at once.

    Raises `AlreadyAttachedError` when a handler has this id, and `TypeError` for what is no event:
    a tuple of strings.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, not {type(function).__name__}")
    names = dict.fromkeys(require_event(event) for event in events)
    with _lock:
        if any(handler.id == handler_id for handler in _all()):
            raise AlreadyAttachedError(handler_id)
        for name in names:
            handler = Handler(handler_id, name, function)
            _handlers[name] = (*_handlers.get(name, ()), handler)
        _tell_followers()


def detach(handler_id: Hashable) -> bool:
    """Detach a handler from all its events; `False` when there was none of this id.

    A call of it that is under way in another thread goes on.
    """
    return _detach(lambda handler: handler.id == handler_id)


def list_handlers(prefix: EventName = ()) -> list[Handler]:
    """Return the handlers of the events that begin with `prefix`, one for each event."""
    prefix = require_event(prefix, empty=True)
    with _lock:
        return [h for h in _all() if h.event_name[: len(prefix)] == prefix]


def wanted_events(prefix: EventName) -> set[str]:
    """Return a set that is kept current: what follows `prefix` in the names of attached events.

    For call sites: `"join" in wanted_events(("slipstream", "client"))` is all that an event
    costs that nobody wants.
    """
    with _lock:
        names = _followed.setdefault(prefix, set())
        _tell_followers()
    return names


def require_event(event: Any, *, empty: bool = False) -> EventName:
    """Return `event` if it is a tuple of strings; `TypeError` otherwise."""
    if not isinstance(event, tuple) or not all(isinstance(part, str) for part in event):
        raise TypeError(f"an event is a tuple of strings, not {event!r}")
    if not event and not empty:
        raise TypeError("an event has a name")
    return event


def _all() -> Iterator[Handler]:
    return itertools.chain.from_iterable(list(_handlers.values()))


def _detach(unwanted: Callable[[Handler], bool]) -> bool:
    found = False
    with _lock:
        for name, handlers in list(_handlers.items()):
            left = tuple(handler for handler in handlers if not unwanted(handler))
            if len(left) == len(handlers):
                continue
            found = True
            if left:
                _handlers[name] = left
            else:
                del _handlers[name]
        _tell_followers()
    return found


def _tell_followers() -> None:
    for prefix, names in list(_followed.items()):
        at = len(prefix)
        now = {e[at] for e in list(_handlers) if len(e) > at and e[:at] == prefix}
        # Whoever looks meanwhile misses none that is in both.
        names.update(now)
        names.intersection_update(now)


# executing


def execute(
    event: EventName,
    measurements: Mapping[str, Any] = NOTHING,
    metadata: Mapping[str, Any] = NOTHING,
) -> None:
    """Call the handlers of `event`, in this thread. One that raises is logged and detached.

    The event `("telemetry", "handler", "failure")` tells of it. What is no `Exception` (the end of
    the program, of an actor) passes through. Each handler gets dicts of its own: shallow copies of
    `measurements` and `metadata`.
    """
    for handler in _handlers.get(event, ()):
        measured, about = dict(measurements), dict(metadata)
        try:
            handler.function(event, measured, about)
        except Exception as error:
            _fail(handler, error)


def _fail(handler: Handler, error: Exception) -> None:
    # By its function: meanwhile another may have got the id.
    attached = _detach(lambda h: h.id == handler.id and h.function == handler.function)
    if not attached:
        return  # It has failed elsewhere too, or somebody has detached it.
    logger.error("handler %r has failed and has been detached", handler.id, exc_info=error)
    metadata = {
        "event_name": handler.event_name,
        "handler_id": handler.id,
        **failure(error),
    }
    execute(FAILURE, start_measurements(), metadata)


def start_measurements() -> dict[str, Any]:
    """Return what the start of a span measures, in seconds."""
    return {"monotonic_time": time.monotonic(), "system_time": time.time()}


def end_measurements(started: float) -> dict[str, Any]:
    """Return what the end of a span measures that started at `started`, in seconds."""
    now = time.monotonic()
    return {"duration": now - started, "monotonic_time": now}


def failure(error: BaseException) -> dict[str, Any]:
    """Return the metadata of an exception; `kind` is `"exit"` for what is no `Exception`."""
    kind = "error" if isinstance(error, Exception) else "exit"
    return {"kind": kind, "reason": error, "stacktrace": error.__traceback__}
