"""What this process has asked of a shard: one order, from the call to its outcome."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, Protocol

from slipstream_actor.actors.expiry import Expiry, call_at
from slipstream_actor.client.pending_request import RequestFuture
from slipstream_actor.contrib.ray.errors import ShardLostError
from slipstream_actor.contrib.ray.orders import CALL, INVOKE, REQUEST, WATCH, Order
from slipstream_actor.errors import AwaitTimeoutError, shown

__all__ = ["Operation"]

_numbers = itertools.count(1)


class Carrier(Protocol):
    """What an operation knows of the link that it was given to."""

    def standing(self) -> str:
        """Return how it stands, in words."""

    def forget(self, operation: Operation) -> None:
        """The operation has an outcome."""


class Operation(RequestFuture):
    """One order, from the call to its outcome. Its time runs here."""

    def __init__(
        self,
        kind: int,
        topic: str,
        body: Any,
        size: int,
        owner: Any,
        timeout: float | None,
    ) -> None:
        super().__init__()
        self.number: int = next(_numbers)
        self.kind: int = kind
        self.topic: str = topic
        self.body: Any = body
        self.size: int = size
        self._owner = owner
        self.timeout: float | None = timeout
        self.deadline: float | None = None if timeout is None else time.monotonic() + timeout
        # Whether a shard may have been told of it.
        self.maybe_sent: bool = False
        self.link: Carrier | None = None
        self._expiry: Expiry | None = None

    def __str__(self) -> str:
        describe = WORDS.get(self.kind)
        return describe(self._owner, self.topic, self.body) if describe is not None else "an order"

    def watch(self) -> None:
        """From now on it ends by its time."""
        if self.deadline is not None:
            self._expiry = call_at(self.deadline, self.time_out)

    def time_out(self) -> None:
        """Its time is over."""
        if not self.done:
            self.fail(self.timeout_error(self.timeout))

    def timeout_error(self, timeout: float | None) -> AwaitTimeoutError:
        """Return the error that says how it stands."""
        link = self.link
        hint = f": {link.standing()}" if link is not None else ""
        sent = self.maybe_sent
        return AwaitTimeoutError(str(self), timeout, hint=hint, maybe_sent=sent)

    def _completed(self) -> None:
        expiry, self._expiry = self._expiry, None
        if expiry is not None:
            expiry.cancel()
        link = self.link
        if link is not None:
            link.forget(self)

    def order(self) -> Order:
        """Return it as it travels."""
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        return Order(self.number, self.kind, self.topic, self.body, left)

    def lost(self, shard: int, why: str) -> None:
        """The shard that was told of it is gone."""
        self.fail(
            ShardLostError(
                f"{self}: shard {shard} was lost, and may have done it: {why}",
                shard=shard,
                maybe_sent=True,
                reason=why,
            )
        )


# How an error calls what was asked for.
WORDS: dict[int, Callable[[Any, str, Any], str]] = {
    REQUEST: lambda owner, topic, body: (
        f"the reply of {owner!r} to {shown(body[0])} on {shown(topic)}"
    ),
    CALL: lambda owner, topic, body: f"the answer of {owner!r} to a call",
    INVOKE: lambda owner, topic, body: f"the answer of {owner!r} to {body[0]}()",
    WATCH: lambda owner, topic, body: f"{owner!r} joining {shown(topic)}",
}
