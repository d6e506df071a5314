"""The server in C: compiled when its source is newer, run in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("server.c")
PROGRAM = SOURCE.parent / "build" / "server"


def compile_server() -> None:
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    PROGRAM.parent.mkdir(exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    try:
        subprocess.run([*compiler, "-std=c99", "-O2", "-o", PROGRAM, SOURCE], check=True)
    except FileNotFoundError:
        sys.exit(
            f"The benchmarks need a C compiler, and {compiler[0]!r} is not there; CC names one."
        )


@contextmanager
def running_server() -> Iterator[str]:
    """Yields the URI of the server's socket."""
    compile_server()
    with subprocess.Popen(
        [PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        _pin_apart(process.pid)
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/socket/websocket?vsn=2.0.0"
        process.stdin.close()


def _pin_apart(server: int) -> None:
    """The server on one core and all that is measured on another.

    Without that the scheduler decides anew in every round how many cores a client's threads have,
    and the figures are those of the scheduler.
    """
    if sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(server, {cores[0]})
    os.sched_setaffinity(0, {cores[-1]})
