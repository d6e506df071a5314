"""For how long the oldest message of a mailbox has waited, at least: since a report before saw that
messages wait, if none has been taken out since then.

Nothing is noted while nobody asks: messages carry no time.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeAlias

__all__ = ["InHand", "in_hand", "oldest_age"]

# What differs as soon as a message is taken out of a mailbox.
InHand: TypeAlias = tuple[Any, ...]

# Of each mailbox what its owner had in hand when messages were first seen waiting, and when.
_seen: weakref.WeakKeyDictionary[Any, tuple[InHand, float]] = weakref.WeakKeyDictionary()


def oldest_age(inbox: Any, depth: int, before: InHand | None, now: float) -> float | None:
    """Return for how many seconds the oldest of `depth` messages has waited at least; `None` when
    none waits, and at the first look behind what the owner has in hand.

    `before` is what it had in hand before they were counted.
    """
    if not depth or before is None or before != in_hand(inbox):
        _seen.pop(inbox, None)
        return None
    known, since = _seen.get(inbox, (None, now))
    if known != before:
        _seen[inbox] = before, now
        return None
    return max(0.0, now - since)


def in_hand(inbox: Any) -> InHand | None:
    """Return what the owner has in hand; `None` where that is not known."""
    if inbox.busy_since is None:
        return None
    burst = inbox.burst
    left = 0 if burst is None else len(burst.events)
    return inbox.busy_since, id(inbox.envelope), inbox._changes, left
