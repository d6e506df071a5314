"""`make bench-smoke`: for before and after a change, in less than a minute.

Ratios of the library to the bare loop, which had the same weather, and, where valgrind is, how many
instructions a message or a push takes. It compares them with the last good run on a machine like
this one, fails if they are worse, and adds a line to `results/history.jsonl`.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import history
from benchmarks.environments import PEERS
from benchmarks.figures import BASE, Spread, ratios
from benchmarks.machine import commit, machine
from benchmarks.runner import Run, measure
from benchmarks.server import HERE, compiled
from benchmarks.workloads import PINNED, QUICK, WORKLOADS

KIND = "smoke"
SCALE = {"inbound": 0.3, "pipelined": 0.3, "sequential": 0.3}
COUNTED = {"inbound": 4_000, "pipelined": 1_000, "sequential": 500}
"""Under valgrind everything takes fifty times as long."""
WORSE_RATIO, WORSE_INSTRUCTIONS = 0.8, 1.05
"""Ratios vary with the weather, and are worse when the best round is below this part of the median
before; instructions hardly vary."""
HEADER = Path("/usr/include/valgrind/callgrind.h")
COLLECTED = re.compile(r"Collected : (\d+)")
CALLGRIND = (
    "valgrind",
    "--tool=callgrind",
    "--instr-atstart=no",
    "--callgrind-out-file=/dev/null",
)


def timed(name: str, rounds: int) -> Spread | None:
    """The ratio of a workload."""
    workload = WORKLOADS[name]
    extra = {"count": int(workload.load["count"] * SCALE[name])}
    peers = [PEERS[BASE], PEERS["ours"]]
    found = [measure(peers, workload, PINNED, extra) for _ in range(rounds)]
    return ratios(found, "ours", workload.figures[0].name)


def instructions(name: str) -> float | None:
    """How many instructions one message or push of a workload takes; `None` where that is not
    known."""
    if not shutil.which("valgrind") or not HEADER.exists():
        return None
    library = str(compiled(HERE / "instructions.c", "-shared", "-fPIC"))
    count = COUNTED[name]
    extra = {"count": count, "instructions": library}
    run = Run(PEERS["ours"], WORKLOADS[name], PINNED, extra, wrapper=CALLGRIND)
    found = run.do()
    collected = COLLECTED.search(run.errors)
    return int(collected[1]) / count if collected and "rate" in found else None


def verdicts(now: history.Entry, before: history.Entry | None) -> list[str]:
    """What is worse than before."""
    worse: list[str] = []
    if before is None:
        return worse
    for name, spread in now["ratios"].items():
        was = before["ratios"].get(name)
        if was and spread["most"] < was["middle"] * WORSE_RATIO:
            worse.append(f"{name}: the ratio was {was['middle']:.2f}")
    for name, count in now["instructions"].items():
        was = before["instructions"].get(name)
        if was and count > was * WORSE_INSTRUCTIONS:
            worse.append(f"{name}: {was:,.0f} instructions were enough")
    return worse


def report(now: history.Entry, before: history.Entry | None) -> None:
    """Print a line for each workload."""
    before = before or {"ratios": {}, "instructions": {}}
    print(f"{'':<36}{'ratio':>8}{'before':>8}{'instructions':>14}{'before':>10}")
    for name in now["ratios"]:
        row = f"{WORKLOADS[name].figures[0].title:<36}{now['ratios'][name]['middle']:>8.2f}"
        was = before["ratios"].get(name)
        row += f"{was['middle']:>8.2f}" if was else f"{'-':>8}"
        for entry, width in ((now, 14), (before, 10)):
            count = entry["instructions"].get(name)
            row += f"{count:>{width},.0f}" if count else f"{'-':>{width}}"
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smoke", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    parser.add_argument("--history", type=Path, default=history.HISTORY, help="another file")
    chosen = parser.parse_args()
    now: dict[str, Any] = {
        "kind": KIND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "ratios": {name: vars(spread) for name in QUICK if (spread := timed(name, chosen.rounds))},
        "instructions": {name: count for name in QUICK if (count := instructions(name))},
    }
    if len(now["ratios"]) < len(QUICK):
        sys.exit("Not every workload has a ratio.")
    before = history.last(KIND, now["machine"], chosen.history)
    worse = verdicts(now, before)
    report(now, before)
    history.append({**now, "good": not worse}, chosen.history)
    if worse:
        sys.exit("Worse than at commit {}: {}".format((before or {})["commit"], "; ".join(worse)))


if __name__ == "__main__":
    main()
