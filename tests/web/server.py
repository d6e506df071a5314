"""A web server in a process of its own, and requests to it, many at once.

with WebServer(GUNICORN, "examples.flask_app.app:create_app()", "--workers", "2", …) as web:
    assert web.fetch("/health").status == 200
    load = web.load("POST", "/say", b"{}", requests=2000, at_once=16)
    assert load.statuses == {200: 2000}
    assert web.end().code == 0
"""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.support.clients import eventually
from tests.support.programs import ROOT, Outcome, Program

__all__ = [
    "GUNICORN",
    "UVICORN",
    "UWSGI",
    "Answer",
    "Load",
    "WebServer",
    "connections_to",
    "free_port",
    "process_tree",
    "threads_of",
]

# They leave their listener to the garbage collector.
QUIET = [sys.executable, "-W", "ignore::ResourceWarning"]
GUNICORN = """
import sys
from gunicorn.app.wsgiapp import run
sys.argv[0] = "gunicorn"
sys.argv[1:1] = ["--bind", "fd://{listener}", "--log-level", "error", "--no-control-socket"]
run()
"""
UVICORN = """
import sys
from uvicorn.main import main
sys.argv[0] = "uvicorn"
sys.argv[1:1] = ["--fd", "{listener}", "--log-level", "error", "--ws", "wsproto"]
main()
"""
UWSGI = """
import os, sys
uwsgi = os.path.join(os.path.dirname(sys.executable), "uwsgi")
# As docs/guides/deployment.md has it.
in_order = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
fixed = ["--master", *in_order, "--disable-logging", "--logto", os.devnull]
# Its interpreter finds the packages by its home.
home = ["--home", sys.prefix, "--pythonpath", os.getcwd()]
os.execv(uwsgi, [uwsgi, "--http-socket", "127.0.0.1:{port}", *fixed, *home, *sys.argv[1:]])
"""
DEADLINE = 120.0
# Seconds that one request may take before it counts as hanging.
PATIENCE = 30.0


class Answer(NamedTuple):
    """One answer, and the seconds that it took; status 0 when there was none."""

    status: int
    body: bytes
    seconds: float


class Load(NamedTuple):
    """The answers to many requests, in the order in which they came."""

    answers: list[Answer]
    seconds: float

    @property
    def statuses(self) -> dict[int, int]:
        """How often there was which status."""
        return dict(Counter(answer.status for answer in self.answers))

    @property
    def slowest(self) -> float:
        """The seconds of the slowest of them."""
        return max(answer.seconds for answer in self.answers)

    def surprises(self, *expected: int) -> list[Answer]:
        """Those with another status, for the message of an assertion."""
        return [answer for answer in self.answers if answer.status not in expected]


class WebServer:
    """A web server that runs while its context is entered.

    `program` is Python's source, with `{listener}` for the descriptor of a socket that listens
    already, or `{port}` for a port that is free. Requests that come before it is up wait.
    """

    def __init__(
        self,
        program: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path = ROOT,
    ) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = listener.getsockname()[1]
        with listener:
            descriptor = listener.fileno()
            inherited = "{listener}" in program
            source = program.replace("{listener}", str(descriptor)).replace(
                "{port}", str(self.port)
            )
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            if not inherited:
                listener.close()
            self.program: Program = Program(
                source,
                *arguments,
                python=QUIET,
                deadline=DEADLINE,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path, **(environment or {})},
                pass_fds=[descriptor] if inherited else [],
            )

    def __enter__(self) -> WebServer:
        self.program.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.program.__exit__(kind, error, trace)

    def fetch(
        self, path: str, method: str = "GET", body: bytes | None = None, patience: float = PATIENCE
    ) -> Answer:
        """Ask once, over a connection of its own."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            status, text = 0, repr(error).encode()
        finally:
            connection.close()
        return Answer(status, text, time.monotonic() - begun)

    def post(self, path: str, body: bytes = b"{}", patience: float = PATIENCE) -> Answer:
        """Ask once, with a body."""
        return self.fetch(path, "POST", body, patience)

    def wait_until_up(self, path: str) -> None:
        """Wait until it answers at all, whatever that is."""
        eventually(lambda: self.fetch(path).status, "an answer of the web server")

    def load(self, path: str, body: bytes | None = b"{}", *, requests: int, at_once: int) -> Load:
        """Ask so often, from so many threads at once."""
        with self.loading(path, body, requests=requests, at_once=at_once) as answers:
            begun = time.monotonic()
            every = [answers.get(timeout=DEADLINE) for _ in range(requests)]
            return Load(every, time.monotonic() - begun)

    @contextmanager
    def loading(
        self, path: str, body: bytes | None = b"{}", *, requests: int, at_once: int
    ) -> Iterator[queue.SimpleQueue[Answer]]:
        """Yield the queue of the answers, while the requests are being made."""
        method = "GET" if body is None else "POST"
        answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        with ThreadPoolExecutor(at_once) as pool:
            for _ in range(requests):
                pool.submit(lambda: answers.put(self.fetch(path, method, body)))
            yield answers

    def processes(self) -> list[int]:
        """The web server's own process and those that it has forked."""
        return process_tree(self.program.process.pid)

    def have_each_connect(self, port: int, workers: int, path: str, body: bytes = b"{}") -> bool:
        """Ask once of each worker that has no connection to a port; return whether all have one.

        Who takes a request is the kernel's choice, and it may be the same one for ever: those that
        have a connection stand still meanwhile.
        """
        for _ in range(workers):
            if len(connected := self._connected_to(port)) < workers:
                with standing_still(connected):
                    self.post(path, body)
        return len(self._connected_to(port)) == workers

    def _connected_to(self, port: int) -> list[int]:
        return [process for process in self.processes() if connections_to(process, port)]

    def end(self) -> Outcome:
        """End it as a process manager does."""
        self.program.terminate()
        return self.program.end()


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def process_tree(process: int) -> list[int]:
    """Return a process and all that descend from it (Linux)."""
    found = [process]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # It has just ended.
                found += [int(child) for child in task.read_text().split()]
    return found


@contextmanager
def standing_still(processes: Iterable[int]) -> Iterator[None]:
    """Have processes stopped, and continue afterwards."""
    stopped = list(processes)
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        for process in stopped:
            eventually(partial(stands_still, process), "the stop of a process")
        yield
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)


def stands_still(process: int) -> bool:
    """Return whether all threads of a process are stopped, a while after the signal to be so."""
    states = [task.read_text() for task in Path(f"/proc/{process}/task").glob("*/stat")]
    return all(state.rpartition(")")[2].split()[0] == "T" for state in states)


def connections_to(process: int, port: int) -> int:
    """Return how many established TCP connections to a port a process has (Linux)."""
    here = f"/proc/{process}"
    with suppress(OSError):  # It has just ended.
        rows = [row.split() for row in Path(f"{here}/net/tcp").read_text().splitlines()[1:]]
        there = {f"socket:[{row[9]}]" for row in rows if row[2:4] == [f"0100007F:{port:04X}", "01"]}
        return sum(os.readlink(fd) in there for fd in Path(f"{here}/fd").iterdir())
    return 0


def threads_of(process: int) -> int:
    """Return how many threads a process has (Linux)."""
    return len(list(Path(f"/proc/{process}/task").iterdir()))
