"""What the peers' programs have in common. It needs the standard library alone: most of them run in
environments without this package.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TOPIC = "bench:1"
PATIENCE = 300.0
# The tasks of a thread that is not the main one.
PLAIN_THREAD = frozenset({"sequential_thread", "sequential_request"})
MICROSECONDS, NANOSECONDS = 1e6, 1e9

Found = dict[str, Any]
"""What a task has found, by the names of `workloads.Figure`; or why there is none: `unable`."""


@dataclass(frozen=True)
class Load:
    """What a task has to do. `uri` is that of the endpoint's socket, without `/websocket`."""

    uri: str
    server: int = 0
    """Its process id, for the share of its core that it needed; 0 where it is not asked for."""
    count: int = 1
    """Messages or requests; of a fan the times, of idle clients how many."""
    size: int = 100
    binary: bool = False
    in_flight: int = 1
    threads: int = 8
    clients: int = 1
    seconds: float = 0.0
    """For how long idle clients are looked at."""
    started: int = 0
    """When the process was started, by `time.monotonic_ns`."""
    instructions: str = ""
    """The library that `instructions.py` has compiled; empty where they are not counted."""

    @property
    def v2(self) -> str:
        return f"{self.uri}/websocket?vsn=2.0.0"

    @property
    def flood(self) -> str:
        """The topic whose join is answered with the messages."""
        return f"flood:{'binary' if self.binary else 'json'}:{self.count}:{self.size}"

    @property
    def fan(self) -> str:
        """The topic that gets its messages when all clients are in it."""
        return f"fan:{self.clients}:{self.count}"

    def warm_up(self) -> Load:
        """A tenth of it, uncounted."""
        return replace(self, count=max(self.in_flight, self.count // 10), instructions="")


class Window:
    """The time of a block, and what this process and the server needed of their cores in it."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.seconds = 0.0
        self.found: Found = {}

    def __enter__(self) -> Window:
        # A collection of what warmed up is not to fall into the time.
        gc.collect()
        _counting(self._load, "start_instructions")
        self._server = _seconds_of(self._load.server)
        self._own = time.process_time()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.found["client_share"] = (time.process_time() - self._own) / self.seconds
        server = _seconds_of(self._load.server)
        if server is not None and self._server is not None:
            self.found["server_share"] = (server - self._server) / self.seconds
        _counting(self._load, "stop_instructions")

    def rate(self, count: int) -> Found:
        """So many in the block, as a rate."""
        return {**self.found, "rate": count / self.seconds}

    def round_trips(self, seconds: list[float]) -> Found:
        """Likewise, of round trips that took so long each."""
        ordered = sorted(seconds)
        return {
            **self.rate(len(ordered)),
            "p50": ordered[len(ordered) // 2] * MICROSECONDS,
            "p99": ordered[len(ordered) * 99 // 100] * MICROSECONDS,
        }


def _counting(load: Load, function: str) -> None:
    if load.instructions:
        import ctypes

        getattr(ctypes.CDLL(load.instructions), function)()


def _seconds_of(process: int) -> float | None:
    """For how long its first thread was on a core."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / NANOSECONDS
    except OSError:
        return None


class Fan:
    """When the messages of a fan have reached the callbacks of all clients."""

    def __init__(self, load: Load, done: Callable[[], object]) -> None:
        self._load, self._done = load, done
        self._arrivals: list[tuple[int, int]] = []

    def arrived(self, at: int) -> None:
        """A callback has got the message that was sent `at`."""
        self._arrivals.append((at, time.monotonic_ns()))
        if len(self._arrivals) == self._load.clients * self._load.count:
            self._done()

    def found(self) -> Found:
        """From sending to the last callback, of the messages the median."""
        last: dict[int, int] = {}
        for at, arrived in self._arrivals:
            last[at] = max(arrived, last.get(at, 0))
        times = sorted(arrived - at for at, arrived in last.items())
        return {"last_callback": times[len(times) // 2] / 1e6}


class Idle:
    """What idle clients cost, told from what the process was before the first of them."""

    def __init__(self, load: Load) -> None:
        self._load = load
        gc.collect()
        self._before, self._threads = proportional_bytes(), threads()
        self._began = time.perf_counter()
        self._found: Found = {}
        self._own = 0.0

    def joined(self) -> float:
        """All are. Returns for how many seconds they are to be left alone."""
        self._found["joined"] = time.perf_counter() - self._began
        print("joined", flush=True)
        self._own, self._began = time.process_time(), time.perf_counter()
        return self._load.seconds

    def found(self) -> Found:
        """They have been left alone, and come to rest."""
        elapsed = time.perf_counter() - self._began
        self._found["idle_share"] = (time.process_time() - self._own) / elapsed * 100
        gc.collect()
        memory = (proportional_bytes() - self._before) / self._load.clients
        self._found["memory"] = memory / 1024
        self._found["threads"] = (threads() - self._threads) / self._load.clients
        return self._found


def proportional_bytes() -> int:
    """The memory that is this process's own, and its part of what it shares (PSS).

    What is mapped from files is left out: that part of it changes as other processes come and go.
    """
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no Pss_Anon in smaps_rollup: Linux is older than 5.4")


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def since_start(load: Load) -> Found:
    """How long it has taken until now, joined, from the start of the process."""
    return {"first_join": (time.monotonic_ns() - load.started) / 1e6}


def from_threads(load: Load, one: Callable[[int], object]) -> Found:
    """Requests of several threads together."""
    each = load.count // load.threads

    def work() -> None:
        for number in range(each):
            one(number)

    working = [threading.Thread(target=work) for _ in range(load.threads)]
    with Window(load) as window:
        for thread in working:
            thread.start()
        for thread in working:
            thread.join()
    return window.rate(each * load.threads)


def one_by_one(load: Load, one: Callable[[int], object]) -> Found:
    """Round trips, each after the one before."""
    times: list[float] = []
    with Window(load) as window:
        for number in range(load.count):
            began = time.perf_counter()
            one(number)
            times.append(time.perf_counter() - began)
    return window.round_trips(times)


async def from_coroutines(load: Load, one: Callable[[int], Coroutine[Any, Any, object]]) -> Found:
    """Requests of as many coroutines as are to be in flight."""

    async def work() -> None:
        for number in range(load.count // load.in_flight):
            await one(number)

    with Window(load) as window:
        await asyncio.gather(*(work() for _ in range(load.in_flight)))
    return window.rate(load.count // load.in_flight * load.in_flight)


async def awaited_one_by_one(
    load: Load, one: Callable[[int], Coroutine[Any, Any, object]]
) -> Found:
    """Round trips of one coroutine."""
    times: list[float] = []
    with Window(load) as window:
        for number in range(load.count):
            began = time.perf_counter()
            await one(number)
            times.append(time.perf_counter() - began)
    return window.round_trips(times)


def unable(reason: str) -> Callable[[Load], Found]:
    """A task that a client has nothing for."""
    return lambda load: {"unable": reason}


def in_a_thread(task: Callable[[Load], Found], load: Load) -> Found:
    """Do a task in a thread that is not the main one, as web servers do."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(task, load).result()


def main(
    tasks: dict[str, Callable[[Load], Any]],
    run: Callable[[Coroutine[Any, Any, Found]], Found] = asyncio.run,
) -> None:
    """Do the task of the command line. Tasks that are coroutines are `run`."""
    name, load = sys.argv[1], Load(**json.loads(sys.argv[2]))
    task = tasks.get(name, unable("there is nothing for it"))
    found = in_a_thread(task, load) if name in PLAIN_THREAD else task(load)
    if asyncio.iscoroutine(found):
        found = run(found)
    print(json.dumps(found), flush=True)
    # Threads and sockets of a thousand clients need no order any more.
    os._exit(0)
