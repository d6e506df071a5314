"""Events of the protocol as callbacks are told them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from slipstream_actor.protocol import undecoded

__all__ = ["as_told"]


def as_told(events: Iterable[Any]) -> list[Any]:
    """Return events, a message that is still as it came as the event that it is."""
    return [undecoded.as_told(event) for event in events]
