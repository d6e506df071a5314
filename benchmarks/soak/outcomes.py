"""Pushes that asked for an outcome, and what became of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from slipstream_actor import Ref, SlipstreamError

REPLY = "reply"


class OutcomeCounts:
    """The counts of all clients. Every push that was asked for comes to one outcome."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = 0
        self.outcomes: Counter[str] = Counter()
        # A reply that comes after the push has timed out reaches `handle_reply` all the same.
        self.late = 0
        self.wrong: list[str] = []

    @property
    def settled(self) -> int:
        """How many pushes have come to an outcome."""
        with self.lock:
            return self.outcomes.total()

    @property
    def open(self) -> int:
        """How many pushes have none."""
        with self.lock:
            return self.asked - self.outcomes.total()


class PushLedger:
    """The pushes of one client in one of its lives: refs are not used twice in one.

    With `shared`, other threads than the client's push too, and an outcome may be there before
    the push has returned the ref.
    """

    def __init__(self, counts: OutcomeCounts, *, shared: bool = False) -> None:
        self._counts = counts
        self._shared = shared
        self._open: set[str] = set()
        self._early: dict[str, str] = {}

    def push(self, push: Callable[[], Ref]) -> Ref | None:
        """Make a push; an error raised at the call is an outcome, and `None` is returned."""
        counts = self._counts
        with counts.lock:
            counts.asked += 1
        try:
            ref = push()
        except SlipstreamError as error:
            with counts.lock:
                counts.outcomes[f"raised {type(error).__name__}"] += 1
            return None
        with counts.lock:
            if ref in self._early:
                counts.outcomes[self._early.pop(ref)] += 1
            else:
                self._open.add(ref)
        return ref

    def settle(self, ref: str, outcome: str) -> None:
        """Note the outcome of a push."""
        with self._counts.lock:
            if ref in self._open:
                self._open.remove(ref)
                self._counts.outcomes[outcome] += 1
            elif self._shared and ref not in self._early:
                self._early[ref] = outcome
            else:
                self._again(ref, outcome)

    def close(self) -> None:
        """The life is over: what came for no push was a second outcome."""
        with self._counts.lock:
            for ref, outcome in self._early.items():
                self._again(ref, outcome)
            self._early.clear()
            if self._open:
                self._counts.wrong.append(f"no outcome for {sorted(self._open)}")

    def _again(self, ref: str, outcome: str) -> None:
        if outcome == REPLY:
            self._counts.late += 1
        else:
            self._counts.wrong.append(f"a second outcome for push {ref}: {outcome}")
