"""The shell tool in a process of its own: in a pipe, or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
COMMAND = [sys.executable, "-m", "slipstream_actor"]
# One that cannot say where its cursor is.
TERMINAL = {"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"}
# No terminal's size, proxy or token of whoever runs the tests.
HIDDEN = ("PROXY", "SLIPSTREAM_", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a command."""
    kept = {k: v for k, v in os.environ.items() if not any(h in k.upper() for h in HIDDEN)}
    return {**kept, "PYTHONPATH": str(ROOT), **TERMINAL, **more}


class Command:
    """A running command; what it writes is read as it comes, with a deadline."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        output: int,
        errors: int,
        held: int | None = None,
    ) -> None:
        self.process = process
        # The other side of its terminal, which has no end while somebody has it open.
        self._held = held
        self._streams = {"out": output, "err": errors}
        self._came = {"out": b"", "err": b""}
        self._open = set(self._streams)
        self._deadline = time.monotonic() + DEADLINE

    @property
    def output(self) -> str:
        """What has come on standard output by now."""
        return self._came["out"].decode()

    @property
    def errors(self) -> str:
        """What has come on standard error by now."""
        return self._came["err"].decode()

    def wait_for(self, text: str, stream: str = "out") -> None:
        """Read until a text has come."""
        while text.encode() not in self._came[stream]:
            assert self._read(), f"no {text!r} came: {self.output!r} {self.errors!r}"

    def wait_for_more(self) -> None:
        """Read what comes next."""
        assert self._read(), f"nothing came: {self.output!r} {self.errors!r}"

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    def close_output(self) -> None:
        """Read its standard output no more, as `head` does."""
        os.close(self._streams.pop("out"))
        self._open.discard("out")

    def type(self, text: str) -> None:
        """Type at its terminal."""
        os.write(self._streams["out"], text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give its terminal another size."""
        fcntl.ioctl(
            self._streams["out"], termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0)
        )

    @property
    def raw(self) -> bool:
        """Whether its terminal hands on each key as it is typed, and echoes none."""
        local: int = termios.tcgetattr(self._streams["out"])[3]
        return not local & (termios.ICANON | termios.ECHO)

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def close_input(self) -> None:
        """End its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        """Wait for its end, and return its status."""
        self._let_go()
        while self._read():
            pass
        return self.process.wait(DEADLINE)

    def _read(self) -> bool:
        """Read what comes next; `False` when nothing will."""
        if not self._open:
            return False
        by_descriptor = {self._streams[name]: name for name in self._open}
        left = max(0.0, self._deadline - time.monotonic())
        ready, _, _ = select.select(list(by_descriptor), [], [], left)
        assert ready, f"nothing comes any more: {self.output!r} {self.errors!r}"
        for descriptor in ready:
            name = by_descriptor[descriptor]
            try:
                chunk = os.read(descriptor, 1 << 16)
            except OSError:  # A terminal that nobody writes to any more.
                chunk = b""
            self._came[name] += chunk
            if not chunk:
                self._open.discard(name)
        return True

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)

    def close(self) -> None:
        """End it if it has not ended, and close what is open."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE)
        self._let_go()
        for descriptor in self._streams.values():
            os.close(descriptor)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


@contextmanager
def command(*arguments: str, at: Path = ROOT, **environ: str) -> Iterator[Command]:
    """Run the tool in a directory, with pipes for its streams."""
    reading, writing = os.pipe()
    errors_reading, errors_writing = os.pipe()
    running = start(arguments, environ, subprocess.PIPE, writing, errors_writing, at)
    with ended(Command(running, reading, errors_reading)) as started:
        yield started


@contextmanager
def at_terminal(*arguments: str, **environ: str) -> Iterator[Command]:
    """Run the tool with a terminal for its standard output; its errors go to a pipe."""
    master, slave = pty.openpty()
    errors_reading, errors_writing = os.pipe()
    running = start(arguments, environ, subprocess.DEVNULL, slave, errors_writing)
    with ended(Command(running, master, errors_reading)) as started:
        yield started


@contextmanager
def typing_at_terminal(*arguments: str, **environ: str) -> Iterator[Command]:
    """Run the tool at a terminal of its own, which is what it controls: all streams are that."""
    master, slave = pty.openpty()
    # A session's first process takes the terminal that it opens for its own.
    shell = ["sh", "-c", 'exec "$@" <>"$0" >&0 2>&0', os.ttyname(slave), *COMMAND, *arguments]
    process = subprocess.Popen(
        shell,
        cwd=ROOT,
        env=environment(**environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reading, writing = os.pipe()
    os.close(writing)
    with ended(Command(process, master, reading, slave)) as started:
        yield started


def start(
    arguments: Sequence[str],
    environ: dict[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    at: Path = ROOT,
) -> subprocess.Popen[bytes]:
    """Start the tool; its ends of the streams are closed here."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=at,
        env=environment(**environ),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    os.close(stdout)
    os.close(stderr)
    return process


@contextmanager
def ended(running: Command) -> Iterator[Command]:
    """End a command with its context, or at a deadline."""
    killer = threading.Timer(DEADLINE, running.process.kill)
    killer.daemon = True
    killer.start()
    try:
        yield running
    finally:
        killer.cancel()
        killer.join()
        running.close()
