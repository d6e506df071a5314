"""What must not grow: memory, threads, descriptors; and what must not be logged."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    pages = int(STATM.read_text().split()[1])
    return Resources(
        memory=pages * os.sysconf("SC_PAGE_SIZE"),
        blocks=sys.getallocatedblocks(),
        threads=threading.active_count(),
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


def eventually(condition: Callable[[], bool], timeout: float) -> bool:
    """Wait for what tells nobody when it happens; return whether it has."""
    deadline = time.monotonic() + timeout
    nap = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        nap.wait(0.05)
    return True


class UnexpectedErrors(logging.Handler):
    """Errors that nobody has made on purpose: in the log, and in threads."""

    def __init__(self, *expected: type[BaseException]) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        self._expected = expected

    def install(self) -> None:
        """Listen to the library's log, in place of the last resort, and to threads that die."""
        logger = logging.getLogger("slipstream_actor")
        logger.addHandler(self)
        logger.propagate = False
        threading.excepthook = lambda args: self.found.append(
            f"{args.thread.name if args.thread else 'a thread'} died: {args.exc_value!r}"
        )
        sys.unraisablehook = lambda args: self.found.append(
            f"{args.exc_value!r} in {args.object!r}"
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record with an exception that is not expected."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, self._expected):
            self.found.append(self.format(record))
