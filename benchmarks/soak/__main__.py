"""`make soak`: many clients, a fault every second; what grows or is lost makes it fail."""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from threading import Event

from benchmarks.soak import resources
from benchmarks.soak.client_group import ClientGroup
from benchmarks.soak.clients import OnPurpose
from benchmarks.soak.faults import FaultInjector
from benchmarks.soak.resources import MEBIBYTE, Resources
from benchmarks.soak.server_process import ServerProcess, running_server_process
from benchmarks.soak.unexpected_errors import UnexpectedErrors
from benchmarks.soak.waiting import eventually

PHASE = 100.0
PATIENCE = 60.0
# Percent; what is alive at a checkpoint is the same each time, but for a cache that fills up.
BLOCKS_GROWTH = 3.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="how long, checkpoints not counted"
    )
    parser.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seed", type=int, help="of the faults; one at random by default")
    parser.add_argument("--every", type=float, default=1.0, help="seconds from fault to fault")
    parser.add_argument("--quiet", type=float, default=5.0, help="seconds of load without faults")
    parser.add_argument("--print-every", type=float, default=10.0, help="seconds between lines")
    parser.add_argument(
        "--growth",
        type=float,
        default=10.0,
        help="percent that resident memory may have grown by since the first checkpoint",
    )
    parser.add_argument("--trace", action="store_true", help="show what grew, with tracemalloc")
    return parser.parse_args()


class Soak:
    """One run. It is divided into phases; after each comes a checkpoint, which measures.

    The first phase warms up what there is to warm; the checkpoint after it is the one that
    the others are compared with. All are made in the same state: no faults, no load, every client
    joined, every push at its outcome.
    """

    def __init__(
        self,
        chosen: argparse.Namespace,
        server_process: ServerProcess,
        unexpected: UnexpectedErrors,
    ) -> None:
        self._chosen = chosen
        self._unexpected = unexpected
        self._before = resources.measure()
        self._clients = ClientGroup(chosen.clients, server_process.uris, chosen.seed)
        self._faults = FaultInjector(server_process, chosen.seed, self._clients.topics)
        self._began = time.monotonic()
        self._nap = Event()
        self._print_at = 0.0
        self.checkpoints: list[Resources] = []
        self.failures: list[str] = []
        self._snapshot: tracemalloc.Snapshot | None = None

    def run(self) -> None:
        """Everything, to the clients' end."""
        seconds = self._chosen.seconds or self._chosen.minutes * 60
        phases = max(2, min(10, round(seconds / PHASE)))
        for _ in range(phases):
            self._phase(seconds / phases)
            self._checkpoint()
            if self.failures:
                break
        self._clients.stop()
        self._compare()

    def _phase(self, seconds: float) -> None:
        """Load and faults."""
        self._clients.load.set()
        end = time.monotonic() + seconds
        fault_at = time.monotonic()
        while (now := time.monotonic()) < end:
            self._faults.heal_due(now)
            if now >= fault_at:
                self._faults.inject(now)
                fault_at += self._chosen.every
            if now >= self._print_at:
                self._print_at = now + self._chosen.print_every
                self._print("")
            self._nap.wait(0.1)

    def _checkpoint(self) -> None:
        """No faults: every client comes back. Then load, but no faults; then neither."""
        clients, counts = self._clients, self._clients.counts
        self._faults.heal_all()
        clients.load.clear()
        self._expect_joined()
        clients.load.set()
        self._nap.wait(self._chosen.quiet)
        clients.load.clear()
        if not eventually(lambda: not counts.open and not clients.busy, PATIENCE):
            self.failures.append(
                f"{PATIENCE:g} s after the last push {counts.open} have no outcome,"
                f" and {clients.busy} threads are on their way"
            )
        self._expect_joined()
        if (
            self._chosen.trace
        ):  # Before: the first snapshot, which is kept, is to be in all of them.
            self._trace()
        self.checkpoints.append(
            resources.measure_at_rest(
                self._before.threads + clients.threads,
                self._before.descriptors + clients.descriptors,
            )
        )
        self._print("  checkpoint")

    def _expect_joined(self) -> None:
        clients = self._clients
        if not eventually(lambda: not clients.not_joined, PATIENCE):
            self.failures += [
                f"not joined within {PATIENCE:g} s: {clients.state_of(name)}"
                for name in clients.not_joined
            ]

    def _trace(self) -> None:
        """Show what has grown since the first checkpoint."""
        snapshot = tracemalloc.take_snapshot()
        if self._snapshot is None:
            self._snapshot = snapshot
            return
        for line in snapshot.compare_to(self._snapshot, "lineno")[:20]:
            print(f"    {line}", flush=True)

    def _print(self, note: str) -> None:
        counts = self._clients.counts
        print(
            f"{time.monotonic() - self._began:6.0f} s  {resources.measure()},"
            f" {self._clients.joined} joined,"
            f" {counts.asked} pushes, {counts.settled} outcomes{note}",
            flush=True,
        )

    def _compare(self) -> None:
        """Find what does not add up, or is not flat."""
        first, last, fail = self.checkpoints[0], self.checkpoints[-1], self.failures.append
        counts = self._clients.counts
        if counts.asked != counts.settled:
            fail(f"{counts.asked} pushes asked for an outcome, {counts.settled} had one")
        for name, most in (("memory", self._chosen.growth), ("blocks", BLOCKS_GROWTH)):
            growth = (getattr(last, name) / getattr(first, name) - 1) * 100
            if growth > most:
                fail(f"{name}: grown by {growth:.1f} %, from {first} to {last}")
        before, clients = self._before, self._clients
        expected = before.threads + clients.threads, before.descriptors + clients.descriptors
        for checkpoint in self.checkpoints:
            if (checkpoint.threads, checkpoint.descriptors) != expected:
                fail("instead of {} threads and {} descriptors: {}".format(*expected, checkpoint))
        after = resources.measure_at_rest(before.threads, before.descriptors)
        if (after.threads, after.descriptors) != (before.threads, before.descriptors):
            fail(f"left behind: {after} instead of {before}")
        self.failures += counts.wrong + self._unexpected.found

    def summarize(self) -> None:
        """Print the figures."""
        counts = self._clients.counts
        print(f"\nfaults: {sum(self._faults.count.values())}", *shown(self._faults.count))
        print(f"restarts of crashed clients: {self._clients.restarts}")
        memory = [f"{checkpoint.memory / MEBIBYTE:.1f}" for checkpoint in self.checkpoints]
        print(f"memory at the checkpoints: {' '.join(memory)}")
        print(f"blocks at the checkpoints: {' '.join(str(c.blocks) for c in self.checkpoints)}")
        print(f"first checkpoint: {self.checkpoints[0]}\nlast checkpoint:  {self.checkpoints[-1]}")
        print(f"pushes that asked for an outcome: {counts.asked}; outcomes: {counts.settled}")
        print(*shown(counts.outcomes), f"  late replies {counts.late}")


def shown(counts: dict[str, int]) -> list[str]:
    """One line for each count."""
    return [f"\n  {name:<28}{count:>9}" for name, count in sorted(counts.items())]


def main() -> None:
    chosen = options()
    resources.require_proc()
    if chosen.seed is None:
        chosen.seed = random.randrange(1_000_000)
    print(f"{chosen.clients} clients, seed {chosen.seed}", flush=True)
    unexpected = UnexpectedErrors(OnPurpose, SystemExit)
    unexpected.install()
    if chosen.trace:
        tracemalloc.start(5)
    with running_server_process() as server_process:
        soak = Soak(chosen, server_process, unexpected)
        soak.run()
        soak.summarize()
    for failure in soak.failures[:50]:
        print(f"FAILED: {failure}")
    sys.exit(1 if soak.failures else 0)


if __name__ == "__main__":
    main()
