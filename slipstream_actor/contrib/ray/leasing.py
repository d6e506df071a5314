"""A lease that is taken and kept in a thread: what `leases` decides, done."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.leases import (
    UNKNOWN,
    Delete,
    Get,
    IsGone,
    Keys,
    Lease,
    Leave,
    Operation,
    Pause,
    Process,
    PutNew,
)
from slipstream_actor.contrib.ray.store import Store

__all__ = ["Holder", "clock", "this_process"]

logger: Logger = get_logger("slipstream_actor.ray")

# It runs while the host sleeps, where the system has such a clock.
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def clock() -> float:
    """Return the seconds of a clock that never goes back, and runs while the host sleeps."""
    return time.monotonic() if BOOT_CLOCK is None else time.clock_gettime(BOOT_CLOCK)


def this_process() -> Process:
    """Return what this process is called in a claim."""
    return Process(host_name(), os.getpid(), str(engine.start_time(os.getpid())))


def host_name() -> str:
    """Return what tells the processes that can see each other by their ids: since its start, and of
    one container."""
    parts = [os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")]
    for read in (_boot, lambda: os.readlink("/proc/self/ns/pid")):
        try:
            parts.append(read())
        except OSError:
            parts.append("")
    return "/".join(parts)


def _boot() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def is_gone(process: Process) -> bool:
    """Whether a process ran on this host, and has ended."""
    return process.host == host_name() and str(engine.start_time(process.pid)) != process.started


class Performer:
    """Does what a lease says, in its store."""

    def __init__(self, store: Store, patience: float, leaving: threading.Event) -> None:
        self._store = Store.of_claims(store.name, patience)
        self._leaving = leaving

    def __call__(self, operation: Operation) -> Any:
        """Return the outcome of an operation."""
        try:
            return self._perform(operation)
        except StoreUnavailableError:
            return UNKNOWN
        except Exception:
            logger.exception("a step of a lease has failed")
            return UNKNOWN

    def _perform(self, operation: Operation) -> Any:
        match operation:
            case Get(key):
                return self._store.get(key)
            case PutNew(key, value):
                return self._store.put_first(key, value)
            case Keys(prefix):
                return self._store.keys(prefix)
            case Delete(key):
                return self._store.delete(key)
            case IsGone(process):
                return is_gone(process)
            case Pause(seconds):
                return self._leaving.wait(seconds)
        raise TypeError(f"{operation!r} is no step")


class Holder:
    """Takes the lease of a shard, and keeps it; `fenced(reason)` is called when it is over."""

    def __init__(
        self,
        store: Store,
        shard: int,
        incarnation: str,
        seconds: float | None,
        fenced: Callable[[str], object],
    ) -> None:
        self._lease = Lease(shard, incarnation, this_process(), seconds=seconds)
        self._shard = shard
        self._fenced = fenced
        self._leaving = threading.Event()
        self._perform = Performer(store, self._lease.patience, self._leaving)
        self.began: threading.Event = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"slipstream_actor lease of shard {shard}", daemon=True
        )

    def start(self) -> None:
        """Begin to take it."""
        self._thread.start()

    def stop(self) -> None:
        """Keep it no more; nothing is told."""
        self._leaving.set()

    @property
    def generation(self) -> int | None:
        """How many have held before, and this one."""
        return self._lease.generation

    def holds(self) -> bool:
        """Whether the shard may deliver."""
        return self._lease.holds(clock())

    def is_claimed(self) -> bool:
        """Whether the claim stands in the store: all else of the name may be gone."""
        claim = self._lease.claim
        key = f"holder/{self._shard}/{claim.generation}" if claim is not None else ""
        return self._perform(Get(key)) not in (None, UNKNOWN)

    def _run(self) -> None:
        operation = self._lease.next(clock())
        while not self._leaving.is_set():
            if isinstance(operation, Leave):
                self._fenced(operation.reason)
                return
            outcome = self._perform(operation)
            operation = self._lease.next(clock(), outcome)
            if not self.began.is_set() and self.holds():
                self.began.set()
