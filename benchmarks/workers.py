"""What web workers do: calls from 8 threads and from one loop, beside a proxied method and
python-socketio's blocking `call` (extra `bench`), which has a server of its own in its own process.

That server is written in Python and ours in C: the comparison that says something is the one with
the proxied method, over the same server.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from statistics import median
from typing import Any

from benchmarks.load import TOPIC
from slipstream_actor import ClientActor, Socket, connect, request, wait_until_joined

__all__ = ["report_workers"]

THREADS, CALLS, AT_ONCE = 8, 250, 2000

SOCKETIO_SERVER = """
import sys, logging, socketio
from werkzeug.serving import run_simple
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = socketio.Server(async_mode="threading")
server.on("echo", lambda sid, payload: payload)
run_simple("127.0.0.1", int(sys.argv[1]), socketio.WSGIApp(server), threaded=True)
"""


class Worker(ClientActor):
    """A client with the method that one writes first."""

    def init(self, uri: str) -> Socket:
        return connect(uri)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(TOPIC)

    def echo(self, number: int) -> Any:
        """Push, and hold up whoever else asks until the reply has come."""
        return self.socket.await_reply(self.socket.push(TOPIC, "echo", {"i": number})).unwrap()


def from_threads(one: Callable[[int], Any]) -> float:
    """Return the calls a second of several threads together."""

    def work() -> None:
        for number in range(CALLS):
            one(number)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return THREADS * CALLS / (time.perf_counter() - started)


def from_a_loop(client: Any) -> float:
    """Return the requests a second that one loop makes at once."""

    async def one(number: int) -> Any:
        return (await request(client, TOPIC, "echo", {"i": number}, timeout=60)).unwrap()

    async def main() -> None:
        await asyncio.gather(*map(one, range(AT_ONCE)))

    started = time.perf_counter()
    asyncio.run(main())
    return AT_ONCE / (time.perf_counter() - started)


@contextlib.contextmanager
def socketio_client() -> Iterator[Any]:
    """Yield a connected client of python-socketio, `None` where it is not installed."""
    try:
        socketio: Any = import_module("socketio")
    except ImportError:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", SOCKETIO_SERVER, str(port)])
    client = socketio.Client()
    try:
        client.connect(
            f"http://127.0.0.1:{port}", transports=["websocket"], retry=True, wait_timeout=10
        )
        yield client
        client.disconnect()
    finally:
        server.terminate()
        server.wait()


def report_workers(uri: str, rounds: int) -> None:
    """Print the calls a second, and how many times as many as a proxied method's they are."""
    client = Worker.start(uri)
    wait_until_joined(client, TOPIC)
    proxy = client.proxy()
    with socketio_client() as theirs:
        tasks: dict[str, Callable[[], float]] = {
            "proxied method with await_reply, 8 threads": lambda: from_threads(
                lambda n: proxy.echo(n).get()
            ),
            "requests from 8 threads": lambda: from_threads(
                lambda n: request(client, TOPIC, "echo", {"i": n}).get().unwrap()
            ),
            "requests at once from one coroutine loop": lambda: from_a_loop(client),
        }
        if theirs is not None:
            tasks["python-socketio's call, 8 threads"] = lambda: from_threads(
                lambda n: theirs.call("echo", {"i": n})
            )
        rates: dict[str, list[float]] = {title: [] for title in tasks}
        for _ in range(rounds):
            for title, task in tasks.items():
                rates[title].append(task())
    first = median(rates["proxied method with await_reply, 8 threads"])
    print(f"\n{'per second':<44}{'rate':>10}{'ratio':>8}")
    for title, found in rates.items():
        print(f"{title:<44}{median(found):>10,.0f}{median(found) / first:>8.2f}", flush=True)
    client.stop()
