"""`make growth`: what one event, push or await costs when there are many topics, presences, or
messages that wait. What does not grow has about the same cost in each column.

    python -m benchmarks.growth --sizes 100,1000,10000 --only joined,await
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.counting import Counted
from benchmarks.plain_server import running_server
from slipstream_actor import Socket

MICROSECONDS = 1e6
TOPIC = "room:one"
AWAITS = 200
DIFFS = 500


class Measure(NamedTuple):
    """`run(uri, n)` returns what one costs, in the `unit`; `needs`: a method of the socket.

    Times are the best of some rounds; of memory there is one.
    """

    title: str
    unit: str
    run: Callable[[str, int], float]
    needs: str = "join"

    def cost(self, uri: str, n: int, rounds: int) -> float:
        """What one costs."""
        if self.unit.startswith("bytes"):
            return self.run(uri, n)
        return min(self.run(uri, n) for _ in range(rounds))


@contextmanager
def client(uri: str, **options: Any) -> Iterator[Counted]:
    made = Counted(uri, **options)
    try:
        yield made
    finally:
        made.stop()


def topics(count: int, name: str = "room") -> list[str]:
    return [f"{name}:{number}" for number in range(count)]


def joined(uri: str, n: int) -> float:
    """From the first `join` to the last `handle_join`."""
    with client(uri) as c:
        began = perf_counter()
        return (c.join(*topics(n)) - began) / n * MICROSECONDS


def rejoined(uri: str, n: int) -> float:
    """From `handle_connect` after a drop to the last `handle_join`."""
    with client(uri) as c:
        c.join(*topics(n))
        with c.counts.more("join", n) as joined, c.counts.more("connect", 1) as connected:
            c.do(lambda s: s.push("room:0", "hang up"))
        return (joined.at - connected.at) / n * MICROSECONDS


def awaited(uri: str, n: int) -> float:
    """An `await_reply` while n messages wait undelivered."""
    with client(uri) as c:
        c.join(TOPIC)

        def await_replies(socket: Socket) -> float:
            socket.push(TOPIC, "flood", {"n": n, "size": 10})
            socket.await_message(TOPIC, "flood_done", timeout=60)
            socket.await_reply(socket.push(TOPIC, "echo"))
            began = perf_counter()
            for _ in range(AWAITS):
                socket.await_reply(socket.push(TOPIC, "echo"))
            return perf_counter() - began

        elapsed: float = c.do(await_replies)
        return elapsed / AWAITS * MICROSECONDS


def presence(*, integer: bool) -> Callable[[str, int], float]:
    """A diff of one who comes and one who goes, among n, to `handle_presence_sync`."""

    def run(uri: str, n: int) -> float:
        diffs = min(DIFFS, n)
        asked = {"n": n, "diffs": 0, "state": True, "integer": integer, "size": 10}
        with client(uri) as c:
            c.do(lambda s: s.track_presence(TOPIC))
            c.join(TOPIC)
            with c.counts.more("sync", 1):
                c.do(lambda s: s.push(TOPIC, "presence", asked))
            asked = {**asked, "diffs": diffs, "state": False}
            # Until the first one is there the server has its own work.
            with c.counts.more("sync", diffs) as last, c.counts.more("presence", 1) as first:
                c.do(lambda s: s.push(TOPIC, "presence", asked))
            return (last.at - first.at) / diffs * MICROSECONDS

    return run


def buffered(uri: str, n: int) -> float:
    """A push that waits for its topic, from the call to its reply."""
    with client(uri) as c:
        c.join(TOPIC)
        c.do(lambda s: s.join("held:one"))

        def push(socket: Socket) -> None:
            for number in range(n):
                socket.push("held:one", "echo", {"n": number}, buffer=True)

        began = perf_counter()
        c.do(push)
        with c.counts.more("reply", n + 1) as last:  # That to "release" too.
            c.do(lambda s: s.push(TOPIC, "release"))
        return (last.at - began) / n * MICROSECONDS


def in_flight(uri: str, n: int) -> float:
    """A push that asks for an outcome, n at once, from the call to its reply."""
    with client(uri) as c:
        c.join(TOPIC)

        def push(socket: Socket) -> None:
            for number in range(n):
                socket.push(TOPIC, "echo", {"n": number}, reply_timeout=60)

        with c.counts.more("reply", n) as last:
            began = perf_counter()
            c.do(push)
        return (last.at - began) / n * MICROSECONDS


def round_trip(c: Counted, topic: str) -> float:
    """A push and its `await_reply`."""

    def await_replies(socket: Socket) -> float:
        socket.await_reply(socket.push(topic, "echo"))  # The server has done all before it.
        began = perf_counter()
        for _ in range(AWAITS):
            socket.await_reply(socket.push(topic, "echo"))
        return perf_counter() - began

    elapsed: float = c.do(await_replies)
    return elapsed / AWAITS * MICROSECONDS


def among_topics(uri: str, n: int) -> float:
    """A push and its reply on one of n topics."""
    with client(uri) as c:
        c.join(*topics(n))
        return round_trip(c, "room:0")


def among_refs(uri: str, n: int) -> float:
    """A push and its reply while n others wait for theirs."""
    with client(uri) as c:
        c.join(TOPIC)

        def push(socket: Socket) -> None:
            for _ in range(n):
                socket.push(TOPIC, "silence", reply_timeout=600)

        c.do(push)
        return round_trip(c, TOPIC)


def left(*, forget: bool) -> Callable[[str, int], float]:
    """Memory that stays for a topic that was joined and left: for n that come after n others."""

    def run(uri: str, n: int) -> float:
        with client(uri) as c:
            c.join(TOPIC)
            tracemalloc.start()
            try:
                few = join_and_leave(c, "first", n, forget)
                return (join_and_leave(c, "second", n, forget) - few) / n
            finally:
                tracemalloc.stop()

    return run


def join_and_leave(c: Counted, name: str, count: int, forget: bool) -> int:
    """Do that with so many topics, and return how many bytes are in use afterwards."""
    names = topics(count, name)
    c.join(*names)
    with c.counts.more("leave", count):
        c.do(lambda s: each(s, "leave", names))
    if forget:
        c.do(lambda s: each(s, "forget", names))
    c.do(lambda s: s.await_reply(s.push(TOPIC, "echo")).ok)
    names.clear()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def each(socket: Socket, method: str, names: list[str]) -> Socket:
    """Call a method of the socket for each topic."""
    for name in names:
        socket = getattr(socket, method)(name)
    return socket


MEASURES = {
    "joined": Measure("topics joined", "µs/topic", joined),
    "rejoined": Measure("topics joined again after a drop", "µs/topic", rejoined),
    "among": Measure("push and await_reply among n topics", "µs/push", among_topics),
    "refs": Measure("push and await_reply, n refs in flight", "µs/push", among_refs),
    "await": Measure("await_reply, n messages waiting", "µs/await", awaited),
    "presence": Measure("presence diffs among n", "µs/diff", presence(integer=False)),
    "integer": Measure("the same, phx_ref an integer", "µs/diff", presence(integer=True)),
    "buffered": Measure("pushes buffered", "µs/push", buffered),
    "in_flight": Measure("pushes in flight with an outcome", "µs/push", in_flight),
    "left": Measure("topics left", "bytes/topic", left(forget=False)),
    "forgotten": Measure("topics left and forgotten", "bytes/topic", left(forget=True), "forget"),
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--sizes", default="100,1000,10000", help="with commas between")
    parser.add_argument("--only", help=f"some of {','.join(MEASURES)}, with commas between")
    parser.add_argument("--rounds", type=int, default=3, help="of which the best counts")
    parser.add_argument("--json", action="store_true", help="costs by title and by size")
    return parser.parse_args()


def main() -> None:
    logging.getLogger("slipstream_actor").setLevel(logging.ERROR)  # It drops connections.
    chosen = options()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    names = chosen.only.split(",") if chosen.only else list(MEASURES)
    if unknown := set(names) - MEASURES.keys():
        sys.exit(f"No such measure: {', '.join(sorted(unknown))}. There are {', '.join(MEASURES)}.")
    with running_server() as uri:
        if chosen.json:
            found = {MEASURES[name].title: costs(uri, name, sizes, chosen.rounds) for name in names}
            print(json.dumps(found))
            return
        report(uri, names, sizes, chosen.rounds)


def costs(uri: str, name: str, sizes: Sequence[int], rounds: int) -> dict[int, float]:
    """What one costs, by how many there are."""
    return {size: MEASURES[name].cost(uri, size, rounds) for size in sizes}


def report(uri: str, names: Sequence[str], sizes: Sequence[int], rounds: int) -> None:
    """Print a line for each."""
    head = f"{'n':<40}{'':<12}" + "".join(f"{size:>12,}" for size in sizes)
    print(f"{head}{'last/first':>12}", flush=True)
    for name in names:
        measure = MEASURES[name]
        if not hasattr(Socket, measure.needs):
            print(f"{measure.title:<40}there is no Socket.{measure.needs}", flush=True)
            continue
        print(f"{measure.title:<40}{measure.unit:<12}", end="", flush=True)
        found: list[float] = []
        for size in sizes:
            found.append(measure.cost(uri, size, rounds))
            print(f"{found[-1]:>12,.1f}", end="", flush=True)
        print(f"{found[-1] / found[0]:>12.2f}", flush=True)


if __name__ == "__main__":
    main()
