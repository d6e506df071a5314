"""gunicorn: workers that it forks answer HTTP requests through a client of their own."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipstream_actor.testing import PhoenixServer
from tests.support.clients import eventually
from tests.support.programs import DEADLINE, Outcome, Program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tried on Linux alone")

APP = """
import functools, os
from slipstream_actor import ClientActor, ForkedError, connect, wait_until_joined

URI = os.environ["PHOENIX_URI"]

class Client(ClientActor):
    def init(self):
        return connect(URI).join("bench:a")

    def echo(self, value):
        ref = self.socket.push("bench:a", "echo", {"value": value})
        return self.socket.await_reply(ref).unwrap()["value"]

@functools.cache
def client():
    # Started by the first request of each worker, or by a hook.
    ref = Client.start()
    wait_until_joined(ref, "bench:a")
    return ref

if os.environ["AT_IMPORT"]:
    too_early = client()
    client.cache_clear()

def application(environ, start_response):
    path = environ["PATH_INFO"]
    try:
        ref = too_early if path == "/too-early" else client()
        status, value = "200 OK", ref.proxy().echo(path).get(timeout=10)
    except ForkedError as error:
        status, value = "500 Internal Server Error", str(error)
    start_response(status, [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {value}".encode()]
"""

HOOKS = """
def when_ready(server):
    print(server.LISTENERS[0].getsockname()[1], flush=True)
"""

POST_FORK = """
def post_fork(server, worker):
    import app
    app.client()
"""

GUNICORN = """
import os, sys, warnings
# It leaves its listener to the garbage collector.
warnings.simplefilter("ignore", ResourceWarning)
os.environ["PHOENIX_URI"], os.environ["AT_IMPORT"] = sys.argv[1:3]
del sys.argv[1:3]
sys.argv[0] = "gunicorn"
from gunicorn.app.wsgiapp import run
run()
"""


@contextmanager
def gunicorn(
    folder: Path, uri: str, *options: str, hooks: str = HOOKS, at_import: bool = False
) -> Iterator[tuple[Program, str]]:
    """Run the app with two workers, and yield the program and the address of its pages."""
    (folder / "app.py").write_text(APP)
    (folder / "hooks.py").write_text(hooks)
    arguments = ["--chdir", str(folder), "--config", str(folder / "hooks.py"), "--workers", "2"]
    quiet = ["--bind", "127.0.0.1:0", "--log-level", "error", "--no-control-socket"]
    flag = "yes" if at_import else ""
    with Program(GUNICORN, uri, flag, *arguments, *quiet, *options, "app") as program:
        yield program, f"http://127.0.0.1:{program.line()}"


def fetch(page: str) -> tuple[int, str, str]:
    """Return status, the worker's process and the rest of what it answered."""
    try:
        with urllib.request.urlopen(page, timeout=DEADLINE) as answer:
            status, body = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    worker, _, text = body.decode().partition(" ")
    return status, worker, text


def assert_both_answer(address: str, page: str) -> None:
    """Ask until both workers have answered."""
    workers = set()

    def both() -> bool:
        with ThreadPoolExecutor(8) as pool:
            for status, worker, text in pool.map(fetch, [address + page] * 16):
                assert (status, text) == (200, page)
                workers.add(worker)
        return len(workers) == 2

    eventually(both, "an answer of each worker")


def end(program: Program, server: PhoenixServer) -> None:
    """Have gunicorn end as a process manager does; its clients take their leave."""
    program.terminate()
    assert program.end() == Outcome(0, "", "")
    server.wait_for_connections(0)


def test_each_worker_starts_its_client_at_its_first_request(
    server: PhoenixServer, tmp_path: Path
) -> None:
    with gunicorn(tmp_path, server.uri, "--preload") as (program, address):
        assert_both_answer(address, "/lazily")
        assert server.connections == 2
        end(program, server)


def test_a_hook_starts_the_client_of_each_worker(server: PhoenixServer, tmp_path: Path) -> None:
    hooks = HOOKS + POST_FORK
    with gunicorn(tmp_path, server.uri, "--preload", hooks=hooks) as (program, address):
        server.wait_for_connections(2)
        assert_both_answer(address, "/hook")
        assert server.connections == 2
        end(program, server)


def test_a_client_started_before_the_fork_is_no_hang(server: PhoenixServer, tmp_path: Path) -> None:
    running = gunicorn(tmp_path, server.uri, "--preload", at_import=True)
    with running as (program, address):
        status, _, text = fetch(address + "/too-early")
        assert status == 500
        assert "start the client after the fork" in text
        assert_both_answer(address, "/lazily")
        # Gunicorn's own process has the one that was too early.
        assert server.connections == 3
        end(program, server)


def test_workers_with_greenlets(server: PhoenixServer, tmp_path: Path) -> None:
    with gunicorn(tmp_path, server.uri, "--worker-class", "gevent") as (program, address):
        assert_both_answer(address, "/greenlet")
        end(program, server)


def test_workers_with_threads(server: PhoenixServer, tmp_path: Path) -> None:
    options = ["--preload", "--worker-class", "gthread", "--threads", "4"]
    with gunicorn(tmp_path, server.uri, *options, hooks=HOOKS + POST_FORK) as (program, address):
        assert_both_answer(address, "/thread")
        end(program, server)
