"""Shards in a world of faults: never two holders, always converging.

`tests.support.shard_world` is the world. `SLIPSTREAM_EXAMPLES=20000` explores more of it.
"""

from __future__ import annotations

import os
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from slipstream_actor.contrib.ray.leases import DRIFT
from tests.support.shard_world import Shard, World

EXAMPLES = int(os.environ.get("SLIPSTREAM_EXAMPLES", "100"))
TOPICS = tuple(f"room:{number}" for number in range(6))
# After the last fault: operations that hang are executed, processes started again.
LONG_ENOUGH = 90.0

LEASE = 2.0
# Around the length of a lease above all.
MOMENTS = (0.1, 0.4, 1.0, 1.7, 1.9, 1.97, 2.0, 2.03, 2.1, 2.4, 4.1, 7.0)
PLACES = (
    "read the clock",
    "decide",
    "ask the store",
    "check",
    "deliver",
    "decide what to join",
    "join",
    "mark",
)

moments = st.sampled_from(MOMENTS)
faults = st.tuples(st.sampled_from(("freeze", "freeze", "cut", "outage")), moments, st.booleans())
which = st.integers(0, 7)
# Long enough, often, for what a fault leads to.
pauses = st.sampled_from((0.0, 0.0, 0.05, 0.3, 1.0, 2.2, 4.5))


class ShardsMachine(RuleBasedStateMachine):
    """The rules: what users, hosts, Ray and the store may do, in any order."""

    lease: float | None = LEASE

    @initialize(
        seed=st.integers(0, 2**32),
        rates=st.lists(st.sampled_from((1 - DRIFT, 1.0, 1 + DRIFT)), min_size=3, max_size=3),
        shards=st.integers(1, 4),
        topics=st.sets(st.sampled_from(TOPICS), min_size=1),
        well=st.booleans(),
    )
    def shards_begin(
        self, seed: int, rates: list[float], shards: int, topics: set[str], well: bool
    ) -> None:
        self.world = World(seed, lease=self.lease, rates=rates)
        self.world.resize(shards)
        for topic in sorted(topics):
            self.world.want(topic, True)
        if well:
            self.world.run_for(6.0)

    def one(self, number: int) -> Shard | None:
        shards = self.world.shards
        return shards[number % len(shards)] if shards else None

    # what users do

    @rule(shards=st.integers(1, 5), then=pauses)
    def resize(self, shards: int, then: float) -> None:
        self.world.resize(shards)
        self.world.run_for(then)

    @rule(topic=st.sampled_from(TOPICS), wanted=st.booleans())
    def want(self, topic: str, wanted: bool) -> None:
        self.world.want(topic, wanted)

    # what happens to processes

    @rule(number=which, then=pauses)
    def a_process_is_killed(self, number: int, then: float) -> None:
        if (shard := self.one(number)) is not None:
            self.world.end(shard)
        self.world.run_for(then)

    @rule(number=which, seconds=moments, replaced=st.booleans(), then=pauses)
    def a_process_freezes(self, number: int, seconds: float, replaced: bool, then: float) -> None:
        if (shard := self.one(number)) is not None:
            self.world.freeze(shard, seconds)
            if replaced:
                self.world.replace(shard)
        self.world.run_for(then)

    @rule(
        number=which,
        place=st.sampled_from(PLACES),
        faults=st.lists(faults, min_size=1, max_size=3),
        then=pauses,
    )
    def faults_will_strike(
        self, number: int, place: str, faults: list[tuple[str, float, bool]], then: float
    ) -> None:
        """The first when the process comes to that place, the next one when it comes again."""
        if (shard := self.one(number)) is not None:
            strikes = [partial(self.strike, shard, *fault) for fault in faults]
            shard.faults_at[place] = [*strikes]
        self.world.run_for(then)

    def strike(self, shard: Shard, how: str, seconds: float, replaced: bool = False) -> None:
        if "freeze" in how:
            self.world.freeze(shard, seconds)
        if "cut" in how:
            shard.host.cut = True
        if how == "outage":
            self.world.store.up = False
        if replaced:
            self.world.replace(shard)

    @rule(number=which, then=pauses)
    def a_process_is_taken_for_dead(self, number: int, then: float) -> None:
        if (shard := self.one(number)) is not None:
            self.world.replace(shard)
        self.world.run_for(then)

    @rule(number=which, fault=faults, slow=st.booleans(), then=pauses)
    def a_process_is_succeeded_and_does_not_see_it(
        self, number: int, fault: tuple[str, float, bool], slow: bool, then: float
    ) -> None:
        how, seconds, _ = fault
        if (shard := self.one(number)) is not None:
            self.world.strike_the_succeeded = partial(self.strike, how=how, seconds=seconds)
            self.world.store.slow = slow
            self.world.replace(shard)
        self.world.run_for(then)

    # what happens to hosts

    @rule(host=st.integers(0, 2), replaced=st.booleans(), then=pauses)
    def a_host_is_cut_off(self, host: int, replaced: bool, then: float) -> None:
        self.world.hosts[host].cut = True
        for shard in list(self.world.shards):
            if replaced and shard.host is self.world.hosts[host]:
                self.world.replace(shard)
        self.world.run_for(then)

    @precondition(lambda self: any(host.cut for host in self.world.hosts))
    @rule()
    def hosts_are_reached_again(self) -> None:
        for host in self.world.hosts:
            host.cut = False

    @precondition(lambda self: sum(host.down for host in self.world.hosts) < 2)
    @rule(host=st.integers(0, 2), then=pauses)
    def a_host_is_lost(self, host: int, then: float) -> None:
        self.world.hosts[host].down = True
        for shard in list(self.world.shards):
            if shard.host.down:
                self.world.end(shard)
        self.world.run_for(then)

    @precondition(lambda self: any(host.down for host in self.world.hosts))
    @rule()
    def hosts_are_back(self) -> None:
        for host in self.world.hosts:
            host.down = False

    # what happens to the store, the server and hints

    @rule(up=st.booleans(), slow=st.booleans(), hangs=st.sampled_from((0, 0, 1, 2, 5)), then=pauses)
    def the_store(self, up: bool, slow: bool, hangs: int, then: float) -> None:
        store = self.world.store
        store.up, store.slow, store.hangs = up, slow, hangs
        self.world.run_for(then)

    @rule(seconds=st.sampled_from((0.02, 0.02, 1.0, 12.0)), lost=st.booleans())
    def the_server_and_hints(self, seconds: float, lost: bool) -> None:
        self.world.leave_seconds, self.world.hints_are_lost = seconds, lost

    # time

    @rule(seconds=st.sampled_from((0.01, 0.1, *MOMENTS)))
    def time_passes(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @rule()
    def all_is_well_for_a_while(self) -> None:
        self.all_is_well()
        self.world.run_for(6.0)

    def all_is_well(self) -> None:
        world = self.world
        world.store.up, world.store.slow, world.store.hangs = True, False, 0
        world.leave_seconds, world.hints_are_lost = 0.02, False
        for host in world.hosts:
            host.cut = host.down = False
        for number in range(world.latest_shards()):
            world.ensure(number)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.all_is_well()
        self.world.strike_the_succeeded = None
        for shard in self.world.shards:
            shard.faults_at.clear()
        self.world.run_for(10.0)  # The last operations that hang are executed.
        begun = self.world.now
        while (undone := list(self.world.undone())) and self.world.now < begun + LONG_ENOUGH:
            self.world.run_for(1.0)
        assert not undone, "\n".join([*undone, *self.world.log[-60:]])
        self.world.run_for(6.0)
        undone = list(self.world.undone())
        assert not undone, "\n".join([*undone, *self.world.log[-60:]])


class UnleasedMachine(ShardsMachine):
    """Without leases two may hold, but it comes to an end all the same."""

    lease = None


pytestmark = pytest.mark.timeout(600 + EXAMPLES)
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLeased = ShardsMachine.TestCase
TestLeased.settings = SETTINGS
TestUnleased = UnleasedMachine.TestCase
TestUnleased.settings = settings(SETTINGS, max_examples=max(1, EXAMPLES // 4))
