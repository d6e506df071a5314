"""`make bench`: both sides do the same tasks, turn by turn, and the medians are compared."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.bare import Bare
from benchmarks.load import Load, Side
from benchmarks.ours import Ours
from benchmarks.server import running_server
from benchmarks.workers import report_workers


@dataclass(frozen=True)
class Task:
    title: str
    run: Callable[[Side, Load], float]
    load: Load
    aim: float


TASKS = {
    "inbound": Task(
        "inbound messages of 100 bytes",
        lambda side, load: side.inbound(load),
        Load(100_000),
        aim=5.0,
    ),
    "pipelined": Task(
        "pushes with replies, 100 in flight",
        lambda side, load: side.pipelined(load),
        Load(10_000, in_flight=100),
        aim=1.5,
    ),
    "sequential": Task(
        "pushes with replies, one by one",
        lambda side, load: side.sequential(load),
        Load(3_000),
        aim=0.7,
    ),
}
SIDES: dict[str, Callable[[str], Side]] = {"bare": Bare, "ours": Ours}


def measure(task: Task, make: Callable[[str], Side], uri: str) -> float:
    """One round, on a new connection; the first, untimed run warms up what there is to warm."""
    side = make(uri)
    try:
        task.run(side, task.load)
        # A collection of one side's garbage is not to fall into the other's time.
        gc.collect()
        return task.run(side, task.load)
    finally:
        side.close()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of which the median counts")
    parser.add_argument(
        "--only", help=f"some of {','.join(TASKS)}, with commas between; or workers"
    )
    parser.add_argument("--side", choices=SIDES, help="only one, for a profiler to look at")
    return parser.parse_args()


def report(task: Task, rates: dict[str, float]) -> None:
    row = f"{task.title:<36}" + "".join(f"{rates.get(side, 0.0):>12,.0f}" for side in SIDES)
    if len(rates) == len(SIDES):
        row += f"{rates['ours'] / rates['bare']:>8.2f}{task.aim:>6.1f}"
    print(row, flush=True)


def main() -> None:
    chosen = options()
    names = chosen.only.split(",") if chosen.only not in (None, "workers") else list(TASKS)
    names = [] if chosen.only == "workers" else names
    if unknown := set(names) - TASKS.keys():
        sys.exit(f"No such task: {', '.join(sorted(unknown))}. There are {', '.join(TASKS)}.")
    sides = {name: make for name, make in SIDES.items() if chosen.side in (None, name)}
    print(f"per second, medians of {chosen.rounds} rounds")
    print(f"{'':<36}{'bare':>12}{'ours':>12}{'ratio':>8}{'aim':>6}")
    with running_server() as uri:
        for task in (TASKS[name] for name in names):
            rounds = [
                {name: measure(task, make, uri) for name, make in sides.items()}
                for _ in range(chosen.rounds)
            ]
            report(task, {name: median(each[name] for each in rounds) for name in sides})
        if (not chosen.only and not chosen.side) or chosen.only == "workers":
            report_workers(uri, chosen.rounds)


if __name__ == "__main__":
    main()
