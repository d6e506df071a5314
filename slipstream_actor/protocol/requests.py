"""Requests from outside: pushes of which the connection itself tells the outcome, to whoever asked.

To the protocol a request is an opaque value with the method `begin()`, a `deadline`, and whether it
is `done`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.protocol.deadlines import Deadlines

__all__ = ["OpenRequests"]

# Seconds after which it is looked whether one that has for ever was cancelled.
LOOK = 5.0


class OpenRequests(msgspec.Struct, eq=False):
    """The requests of one connection that were sent and have no outcome yet.

    `outcomes` are those that somebody is to be told: a request, and a `Reply` or the reason that
    it has failed for; `unsent` are those that were not sent, since their join was over. Their
    deadlines never stand still: whoever asked has only so much time.
    """

    outcomes: list[tuple[Any, Any]] = []
    unsent: list[tuple[Any, Any]] = []
    deadlines: Deadlines = msgspec.field(default_factory=Deadlines)
    # By their refs.
    open: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.open)

    def add(self, ref: str, request: Any, now: float) -> None:
        """A request is being sent."""
        self.open[ref] = request
        self._look_at(ref, request, now)

    def take_due(self, now: float) -> str | None:
        """Take out the first one whose time is over, `None` when none is."""
        while (ref := self.deadlines.take_due(now)) is not None:
            request = self.open[ref]
            if request.deadline is not None or request.done:
                return ref
            self._look_at(ref, request, now)  # It has for ever.
        return None

    def _look_at(self, ref: str, request: Any, now: float) -> None:
        self.deadlines.add(ref, now + LOOK if request.deadline is None else request.deadline)

    def settle(self, ref: str, outcome: Any) -> bool:
        """Tell the outcome of a request; `False` when `ref` is that of none."""
        request = self.open.pop(ref, None)
        if request is None:
            return False
        self.deadlines.discard(ref)
        self.outcomes.append((request, outcome))
        return True
