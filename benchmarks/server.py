"""The server in C: compiled when its source is newer, run in a process of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent
BUILD = HERE / "build"


class Server(NamedTuple):
    """A server that runs: the URI of its socket, without `/websocket`, and its process id."""

    uri: str
    process: int


def compiled(source: Path, *options: str) -> Path:
    """Compile a source if it is newer than what it was made into, and return the latter."""
    program = BUILD / source.stem
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    BUILD.mkdir(exist_ok=True)
    compiler = shlex.split(os.environ.get("CC", "cc"))
    # Others may compile it at the same time.
    made = program.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run([*compiler, "-std=c99", "-O2", *options, "-o", made, source], check=True)
    except FileNotFoundError:
        sys.exit(
            f"The benchmarks need a C compiler, and {compiler[0]!r} is not there; CC names one."
        )
    return made.replace(program)


@contextmanager
def running_server(cores: set[int]) -> Iterator[Server]:
    """Run it, on these cores alone."""
    with subprocess.Popen(
        [compiled(HERE / "server.c")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.sched_setaffinity(process.pid, cores)
        port = int(process.stdout.readline())
        try:
            yield Server(f"ws://127.0.0.1:{port}/socket", process.pid)
        finally:
            process.stdin.close()
