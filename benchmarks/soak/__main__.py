"""`make soak`: many clients, a fault every second; what grows or is lost makes it fail."""

from __future__ import annotations

import argparse
import random
import sys
import time
import tracemalloc
from threading import Event

from benchmarks.soak import vitals
from benchmarks.soak.clients import OnPurpose
from benchmarks.soak.crowd import Crowd
from benchmarks.soak.far_side import FarSide, running_far_side
from benchmarks.soak.vitals import MEBIBYTE, Surprises, Vitals, eventually
from benchmarks.soak.weather import Weather

STRETCH = 100.0
PATIENCE = 60.0
# Percent; what is alive at a calm is the same each time, but for a cache that fills up.
BLOCKS_GROWTH = 3.0


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long, calms not counted")
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
        help="percent that resident memory may have grown by since the first calm",
    )
    parser.add_argument("--trace", action="store_true", help="show what grew, with tracemalloc")
    return parser.parse_args()


class Soak:
    """One run. It is divided into stretches; after each comes a calm, and a measurement.

    The first stretch warms up what there is to warm; the measurement after it is the one that
    the others are compared with. All are made in the same state: no faults, no load, every client
    joined, every push at its outcome.
    """

    def __init__(self, chosen: argparse.Namespace, far_side: FarSide, surprises: Surprises) -> None:
        self._chosen = chosen
        self._surprises = surprises
        self._before = vitals.take()
        self._crowd = Crowd(chosen.clients, far_side.uris, chosen.seed)
        self._weather = Weather(far_side, chosen.seed, self._crowd.topics)
        self._began = time.monotonic()
        self._nap = Event()
        self._print_at = 0.0
        self.calms: list[Vitals] = []
        self.failures: list[str] = []
        self._snapshot: tracemalloc.Snapshot | None = None

    def run(self) -> None:
        """Everything, to the clients' end."""
        seconds = self._chosen.seconds or self._chosen.minutes * 60
        stretches = max(2, min(10, round(seconds / STRETCH)))
        for _ in range(stretches):
            self._stretch(seconds / stretches)
            self._calm()
            if self.failures:
                break
        self._crowd.stop()
        self._compare()

    def _stretch(self, seconds: float) -> None:
        """Load and faults."""
        self._crowd.load.set()
        end = time.monotonic() + seconds
        strike_at = time.monotonic()
        while (now := time.monotonic()) < end:
            self._weather.pass_over(now)
            if now >= strike_at:
                self._weather.strike(now)
                strike_at += self._chosen.every
            if now >= self._print_at:
                self._print_at = now + self._chosen.print_every
                self._print("")
            self._nap.wait(0.1)

    def _calm(self) -> None:
        """No faults: every client comes back. Then load, but no faults; then neither."""
        crowd, tally = self._crowd, self._crowd.tally
        self._weather.clear_up()
        crowd.load.clear()
        self._expect_joined()
        crowd.load.set()
        self._nap.wait(self._chosen.quiet)
        crowd.load.clear()
        if not eventually(lambda: not tally.open and not crowd.busy, PATIENCE):
            self.failures.append(
                f"{PATIENCE:g} s after the last push {tally.open} have no outcome,"
                f" and {crowd.busy} threads are on their way"
            )
        self._expect_joined()
        self.calms.append(
            vitals.take_at_rest(
                self._before.threads + crowd.threads, self._before.descriptors + crowd.descriptors
            )
        )
        self._print("  calm")
        if self._chosen.trace:
            self._trace()

    def _expect_joined(self) -> None:
        crowd = self._crowd
        if not eventually(lambda: not crowd.astray, PATIENCE):
            self.failures += [
                f"not joined within {PATIENCE:g} s: {crowd.state_of(name)}" for name in crowd.astray
            ]

    def _trace(self) -> None:
        """Show what has grown since the first calm."""
        snapshot = tracemalloc.take_snapshot()
        if self._snapshot is None:
            self._snapshot = snapshot
            return
        for line in snapshot.compare_to(self._snapshot, "lineno")[:20]:
            print(f"    {line}", flush=True)

    def _print(self, note: str) -> None:
        tally = self._crowd.tally
        print(
            f"{time.monotonic() - self._began:6.0f} s  {vitals.take()},"
            f" {self._crowd.joined} joined,"
            f" {tally.asked} pushes, {tally.settled} outcomes{note}",
            flush=True,
        )

    def _compare(self) -> None:
        """Find what does not add up, or is not flat."""
        first, last, fail = self.calms[0], self.calms[-1], self.failures.append
        tally = self._crowd.tally
        if tally.asked != tally.settled:
            fail(f"{tally.asked} pushes asked for an outcome, {tally.settled} had one")
        for name, most in (("memory", self._chosen.growth), ("blocks", BLOCKS_GROWTH)):
            growth = (getattr(last, name) / getattr(first, name) - 1) * 100
            if growth > most:
                fail(f"{name}: grown by {growth:.1f} %, from {first} to {last}")
        before, crowd = self._before, self._crowd
        expected = before.threads + crowd.threads, before.descriptors + crowd.descriptors
        for calm in self.calms:
            if (calm.threads, calm.descriptors) != expected:
                fail("instead of {} threads and {} descriptors: {}".format(*expected, calm))
        after = vitals.take_at_rest(before.threads, before.descriptors)
        if (after.threads, after.descriptors) != (before.threads, before.descriptors):
            fail(f"left behind: {after} instead of {before}")
        self.failures += tally.wrong + self._surprises.found

    def summarize(self) -> None:
        """Print the figures."""
        tally = self._crowd.tally
        print(f"\nfaults: {sum(self._weather.count.values())}", *shown(self._weather.count))
        print(f"restarts of crashed clients: {self._crowd.restarts}")
        print(f"memory at the calms: {' '.join(f'{c.memory / MEBIBYTE:.1f}' for c in self.calms)}")
        print(f"blocks at the calms: {' '.join(str(c.blocks) for c in self.calms)}")
        print(f"first calm: {self.calms[0]}\nlast calm:  {self.calms[-1]}")
        print(f"pushes that asked for an outcome: {tally.asked}; outcomes: {tally.settled}")
        print(*shown(tally.outcomes), f"  late replies {tally.late}")


def shown(counts: dict[str, int]) -> list[str]:
    """One line for each count."""
    return [f"\n  {name:<28}{count:>9}" for name, count in sorted(counts.items())]


def main() -> None:
    chosen = options()
    vitals.require_proc()
    if chosen.seed is None:
        chosen.seed = random.randrange(1_000_000)
    print(f"{chosen.clients} clients, seed {chosen.seed}", flush=True)
    surprises = Surprises(OnPurpose, SystemExit)
    surprises.install()
    if chosen.trace:
        tracemalloc.start(5)
    with running_far_side() as far_side:
        soak = Soak(chosen, far_side, surprises)
        soak.run()
        soak.summarize()
    for failure in soak.failures[:50]:
        print(f"FAILED: {failure}")
    sys.exit(1 if soak.failures else 0)


if __name__ == "__main__":
    main()
