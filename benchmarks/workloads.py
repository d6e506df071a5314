"""What is measured: the tasks, how much of them, and the figures that come out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PINNED, UNPINNED = "pinned", "unpinned"


@dataclass(frozen=True)
class Figure:
    """A figure of a workload: its name in what the peers print, and its row in the table."""

    name: str
    title: str
    unit: str = "per second"
    more_is_better: bool = True
    aim: float | None = None
    """What the library is to reach, as a ratio to the bare loop in the same round."""
    compared: bool = True
    """Whether a ratio says something: of next to nothing it does not."""


@dataclass(frozen=True)
class Workload:
    """`task` is what the peers call it, `load` what `peers.program.Load` has of it."""

    name: str
    task: str
    load: dict[str, Any]
    figures: tuple[Figure, ...]
    unpinned: bool = True
    """Whether it is done once more with all cores for everybody."""
    at_once: bool = False
    """Whether peers do it beside each other, since they do nothing most of the time."""
    once: bool = False
    """Whether one round is enough."""
    among: frozenset[str] | None = field(default=None)
    """The peers that it is for; `None`: all."""


def rate(title: str, aim: float | None = None) -> tuple[Figure, ...]:
    return (Figure("rate", title, aim=aim),)


def round_trips(title: str, aim: float | None = None) -> tuple[Figure, ...]:
    return (
        Figure("rate", title, aim=aim),
        Figure("p50", f"{title}: median", "µs", more_is_better=False),
        Figure("p99", f"{title}: 99 of 100", "µs", more_is_better=False),
    )


def inbound(name: str, title: str, aim: float | None = None, **load: Any) -> Workload:
    return Workload(name, "inbound", {"count": 100_000, **load}, rate(title, aim))


WORKLOADS = {
    workload.name: workload
    for workload in (
        inbound("inbound", "inbound messages of 100 bytes", 8.0, size=100),
        inbound("inbound-1k", "inbound messages of 1 KiB", size=1024),
        inbound("binary", "inbound binary messages of 100 bytes", size=100, binary=True),
        inbound("binary-1k", "inbound binary messages of 1 KiB", size=1024, binary=True),
        Workload(
            "sequential",
            "sequential",
            {"count": 5_000},
            round_trips("pushes with replies, one by one", 1.0),
        ),
        Workload(
            "sequential-thread",
            "sequential_thread",
            {"count": 5_000},
            round_trips("pushes with replies, one by one, plain thread"),
        ),
        Workload(
            "sequential-request",
            "sequential_request",
            {"count": 5_000},
            round_trips("pushes with replies, one by one, request().get()"),
        ),
        Workload(
            "sequential-main",
            "sequential_main",
            {"count": 5_000},
            rate("pushes with replies, one by one, request().get() of the main thread"),
            among=frozenset({"bare", "ours"}),
        ),
        Workload(
            "pipelined",
            "pipelined",
            {"count": 20_000, "in_flight": 100},
            rate("pushes with replies, 100 in flight", 3.0),
        ),
        Workload("threads", "threads", {"count": 8_000, "threads": 8}, rate("requests, 8 threads")),
        Workload(
            "threads-proxy",
            "threads_proxy",
            {"count": 4_000, "threads": 8},
            rate("proxied method, 8 threads"),
            among=frozenset({"bare", "ours"}),
        ),
        Workload(
            "asyncio",
            "asyncio",
            {"count": 10_000, "in_flight": 100},
            rate("requests, 100 coroutines"),
        ),
        Workload(
            "idle",
            "idle",
            {"clients": 1_000, "seconds": 60.0},
            (
                Figure("memory", "1,000 clients: memory of each", "KiB, PSS", False),
                Figure(
                    "threads", "1,000 clients: threads of each", "threads", False, compared=False
                ),
                Figure("joined", "1,000 clients: until all have joined", "s", False),
                Figure("idle_share", "1,000 idle clients", "% of a core", False, compared=False),
            ),
            unpinned=False,
            at_once=True,
            once=True,
        ),
        Workload(
            "fan",
            "fan",
            {"clients": 200, "count": 15},
            (Figure("last_callback", "a message to 200 clients", "ms", False),),
            unpinned=False,
        ),
        Workload(
            "start",
            "start",
            {},
            (
                Figure("import", "import", "ms", False),
                Figure("first_join", "from the process's start to joined", "ms", False),
            ),
            unpinned=False,
        ),
    )
}

# A workload "deflate", for connections that compress, has its place behind these: its server is the
# embedded one, since that in C knows no extensions.

QUICK = ("inbound", "pipelined", "sequential")
"""What a run does of which nothing is said: a minute, and what most changes show in."""

GROWTH = {"await": 100_000, "among": 10_000, "refs": 10_000}
"""Measures of `benchmarks.growth`, and up to how many they go."""
