"""`python -m benchmarks.shards`: a client through Ray beside one in the process that asks.

    python -m benchmarks.shards --rounds 5

Requests one by one and 100 at once, messages to a subscriber from one shard and from two, and what
it costs to create shards and to attach to them. Medians; needs the extra `ray`. Nothing is pinned to
a core: there are five processes besides Ray's own.
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


def median(measure: Callable[[], float], rounds: int) -> float:
    return statistics.median(measure() for _ in range(rounds))


def show(what: str, value: float, unit: str) -> None:
    print(f"{what:54} {value:>12,.0f} {unit}", flush=True)


def run(uri: str, address: str, rounds: int, scale: float) -> None:
    sequential, pipelined, ticks = (int(scale * n) for n in (500, 20_000, 100_000))
    handle: ClientHandle[Rooms] = ClientHandle(Rooms, uri, tuple(TOPICS))
    for topic in TOPICS:
        handle.wait_until_joined(topic, PATIENCE)
    here = Asked(handle.request, handle.subscribe)
    show(
        "requests one by one, in the process",
        median(lambda: here.one_by_one(sequential), rounds),
        "/s",
    )
    show(
        "requests, 100 at once, in the process",
        median(lambda: here.in_flight(pipelined), rounds),
        "/s",
    )
    show(
        "messages to a subscriber, in the process",
        median(lambda: here.inbound(TOPICS[:1], ticks), rounds),
        "/s",
    )
    handle.stop()
    for shards in (1, 2):
        began = perf_counter()
        made = shards_of(uri, f"bench{shards}", shards)
        show(f"{shards} shard(s): created, 4 topics joined", (perf_counter() - began) * 1000, "ms")
        there = Asked(made.request, made.subscribe)
        show(
            f"{shards} shard(s): requests one by one",
            median(lambda: there.one_by_one(sequential), rounds),
            "/s",
        )
        show(
            f"{shards} shard(s): requests, 100 at once",
            median(lambda: there.in_flight(pipelined), rounds),
            "/s",
        )
        topics = of_two_shards(made)[:shards]
        show(
            f"{shards} shard(s): messages to a subscriber",
            median(lambda: there.inbound(topics, ticks), rounds),
            "/s",
        )

        def attach() -> float:
            began = perf_counter()
            other: Shards[Rooms] = Shards.attach(made.name)
            other.request(TOPICS[0], "echo", timeout=PATIENCE).get()
            elapsed = perf_counter() - began
            other.close()
            return elapsed * 1000

        show(f"{shards} shard(s): attached, one request answered", median(attach, rounds), "ms")
        made.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shards")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="how much is measured a round")
    options = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with (
        running_server() as uri,
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False
        ) as context,
    ):
        run(uri, context.address_info["gcs_address"], options.rounds, options.scale)


if __name__ == "__main__":
    main()
