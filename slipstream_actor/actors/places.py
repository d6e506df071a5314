"""Where a message lies that was found, and how it is taken out so that none can be lost.

A signal handler runs in the middle of whatever the main thread does: behind a call, at the
beginning of a function, and before a jump back. It may raise, and it may await something itself.
What has to be done wholly or not at all stands here between two such moments.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import takewhile
from typing import Any

from slipstream_actor.actors.envelopes import Burst

__all__ = ["Order", "Place"]


class Place:
    """Where a message lies in the stash of an inbox; of an event, also where in its `burst`.

    `stays`: it is to be left there.
    """

    __slots__ = ("at", "burst", "emptied", "envelope", "inbox", "message", "stays", "within")

    def __init__(
        self,
        inbox: Any,
        at: int,
        envelope: Any,
        message: Any,
        stays: bool,
        burst: Burst | None = None,
        within: int = 0,
    ) -> None:
        self.inbox: Any = inbox
        self.at: int = at
        # None for the burst that is being delivered, which lies in no stash.
        self.envelope: Any = envelope
        self.message: Any = message
        self.stays: bool = stays
        self.burst: Burst | None = burst
        self.within: int = within
        self.emptied: bool = False

    def take(self, taken: list[Place]) -> bool:
        """Take it out, and note it in `taken`; `False` when it is not there any more."""
        if self.burst is None:
            return self._take_envelope(taken)
        return self._take_event(self.burst, taken)

    def _take_envelope(self, taken: list[Place]) -> bool:
        envelope, this = self.envelope, (self,)
        while True:
            stash = self.inbox._stash
            try:
                if stash[self.at] is envelope:
                    del stash[self.at]
                    taken += this
                    return True
            except IndexError:
                pass
            self.at = index_of(envelope, stash)
            if self.at < 0:
                return False

    def _take_event(self, burst: Burst, taken: list[Place]) -> bool:
        event, events, flow, this = self.message, burst.events, burst.flow, (self,)
        stash, done = self.inbox._stash, False
        while True:
            try:
                if events[self.within] is event:
                    del events[self.within]
                    flow.taken += 1
                    if not events:
                        flow.taken_bytes += burst.size
                    taken += this
                    done = True
                    # An empty burst is no message; one that has moved meanwhile may stay.
                    if not events and self.envelope is not None and stash[self.at] is self.envelope:
                        del stash[self.at]
                        self.emptied = True
            except IndexError:
                pass
            if done:
                break
            self.within = index_of(event, events)
            if self.within < 0:
                return False
        if flow.paused:
            try:
                flow.relieve()
            except BaseException:
                self.put_back()
                taken.remove(self)
                raise
        return True

    def put_back(self) -> None:
        """Put it back where it lay."""
        if self.burst is None:
            self.inbox.kept_stash().insert(self.at, self.envelope)
            return
        self.burst.flow.taken -= 1
        if not self.burst.events:
            self.burst.flow.taken_bytes -= self.burst.size
        self.burst.events.insert(self.within, self.message)
        if self.emptied:
            self.inbox.kept_stash().insert(self.at, self.envelope)


class Order:
    """The order in which all lay: what is put back when others are gone too finds its place by it.

    It is asked in threads alone where no signal is handled.
    """

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        # Each with what it is of: else something new might have its id.
        self._numbers: dict[int, tuple[int, Any]] = {}

    def note(self, line: deque[Any]) -> None:
        """Note how a line is; what is new lies behind all that was there before."""
        numbers = self._numbers
        new = list(takewhile(lambda item: id(item) not in numbers, reversed(line)))
        for item in reversed(new):
            numbers[id(item)] = len(numbers), item

    def put_back(self, place: Place) -> None:
        """Put back what was taken, where it lay when that was noted."""
        stash = place.inbox.kept_stash()
        if place.burst is not None:
            place.within = self._place_in(place.burst.events, place.message)
        place.at = self._place_in(stash, place.envelope)
        # Others may have taken the rest of its burst.
        place.emptied = index_of(place.envelope, stash) < 0
        place.put_back()

    def _place_in(self, line: deque[Any], item: Any) -> int:
        number = self._number(item)
        behind = (at for at, other in enumerate(line) if self._number(other) > number)
        return next(behind, len(line))

    def _number(self, item: Any) -> float:
        return self._numbers.get(id(item), (math.inf, None))[0]


def index_of(item: Any, line: deque[Any]) -> int:
    """Return where this very item is, -1 when it is nowhere."""
    return next((at for at, other in enumerate(tuple(line)) if other is item), -1)
