"""Programs as users write them, run in a process of their own, with a deadline."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0

# From 3.12 on Python warns of every fork beside threads, which is what is tested here.
PYTHON = [sys.executable, "-X", "dev", "-W", "ignore:This process:DeprecationWarning"]


class Outcome(NamedTuple):
    """How a program ended, and what it wrote."""

    code: int
    output: str
    errors: str


class Program:
    """A program that runs while its context is entered, `deadline` seconds at most.

    It is Python's source, or a file of it; `python` is what runs it, and `options` are those of
    `subprocess.Popen`.
    """

    def __init__(
        self,
        source: str | Path,
        *arguments: str,
        python: Sequence[str] = PYTHON,
        deadline: float = DEADLINE,
        **options: Any,
    ) -> None:
        what = [str(source)] if isinstance(source, Path) else ["-c", source]
        # A file, lest a program that complains a lot wait for a reader.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [*python, *what, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            **{"cwd": ROOT, **options},
        )
        self._found_waiting = 0
        self._deadline = threading.Timer(deadline, self.kill)
        self._deadline.daemon = True

    def __enter__(self) -> Program:
        self._deadline.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._deadline.cancel()
        self._deadline.join()
        errors = self.end().errors
        for stream in (self.process.stdin, self.process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        if error is not None and errors:
            error.add_note(errors)

    def line(self) -> str:
        """Return the next line that the program writes, without its end; "" when there is none."""
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline()
        return line.removesuffix("\n")

    def say(self, text: str = "") -> None:
        """Write a line to the program's standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it at once, with the children that it has forked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Send it a SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def sleeps(self) -> bool:
        """Whether its main thread has been found waiting so often that it is not for the GIL.

        A signal that comes just before a wait for a lock is not noticed in it: Python looks for
        signals before and after. True where the system does not tell.
        """
        status = Path(f"/proc/{self.process.pid}/stat")
        waits = not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "S"
        self._found_waiting = self._found_waiting + 1 if waits else 0
        return self._found_waiting >= 10

    def end(self) -> Outcome:
        """Wait for its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        output = self.process.stdout.read()
        code = self.process.wait()
        self._errors.seek(0)
        return Outcome(code, output, self._errors.read())


def run(source: str | Path, *arguments: str, deadline: float = DEADLINE) -> Outcome:
    """Run a program to its end."""
    with Program(source, *arguments, deadline=deadline) as program:
        return program.end()
