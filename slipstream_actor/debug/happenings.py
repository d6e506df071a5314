"""What has happened to the clients and connections of this process since somebody has asked first:
they start, connect, join, are paused, fail, end. No message is among it, and no secret."""

from __future__ import annotations

import itertools
import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from slipstream_actor.actors.forks import reset_in_child
from slipstream_actor.debug.plain import Plain, label, list_of
from slipstream_actor.protocol.reason_texts import named
from slipstream_actor.telemetry.dispatch import AlreadyAttachedError, EventName, attach_many
from slipstream_actor.telemetry.redaction import name

__all__ = ["happenings", "watching"]

HANDLER = "slipstream_actor.debug"
MOST = 200
# Nobody waits for more than that at once: a viewer who does not read is told that something was.
MOST_WAITING = 1_000

Facts = Mapping[str, Any]


class Told(NamedTuple):
    """What is shown of an event: of a failure `bad` is true."""

    what: str
    bad: bool = False
    text: Callable[[Facts, Facts], str] = lambda measurements, facts: ""
    topic: Callable[[Facts], Any] = lambda facts: None


def reason(_: Facts, facts: Facts) -> str:
    return named(facts["reason"])


def argument(at: int) -> Callable[[Facts, Facts], str]:
    """Return what tells the reason that a callback was given."""
    return lambda _, facts: named(facts["arguments"][at])


def topic(facts: Facts) -> Any:
    return facts["topic"]


def first(facts: Facts) -> Any:
    return facts["arguments"][0]


# Callbacks for messages, replies and pushes are not among them: these cost nothing.
TOLD: dict[tuple[str, ...], Told] = {
    ("client", "connect", "start"): Told("connecting"),
    ("client", "connect", "stop"): Told("connected"),
    ("client", "connect", "exception"): Told("not connected", True, reason),
    ("client", "reconnect"): Told("reconnect", text=lambda m, _: f"in {m['delay']:.1f} s"),
    ("client", "join", "start"): Told("joining", topic=topic),
    ("client", "join", "stop"): Told("joined", topic=topic),
    ("client", "join", "exception"): Told("not joined", True, reason, topic),
    ("client", "init", "stop"): Told("started"),
    ("client", "handle_disconnect", "start"): Told("disconnected", True, argument(0)),
    ("client", "handle_topic_close", "start"): Told("topic closed", True, argument(1), first),
    ("client", "handle_leave", "start"): Told("left", topic=first),
    ("client", "terminate", "start"): Told("ended", text=argument(0)),
    ("connection", "heartbeat", "exception"): Told("heartbeat unanswered", True),
    ("connection", "backpressure", "paused"): Told(
        "reading paused", True, lambda m, _: f"{m['undelivered']} messages wait"
    ),
    ("connection", "backpressure", "resumed"): Told(
        "reading resumed", text=lambda m, _: f"after {m['duration']:.1f} s"
    ),
}
EVENTS: list[EventName] = [("slipstream", *event) for event in TOLD]

_numbers = itertools.count(1)
_kept: deque[Plain] = deque(maxlen=MOST)
# Whoever is told at once. A `SimpleQueue` can be put into wherever a signal or garbage interrupts.
_watchers: dict[int, queue.SimpleQueue[Plain]] = {}


def happenings() -> list[Plain]:
    """Return what has happened, the newest last, 200 at most; from the first call on it is kept."""
    begin()
    return list_of(lambda: _kept, MOST)


@contextmanager
def watching() -> Iterator[queue.SimpleQueue[Plain]]:
    """Yield a queue of what happens from now on."""
    begin()
    watcher: queue.SimpleQueue[Plain] = queue.SimpleQueue()
    _watchers[id(watcher)] = watcher
    try:
        yield watcher
    finally:
        _watchers.pop(id(watcher), None)


def begin() -> None:
    """Keep what happens from now on; of a second time nothing."""
    try:
        attach_many(HANDLER, EVENTS, note)
    except AlreadyAttachedError:
        pass


def note(event: EventName, measurements: Facts, facts: Facts) -> None:
    """Keep an event, without what it holds. A handler of telemetry."""
    told = TOLD[event[1:]]
    about = told.topic(facts)
    happening: Plain = {
        "number": next(_numbers),
        "time": time.time(),
        "what": told.what,
        "bad": told.bad,
        "client": client_of(facts),
        "topic": None if about is None else name(about),
        "text": told.text(measurements, facts),
    }
    _kept.append(happening)
    for watcher in list(_watchers.values()):
        if watcher.qsize() < MOST_WAITING:
            watcher.put(happening)


def client_of(facts: Facts) -> str:
    """Return how logs call whom an event is about; of a connection's, the connection's id."""
    socket = facts.get("socket") or facts.get("return")
    owner = getattr(socket, "socket_pid", None)
    if owner is not None:
        return label(owner)
    kind = facts.get("client")
    return kind.__name__ if kind is not None else f"connection {facts.get('connection_id', '')}"


def _reset_in_child() -> None:
    """What has happened to its parent's clients is not a child's."""
    _kept.clear()
    _watchers.clear()


reset_in_child(_reset_in_child)
