"""What the parts of a report have in common: plain data, within bounds, and nothing that is
secret."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.shared import steadily
from slipstream_actor.debug.ages import in_hand, oldest_age
from slipstream_actor.errors import shown
from slipstream_actor.protocol.hints import hint
from slipstream_actor.protocol.reason_texts import kind_of, named
from slipstream_actor.telemetry.redaction import name

__all__ = [
    "Plain",
    "class_name",
    "few",
    "items_of",
    "label",
    "list_of",
    "mailbox_of",
    "name_of_actor",
    "plain_reason",
]

# What JSON can have.
Plain = dict[str, Any]
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

# Of topics, refs and names of a client so many are shown.
MOST_SHOWN = 100


def few(items: Iterable[T], most: int = MOST_SHOWN) -> list[T]:
    """Return the first of many."""
    return list(itertools.islice(items, most))


def list_of(look: Callable[[], Iterable[T]], most: int = MOST_SHOWN) -> list[T]:
    """Return the first of what another thread may change meanwhile."""
    nothing: list[T] = []
    return steadily(lambda: few(look(), most), nothing)


def items_of(mapping: Mapping[K, V]) -> list[tuple[K, V]]:
    """Return the first items of a mapping that another thread may change meanwhile."""
    return list_of(mapping.items)


def class_name(kind: type) -> str:
    """Return the name of a class, with its module."""
    return f"{kind.__module__}.{kind.__qualname__}"


def label(ref: Any) -> str:
    """Return how logs call an actor or a thread."""
    return name(str(getattr(ref, "label", ref)))


def name_of_actor(actor_name: Any) -> str | None:
    """Return the name that an actor was started with as text."""
    if actor_name is None:
        return None
    return name(actor_name) if isinstance(actor_name, str) else shown(actor_name)


def plain_reason(reason: Any, path: str | None = None) -> Plain | None:
    """Return why something has ended: its type, words, and the hint that there is; `None` while
    nothing has."""
    if reason is None:
        return None
    known = hint(reason, path)
    return {
        "type": kind_of(reason),
        "text": named(reason),
        "hint": None if known is None else str(known),
    }


def mailbox_of(inbox: Any, depth_of: Callable[[Any], int] = attrgetter("depth")) -> Plain:
    """Return how many messages wait, what the oldest is, if that can be seen, and for how many
    seconds it has waited at least, if that is known."""
    before, depth = in_hand(inbox), steadily(lambda: depth_of(inbox), 0)
    return {
        "depth": depth,
        "oldest": steadily(lambda: oldest_of(inbox), None),
        "oldest_age": oldest_age(inbox, depth, before, time.monotonic()),
    }


def oldest_of(inbox: Any) -> str | None:
    """Return the kind of the message that waits longest, `None` if it is none that can be seen:
    those that nobody has looked at yet lie where only the actor can take them out."""
    for burst in (inbox.burst, *(envelope.message for envelope in few(inbox._stash, 1))):
        if type(burst) is not Burst:
            if burst is not None:
                return type(burst).__name__
        elif burst.events:
            return type(burst.events[0]).__name__
    return None
