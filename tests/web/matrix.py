"""`make web-matrix`: the example applications behind real web servers, and a Phoenix that fails.

Each cell starts a web server and a Phoenix in processes of their own, and says what 16 connections
at once have seen of it; a cell that is not as it should be ends the run with status 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.clients import eventually
from tests.web.phoenix import Phoenix
from tests.web.server import GUNICORN, UVICORN, UWSGI, Load, WebServer, process_tree, threads_of

__all__ = ["SERVERS", "SITUATIONS", "Cell", "Web", "run"]

AT_ONCE = 16
# Of the views that say something; they wait 2 seconds for Phoenix.
VIEW_SECONDS = 2.0
# What a busy machine may need besides.
SLACK = 8.0
WORKERS = 2
SLOW = 200
CRASHES = 12
# Threads that a worker may have beside those that serve requests: its main one, those of the client
# and its connection, deadlines, drivers, and one that a server keeps for itself.
THREADS = 6


class Web(NamedTuple):
    """A web server with an application: its program, its arguments, and the threads that serve.

    `slow` are the arguments with which it serves 200 at once, `None` if it cannot; `fragile` is
    whether its client ends when it is sent nonsense.
    """

    name: str
    program: str
    arguments: tuple[str, ...]
    threads: int = 0
    variable: str = "FLASK_SLIPSTREAM_URI"
    slow: tuple[str, ...] | None = ()
    fragile: bool = True

    def start(self, phoenix: Phoenix) -> WebServer:
        """Return the web server, whose application talks to `phoenix`."""
        return WebServer(self.program, *self.arguments, environment={self.variable: phoenix.uri})


class Cell(NamedTuple):
    """What has come of one server in one situation, and what should have been otherwise."""

    server: str
    situation: str
    seen: str
    wrong: str


# With --preload the application is imported before the workers patch.
PATCHED = str(Path(__file__).parent / "patched.py")
FLASK = "examples.flask_app.app:create_app()"
KINDS = {
    "sync": ((), 0, None),
    "gthread": (("--worker-class", "gthread", "--threads", "8"), 8, ("--threads", "100")),
    "gevent": (("--worker-class", "gevent", "--config", PATCHED), 8, ()),
}
SERVERS = {
    f"gunicorn {kind}{preload}": Web(
        f"gunicorn {kind}{preload}",
        GUNICORN,
        ("--workers", str(WORKERS), *options, *preload.split(), FLASK),
        threads,
        slow=slow,
    )
    for kind, (options, threads, slow) in KINDS.items()
    for preload in ("", " --preload")
}
SERVERS["uvicorn"] = Web(
    "uvicorn",
    UVICORN,
    ("--workers", str(WORKERS), "examples.fastapi_app.app:app"),
    8,
    "PHOENIX_URI",
    fragile=False,
)
DJANGO = "examples.django_app.wsgi"
for kind in ("sync", "gthread"):
    SERVERS[f"Django, gunicorn {kind}"] = Web(
        f"Django, gunicorn {kind}",
        GUNICORN,
        ("--workers", str(WORKERS), *KINDS[kind][0], DJANGO),
        KINDS[kind][1],
        "PHOENIX_URI",
        slow=KINDS[kind][2],
    )
SERVERS["Django, uWSGI"] = Web(
    "Django, uWSGI",
    UWSGI,
    ("--processes", str(WORKERS), "--threads", "8", "--module", DJANGO),
    8,
    "PHOENIX_URI",
    slow=None,
)


def body(text: str) -> bytes:
    """Return a message as a browser sends it."""
    return json.dumps({"body": text}).encode()


def say(web: WebServer, requests: int) -> Load:
    """Have so many things said, from 16 connections at once."""
    return web.load("/messages", body("hello"), requests=requests, at_once=AT_ONCE)


def both_answer(web: WebServer, phoenix: Phoenix) -> None:
    """Ask until each worker has a client that is connected."""

    def connected() -> bool:
        if not web.have_each_connect(phoenix.port, WORKERS, "/messages", body("hello")):
            return False
        return say(web, AT_ONCE).statuses == {201: AT_ONCE} and phoenix.connections == WORKERS

    eventually(connected, "a client in each of the workers")


def most_threads(web: WebServer) -> int:
    """Return how many threads the busiest worker has."""
    return max(map(threads_of, process_tree(web.program.process.pid)[1:]))


def ending(web: WebServer, phoenix: Phoenix) -> str:
    """End the web server; return what is wrong with how it does."""
    outcome = web.end()
    left = phoenix.connections
    found = [f"exit status {outcome.code}"] if outcome.code else []
    found += [f"{left} connections are left"] if left else []
    if "Traceback" in outcome.errors:
        found.append(outcome.errors)
    return "; ".join(found)


def healthy(server: Web, requests: int) -> tuple[str, str]:
    """Phoenix is there: no error, one connection per process."""
    with Phoenix() as phoenix, server.start(phoenix.start()) as web:
        both_answer(web, phoenix)
        load = say(web, requests)
        connections, most = phoenix.connections, most_threads(web)
        status = web.fetch("/health").status
        seen = f"{load.statuses}, {connections} connections, {most} threads, {rate(load)}"
        wrong = ending(web, phoenix)
    if load.statuses != {201: requests} or status != 200:
        wrong = f"{load.surprises(201)[:3]} {status} {wrong}"
    if connections != WORKERS or most > server.threads + THREADS:
        wrong += " too many connections or threads"
    return seen, wrong


def away_at_boot(server: Web, requests: int) -> tuple[str, str]:
    """Phoenix comes later: 503 until then, within the view's timeout."""
    del requests  # Each of them takes all of its time.
    with Phoenix() as phoenix, server.start(phoenix) as web:
        web.wait_until_up("/health")
        # One for each worker that serves one at a time, lest they wait for each other.
        load = web.load("/messages", body("x"), requests=WORKERS, at_once=WORKERS)
        phoenix.start()
        begun = time.monotonic()
        both_answer(web, phoenix)
        back = time.monotonic() - begun
        wrong = ending(web, phoenix)
    seen = f"{load.statuses} after {load.slowest:.1f} s at most, back in {back:.1f} s"
    # Where one worker happens to have both, one waits for the other.
    most = VIEW_SECONDS * (WORKERS if not server.threads else 1) + SLACK
    if load.statuses != {503: WORKERS} or load.slowest > most:
        wrong = f"{load.answers} {wrong}"
    return seen, wrong


def killed(server: Web, requests: int) -> tuple[str, str]:
    """Phoenix is killed in the middle of a load, and comes back."""
    with Phoenix() as phoenix, server.start(phoenix.start()) as web:
        both_answer(web, phoenix)
        with web.loading("/messages", body("hello"), requests=requests, at_once=AT_ONCE) as answers:
            begun = time.monotonic()
            every = [answers.get() for _ in range(requests // 4)]
            phoenix.kill()
            every.append(answers.get())
            phoenix.start()
            every += [answers.get() for _ in range(requests - len(every))]
            load = Load(every, time.monotonic() - begun)
        both_answer(web, phoenix)
        after = say(web, requests // 4)
        wrong = ending(web, phoenix)
    seen = f"{load.statuses}, {load.slowest:.1f} s at most; then {after.statuses}"
    if load.surprises(201, 503, 504) or set(after.statuses) != {201}:
        wrong = f"{load.surprises(201, 503, 504)[:3]} {after.statuses} {wrong}"
    return seen, wrong


def slow(server: Web, requests: int) -> tuple[str, str]:
    """Phoenix takes half a second for each reply, and 200 are asked for at once."""
    del requests
    if server.slow is None:
        return "one at a time", ""
    quick = server._replace(arguments=(*server.arguments[:-1], *server.slow, server.arguments[-1]))
    with Phoenix() as phoenix, quick.start(phoenix.start()) as web:
        both_answer(web, phoenix)
        load = web.load("/messages", body("slow"), requests=SLOW, at_once=SLOW)
        wrong = ending(web, phoenix)
    seen = f"{load.statuses}, {load.seconds:.1f} s for all of them"
    # With the eight threads of other situations it would take more than six.
    if load.statuses != {201: SLOW} or load.seconds > 4.0:
        wrong = f"{load.surprises(201)[:3]} {wrong}"
    return seen, wrong


def crashing(server: Web, requests: int) -> tuple[str, str]:
    """What Phoenix pushes ends the clients, again and again for two seconds."""
    if not server.fragile:
        return "its client takes anything", ""
    with Phoenix() as phoenix, server.start(phoenix.start()) as web:
        both_answer(web, phoenix)
        nap = threading.Event()
        with web.loading("/messages", body("hello"), requests=requests, at_once=AT_ONCE) as answers:
            begun = time.monotonic()
            for _ in range(CRASHES):
                phoenix.crash_clients()
                nap.wait(2.0 / CRASHES)
            every = [answers.get() for _ in range(requests)]
            load = Load(every, time.monotonic() - begun)
        both_answer(web, phoenix)
        after = say(web, requests // 4)
        # The clients have told of their ends, with tracebacks.
        left = web.end().code, phoenix.connections
    seen = f"{load.statuses}, {load.slowest:.1f} s at most; then {after.statuses}"
    wrong = "" if left == (0, 0) else f"exit status and connections {left}"
    if load.surprises(201, 503, 504) or set(after.statuses) != {201}:
        wrong = f"{load.surprises(201, 503, 504)[:3]} {after.statuses} {wrong}"
    return seen, wrong


def rate(load: Load) -> str:
    """Return how many requests there were in a second."""
    return f"{len(load.answers) / load.seconds:.0f} requests/s"


SITUATIONS: dict[str, Callable[[Web, int], tuple[str, str]]] = {
    "healthy": healthy,
    "away at boot": away_at_boot,
    "killed": killed,
    "slow": slow,
    "crashes the client": crashing,
}


def run(server: Web, situation: str, requests: int) -> Cell:
    """Try one cell of the matrix."""
    try:
        seen, wrong = SITUATIONS[situation](server, requests)
    except Exception as error:
        seen, wrong = "", f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}"
    return Cell(server.name, situation, seen, wrong.strip())


def main(arguments: list[str] | None = None) -> int:
    """Try the matrix, and print it as a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.matrix", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--server", choices=SERVERS, action="append")
    parser.add_argument("--situation", choices=SITUATIONS, action="append")
    options = parser.parse_args(arguments)
    failures: list[Any] = []
    write("| server | Phoenix | seen |\n|---|---|---|\n")
    for name in options.server or SERVERS:
        for situation in options.situation or SITUATIONS:
            cell = run(SERVERS[name], situation, options.requests)
            write(
                f"| {cell.server} | {situation} | {cell.seen}{'' if not cell.wrong else ' ✗'} |\n"
            )
            if cell.wrong:
                failures.append(cell)
                write(f"\n{cell.wrong}\n\n")
    return 1 if failures else 0


def write(text: str) -> None:
    """Write to standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
