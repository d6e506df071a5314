"""What is promised of shards when something dies or hangs, seen on a cluster of three nodes:
`make ray-matrix`. Prints a table: from the fault to all topics joined at the server.

    python -m tests.contrib.ray.matrix [--topics 10000] [ROW…]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipstream_actor import Reply, SlipstreamError
from slipstream_actor.testing import PhoenixServer
from tests.contrib.ray.rooms import JoinLog, Rooms, phoenix, uri_of

# As the documentation shows: a node that is silent for two seconds is dead.
TUNED = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
LEASE = 2.0


@dataclass
class Row:
    """What a fault has led to."""

    fault: str
    promise: str
    seconds: float | None = None
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def require(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


class World:
    """A cluster of a head and two nodes, a server, and shards with topics."""

    def __init__(
        self, server: PhoenixServer, log: JoinLog, cluster: Any, lease: float | None
    ) -> None:
        from slipstream_actor.contrib.ray import Shards

        self.server, self.log, self.cluster = server, log, cluster
        self.shards: Shards[Rooms] = Shards(
            Rooms, uri_of(server), name="rooms", shards=4, lease=lease
        )
        self.topics = [f"rooms:{number}" for number in range(40)]
        for topic in self.topics:
            self.shards.join(topic, "tests.contrib.ray.rooms:join_params")
        self.log.wait(lambda log: log.are_joined(self.topics), 60)

    def status(self) -> list[Any]:
        return list(self.shards.status(timeout=5.0)["shards"])

    def of_node(self, node_id: str) -> list[int]:
        return [s["shard"] for s in self.status() if s.get("node") == node_id]

    def victims(self) -> tuple[Any, list[int]]:
        """Return a node with shards, neither the head nor that of this program; and the shards."""
        import ray

        mine = ray.get_runtime_context().get_node_id()
        for _ in range(20):
            for node in self.cluster.worker_nodes:
                shards = self.of_node(node.node_id)
                if shards and node.node_id != mine:
                    return node, shards
            # Ray puts them where it likes: have one put elsewhere.
            moved = set(self.topics_of([0]))
            self.log.clear()
            os.kill(self.status()[0]["pid"], signal.SIGKILL)
            self.log.wait(lambda log: log.joins() >= moved, 60)  # noqa: B023
        raise RuntimeError("no node to spare has a shard")

    def topics_of(self, shards: list[int]) -> list[str]:
        return [t for t in self.topics if self.shards.shard_of(t) in shards]


@contextmanager
def world(
    *, storage: bool = False, tuned: bool = True, lease: float | None = LEASE
) -> Iterator[World]:
    import ray
    from ray.cluster_utils import Cluster

    with (
        tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder,
        phoenix() as (server, log),
    ):
        environment = dict(QUIET, RAY_TMPDIR=folder)
        if tuned:
            environment |= TUNED
        if storage:
            environment |= {
                "RAY_gcs_storage": "rocksdb",
                "RAY_gcs_storage_path": os.path.join(folder, "gcs"),
                "RAY_gcs_rpc_server_reconnect_timeout_s": "60",
            }
            os.mkdir(environment["RAY_gcs_storage_path"])
        os.environ.update(environment)
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1,
                "include_dashboard": False,
                "object_store_memory": 80 << 20,
            },
        )
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
            ray.init(address=cluster.address, log_to_driver=False)
            found = World(server, log, cluster, lease)
            yield found
            with contextlib.suppress(SlipstreamError):
                found.shards.stop(timeout=5.0)
        finally:
            ray.shutdown()
            cluster.shutdown()


def descendants(pid: int) -> list[int]:
    """Return a process and all that it has started."""
    found: list[int] = []
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text(errors="replace")
                parent = int(status.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    waiting = [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def processes_of(node: Any) -> list[int]:
    """Return the processes of a node, the shards on it among them."""
    pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
    return sorted({found for pid in pids for found in descendants(pid)})


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def in_flight(found: World, topic: str, count: int) -> list[Any]:
    """Return futures of requests that the server has heard and does not answer."""
    futures = [
        found.shards.request(topic, "never", {"number": number}, timeout=60.0)
        for number in range(count)
    ]
    # One that is answered, behind them.
    found.shards.request(topic, "echo", {}, timeout=10.0).get()
    return futures


def outcomes(futures: list[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for future in futures:
        try:
            kind = repr(future.get(timeout=30.0))
        except SlipstreamError as error:
            kind = f"{type(error).__name__} maybe_sent={getattr(error, 'maybe_sent', None)}"
        found[kind] = found.get(kind, 0) + 1
    return found


# the rows


def shard_killed() -> Row:
    row = Row("a shard's process is killed", "1.5 s")
    with world() as found:
        victim = found.status()[0]
        topics = found.topics_of([0])
        futures = in_flight(found, topics[0], 100)
        found.log.clear()
        os.kill(victim["pid"], signal.SIGKILL)
        found.log.wait(lambda log: log.joins() >= set(topics), 30)
        # By the log, however late this looks at it.
        left = min(e.time for e in found.log.entries if e.kind == "leave" and e.topic in topics)
        row.seconds = found.log.entries[-1].time - left
        told = outcomes(futures)
        row.require(told == {"ShardLostError maybe_sent=True": 100}, f"outcomes {told}")
        row.require(not found.log.twice, f"twice: {found.log.twice}")
        row.require(row.seconds <= 1.5, "later than promised")
    return row


def node_killed(*, tuned: bool = True) -> Row:
    row = Row(f"a node is killed{'' if tuned else ', Ray as it is'}", "5 s" if tuned else "15 s")
    with world(tuned=tuned) as found:
        node, shards = found.victims()
        topics = found.topics_of(shards)
        pids = processes_of(node)
        found.log.clear()
        began = time.monotonic()
        signal_all(pids, signal.SIGKILL)
        found.log.wait(lambda log: log.joins() >= set(topics), 60)
        row.seconds = time.monotonic() - began
        row.remarks.append(f"{len(shards)} shards, {len(topics)} topics")
        row.require(not found.log.twice, f"twice: {found.log.twice}")
        row.require(row.seconds <= (5.0 if tuned else 20.0), "later than promised")
    return row


def node_frozen() -> Row:
    row = Row("a node is frozen, and thaws", "8 s")
    with world() as found:
        node, shards = found.victims()
        topics = found.topics_of(shards)
        old = {s["incarnation"] for s in found.status() if s["shard"] in shards}
        old_pids = [s["pid"] for s in found.status() if s["shard"] in shards]
        pids = processes_of(node)
        found.log.clear()
        began = time.monotonic()
        signal_all(pids, signal.SIGSTOP)

        def elsewhere(log: JoinLog) -> bool:
            joined = {e.topic for e in log.entries if e.kind == "join" and e.incarnation not in old}
            return joined >= set(topics)

        found.log.wait(elsewhere, 60)
        row.seconds = time.monotonic() - began
        # All that the old shards hear now is too late.
        heard: list[Any] = []
        with found.shards.subscribe() as subscription:
            reader = threading.Thread(target=lambda: heard.extend(subscription), daemon=True)
            reader.start()
            row.require(wait_for(lambda: subscribed(found), 20), "the subscription is not in force")
            for topic in topics:
                found.server.broadcast(topic, "late", {"topic": topic})
            signal_all(pids, signal.SIGCONT)
            ended = wait_for(lambda: not any(is_running(pid) for pid in old_pids), 10)
            row.require(ended, "the old shards have not ended")
            wait_for(lambda: len(heard) >= len(topics), 5)
        reader.join(5)
        messages = [m.topic for m in heard if getattr(m, "event", "") == "late"]
        row.require(sorted(messages) == sorted(topics), f"delivered {sorted(messages)}")
        row.remarks.append(f"{len(shards)} shards, {len(topics)} topics")
        row.require(row.seconds <= 8.0, "later than promised")
    return row


def subscribed(found: World) -> bool:
    """Whether all shards have a subscription: what is broadcast before is not heard."""
    return all(shard.get("subscriptions") for shard in found.status())


def is_running(pid: int) -> bool:
    from slipstream_actor.contrib.ray.engine import start_time

    return start_time(pid) is not None


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline, nap = time.monotonic() + seconds, threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        nap.wait(0.02)
    return True


SUBSCRIBER = """
import sys, ray, time
ray.init(address=sys.argv[1], log_to_driver=False)
from slipstream_actor.contrib.ray import Shards
with Shards.attach("rooms").subscribe(size=100) as subscription:
    next(subscription)
    print("reads", flush=True)
    sys.stdin.read()
"""


def subscriber(*, stalls: bool) -> Row:
    row = Row("a subscriber stalls" if stalls else "a subscriber dies", "the shard lives")
    with world() as found:
        process = subprocess.Popen(
            [sys.executable, "-c", SUBSCRIBER, found.cluster.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        topic = found.topics[0]
        shard = found.shards.shard_of(topic)
        stop = threading.Event()

        def flood() -> None:
            while not stop.wait(0.001):
                found.server.broadcast(topic, "tick", {"pad": "x" * 200})

        flooding = threading.Thread(target=flood, daemon=True)
        flooding.start()
        assert select.select([process.stdout], [], [], 60)[0], "the subscriber prints nothing"
        assert process.stdout.readline() == "reads\n"
        began = time.monotonic()
        if stalls:
            most = 0
            while time.monotonic() < began + 5:
                status = found.status()[shard]
                most = max(most, status.get("waiting", 0))
                stop.wait(0.1)
            row.remarks.append(f"at most {most} messages wait at the shard")
            # A burst of 256 KiB more than the bound, which one read may bring.
            row.require(most <= 100 + 1500, f"{most} messages wait")
        process.kill()
        process.wait(10)
        assert process.stdin is not None
        process.stdin.close()
        process.stdout.close()
        gone = wait_for(lambda: found.status()[shard].get("subscriptions") == 0, 15)
        row.require(gone, "the subscription is left at the shard")
        stop.set()
        flooding.join()
        reply = found.shards.request(topic, "echo", {"a": 1}, timeout=10.0).get()
        row.require(reply == Reply("ok", {"a": 1}), f"{reply}")
        row.seconds = time.monotonic() - began
        row.require(found.log.are_joined(found.topics), "topics are lost")
    return row


def head_away(*, lease: float | None = LEASE) -> Row:
    named = "" if lease is not None else ", `lease=None`"
    row = Row(f"the head is away for 10 s, with storage{named}", "all is joined after it")
    with world(storage=True, lease=lease) as found:
        head = found.cluster.head_node
        head.kill_gcs_server()
        began = time.monotonic()
        asked = time.monotonic()
        status = found.shards.status(timeout=2.0)
        took = time.monotonic() - asked
        row.require(took < 3.0 and not status["head"], f"status: {took:.1f} s, {status['head']}")
        threading.Event().wait(max(0.0, began + 10 - time.monotonic()))
        head.start_gcs_server()
        back = time.monotonic()
        found.log.wait(lambda log: log.are_joined(found.topics), 90)
        row.seconds = time.monotonic() - back
        wanted = wait_for(lambda: _topics(found) == sorted(found.topics), 60)
        row.require(wanted, "topics are lost")
        row.require(not found.log.twice, f"twice: {found.log.twice}")
        ended = sum(entry.kind == "leave" for entry in found.log.entries)
        row.remarks.append(f"{ended} of {len(found.topics)} topics had no shard meanwhile")
        row.require(lease is not None or not ended, "shards without a lease have ended")
        late = wait_for(lambda: all(s["state"] == "running" for s in found.status()), 60)
        row.require(late, f"shards are missing: {[s['state'] for s in found.status()]}")
    return row


def _topics(found: World) -> list[str]:
    try:
        return found.shards.topics()
    except SlipstreamError:
        return []


def resized(topics: int) -> Row:
    row = Row(f"resize 4, 8, 3 with {topics} topics under load", "none twice, none forgotten")
    with world() as found:
        found.topics = [f"rooms:{number}" for number in range(topics)]
        for topic in found.topics:
            found.shards.join(topic)
        found.log.wait(lambda log: log.are_joined(found.topics), 300)
        load = Load(found)
        load.start()
        gaps: list[float] = []
        began = time.monotonic()
        for shards in (8, 3):
            moved = found.shards.resize(shards, timeout=240.0)
            gaps += moved.values()
            row.remarks.append(f"to {shards}: {len(moved)} moved, {summary(list(moved.values()))}")
        row.seconds = time.monotonic() - began
        load.stop()
        row.remarks.append(load.told())
        row.problems += load.problems
        row.require(not found.log.twice, f"{len(found.log.twice)} were joined twice")
        row.require(found.log.are_joined(found.topics), "some are not joined")
        row.require(found.shards.topics() == sorted(found.topics), "some are not wanted")
        found.shards.stop(timeout=20.0)
    return row


def summary(gaps: list[float]) -> str:
    gaps.sort()
    if not gaps:
        return "no gaps"
    return f"gap median {gaps[len(gaps) // 2]:.2f} s, longest {gaps[-1]:.2f} s"


class Load:
    """Requests one after the other, each counted by the server; outcomes have to agree with it."""

    def __init__(self, found: World) -> None:
        self._found = found
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}
        self.problems: list[str] = []

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def told(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.counts.items()))

    def _run(self, thread: int) -> None:
        topics, number = self._found.topics[thread::4], 0
        while not self._stop.is_set():
            topic = topics[number % len(topics)]
            key = f"{thread}.{number}"
            number += 1
            try:
                self._found.shards.request(topic, "count", {"key": key}, timeout=30.0).get()
                kind, least, most = "replies", 1, 1
            except SlipstreamError as error:
                sent = bool(getattr(error, "maybe_sent", False))
                kind, least, most = f"{type(error).__name__}({sent})", 0, int(sent)
            heard = self._found.log.pushed[topic, key]
            with self._lock:
                self.counts[kind] = self.counts.get(kind, 0) + 1
                if not least <= heard <= most:
                    self.problems.append(f"{kind}, and the server heard it {heard} times")


ROWS: dict[str, Callable[[], Row]] = {
    "shard-killed": shard_killed,
    "node-killed": node_killed,
    "node-killed-untuned": lambda: node_killed(tuned=False),
    "node-frozen": node_frozen,
    "subscriber-dies": lambda: subscriber(stalls=False),
    "subscriber-stalls": lambda: subscriber(stalls=True),
    "head-away": head_away,
    "head-away-no-lease": lambda: head_away(lease=None),
}


def main() -> int:
    """Show the rows of the command line, or all; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.contrib.ray.matrix")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join([*ROWS, "resize"]))
    parser.add_argument("--topics", type=int, default=10_000)
    options = parser.parse_args()
    rows: dict[str, Callable[[], Row]] = {**ROWS, "resize": lambda: resized(options.topics)}
    wanted = options.rows or list(rows)
    if len(wanted) > 1:
        # Each in a process of its own: Ray leaves threads behind, and reads the environment.
        command = [sys.executable, "-m", "tests.contrib.ray.matrix"]
        topics = ["--topics", str(options.topics)]
        return max(subprocess.call([*command, *topics, name]) for name in wanted)
    try:
        row = rows[wanted[0]]()
    except Exception as error:
        row = Row(wanted[0], "", problems=[repr(error)])
    print(line(row), flush=True)  # noqa: T201 - the table is what it is for
    return 1 if row.problems else 0


def line(row: Row) -> str:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f} s"
    remarks = "; ".join([*row.remarks, *(f"**{problem}**" for problem in row.problems)])
    return f"| {row.fault} | {row.promise} | {seconds} | {remarks} |"


if __name__ == "__main__":
    sys.exit(main())
