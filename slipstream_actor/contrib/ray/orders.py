"""What travels between a process and a shard: orders in batches one way, outcomes the other."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

from slipstream_actor.contrib.ray import engine
from slipstream_actor.errors import SlipstreamError, shown

__all__ = [
    "CALL",
    "CANCEL",
    "CAST",
    "FAILED",
    "HINT",
    "INVOKE",
    "LAYOUT",
    "MOVED",
    "REPLIED",
    "REQUEST",
    "STALE",
    "STOPPED",
    "VALUE",
    "WATCH",
    "Batch",
    "Order",
    "Outcome",
    "decode_batch",
    "encode_batch",
    "encode_failure",
    "encode_outcomes",
    "encode_value",
]

# The kinds of orders.
REQUEST, CALL, CAST, INVOKE, WATCH, HINT, CANCEL = range(7)
# The kinds of outcomes: a `Reply` as (status, response), a value and an exception as they are
# pickled, the version of the layout in which a topic is another shard's; that of a new layout, and
# that the shard takes no orders any more.
REPLIED, VALUE, FAILED, MOVED, LAYOUT, STOPPED = range(6)
# What `Shard.submit` returns for a batch that it has not taken.
STALE = "stale"


class Order(NamedTuple):
    """What a shard is to do: the body depends on the kind, `seconds` are what is left for it."""

    number: int
    kind: int
    topic: str
    body: Any
    seconds: float | None


class Outcome(NamedTuple):
    """What became of the order of that number."""

    number: int
    kind: int
    value: Any


class Batch(NamedTuple):
    """Orders that travel together, as one argument: Ray takes its time for each.

    `token` is what the shard has given to the `process`; `sequence` counts from 0 since then;
    `wait` says whether an outcome that comes at once may come back the same way; `version` is of
    the layout that the sender knows.
    """

    process: str
    token: str
    sequence: int
    wait: bool
    version: int
    orders: list[Order]


def encode_batch(batch: Batch) -> bytes:
    """Return a batch as it travels."""
    return pickle.dumps((*batch[:-1], [tuple(order) for order in batch.orders]), 5)


def decode_batch(data: bytes) -> Batch:
    """Return the batch."""
    process, token, sequence, wait, version, orders = pickle.loads(data)
    found = [Order(*order) for order in orders]
    return Batch(process, token, sequence, wait, version, found)


def encode_outcomes(outcomes: list[Outcome]) -> bytes:
    """Return outcomes as they travel; one that cannot be pickled is an error in its place."""
    try:
        return pickle.dumps([tuple(outcome) for outcome in outcomes], 5)
    except Exception:
        return pickle.dumps([tuple(_portable(outcome)) for outcome in outcomes], 5)


def _portable(outcome: Outcome) -> Outcome:
    try:
        pickle.dumps(outcome.value, 5)
    except Exception as error:
        return Outcome(outcome.number, FAILED, encode_failure(error))
    return outcome


def encode_value(value: Any) -> bytes:
    """Return what a method returned. Raises what pickling raises."""
    return engine.dumps(value)


def encode_failure(error: BaseException) -> bytes:
    """Return an exception; one that cannot travel is told in words."""
    try:
        data = engine.dumps(error)
        engine.loads(data)  # Some can be pickled, and not be made again.
        return data
    except Exception:
        return engine.dumps(SlipstreamError(f"{type(error).__name__}: {shown(error)}"))
