"""A subscription at a shard: what it takes travels in lists, as fast as they are taken there."""

from __future__ import annotations

import pickle
import time
from typing import Any

from slipstream_actor.client.subscriptions import Subscription
from slipstream_actor.protocol.events import MessageReceived

__all__ = ["decode_messages", "encode_messages", "take_some"]

# Messages that travel together at most.
MOST = 500


def take_some(subscription: Subscription, seconds: float) -> list[MessageReceived] | None:
    """Return messages, waiting for the first up to so many seconds; `None` at the end.

    Raises what the iteration does.
    """
    deadline = time.monotonic() + seconds
    found: list[MessageReceived] = []
    while len(found) < MOST:
        message, waiter = subscription._take()
        if message is not None:
            found.append(message)
            continue
        if waiter is None:
            return found or None
        left = deadline - time.monotonic()
        if found or not waiter.wait(max(0.0, left)):
            subscription._forget(waiter)
            break
    return found


def encode_messages(dropped: int, messages: list[MessageReceived]) -> bytes:
    """Return messages, and how many were dropped before them, as they travel."""
    parts = [(m.topic, m.event, m.payload) for m in messages]
    return pickle.dumps((dropped, parts), 5)


def decode_messages(data: bytes) -> tuple[int, list[Any]]:
    """Return how many were dropped, and the messages."""
    dropped, parts = pickle.loads(data)
    return dropped, [MessageReceived(*part) for part in parts]
