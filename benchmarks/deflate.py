"""What permessage-deflate costs and gains: the same messages with it and without, turn by turn.

    python -m benchmarks.deflate

The embedded server runs in a process of its own, and sends, or takes, rows as an application has
them: names, texts, times, numbers. What is measured is the processor time of the client's process
and the bytes on the wire, a message each, and how many times as much it is with compression; not
messages a second, for the server, in Python, is the slower of the two.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import msgspec

from slipstream_actor import ClientActor, Socket, connect, get_state, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer

TOPIC = "rows:1"
SIZES = {100: 3000, 1024: 1500, 10 * 1024: 400}
TEXT = (
    "the quick brown fox jumps over a lazy dog while servers answer clients about topics, orders,"
    " prices and whoever is online, away or typing a message that nobody reads"
)
WORDS = TEXT.split()
# The window of the server's compressor: messages are not to come again within it.
WINDOW = 32 * 1024
OFFERS = {
    "with context": "permessage-deflate",
    "without": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
}


class Cost(NamedTuple):
    """Of one message: processor time of the client's process in microseconds, and bytes."""

    microseconds: float
    wire_bytes: float


def row(some: random.Random) -> dict[str, Any]:
    """One row, of about 150 bytes."""
    second = some.randrange(60)
    return {
        "id": some.randrange(10**6),
        "user": some.choice(WORDS),
        "body": " ".join(some.choices(WORDS, k=some.randrange(3, 12))),
        "inserted_at": f"2026-11-{some.randrange(1, 29):02}T12:{second:02}:{second:02}.000000Z",
        "price": round(some.random() * 1000, 2),
    }


def payloads(size: int) -> list[Any]:
    """Payloads of about so many bytes, all different, as many as are far more than the window."""
    some = random.Random(size)
    found = []
    for _ in range(max(50, 6 * WINDOW // size)):
        rows: list[Any] = []
        while len(msgspec.json.encode(rows)) < size * 0.9:
            rows.append({"id": some.randrange(10**6)} if size < 200 else row(some))
        found.append({"rows": rows})
    return found


class Rows(Channel):
    """Sends messages, and takes them, until it is asked whether it has all."""

    def handle_in(self, event: str, payload: Any) -> Any:
        """Reply to what asks for one."""
        if event == "send":
            several = payloads(payload["size"])
            for n in range(payload["n"]):
                self.push("row", several[n % len(several)])
        return None if event == "row" else ("ok", {})


class Client(ClientActor):
    """Pushes as it is told, and counts what comes."""

    def init(self, uri: str, options: dict[str, Any]) -> Socket:
        self.replied = threading.Event()
        return connect(uri, **options)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(TOPIC)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_reply(self, ref: str, reply: Any, socket: Socket) -> None:
        self.replied.set()

    def send(self, n: int, several: list[Any]) -> threading.Event:
        """Push `n` rows, and then a question whose answer says that they have come."""
        for number in range(n):
            self.socket.push(TOPIC, "row", several[number % len(several)], send_timeout=60.0)
        return self.ask("all?", {})

    def ask(self, event: str, payload: Any) -> threading.Event:
        """Push what is replied to, and return what is set by that."""
        self.replied.clear()
        self.socket.push(TOPIC, event, payload)
        return self.replied


def inbound(client: Any, n: int, several: list[Any], size: int) -> threading.Event:
    """Have the server send."""
    found: threading.Event = client.ask("send", {"n": n, "size": size}).get()
    return found


def outbound(client: Any, n: int, several: list[Any], size: int) -> threading.Event:
    """Send."""
    found: threading.Event = client.send(n, several).get()
    return found


DIRECTIONS: dict[str, Callable[[Any, int, list[Any], int], threading.Event]] = {
    "in": inbound,
    "out": outbound,
}


def measure(uri: str, direction: str, size: int, n: int, extensions: list[str]) -> Cost:
    """One round on a connection of its own, behind another one that warms up."""
    ref = Client.start(uri, {"extensions": extensions, "high_watermark": 10**6})
    several = payloads(size)
    try:
        wait_until_joined(ref, TOPIC, 10.0)
        client = ref.proxy()
        run = DIRECTIONS[direction]
        assert run(client, n // 5, several, size).wait(60.0)
        before, began = counted(ref), time.process_time()
        assert run(client, n, several, size).wait(60.0)
        seconds, after = time.process_time() - began, counted(ref)
        return Cost(seconds / n * 1e6, (after[direction] - before[direction]) / n)
    finally:
        ref.stop()


def counted(ref: Any) -> dict[str, int]:
    """How many bytes the connection has read and written."""
    counters = get_state(get_state(ref).connection).counters
    return {"in": counters.bytes_in, "out": counters.bytes_out}


@contextmanager
def server() -> Iterator[str]:
    """A server in a process of its own; it ends with its standard input."""
    command = [sys.executable, "-m", "benchmarks.deflate", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


def serve() -> None:
    """Be that server."""
    with PhoenixServer({"rows:*": Rows}, compress=True) as phoenix:
        print(phoenix.uri, flush=True)
        sys.stdin.read()


def report(uri: str, direction: str, size: int, n: int, rounds: int) -> None:
    """Print a row for each way to compress, beside the one without."""
    costs: dict[str, list[Cost]] = {"off": [], **{name: [] for name in OFFERS}}
    for _ in range(rounds):
        for name, several in costs.items():
            extensions = [] if name == "off" else [OFFERS[name]]
            several.append(measure(uri, direction, size, n, extensions))
    middle = {name: Cost(*map(median, zip(*found, strict=True))) for name, found in costs.items()}
    off = middle["off"]
    for name in OFFERS:
        on = middle[name]
        print(
            f"{direction:<4}{size:>6}  {name:<13}"
            f"{off.microseconds:>9.1f}{on.microseconds:>9.1f}"
            f"{on.microseconds / off.microseconds:>7.2f}"
            f"{off.wire_bytes:>9.0f}{on.wire_bytes:>9.0f}{on.wire_bytes / off.wire_bytes:>7.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deflate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the median counts")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="bytes of a message")
    parser.add_argument("--messages", type=int, help="how many a round; by default by their size")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    print(f"{'':25}{'µs off':>9}{'on':>9}{'ratio':>7}{'bytes off':>10}{'on':>8}{'ratio':>7}")
    with server() as uri:
        for direction in DIRECTIONS:
            for size in map(int, options.sizes.split(",")):
                n = options.messages or SIZES.get(size, 1000)
                report(uri, direction, size, n, options.rounds)


if __name__ == "__main__":
    main()
