"""Requests from outside: pushes of which the connection itself tells the outcome, to whoever asked.

To the protocol a request is an opaque value with the one method `begin()`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from slipstream_actor.protocol.deadlines import Deadlines

__all__ = ["OpenRequests"]


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

    def add(self, ref: str, request: Any, deadline: float | None) -> None:
        """A request is being sent; without a deadline it has for ever."""
        self.open[ref] = request
        if deadline is not None:
            self.deadlines.add(ref, deadline)

    def settle(self, ref: str, outcome: Any) -> bool:
        """Tell the outcome of a request; `False` when `ref` is that of none."""
        request = self.open.pop(ref, None)
        if request is None:
            return False
        self.deadlines.discard(ref)
        self.outcomes.append((request, outcome))
        return True
