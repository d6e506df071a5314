"""What lies in a mailbox: bursts of events, requests and timers; how they are searched, and how
whoever asked is told that nobody will answer."""

from __future__ import annotations

import math
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from slipstream_actor.actors.forks import ended_error
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.here import Interrupted
from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.configuration.arguments import require_delay

__all__ = [
    "EVERY_SOURCE",
    "LEAVE",
    "TAKE",
    "UNCOUNTED",
    "Between",
    "Burst",
    "GetState",
    "Interrupted",
    "Match",
    "Request",
    "Timer",
    "TimerDue",
    "refuse",
]

TAKE = 1
LEAVE = 2
Match: TypeAlias = Callable[[Any, Any], int]
# A `receive` looks into the bursts of all connections.
EVERY_SOURCE: Any = object()


# Of events that count nowhere, as a test sends them.
UNCOUNTED = Inflow(0, 0, math.inf, lambda: None)


class Burst:
    """Several events of one `source`, handed over as one message and taken one by one.

    Who takes one counts it in `flow`, and whoever takes the last the `size`, which is in bytes as
    they came. `last_ref` is the last reference that the owner had given out when this was put
    together: a push with a later one has its reply in a later burst.
    """

    __slots__ = ("events", "flow", "last_ref", "size", "source")

    def __init__(
        self,
        source: Any,
        events: Iterable[Any],
        flow: Inflow = UNCOUNTED,
        size: int = 0,
        last_ref: float = math.inf,
    ) -> None:
        self.source: Any = source
        self.events: deque[Any] = deque(events)
        self.flow: Inflow = flow
        self.size: int = size
        self.last_ref: float = last_ref


class Request:
    """A message told with an address to answer to; a mailbox that closes answers it."""

    __slots__ = ("future", "message")

    def __init__(self, message: Any, future: Future[Any]) -> None:
        self.message: Any = message
        self.future: Future[Any] = future


class GetState(Request):
    """Ask an actor for a snapshot of its state."""


class Between(Request):
    """Have an actor run the message, a function of it and of the future, between callbacks.

    The function completes the future; one whose future is done by then is not run.
    """


class Timer:
    """A message that is due at a time. `cancel()` works from any thread, until it is delivered."""

    __slots__ = ("__weakref__", "cancelled", "delivered", "due", "interval", "message")

    def __init__(self, message: Any, due: float, interval: float | None = None) -> None:
        self.message: Any = message
        self.due: float = due
        self.interval: float | None = interval
        self.cancelled: bool = False
        self.delivered: bool = False

    @classmethod
    def repeated(cls, message: Any, interval: float) -> Timer:
        """Return one that is due every `interval` seconds, which are more than none."""
        require_delay("seconds of an interval", interval, more_than_none=True)
        return cls(message, time.monotonic() + interval, interval)

    def cancel(self) -> None:
        """Deliver it no more."""
        self.cancelled = True


class TimerDue(msgspec.Struct, frozen=True, eq=False):
    """The message of a timer for whoever holds the timer; `void` when nobody does any more."""

    timer: weakref.ref[Timer]

    def is_of(self, timer: Timer | None) -> bool:
        """Whether it is the message of this timer."""
        return timer is not None and self.timer() is timer

    @property
    def void(self) -> bool:
        """Whether nobody can take it for anything."""
        return self.timer() is None


def refuse(envelope: Envelope[Any], inbox: Any) -> None:
    """Answer whoever waits for an answer to a message that nobody will handle.

    `inbox` is that of the actor, which knows what that has ended for.
    """
    if envelope.reply_to is not None and type(envelope.message) is _ActorStop:
        envelope.reply_to.set(None)
        return
    if (requested := getattr(envelope.message, "request", None)) is not None:
        requested.give_back()
    future = envelope.message.future if isinstance(envelope.message, Request) else envelope.reply_to
    if future is not None:
        what = getattr(future, "question", None) or "the actor stopped before handling the message"
        error = ended_error(str(what), inbox)
        future.set_exception((type(error), error, error.__traceback__))
