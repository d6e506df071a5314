"""Where a message lies that was found, and how it is taken out so that none can be lost.

A signal handler runs in the middle of whatever the main thread does: behind a call, at the
beginning of a function, and before a jump back. It may raise, and it may await something itself.
What has to be done wholly or not at all stands here between two such moments.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from slipstream_actor.actors.pressure import Inflow

__all__ = ["Found", "Place"]


class Place:
    """Where an item lies: in the stash of an inbox, or among the `events` of a burst.

    One that is an event counts in `flow`.
    """

    __slots__ = ("at", "events", "flow", "inbox", "item")

    def __init__(
        self, inbox: Any, events: deque[Any] | None, at: int, item: Any, flow: Inflow | None
    ) -> None:
        self.inbox: Any = inbox
        self.events: deque[Any] | None = events
        self.at: int = at
        self.item: Any = item
        self.flow: Inflow | None = flow

    def take(self, taken: list[Place] | None) -> bool:
        """Take the item out, and note it in `taken`; `False` when it is not there any more."""
        item, flow, this = self.item, self.flow, (self,)
        while True:
            stash = self.inbox._stash if self.events is None else self.events
            try:
                if stash[self.at] is item:
                    del stash[self.at]
                    if flow is not None:
                        flow.taken += 1
                    if taken is not None:
                        taken += this
                    break
            except IndexError:
                pass
            self.at = next((at for at, other in enumerate(tuple(stash)) if other is item), -1)
            if self.at < 0:
                return False
        if flow is not None and flow.paused:
            try:
                flow.relieve()
            except BaseException:
                self.put_back()
                if taken is not None:
                    taken.remove(self)
                raise
        return True

    def put_back(self) -> None:
        """Put the item back where it lay."""
        stash = self.inbox._stash if self.events is None else self.events
        if self.flow is not None:
            self.flow.taken -= 1
        stash.insert(self.at, self.item)


class Found(NamedTuple):
    """A message that was found; without a place it is to stay there."""

    message: Any
    place: Place | None
