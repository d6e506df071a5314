"""`python -m benchmarks.shards`: a client through Ray beside one in the process that asks.

    python -m benchmarks.shards --rounds 5

Requests one by one and 100 at once, messages to a subscriber from one shard and from two, and what
it costs to create shards and to attach to them. Medians; needs the extra `ray`. Nothing is pinned
to a core: there are five processes besides Ray's own.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import ray

from benchmarks.plain_server import running_server
from slipstream_actor import (
    ClientActor,
    ClientHandle,
    Future,
    MessageReceived,
    Reply,
    Socket,
    connect,
)
from slipstream_actor.contrib.ray import Shards

TOPICS = ["rooms:0", "rooms:1", "rooms:2", "rooms:3"]
PATIENCE = 60.0
SIZE = 64


class Rooms(ClientActor):
    """In the process it joins by itself; in a shard the topics come from outside."""

    def init(self, uri: str, topics: tuple[str, ...] = ()) -> Socket:
        socket = connect(uri)
        for topic in topics:
            socket = socket.join(topic)
        return socket


class Asked:
    """A client, in the process or elsewhere."""

    def __init__(
        self, request: Callable[..., Future[Reply]], subscribe: Callable[..., Any]
    ) -> None:
        self.request, self.subscribe = request, subscribe

    def one_by_one(self, count: int) -> float:
        began = perf_counter()
        for number in range(count):
            self.request(TOPICS[0], "echo", {"i": number}, timeout=PATIENCE).get()
        return count / (perf_counter() - began)

    def in_flight(self, count: int, most: int = 100) -> float:
        began = perf_counter()
        waiting: list[Future[Reply]] = []
        for number in range(count):
            if len(waiting) == most:
                waiting.pop(0).get()
            topic = TOPICS[number % len(TOPICS)]
            waiting.append(self.request(topic, "echo", {"i": number}, timeout=PATIENCE))
        for future in waiting:
            future.get()
        return count / (perf_counter() - began)

    def inbound(self, topics: list[str], count: int) -> float:
        """Messages of several topics at once, to one subscriber."""
        with self.subscribe(event="tick", size=100_000) as messages:
            began = perf_counter()
            for topic in topics:
                _ = self.request(topic, "flood", {"n": count, "size": SIZE}, timeout=PATIENCE)
            for _ in range(count * len(topics)):
                assert isinstance(next(messages), MessageReceived)
            return count * len(topics) / (perf_counter() - began)


def shards_of(uri: str, name: str, shards: int) -> Shards[Rooms]:
    made: Shards[Rooms] = Shards(Rooms, uri, name=name, shards=shards)
    for topic in TOPICS:
        made.join(topic)
    for topic in TOPICS:
        made.wait_until_joined(topic, PATIENCE)
    return made


def of_two_shards(made: Shards[Rooms]) -> list[str]:
    """Return a topic of each of two shards."""
    found = {made.shard_of(topic): topic for topic in TOPICS}
    return list(found.values())


class Measures:
    """What is measured of one client, and how often."""

    def __init__(self, rounds: int, scale: float) -> None:
        self._rounds = rounds
        self._counts = [int(scale * count) for count in (500, 20_000, 100_000)]

    def show(self, where: str, asked: Asked, topics: list[str]) -> None:
        sequential, pipelined, ticks = self._counts
        self.median(f"{where}: requests one by one", lambda: asked.one_by_one(sequential), "/s")
        self.median(f"{where}: requests, 100 at once", lambda: asked.in_flight(pipelined), "/s")
        self.median(
            f"{where}: messages to a subscriber", lambda: asked.inbound(topics, ticks), "/s"
        )

    def median(self, what: str, measure: Callable[[], float], unit: str) -> None:
        show(what, statistics.median(measure() for _ in range(self._rounds)), unit)


def show(what: str, value: float, unit: str) -> None:
    print(f"{what:54} {value:>12,.0f} {unit}", flush=True)


def in_the_process(uri: str, measures: Measures) -> None:
    handle: ClientHandle[Rooms] = ClientHandle(Rooms, uri, tuple(TOPICS))
    for topic in TOPICS:
        handle.wait_until_joined(topic, PATIENCE)
    measures.show("in the process", Asked(handle.request, handle.subscribe), TOPICS[:1])
    handle.stop()


def through_shards(uri: str, measures: Measures, shards: int) -> None:
    where = f"{shards} shard{'s' if shards > 1 else ''}"
    began = perf_counter()
    made = shards_of(uri, f"bench{shards}", shards)
    show(f"{where}: created, 4 topics joined", (perf_counter() - began) * 1000, "ms")
    measures.show(where, Asked(made.request, made.subscribe), of_two_shards(made)[:shards])

    def attach() -> float:
        began = perf_counter()
        other: Shards[Rooms] = Shards.attach(made.name)
        other.request(TOPICS[0], "echo", timeout=PATIENCE).get()
        elapsed = perf_counter() - began
        other.close()
        return elapsed * 1000

    measures.median(f"{where}: attached, one request answered", attach, "ms")
    made.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="how much is measured a round")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with (
        running_server() as uri,
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False),
    ):
        measures = Measures(options.rounds, options.scale)
        in_the_process(uri, measures)
        for shards in (1, 2):
            through_shards(uri, measures, shards)


if __name__ == "__main__":
    main()
