"""What the library costs, beside a bare websocket-client loop and beside other clients.

Without options: the bare loop and the library, at three workloads. `make bench` is `--whole`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks import history, table
from benchmarks.environments import PEERS, Peer
from benchmarks.figures import BASE, Round, ratios, reason, values
from benchmarks.results import Results
from benchmarks.runner import measure, measure_growth
from benchmarks.workloads import GROWTH, PINNED, QUICK, UNPINNED, WORKLOADS, Figure, Workload

WIDE = 48
"""The column of the titles."""
KNOWN = [*WORKLOADS, "growth"]


def names(text: str, known: Sequence[str], what: str) -> list[str]:
    """Those of an option, in the order of the table."""
    asked = text.split(",")
    if unknown := set(asked) - set(known):
        sys.exit(f"No such {what}: {', '.join(sorted(unknown))}. There are {', '.join(known)}.")
    return [name for name in known if name in asked]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, help="of which the median counts; 7, or 3 of a whole")
    parser.add_argument("--only", help=f"some of {','.join(KNOWN)}, with commas between")
    parser.add_argument("--side", "--peers", help=f"some of {','.join(PEERS)}")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="all peers and workloads, also unpinned; what is not narrowed goes into results/",
    )
    parser.add_argument(
        "--placement",
        choices=[PINNED, UNPINNED],
        help="one core for the client and one for the server, or all for both; a whole has both",
    )
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the load")
    parser.add_argument("--idle", type=float, help="seconds for which idle clients are looked at")
    return parser.parse_args()


def scaled(workload: Workload, chosen: argparse.Namespace) -> dict[str, Any]:
    """What of a workload's load the options change."""
    changed: dict[str, Any] = {}
    if chosen.scale != 1.0:
        least = workload.load.get("in_flight", workload.load.get("threads", 1))
        for name in {"count", "clients"} & workload.load.keys():
            changed[name] = max(int(workload.load[name] * chosen.scale), least)
    if chosen.idle is not None and "seconds" in workload.load:
        changed["seconds"] = chosen.idle
    return changed


def report_row(figure: Figure, peers: Sequence[Peer], rounds: Sequence[Round]) -> None:
    """Print a figure of one or two peers, in a row."""
    row = f"{figure.title:<{WIDE}}"
    for peer in peers:
        spread = values(rounds, peer.name, figure.name)
        row += f"{spread.middle:>12,.0f}" if spread else f"{'-':>12}"
    ratio = ratios(rounds, peers[-1].name, figure.name)
    if ratio and len(peers) > 1:
        row += f"{ratio.middle:>8.2f}" + (f"{figure.aim:>6.1f}" if figure.aim else "")
    print(row, flush=True)


def report_block(figure: Figure, peers: Sequence[Peer], rounds: Sequence[Round]) -> None:
    """Print a figure of many, a row for each."""
    print(f"{figure.title}, {figure.unit}", flush=True)
    for peer in peers:
        if not any(peer.name in each for each in rounds):
            continue
        spread, ratio = (of(rounds, peer.name, figure.name) for of in (values, ratios))
        row = f"{spread.middle:>12,.1f}" if spread else f"{'-':>12} {reason(rounds, peer.name)}"
        if ratio and figure.compared:
            row += f"{ratio.middle:>8.2f}  ({ratio.least:.2f} to {ratio.most:.2f})"
        print(f"  {peer.title:<{WIDE - 2}}{row}", flush=True)


def report(workload: Workload, peers: Sequence[Peer], rounds: Sequence[Round]) -> None:
    """Print a workload's figures; of one or two peers only the first of them."""
    if len(peers) <= 2:
        report_row(workload.figures[0], peers, rounds)
        return
    for figure in workload.figures:
        report_block(figure, peers, rounds)


def turned(peers: Sequence[Peer], number: int) -> list[Peer]:
    """Another one begins in each round, so that none is always behind the same one."""
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def measure_all(
    peers: Sequence[Peer],
    placements: Sequence[str],
    asked: Sequence[str],
    rounds: int,
    chosen: argparse.Namespace,
) -> Results:
    """All that is asked for, printed as it is found."""
    results = Results.of(peers, rounds)
    for placement in placements:
        for workload in (WORKLOADS[name] for name in asked if name in WORKLOADS):
            if placement == UNPINNED and not workload.unpinned:
                continue
            found = [
                measure(turned(peers, number), workload, placement, scaled(workload, chosen))
                for number in range(1 if workload.once else rounds)
            ]
            results.add(workload.name, placement, found)
            report(workload, peers, found)
    if "growth" in asked:
        results.growth = measure_growth(GROWTH, rounds)
        print("\n".join(table.growth(results.growth)), flush=True)
    return results


def main() -> None:
    chosen = options()
    by_name = list(PEERS) if chosen.whole else [BASE, "ours"]
    if chosen.side:
        by_name = names(chosen.side, list(PEERS), "peer")
    peers = [replace(PEERS[name], own=chosen.whole or PEERS[name].own) for name in by_name]
    asked = list(KNOWN if chosen.whole else QUICK)
    if chosen.only:
        asked = names(chosen.only, KNOWN, "workload")
    rounds = chosen.rounds or (3 if chosen.whole else 7)
    placements = [PINNED, UNPINNED] if chosen.whole else [PINNED]
    if chosen.placement:
        placements = [chosen.placement]
    print(f"medians of {rounds} rounds")
    if len(peers) <= 2:
        heads = "".join(f"{peer.name:>12}" for peer in peers)
        print(f"{'':<{WIDE}}{heads}" + f"{'ratio':>8}{'aim':>6}" * (len(peers) > 1))
    results = measure_all(peers, placements, asked, rounds, chosen)
    # A part is not to take the place of the whole.
    if chosen.whole and not (chosen.only or chosen.side or chosen.placement or chosen.scale != 1):
        results.write()
        history.append(results.summary())


if __name__ == "__main__":
    main()
