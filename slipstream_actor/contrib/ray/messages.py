"""A subscription at a shard: what it takes travels in lists, as fast as they are taken there."""

from __future__ import annotations

import pickle
from typing import Any

from slipstream_actor.client.subscriptions import Subscription
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import MessageReceived

__all__ = ["PatternFailed", "decode_messages", "encode_messages", "take_some"]

# Messages that travel together at most.
MOST = 500


class PatternFailed(SlipstreamError):
    """A subscription's pattern has raised at a shard; its text is the error's `repr`, which can
    travel where the error cannot."""


def take_some(
    subscription: Subscription, seconds: float
) -> tuple[list[MessageReceived], int] | None:
    """Return messages that follow each other, and how many have been dropped up to them.

    Waits for the first up to so many seconds; `None` at the end. Raises `PatternFailed` for what a
    pattern has raised, and what else the iteration does.
    """
    try:
        return _take_some(subscription, seconds)
    except SlipstreamError:
        raise
    except Exception as error:
        raise PatternFailed(repr(error)) from error


def _take_some(
    subscription: Subscription, seconds: float
) -> tuple[list[MessageReceived], int] | None:
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
