"""A few processes that want to be one shard, each delayed wherever it can be: never two hold.

Smaller than `test_model.py`, and so nearer to the moments that matter. `SLIPSTREAM_EXAMPLES=100000`
explores more of it.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream_actor.contrib.ray.leases import (
    DRIFT,
    UNKNOWN,
    IsGone,
    Lease,
    Leave,
    Operation,
    Pause,
    Process,
)
from tests.support.shard_world import Store

EXAMPLES = int(os.environ.get("SLIPSTREAM_EXAMPLES", "100"))
SECONDS = 2.0
END = 11.0


class Delays(NamedTuple):
    """Of one step, in true seconds: frozen before it is begun, on the way to the store and back,
    frozen before the clock is read, and after."""

    before: float = 0.0
    there: float = 0.0
    back: float = 0.0
    clock: float = 0.0
    after: float = 0.0


class Plan(NamedTuple):
    """What becomes of a process."""

    host: int
    well: int  # So many steps go well,
    delays: list[Delays]  # and then so.
    cut: int  # So many steps after those that go well still reach the store.
    dies: float
    next_after: float  # The next one starts so long after that has begun.


freezes = st.sampled_from((0.0, 1.0, 1.7, 2.5))
ways = st.sampled_from((0.0, 0.19, 0.2, 1.0, 2.2))
no = st.just(0.0)
delays = st.one_of(
    st.builds(Delays, freezes, no, no, no, no),
    st.builds(Delays, no, ways, ways, no, no),
    st.builds(Delays, no, no, no, freezes, no),
    st.builds(Delays, no, no, no, no, freezes),
    st.builds(Delays, freezes, ways, ways, freezes, freezes),
)
plans = st.builds(
    Plan,
    st.integers(0, 1),
    st.integers(0, 9),
    st.lists(delays, max_size=3),
    st.sampled_from((0, 1, 1, 2, 3, 99, 99)),
    st.sampled_from((0.5, 2.5, 99.0, 99.0)),
    st.sampled_from((0.0, 0.0, 0.1, 0.3, 1.0, 2.1)),
)
rates = st.lists(st.sampled_from((1 - DRIFT, 1.0, 1 + DRIFT)), min_size=2, max_size=2)


class Contest:
    """All of them, and their store."""

    def __init__(self, plans: list[Plan], rates: list[float]) -> None:
        self.now = 0.0
        self.rates = rates
        self.store = Store()
        self.order = itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.contenders = [Contender(self, number, plan) for number, plan in enumerate(plans)]
        self.wins: list[int] = []
        self.waiting = list(self.contenders)
        self.start_next()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), what))

    def start_next(self) -> None:
        if self.waiting:
            self.waiting.pop(0).start()

    def run(self) -> None:
        while self.events and self.events[0][0] < END:
            self.now, _, what = heapq.heappop(self.events)
            what()
            holders = [c.number for c in self.contenders if c.holds]
            assert len(holders) < 2, f"at {self.now:.3f} {holders} hold"
            if holders and holders != self.wins[-1:]:
                self.wins += holders


class Contender:
    """A process that wants the lease."""

    def __init__(self, contest: Contest, number: int, plan: Plan) -> None:
        self.contest = contest
        self.number = number
        self.plan = plan
        self.steps = 0
        process = Process(str(plan.host), number, "")
        self.lease = Lease(0, str(number), process, seconds=SECONDS)
        self.started = END

    def start(self) -> None:
        self.started = self.contest.now
        self.go_on(self.clock(), None)

    def clock(self) -> float:
        return 500.0 * (self.plan.host + 1) + self.contest.now * self.contest.rates[self.plan.host]

    @property
    def alive(self) -> bool:
        return self.contest.now < self.started + self.plan.dies

    @property
    def holds(self) -> bool:
        return self.alive and self.lease.holds(self.clock())

    def go_on(self, now: float, outcome: object) -> None:
        if not self.alive:
            return
        step = self.steps
        self.steps += 1
        plan = self.plan
        if step == plan.well:
            self.contest.later(plan.next_after, self.contest.start_next)
        ill = dict(enumerate(plan.delays, plan.well))
        took = ill.get(step, Delays())
        operation = self.lease.next(now, outcome)
        contest = self.contest

        def read_clock(outcome: object) -> None:
            now = self.clock()
            contest.later(took.after, lambda: self.go_on(now, outcome))

        answer = first(lambda outcome: contest.later(took.clock, lambda: read_clock(outcome)))
        match operation:
            case Leave():
                return
            case Pause(seconds):
                contest.later(seconds / contest.rates[plan.host], lambda: answer(None))
            case IsGone(process):
                other = contest.contenders[process.pid]
                answer(process.host == str(plan.host) and not other.alive)
            case _:
                reached = step < plan.well + plan.cut
                contest.later(took.before, lambda: self.ask(operation, took, reached, answer))

    def ask(
        self, operation: Operation, took: Delays, reached: bool, answer: Callable[[object], None]
    ) -> None:
        contest = self.contest

        def execute() -> None:
            outcome = contest.store.execute(operation)
            contest.later(took.back, lambda: answer(outcome))

        patience = self.lease.patience / contest.rates[self.plan.host]
        contest.later(patience, lambda: answer(UNKNOWN))
        if reached:
            contest.later(took.there, execute)


def first(take: Callable[[object], None]) -> Callable[[object], None]:
    """Return what takes the first of several answers."""
    taken = False

    def answer(outcome: object) -> None:
        nonlocal taken
        if not taken:
            taken = True
            take(outcome)

    return answer


@given(st.lists(plans, min_size=2, max_size=4), rates)
@settings(max_examples=6 * EXAMPLES, deadline=None)
def test_never_two_hold(plans: list[Plan], rates: list[float]) -> None:
    Contest(plans, rates).run()


def test_one_after_the_other_holds() -> None:
    """Such contests as these do have winners."""
    plan = Plan(0, 12, [], 99, 99.0, 0.0)
    contest = Contest([plan._replace(cut=0), plan._replace(host=1)], [1.0, 1.0])
    contest.run()
    assert contest.wins == [0, 1]


pytestmark = pytest.mark.timeout(600 + EXAMPLES)
