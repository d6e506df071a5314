"""The lease of a shard, step by step; `test_model.py` has what several processes make of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from slipstream_actor.contrib.ray.leases import (
    DRIFT,
    UNKNOWN,
    Claim,
    Delete,
    Get,
    IsGone,
    Keys,
    Lease,
    Leave,
    Operation,
    Pause,
    Process,
    PutNew,
    decode_claim,
    encode_claim,
)

SECONDS = 2.0
HERE = Process("here", 20, "then")
FORMER = Process("here", 10, "before")


def claim(generation: int, incarnation: str = "other", process: Process = FORMER) -> Claim:
    return Claim(generation, incarnation, process)


class Driver:
    """Does what a lease says, in a store that is a dict, and a clock that only pauses move."""

    def __init__(self, lease: Lease, *claims: Claim, held: int | None = None) -> None:
        self.lease = lease
        self.now = 100.0
        self.store = {f"holder/3/{c.generation}": encode_claim(c) for c in claims}
        if held is not None:
            self.store[f"held/3/{held}"] = b""
        self.gone = True
        self.done: list[Operation] = []
        self.paused = 0.0
        self.has_held = False
        self.takes = 0.0
        self.outcome: object = None
        self.operation = lease.next(self.now)

    def execute(self) -> object:
        match self.operation:
            case Get(key):
                return self.store.get(key)
            case Keys(prefix):
                return [key for key in self.store if key.startswith(prefix)]
            case PutNew(key, value):
                return self.store.setdefault(key, value) is value
            case Delete(key):
                return self.store.pop(key, None)
            case IsGone(process):
                assert process == FORMER
                return self.gone
            case Pause(seconds):
                self.now += seconds
                self.paused += seconds
        return None

    def step(self, outcome: object = None) -> Operation:
        """Execute an operation, and have it take a while; or have it fail."""
        self.done.append(self.operation)
        executed = self.execute() if outcome is None else outcome
        if not isinstance(self.operation, Pause):
            self.now += self.takes
        self.operation = self.lease.next(self.now, executed)
        self.has_held = self.has_held or self.lease.holds(self.now)
        return self.operation

    def until(self, is_reached: Callable[[], bool]) -> None:
        for _ in range(200):
            if is_reached():
                return
            self.step()
        raise AssertionError(f"never reached; last {self.done[-5:]}")

    def until_it_is(self, *kinds: type) -> None:
        self.until(lambda: isinstance(self.operation, kinds))

    def pauses_for(self, seconds: float) -> bool:
        return isinstance(self.operation, Pause) and self.operation.seconds == pytest.approx(
            seconds
        )

    @property
    def holder(self) -> Claim:
        keys = [key for key in self.store if key.startswith("holder/3/")]
        return decode_claim(self.store[max(keys, key=lambda key: int(key.rpartition("/")[2]))])


def lease(seconds: float | None = SECONDS) -> Lease:
    return Lease(3, "mine", HERE, seconds=seconds)


def holding(*claims: Claim, seconds: float | None = SECONDS, held: int | None = None) -> Driver:
    machine = lease(seconds)
    driver = Driver(machine, *claims, held=held)
    driver.until(lambda: machine.holds(driver.now))
    return driver


# to begin to hold


def test_where_nobody_was_it_holds_at_once() -> None:
    driver = holding()
    assert driver.paused == 0
    assert driver.holder == Claim(1, "mine", HERE)


def test_after_another_it_waits_for_one_lease_and_the_drift() -> None:
    driver = holding(claim(7))
    assert driver.paused == pytest.approx(SECONDS * (1 + DRIFT))
    assert driver.holder == Claim(8, "mine", HERE)
    assert driver.lease.generation == 8


def test_the_wait_begins_when_the_claim_is_known_to_be_written() -> None:
    driver = Driver(lease(), claim(7))
    driver.until_it_is(PutNew)
    driver.takes = 0.3
    driver.step()
    assert driver.pauses_for(SECONDS * (1 + DRIFT))


def test_a_pause_that_ends_early_goes_on() -> None:
    machine = lease()
    driver = Driver(machine, claim(7))
    driver.until_it_is(PutNew)
    driver.step()
    driver.now += 0.5
    driver.operation = machine.next(driver.now)
    assert driver.pauses_for(SECONDS * (1 + DRIFT) - 0.5)


def test_after_one_that_held_here_and_is_gone_it_holds_at_once() -> None:
    driver = holding(claim(7), held=7)
    assert driver.paused == 0
    assert driver.holder.generation == 8


@pytest.mark.parametrize("why", ["alive", "never held", "held is unknown"])
def test_it_waits_when_the_former_one_is_not_surely_over(why: str) -> None:
    driver = Driver(lease(), claim(6), claim(7), held=6 if why == "never held" else 7)
    driver.gone = why != "alive"
    while not isinstance(driver.operation, PutNew):
        asks = driver.operation == Get("held/3/7") and why == "held is unknown"
        driver.step(UNKNOWN if asks else None)
    driver.step()
    assert isinstance(driver.operation, Pause)


def test_whoever_is_overtaken_while_it_waits_leaves() -> None:
    driver = Driver(lease(), claim(7))
    driver.until_it_is(Pause)
    driver.store["holder/3/9"] = encode_claim(claim(9, "newer"))
    driver.until_it_is(Leave)
    assert not driver.has_held


def test_a_claim_that_another_was_faster_with_is_made_above_it() -> None:
    driver = Driver(lease())
    driver.until_it_is(PutNew)
    driver.store["holder/3/1"] = encode_claim(claim(1, "faster"))
    driver.until(lambda: driver.lease.holds(driver.now))
    assert driver.holder == Claim(2, "mine", HERE)
    assert driver.paused >= SECONDS


def test_a_claim_below_the_highest_is_none() -> None:
    """The generation was written, since somebody has deleted it after it had been written."""
    driver = Driver(lease())
    driver.until_it_is(PutNew)
    driver.store["holder/3/5"] = encode_claim(claim(5))
    driver.until_it_is(Leave)
    assert not driver.has_held


@pytest.mark.parametrize("written", [True, False])
def test_a_claim_of_unknown_outcome_is_looked_for(written: bool) -> None:
    driver = Driver(lease(), claim(7), held=7)
    driver.until_it_is(PutNew)
    if written:
        driver.execute()
    driver.step(UNKNOWN)
    driver.until(lambda: driver.lease.holds(driver.now))
    assert driver.holder == Claim(8, "mine", HERE)
    # When it was written is not known, nor upon whom one would not have to wait.
    assert (driver.paused >= SECONDS) == written


def test_a_store_that_is_away_is_asked_again_after_a_while() -> None:
    machine = lease()
    driver = Driver(machine)
    for _ in range(10):
        driver.until_it_is(Keys)
        driver.step(UNKNOWN)
        assert driver.pauses_for(machine.patience)
    driver.until(lambda: machine.holds(driver.now))


# to hold


def test_a_lease_is_counted_from_before_it_was_looked_and_short_by_the_drift() -> None:
    machine = lease()
    driver = Driver(machine)
    driver.takes = 0.15
    driver.until_it_is(PutNew)
    driver.until_it_is(Keys)
    began = driver.now
    driver.until(lambda: machine.holds(driver.now))
    assert machine.until == pytest.approx(began + SECONDS * (1 - DRIFT))
    driver.until_it_is(Pause)
    driver.until(lambda: driver.operation == Get("holder/3/2"))
    began = driver.now
    driver.until_it_is(Pause)
    assert driver.now > began
    assert machine.until == pytest.approx(began + SECONDS * (1 - DRIFT))


def test_it_looks_five_times_a_lease() -> None:
    driver = holding()
    begun, driver.done = driver.now, []
    driver.until(lambda: driver.now >= begun + 10 * SECONDS)
    looks = [step for step in driver.done if step == Get("holder/3/2")]
    assert len(looks) in (50, 51)


def test_a_look_that_fails_changes_nothing_and_one_that_succeeds_does() -> None:
    machine = (driver := holding()).lease
    until = machine.until
    for key in ("holder/3/2", "holder/3/1"):
        driver.until(lambda key=key: driver.operation == Get(key))  # type: ignore[misc]
        until = machine.until
        driver.step(UNKNOWN)
        driver.until_it_is(Pause)
        assert machine.until == until
    driver.step()
    driver.until_it_is(Pause)
    assert machine.until > until


def test_what_is_not_confirmed_within_a_lease_fences() -> None:
    machine = (driver := holding()).lease
    until = machine.until
    while not isinstance(driver.operation, Leave):
        assert driver.now < until + 2 * machine.patience
        driver.step(UNKNOWN if isinstance(driver.operation, Get) else None)
    assert driver.now >= until
    assert not machine.holds(until)


def test_nothing_is_delivered_after_the_lease_whatever_hangs() -> None:
    machine = (driver := holding()).lease
    assert machine.holds(machine.until - 0.001)
    assert not machine.holds(machine.until)
    assert driver.now < machine.until


def test_a_look_that_is_answered_after_the_lease_is_none() -> None:
    """A process that was frozen does not go on when it thaws."""
    machine = (driver := holding()).lease
    driver.until(lambda: driver.operation == Get("holder/3/1"))
    driver.takes = SECONDS
    assert isinstance(driver.step(), Leave)
    assert machine.until == -math.inf


def test_whoever_sees_a_claim_above_its_own_leaves_and_stays_so() -> None:
    machine = (driver := holding()).lease
    driver.store["holder/3/2"] = encode_claim(claim(2))
    driver.until_it_is(Leave)
    assert driver.operation == Leave("another process has claimed the shard")
    assert not machine.holds(driver.now)
    del driver.store["holder/3/2"]
    for _ in range(3):
        assert isinstance(driver.step(), Leave)
    assert not machine.holds(driver.now)


@pytest.mark.parametrize("others", [[], [claim(5)], [claim(1)]])
def test_whose_claim_is_gone_leaves(others: list[Claim]) -> None:
    """A later holder has deleted it, or the store has lost what it had."""
    driver = holding()
    del driver.store["holder/3/1"]
    driver.store |= {f"holder/3/{other.generation}": encode_claim(other) for other in others}
    driver.until_it_is(Leave)
    assert not driver.lease.holds(driver.now)


def test_that_it_has_held_is_written_and_older_claims_are_deleted_the_oldest_first() -> None:
    driver = holding(claim(4), claim(5), claim(6), held=5)
    driver.until(lambda: sorted(driver.store) == ["held/3/7", "holder/3/7"])
    deleted = [step.key for step in driver.done if isinstance(step, Delete)]
    assert [key for key in deleted if key.startswith("holder/")] == [
        "holder/3/4",
        "holder/3/5",
        "holder/3/6",
    ]


def test_a_chore_that_fails_is_done_later_and_looks_go_on_meanwhile() -> None:
    machine = (driver := holding(claim(6))).lease
    driver.until_it_is(PutNew)
    for _ in range(20):
        assert machine.holds(driver.now)
        driver.until_it_is(PutNew)
        driver.step(UNKNOWN)
    driver.until(lambda: sorted(driver.store) == ["held/3/7", "holder/3/7"])


# without a lease


def test_without_a_lease_nobody_waits_and_time_fences_nobody() -> None:
    machine = (driver := holding(claim(7), seconds=None)).lease
    assert driver.paused == 0
    for _ in range(100):
        driver.step(UNKNOWN if not isinstance(driver.operation, Pause) else None)
    assert machine.holds(driver.now)
    driver.store.clear()
    for _ in range(100):
        driver.step()
    assert machine.holds(driver.now)


@pytest.mark.parametrize("generation", [1, 9, 8])
def test_without_a_lease_another_claim_fences_all_the_same(generation: int) -> None:
    """Also when the own one is gone, and whatever its number: the store has begun anew."""
    driver = holding(claim(7), seconds=None)
    driver.store = {f"holder/3/{generation}": encode_claim(claim(generation))}
    driver.until_it_is(Leave)
    assert not driver.lease.holds(driver.now)
