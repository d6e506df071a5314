"""A subscription at a shard: what it takes travels in lists, as fast as they are taken there."""

from __future__ import annotations

import pickle
from typing import Any

from slipstream_actor.client.subscriptions import Subscription
from slipstream_actor.protocol.events import MessageReceived

__all__ = ["decode_messages", "encode_messages", "take_some"]

# Messages that travel together at most.
MOST = 500


def take_some(
    subscription: Subscription, seconds: float
) -> tuple[list[MessageReceived], int] | None:
    """Return messages that follow each other, and how many have been dropped up to them.

    Waits for the first up to so many seconds; `None` at the end. Raises what the iteration does.
    """
    found, dropped, waiter = subscription._take_many(MOST)
    if waiter is not None:
        if not waiter.wait(seconds):
            subscription._forget(waiter)
            return [], dropped
        found, dropped, waiter = subscription._take_many(MOST)
        if waiter is not None:
            subscription._forget(waiter)
            return [], dropped
    return (found, dropped) if found else None


def encode_messages(dropped: int, messages: list[MessageReceived]) -> bytes:
    """Return messages, and how many were dropped before them, as they travel."""
    parts = [(m.topic, m.event, m.payload) for m in messages]
    return pickle.dumps((dropped, parts), 5)


def decode_messages(data: bytes) -> tuple[int, list[Any]]:
    """Return how many were dropped, and the messages."""
    dropped, parts = pickle.loads(data)
    return dropped, [MessageReceived(*part) for part in parts]
