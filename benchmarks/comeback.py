"""How long clients take to come back after a restart of the server.

    python -m benchmarks.comeback --clients 100

The server, in a process of its own, is stopped with SIGTERM and started anew on the same port. The
time of each client counts from the moment when it listens again to `handle_join`.
"""

from __future__ import annotations

import argparse
import logging
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from threading import Event
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pykka

from slipstream_actor import ClientActor, Socket, connect

PATIENCE = 60.0
JITTERS = (1000, 0)


class Round(NamedTuple):
    """Seconds, of one restart: how long the server was away, and the clients' times."""

    away: float
    median: float
    longest: float


class Returning(ClientActor):
    """Puts the time of each of its joins into a queue. All else is the defaults' work."""

    def init(self, uri: str, jitter: int, topic: str, joins: queue.SimpleQueue[float]) -> Socket:
        self.topic = topic
        self.joins = joins
        return connect(uri, reconnect_jitter_msec=jitter)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(self.topic)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
        self.joins.put(time.monotonic())


class Server:
    """The embedded server, in a process of its own."""

    def __init__(self) -> None:
        self.uri = ""
        self._process: subprocess.Popen[str]
        self.start(port=0)

    def start(self, port: int | None = None) -> None:
        """Start it, on the port that it had; returns when it listens."""
        number = urlsplit(self.uri).port if port is None else port
        self._process = subprocess.Popen(
            [sys.executable, "-m", "slipstream_actor.testing.server", "--port", str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.uri = self._process.stdout.readline().strip()

    def stop(self) -> None:
        """Stop it as a deploy does; returns when it has ended."""
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()


@contextmanager
def clients(
    count: int, jitter: int, uri: str
) -> Iterator[tuple[list[pykka.ActorRef[Any]], queue.SimpleQueue[float]]]:
    """Run clients, each with a topic of its own."""
    joins: queue.SimpleQueue[float] = queue.SimpleQueue()
    refs = [Returning.start(uri, jitter, f"bench:{number}", joins) for number in range(count)]
    try:
        yield refs, joins
    finally:
        stopping = [ref.stop(block=False) for ref in refs]
        for stopped in stopping:
            stopped.get(timeout=PATIENCE)


def restart(server: Server, count: int, joins: queue.SimpleQueue[float], away: float) -> Round:
    """One round: the server is away for `away` seconds and what its start takes."""
    server.stop()
    gone = time.monotonic()
    Event().wait(away)
    server.start()
    back = time.monotonic()
    # A client may be faster than the line that says that the server listens.
    times = [max(0.0, joins.get(timeout=PATIENCE) - back) for _ in range(count)]
    return Round(back - gone, median(times), max(times))


def measure(jitter: int, chosen: argparse.Namespace) -> list[Round]:
    """All rounds of one jitter."""
    server = Server()
    try:
        with clients(chosen.clients, jitter, server.uri) as (_, joins):
            for _ in range(chosen.clients):
                joins.get(timeout=PATIENCE)
            return [
                restart(server, chosen.clients, joins, chosen.away) for _ in range(chosen.rounds)
            ]
    finally:
        server.stop()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comeback", description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians count")
    parser.add_argument(
        "--away",
        type=float,
        default=0.0,
        help="seconds from the server's end to its start; the start itself takes its time too",
    )
    return parser.parse_args()


def main() -> None:
    chosen = options()
    logging.getLogger("slipstream_actor").addHandler(logging.NullHandler())
    print(
        f"{chosen.clients} clients, seconds from the server's return to joined,"
        f" medians of {chosen.rounds} rounds"
    )
    print(f"{'reconnect_jitter_msec':<24}{'median':>10}{'maximum':>10}{'server away':>14}")
    for jitter in JITTERS:
        rounds = measure(jitter, chosen)
        middle = Round(*(median(column) for column in zip(*rounds, strict=True)))
        print(
            f"{jitter:<24}{middle.median:>10.3f}{middle.longest:>10.3f}{middle.away:>14.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
