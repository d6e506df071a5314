"""Shards without Ray: processes on hosts whose clocks differ, a store, a server, and time.

The decisions are the package's own (`contrib.ray`: leases, layout, placement); all else is
simulated, and what runs in a thread there is a generator here, which yields what it waits for. At
each of those places, and before and after it reads its clock, a fault can strike. The store
executes an operation some time after it was asked for, and answers some time after that; so an
operation whose answer is not awaited any more may still be executed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from slipstream_actor.contrib.ray.layout import (
    LAYOUTS,
    RELEASES,
    decide,
    decode_layout,
    encode_layout,
    layout_key,
    next_version,
    obsolete_keys,
    release_key,
    releases,
    version_of,
)
from slipstream_actor.contrib.ray.leases import (
    UNKNOWN,
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
)
from slipstream_actor.contrib.ray.placement import owner

SWEEP = 5.0
WANTED = "want/"


@dataclass(frozen=True)
class Place:
    """A place at which a fault can strike a process; nothing else happens there."""

    name: str


@dataclass(frozen=True)
class Nap:
    """Waits for so many seconds of the host's clock; a hint ends it."""

    seconds: float


Step: TypeAlias = Operation | Place | Nap
Thread: TypeAlias = Generator[Step, Any, None]


@dataclass(eq=False)
class Host:
    """A machine: how fast its clock runs, and what it reaches."""

    name: str
    rate: float
    offset: float
    cut: bool = False  # From the store; not from the server.
    down: bool = False


class Shard:
    """A process that wants to be a shard, or is it, or thinks so."""

    def __init__(self, world: World, number: int, host: Host, pid: int) -> None:
        self.world = world
        self.number = number
        self.host = host
        self.process = Process(host.name, pid, str(pid))
        self.lease = Lease(number, f"incarnation {pid}", self.process, seconds=world.lease)
        self.alive = True
        self.frozen = False
        self.late: list[Callable[[], None]] = []  # What came while it was frozen.
        self.faults_at: dict[str, list[Callable[[], None]]] = {}
        self.joined: set[str] = set()
        self.leaving: set[str] = set()
        self.version = 0
        self.napping: Callable[[], None] | None = None
        self.server_has_read_until = 0.0
        self.freezes = 0

    def __repr__(self) -> str:
        return f"<shard {self.number} {self.process.pid} on {self.host.name}>"

    def clock(self) -> float:
        return self.host.offset + self.host.rate * self.world.now

    @property
    def holds(self) -> bool:
        """Whether it would deliver if it ran now, frozen or not."""
        return self.alive and self.lease.holds(self.clock())

    # its threads

    def keep_lease(self) -> Thread:
        outcome = None
        while True:
            yield Place("read the clock")
            now = self.clock()
            yield Place("decide")
            operation = self.lease.next(now, outcome)
            if isinstance(operation, Leave):
                self.world.exit(self)
            yield Place("ask the store")
            outcome = yield operation

    def deliver(self) -> Thread:
        """Messages keep coming on each topic that the server has it joined to."""
        while True:
            yield Pause(self.world.random.choice((0.1, 0.3)))
            for topic in sorted(self.joined | self.leaving):
                before = self.freezes
                now = self.clock()
                yield Place("check")
                if self.lease.until > 0 and not self.lease.holds(now):
                    self.world.exit(self)
                yield Place("deliver")
                if self.lease.holds(now) and topic in self.joined | self.leaving:
                    self.world.delivered(self, topic, froze=self.freezes > before)

    def converge(self) -> Thread:
        while True:
            read = yield from self.read()
            yield Place("decide what to join")
            if read is not None and self.holds:
                yield from self.act(*read)
            yield Nap(SWEEP if read is not None else 0.5)

    def read(
        self,
    ) -> Generator[Step, Any, tuple[set[str], dict[int, int], dict[int, set[int]]] | None]:
        """Read the store, if it holds before that; return what there is if it could be read."""
        if not self.holds:
            return None
        keys = yield Keys(LAYOUTS)
        if keys is UNKNOWN:
            return None
        layouts: dict[int, int] = {}
        for key in keys:
            value = yield Get(key)
            if value is UNKNOWN:
                return None
            if value is not None:
                layouts[version_of(key)] = decode_layout(value)
        marks = yield Keys(RELEASES)
        wanted = yield Keys(WANTED)
        if marks is UNKNOWN or wanted is UNKNOWN:
            return None
        return {key.removeprefix(WANTED) for key in wanted}, layouts, releases(marks)

    def act(
        self, wanted: set[str], layouts: dict[int, int], released: dict[int, set[int]]
    ) -> Generator[Step, Any, None]:
        assert max(layouts, default=0) >= self.version
        decision = decide(
            self.number, wanted, layouts, released, joined=self.joined, leaving=self.leaving
        )
        self.version = decision.version or 0
        for topic in sorted(decision.leave):
            self.world.leave(self, topic)
        for topic in sorted(decision.join):
            yield Place("join")
            self.world.join(self, topic)
        if decision.release:
            yield Place("mark")
            yield PutNew(release_key(self.version, self.number), b"")
            self.world.hint()
        if decision.ends:
            self.world.exit(self, for_good=True)
        for key in obsolete_keys(layouts, released):
            if (yield Delete(key)) is UNKNOWN:
                break


class Ended(Exception):
    """Leaves a thread of a process that has ended."""


@dataclass
class Store:
    """What is written, and how the store fares."""

    values: dict[str, bytes] = field(default_factory=dict)
    up: bool = True
    slow: bool = False
    hangs: int = 0  # So many operations are executed late, and never answered.

    def execute(self, operation: Operation) -> Any:
        match operation:
            case Get(key):
                return self.values.get(key)
            case PutNew(key, value):
                if key in self.values:
                    return False
                self.values[key] = value
                return True
            case Keys(prefix):
                return [key for key in self.values if key.startswith(prefix)]
            case Delete(key):
                return self.values.pop(key, None) is not None
        raise AssertionError(operation)


class World:
    """Everything, and what happens to it."""

    def __init__(self, seed: int, *, lease: float | None, rates: list[float]) -> None:
        self.random = random.Random(seed)
        self.lease = lease
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.pids = itertools.count(1)
        self.hosts = [Host(f"host {i}", r, 1000.0 * (i + 1)) for i, r in enumerate(rates)]
        self.store = Store()
        self.shards: list[Shard] = []
        self.current: dict[int, Shard | None] = {}  # Whom Ray takes for each shard.
        self.channels: set[tuple[Shard, str]] = set()
        self.leave_seconds = 0.02
        self.hints_are_lost = False
        self.strike_the_succeeded: Callable[[Shard], None] | None = None
        self.log: list[str] = []

    # time

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), what))

    def run_for(self, seconds: float) -> None:
        end = self.now + seconds
        while self.events and self.events[0][0] <= end:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = end

    def note(self, text: str) -> None:
        self.log.append(f"{self.now:8.3f} {text}")

    # processes

    def start(self, number: int) -> None:
        """Do what Ray does for a shard that has no process, if it is still one."""
        up = [host for host in self.hosts if not host.down]
        if self.current.get(number) is not None or number not in self.current or not up:
            return
        shard = Shard(self, number, self.random.choice(up), next(self.pids))
        self.note(f"{shard} starts")
        self.shards.append(shard)
        self.current[number] = shard
        for thread in (shard.keep_lease(), shard.deliver(), shard.converge()):
            self.run(shard, thread)

    def ensure(self, number: int) -> None:
        """Have a shard exist."""
        if self.current.setdefault(number, None) is None:
            self.later(self.random.choice((0.05, 0.3, 1.0)), lambda: self.start(number))

    def end(self, shard: Shard, *, for_good: bool = False) -> None:
        if not shard.alive:
            return
        self.note(f"{shard} ends")
        shard.alive = False
        self.shards.remove(shard)
        self.channels = {(who, topic) for who, topic in self.channels if who is not shard}
        if self.current.get(shard.number) is shard:
            del self.current[shard.number]
            if not for_good or shard.number < self.latest_shards():
                self.ensure(shard.number)

    def exit(self, shard: Shard, *, for_good: bool = False) -> None:
        """A process ends itself."""
        self.end(shard, for_good=for_good)
        raise Ended

    def replace(self, shard: Shard) -> None:
        """Ray takes a process for dead, which it is not."""
        if self.current.get(shard.number) is shard:
            self.note(f"{shard} is taken for dead")
            self.current[shard.number] = None
            self.ensure(shard.number)

    def freeze(self, shard: Shard, seconds: float) -> None:
        if not shard.frozen:
            self.note(f"{shard} freezes for {seconds}")
            shard.frozen = True
            shard.freezes += 1
            self.later(seconds, lambda: self.thaw(shard))

    def thaw(self, shard: Shard) -> None:
        if shard.frozen:
            self.note(f"{shard} thaws")
            shard.frozen = False
            late, shard.late = shard.late, []
            for what in late:
                self.later(0.0, lambda what=what: self.in_process(shard, what))  # type: ignore[misc]

    def in_process(self, shard: Shard, what: Callable[[], None]) -> None:
        if not shard.alive:
            return
        if shard.frozen:
            shard.late.append(what)
        else:
            what()

    # threads

    def run(self, shard: Shard, thread: Thread) -> None:
        self.in_process(shard, lambda: self.resume(shard, thread, None))

    def resume(self, shard: Shard, thread: Thread, value: Any) -> None:
        try:
            step = thread.send(value)
        except (StopIteration, Ended):
            return
        finally:
            self.check()
        match step:
            case Place(name):
                if faults := shard.faults_at.get(name):
                    faults.pop(0)()
                self.in_process(shard, lambda: self.resume(shard, thread, None))
            case _:
                self.wait(shard, step, self.once(shard, thread))

    def once(self, shard: Shard, thread: Thread) -> Callable[[Any], None]:
        """Return what resumes a thread with the first of several values."""
        resumed = False

        def resume(value: Any) -> None:
            nonlocal resumed
            if not resumed:
                resumed = True
                self.resume(shard, thread, value)

        return lambda value: self.in_process(shard, lambda: resume(value))

    def wait(self, shard: Shard, step: Step, resume: Callable[[Any], None]) -> None:
        match step:
            case Pause(seconds):
                self.later(seconds / shard.host.rate, lambda: resume(None))
            case Nap(seconds):
                shard.napping = lambda: resume(None)
                self.later(seconds / shard.host.rate, lambda: resume(None))
            case IsGone(process):
                here = process.host == shard.host.name
                alive = any(other.process == process for other in self.shards)
                self.later(0.0, lambda: resume(here and not alive))
            case Place() | Leave():
                raise AssertionError(step)
            case _:
                self.later(shard.lease.patience / shard.host.rate, lambda: resume(UNKNOWN))
                self.ask_store(shard, step, resume)

    def ask_store(self, shard: Shard, operation: Operation, resume: Callable[[Any], None]) -> None:
        on_the_way = self.random.uniform(0.0, 0.01)
        on_the_way_back = self.random.uniform(0.0, 0.01)
        if self.store.slow:
            on_the_way = self.random.choice((0.0, 0.05, 0.15, 0.19))
            on_the_way_back = self.random.choice((0.0, 0.05, 0.15, 0.19))
        answered = True
        if self.store.hangs and not isinstance(operation, Get | Keys):
            self.store.hangs -= 1
            answered = False
            on_the_way = self.random.choice((0.1, 1.0, 3.0, 9.0))
        elif not self.store.up or shard.host.cut:
            return

        def execute() -> None:
            outcome = self.store.execute(operation)
            if not isinstance(operation, Get | Keys):
                self.note(f"{shard} {operation} -> {outcome}")
            if isinstance(operation, PutNew) and operation.key.startswith("holder/") and outcome:
                self.claimed(shard)
            if answered:
                self.later(on_the_way_back, lambda: resume(outcome))

        self.later(on_the_way, execute)

    def claimed(self, shard: Shard) -> None:
        """A claim has just been written: the moment at which others matter most."""
        strike, self.strike_the_succeeded = self.strike_the_succeeded, None
        if strike is not None:
            for other in [other for other in self.shards if other.number == shard.number]:
                if other is not shard:
                    strike(other)

    def hint(self) -> None:
        if not self.hints_are_lost:
            for shard in self.shards:
                if shard.napping is not None:
                    shard.napping()

    # the server

    def at_server(self, shard: Shard, seconds: float, what: Callable[[], None]) -> None:
        """The server takes what a connection brings in its order."""
        at = max(self.now + seconds, shard.server_has_read_until)
        shard.server_has_read_until = at
        self.later(at - self.now, lambda: what() if shard.alive else None)

    def join(self, shard: Shard, topic: str) -> None:
        self.note(f"{shard} joins {topic}")
        shard.joined.add(topic)
        self.at_server(shard, 0.02, lambda: self.channels.add((shard, topic)))

    def leave(self, shard: Shard, topic: str) -> None:
        self.note(f"{shard} leaves {topic}")
        shard.joined.remove(topic)
        shard.leaving.add(topic)

        def answer() -> None:
            shard.leaving.discard(topic)
            if shard.napping is not None:
                shard.napping()

        def left() -> None:
            self.channels.discard((shard, topic))
            self.later(0.01, lambda: self.in_process(shard, answer))

        self.at_server(shard, self.leave_seconds, left)

    # what users do; the store takes it at once

    def latest_shards(self) -> int:
        return self.layouts()[max(self.layouts())]

    def layouts(self) -> dict[int, int]:
        found = (key for key in self.store.values if key.startswith(LAYOUTS))
        return {version_of(key): decode_layout(self.store.values[key]) for key in found}

    def resize(self, shards: int) -> None:
        version = next_version(self.layouts(), shards)
        if version is not None:
            self.note(f"layout {version}: {shards} shards")
            self.store.values[layout_key(version)] = encode_layout(shards)
            for number in range(shards):
                self.ensure(number)
            self.hint()

    def want(self, topic: str, wanted: bool) -> None:
        if wanted:
            self.store.values[f"{WANTED}{topic}"] = b"{}"
        else:
            self.store.values.pop(f"{WANTED}{topic}", None)
        self.hint()

    def wanted(self) -> set[str]:
        keys = self.store.values
        return {key.removeprefix(WANTED) for key in keys if key.startswith(WANTED)}

    # what must hold

    def check(self) -> None:
        """No two processes hold a shard, none can deliver the same topic."""
        if self.lease is None:
            return
        holders = [shard for shard in self.shards if shard.holds]
        numbers = [shard.number for shard in holders]
        assert len(set(numbers)) == len(numbers), f"two hold: {holders}"
        topics = [topic for shard in holders for topic in shard.joined | shard.leaving]
        assert len(set(topics)) == len(topics), f"two deliver: {holders}"

    def delivered(self, shard: Shard, topic: str, *, froze: bool) -> None:
        """Only what was about to be handed over when its process froze may come late."""
        if self.lease is None:
            return
        others = [
            other
            for other in self.shards
            if other is not shard and other.holds and topic in other.joined | other.leaving
        ]
        assert shard.holds or froze, f"{shard} delivers {topic} without its lease"
        assert not others or froze, f"{shard} and {others} deliver {topic}"

    def undone(self) -> Iterator[str]:
        """Yield what is not yet as it is wanted."""
        shards = self.latest_shards()
        everybody = {shard: shard.number for shard in self.shards}
        if sorted(everybody.values()) != list(range(shards)):
            yield f"there are {self.shards}"
        if any(not shard.holds for shard in self.shards):
            yield f"not all hold of {self.shards}"
        joined = sorted((shard.number, topic) for shard, topic in self.channels)
        if joined != sorted((owner(topic, shards), topic) for topic in self.wanted()):
            yield f"joined are {joined}"
        if len(self.layouts()) > 1 or any(k.startswith(RELEASES) for k in self.store.values):
            yield f"there are still {sorted(self.store.values)}"
