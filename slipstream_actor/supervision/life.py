"""What a handle knows of the client of one process, and the requests that wait for it."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import suppress
from typing import Any, Generic, TypeVar

from msgspec import UNSET
from pykka import ActorRef

from slipstream_actor.actors.exit import begins_exit
from slipstream_actor.actors.expiry import Expiry
from slipstream_actor.actors.forks import current_epoch, ended_for
from slipstream_actor.actors.one_at_a_time import OneAtATime
from slipstream_actor.actors.shared import Ordered, snapshot
from slipstream_actor.client.asking import submit
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.client.requests import MOST_REQUESTS
from slipstream_actor.client.subscriptions import Subscription

__all__ = ["Life"]

C = TypeVar("C", bound=ClientActor)

# Seconds before a client that has ended is started again: doubled each time, and the first one
# again when a client has lasted for `STABLE`.
FIRST_DELAY, LONGEST_DELAY, STABLE = 0.1, 30.0, 60.0
# For how long the exit waits for who notes an end.
SHORTLY = 0.5

# Those that there are, for the exit.
_lives: weakref.WeakSet[Life[Any]] = weakref.WeakSet()


class WaitingRequests:
    """Requests for the next client, in the order in which they came, until they have an outcome."""

    def __init__(self) -> None:
        # By their numbers, as those that `Requests` has.
        self.open: Ordered[int, PendingRequest] = Ordered()

    def __len__(self) -> int:
        return len(self.open)

    def add(self, request: PendingRequest) -> None:
        """Have it wait."""
        request.owner = self
        self.open[request.number] = request
        if request.done:  # It was, before it stood there.
            self.forget(request)

    def take(self) -> PendingRequest | None:
        """Take out the first one, `None` when there is none."""
        return self.open.pop_first()

    def forget(self, request: PendingRequest) -> None:
        """It has an outcome."""
        self.open.pop(request.number)


class Life(Generic[C]):
    """What a handle knows of the client of one process; a forked child begins with a new one."""

    def __init__(self) -> None:
        self.epoch: int = current_epoch()
        # Reentrant: a signal handler may use the handle while it is held.
        self.lock: threading.RLock = threading.RLock()
        self.ref: ActorRef[C] | None = None
        self.restarts: int = 0
        self.started_at: float = 0.0
        self.delay: float = FIRST_DELAY
        # While a client is to be started again: when, what sees to it, and what the last one has
        # ended for.
        self.due: float | None = None
        self.start: Expiry | None = None
        self.reason: Any = None
        self.waiting: WaitingRequests = WaitingRequests()
        # As the last client had it: how many may wait for the next one.
        self.most_requests: int = MOST_REQUESTS
        self.handing_out: bool = False
        self._one_at_a_time: OneAtATime = OneAtATime()
        self.subscriptions: weakref.WeakSet[Subscription] = weakref.WeakSet()
        # What it has ended for, for good: any reason, `None` too.
        self.stopped: Any = UNSET
        self.starting: bool = False
        self.starter: int = 0
        # `run` has it: its client is not started again.
        self.final: bool = False
        _lives.add(self)

    @property
    def state(self) -> str:
        """`"not started"`, `"running"`, `"restarting"` or `"stopped"`."""
        if self.stopped is not UNSET:
            return "stopped"
        if self.due is not None:
            return "restarting"
        return "running" if self.ref is not None else "not started"

    @property
    def is_idle(self) -> bool:
        """Whether there is no client, and nobody starts one by himself."""
        return self.state == "not started" and not self.starting

    def hand_out(self) -> None:
        """Hand what waits to the client that is there; fail it where there never will be one."""
        self._one_at_a_time.do(self._can_hand_out, self._hand_out_all)

    def _can_hand_out(self) -> bool:
        return bool(self.waiting) and (self.stopped is not UNSET or self.ref is not None)

    def _hand_out_all(self) -> None:
        try:
            self.handing_out = True
            while self._can_hand_out():
                self._hand_out_first()
        finally:
            self.handing_out = False

    def _hand_out_first(self) -> None:
        ref = self.ref
        if ref is None and self.stopped is UNSET:
            return  # It has ended this very moment: what waits is for the next one.
        request = self.waiting.take()
        if request is None:
            return  # It has timed out this very moment.
        if ref is None:
            request.fail(ended_for(self.stopped, str(request)))
        elif not request.done:
            with suppress(Exception):  # It has failed with it.
                submit(request, ref)

    def fail_all(self, error: BaseException) -> None:
        """Fail what waits."""
        while (request := self.waiting.take()) is not None:
            request.fail(error)

    def make_final(self, *, final: bool) -> None:
        """Have the client's end be that of its subscriptions too, or no longer."""
        self.final = final
        for subscription in snapshot(self.subscriptions):
            subscription.outlives = not final

    def end_at_exit(self) -> None:
        """No client comes any more: what goes on with the next one is over."""
        # In this order: without the lock too, it is never as one not started yet.
        self.stopped, self.due, self.ref = "shutdown", None, None
        for subscription in snapshot(self.subscriptions):
            subscription.end()

    def end_if_restarting(self) -> None:
        """At the exit: wait no longer for the time of the next start."""
        # Who is starting one has the lock for as long, and sees that it is the exit.
        if self.starting or not self.lock.acquire(timeout=SHORTLY):
            return
        try:
            if self.due is not None:
                self.end_at_exit()
        finally:
            self.lock.release()
        self.hand_out()

    def next_delay(self) -> float:
        """Return the seconds until the next start."""
        if self.ref is not None and time.monotonic() - self.started_at > STABLE:
            self.delay = FIRST_DELAY
        delay, self.delay = self.delay, min(LONGEST_DELAY, 2 * self.delay)
        return delay


@begins_exit
def end_restarting() -> None:
    """End what would start a client again: it would be none, and somebody may wait for it."""
    for life in snapshot(_lives):
        if life.epoch == current_epoch():
            life.end_if_restarting()
