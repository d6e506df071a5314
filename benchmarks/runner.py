"""Runs the peers' programs, each in a process of its own, and reads what they have found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.environments import CannotBeMade, Environment, Peer, environment_of
from benchmarks.peers.program import PATIENCE
from benchmarks.server import ROOT, Server, running_server
from benchmarks.workloads import PINNED, Workload

Found = dict[str, Any]

IMPORTED = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"
REQUIRED = """const began = performance.now(); require('{}');
console.log((performance.now() - began) / 1000)"""


def cores(placement: str) -> tuple[set[int], set[int]]:
    """Those of the server and those of the client.

    Pinned, each has one. Without that the scheduler decides anew in every round how many cores a
    client's threads have, and the figures are those of the scheduler: which is what the other
    placement is for.
    """
    ours = sorted(os.sched_getaffinity(0))
    return ({ours[0]}, {ours[-1]}) if placement == PINNED else (set(ours), set(ours))


@contextmanager
def on_cores(chosen: set[int]) -> Iterator[None]:
    """What is started in the block runs on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Run:
    """One peer at one workload."""

    peer: Peer
    workload: Workload
    placement: str = PINNED
    extra: dict[str, Any] = field(default_factory=dict)
    """What else its load has."""
    wrapper: tuple[str, ...] = ()
    """A command that runs the program, in front of it."""
    errors: str = ""
    """What it has written to standard error."""
    _said: str = field(default="", init=False)

    def start(self, server: Server) -> None:
        """Start the program. Raises `CannotBeMade` where it has no environment."""
        environment = environment_of(self.peer)
        load = {"uri": server.uri, "server": server.process, **self.workload.load, **self.extra}
        load["started"] = time.monotonic_ns()
        command = [*self.wrapper, *environment.command, self.workload.task, json.dumps(load)]
        with on_cores(cores(self.placement)[1]):
            self._process = subprocess.Popen(
                command,
                cwd=environment.directory,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def wait_for_line(self) -> None:
        """Wait until it says something, or ends."""
        assert self._process.stdout is not None
        timer = threading.Timer(PATIENCE, self._process.kill)
        timer.start()
        self._said = self._process.stdout.readline()
        timer.cancel()

    def finish(self) -> Found:
        """What it has found, or why nothing: a peer that fails does not break the others' run."""
        try:
            output, self.errors = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return {"unable": f"it was not done after {PATIENCE:.0f} s"}
        lines = output.splitlines() or [self._said]
        if self._process.returncode:
            said = self.errors.strip().splitlines() or ["it said nothing"]
            return {"unable": f"it failed: {said[-1]}"}
        try:
            found: Found = json.loads(lines[-1])
        except ValueError:
            return {"unable": f"it said {lines[-1]!r}"}
        return found

    def do(self) -> Found:
        """All of it, with a server of its own."""
        try:
            with running_server(cores(self.placement)[0]) as server:
                self.start(server)
                found = self.finish()
            if self.workload.task == "start" and "unable" not in found:
                found["import"] = import_time(self.peer, environment_of(self.peer)) * 1000
        except (CannotBeMade, subprocess.CalledProcessError) as error:
            return {"unable": str(error)}
        return found


def import_time(peer: Peer, environment: Environment) -> float:
    """Seconds that the import of a peer's package takes, in a process that has only just begun."""
    form, option = (REQUIRED, "-e") if peer.is_javascript else (IMPORTED, "-c")
    command = [environment.interpreter, option, form.format(peer.imports)]
    with on_cores(cores(PINNED)[1]):
        done = subprocess.run(
            command, cwd=environment.directory, check=True, capture_output=True, text=True
        )
    return float(done.stdout)


def measure(
    peers: Sequence[Peer], workload: Workload, placement: str, extra: dict[str, Any]
) -> dict[str, Found]:
    """One round: every peer has its turn."""
    chosen = [peer for peer in peers if workload.among is None or peer.name in workload.among]
    runs = [Run(peer, workload, placement, extra) for peer in chosen]
    if workload.at_once:
        return _beside_each_other(runs)
    found = {run.peer.name: run.do() for run in runs}
    for run in runs:
        _show(run)
    return found


def measure_growth(measures: Mapping[str, int], rounds: int) -> dict[str, dict[str, float]]:
    """What one costs, by measure and by how many there are; each in a process of its own."""
    found: dict[str, dict[str, float]] = {}
    for name, most in measures.items():
        sizes = [str(10**power) for power in range(len(str(most)))]
        asked = ("--only", name, "--sizes", ",".join(sizes), "--rounds", str(rounds), "--json")
        command = [sys.executable, "-m", "benchmarks.growth", *asked]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        found.update(json.loads(done.stdout))
    return found


def _beside_each_other(runs: Sequence[Run]) -> dict[str, Found]:
    """Each begins when the one before says that it is ready, and all are looked at together."""
    found: dict[str, Found] = {}
    with ExitStack() as servers:
        for run in runs:
            try:
                run.start(servers.enter_context(running_server(cores(run.placement)[0])))
                run.wait_for_line()
            except CannotBeMade as error:
                found[run.peer.name] = {"unable": str(error)}
        for run in runs:
            if run.peer.name not in found:
                found[run.peer.name] = run.finish()
                _show(run)
    return {run.peer.name: found[run.peer.name] for run in runs}


def _show(run: Run) -> None:
    if run.errors.strip():
        print(f"{run.peer.name} at {run.workload.name}:\n{run.errors}", file=sys.stderr, flush=True)
