"""What a connection does with requests: whoever asked is told the outcome by the connection itself.

A request is whatever has the three methods of `Requested`; who makes them stands further up.
"""

from __future__ import annotations

from typing import Any, Protocol

from slipstream_actor.protocol.requests import OpenRequests

__all__ = ["Requested", "conclude"]


class Requested(Protocol):
    """What a `PushMessage` may carry."""

    def begin(self) -> bool:
        """Whether it is wanted still; from now on it may have been sent."""

    def conclude(self, outcome: Any, *, paused: bool) -> None:
        """Take the `Reply`, or the reason that there is none; whether reading was `paused`."""

    def give_back(self) -> None:
        """It was not sent, since its join or its connection was over: it may be sent again."""


def conclude(requests: OpenRequests, *, paused: bool) -> None:
    """Tell those that have an outcome by now."""
    if requests.outcomes:
        outcomes, requests.outcomes = requests.outcomes, []
        for request, outcome in outcomes:
            request.conclude(outcome, paused=paused)
    if requests.unsent:
        unsent, requests.unsent = requests.unsent, []
        for request, _ in unsent:
            request.give_back()
