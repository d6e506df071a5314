"""What must not grow: memory, threads, descriptors."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from benchmarks.soak.waiting import eventually
from slipstream_actor.actors.absence import THREAD
from slipstream_actor.actors.exit import living_connections

MEBIBYTE = 1024 * 1024
STATM = Path("/proc/self/statm")
DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class Resources:
    """One measurement: `memory` is what is resident, in bytes, `blocks` what Python has allocated.

    Resident memory holds what was freed and not given back, blocks are in use: they tell of the
    smallest leak.
    """

    memory: int
    blocks: int
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return (
            f"{self.memory / MEBIBYTE:.1f} MiB, {self.blocks} blocks, {self.threads} threads,"
            f" {self.descriptors} descriptors"
        )


def require_proc() -> None:
    """End the program where the system does not tell."""
    if not STATM.exists():
        sys.exit("The soak reads its memory from /proc, which is Linux's.")


def measure() -> Resources:
    """Measure now."""
    names = [thread.name for thread in threading.enumerate()]
    # One of a quiet client needs no thread, and counts as if it had one.
    connections = sum(name.startswith("connection of") for name in names)
    quiet = max(0, len(living_connections()) - connections)
    pages = int(STATM.read_text().split()[1])
    return Resources(
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        blocks=sys.getallocatedblocks(),
        # Less the one that all clients have, as long as one of them drives.
        threads=len(names) + quiet - (THREAD in names),
        # Less the one that lists them.
        descriptors=len(os.listdir(DESCRIPTORS)) - 1,
    )


def measure_at_rest(threads: int, descriptors: int, timeout: float = 10.0) -> Resources:
    """Measure when there are so many threads and descriptors, or after `timeout` seconds.

    A thread's end and a socket's take a moment. Garbage is collected, and the C library gives back
    what it keeps of freed memory: with a heap for each few threads, all of which live on, that is
    as much as the worst moment of each has left.
    """
    eventually(
        lambda: (v := measure()).threads == threads and v.descriptors == descriptors, timeout
    )
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return measure()
