"""`make memory`: what waits in memory, beside its bytes on the wire; and how long it takes to log a
big message.

    python -m benchmarks.memory --only small,big

Each figure comes from a process of its own, twice: what is resident more than before, and what
Python has allocated more (`tracemalloc`). The server is in yet another one. Linux only.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import ctypes
import gc
import json
import logging
import os
import socket as sockets
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from benchmarks.counting import Counted
from benchmarks.plain_server import running_server
from slipstream_actor import Message, Socket, connect
from slipstream_actor.telemetry.frame_log import received
from slipstream_actor.testing import Channel, PhoenixServer

MEBIBYTE = 1 << 20
TOPIC = "room:one"
STATM = Path("/proc/self/statm")
STILL = 0.3
PATIENCE = 60.0
FRAMES = logging.getLogger("slipstream_actor.frames")
SCALE = float(os.environ.get("MEMORY_SCALE", "1"))
"""Of how many messages there are; for the test of it."""


class Held(NamedTuple):
    """How many bytes are held in memory, and how many these were on the wire."""

    memory: int
    wire: int


def in_use() -> int:
    """Bytes that Python has allocated when it is traced, else what is resident."""
    if tracemalloc.is_tracing():
        return tracemalloc.get_traced_memory()[0]
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def at_rest() -> int:
    """The same without garbage, and without what the C library keeps of freed memory."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return in_use()


def settled() -> int:
    """The same as soon as it has not changed for a moment."""
    deadline, nap = time.monotonic() + PATIENCE, threading.Event()
    before = -1
    while abs((now := in_use()) - before) > MEBIBYTE // 8 and time.monotonic() < deadline:
        before = now
        nap.wait(STILL)
    return at_rest()


def sized(count: int) -> int:
    return max(1, round(count * SCALE))


def undelivered(count: int, size: int, of: str) -> Callable[[str], Held]:
    """A client is busy in a callback while so many messages come."""

    def run(uri: str) -> Held:
        wake, busy, n = threading.Event(), threading.Event(), sized(count)

        def sleep(socket: Socket) -> None:
            socket.push(TOPIC, "flood", {"n": n, "size": size, "of": of})
            busy.set()
            wake.wait(PATIENCE)

        client = Counted(uri)
        client.join(TOPIC)
        before = at_rest()
        client.tell(sleep)
        busy.wait()
        held = settled() - before
        wake.set()
        client.stop()  # What is undelivered is dropped.
        return Held(held, n * size)

    return run


def presence_diffs(uri: str) -> Held:
    """Diffs come and no state, before which they are not taken: 10,000 of 2 KB."""
    n, size = sized(10_000), 1_000
    client = Counted(uri)
    client.do(lambda s: s.track_presence(TOPIC))
    client.join(TOPIC)
    before = at_rest()
    asked = {"n": n, "diffs": n, "state": False, "integer": False, "size": size}
    with client.counts.more("reply", 2):
        client.do(lambda s: s.push(TOPIC, "presence", asked))
        client.do(lambda s: s.push(TOPIC, "echo"))
    held = settled() - before
    client.stop()
    return Held(held, 2 * n * size)


def unread_mail(uri: str) -> Held:
    """Broadcasts of the embedded server, 128 MiB, for a client that joins and does not read: the
    most that was held, since such a client is dropped in the end."""

    class Room(Channel):
        def join(self, params: Any) -> None:
            joined.set()

    joined, n, size = threading.Event(), sized(2_048), 64 * 1024
    with PhoenixServer({"room:*": Room}) as server:
        parts = urlsplit(server.uri)
        with sockets.create_connection((parts.hostname, parts.port)) as sock:
            key = base64.b64encode(b"k" * 16).decode()
            sock.sendall(
                f"GET {parts.path}?vsn=2.0.0 HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
            )
            sock.recv(4096)
            message = json.dumps(["1", "1", TOPIC, "phx_join", {}]).encode()
            sock.sendall(struct.pack("!BBI", 0x81, 0x80 | len(message), 0) + message)
            joined.wait(PATIENCE)
            before = peak = at_rest()
            for number in range(n):
                server.broadcast(TOPIC, "news", {"n": number, "pad": "x" * size})
                peak = max(peak, in_use())
    return Held(peak - before, n * size)


def unawaited_replies(uri: str) -> Held:
    """Replies of 1 KB to pushes of a plain thread that awaits none of them, but pings."""
    n, size = sized(20_000), 1_000
    socket = connect(uri, heartbeat_interval_msec=0).await_connect().join(TOPIC).await_join(TOPIC)
    before = at_rest()
    for number in range(n):
        socket.push(TOPIC, "echo", {"n": number, "pad": "x" * size})
        if number % 500 == 0:
            socket.ping(PATIENCE)
    socket.ping(PATIENCE)
    held = settled() - before
    socket.disconnect()
    return Held(held, n * size)


def logging_seconds(message: Message) -> float:
    """How long it takes to log a message that has come."""
    times = []
    for _ in range(3):
        began = perf_counter()
        received([message])
        times.append(perf_counter() - began)
    return min(times)


def big_messages() -> dict[str, Message]:
    """Messages of 9.5 MB, by what they consist of."""
    size = sized(9_500_000)
    names = {f"user:{number}": number for number in range(size // 20)}

    def news(payload: Any) -> Message:
        return Message("1", None, TOPIC, "news", {"pad": payload})

    reply = {"status": "ok", "response": names}
    return {
        "a text": news("x" * size),
        "lists": news([[]] * (size // 3)),
        "names": news(names),
        "names, a join's answer": Message("1", "1", TOPIC, "phx_reply", reply),
    }


def report_logging() -> None:
    """Print a line for each kind of message."""
    FRAMES.setLevel(logging.DEBUG)
    for kind, message in big_messages().items():
        title = f"frame log, 9.5 MB: {kind}"
        print(f"{title:<46}{logging_seconds(message) * 1000:>12,.1f} ms", flush=True)


HELD: dict[str, tuple[str, Callable[[str], Held]]] = {
    "small": ("undelivered, 16 MiB of texts of 1 KB", undelivered(16_384, 1_000, "text")),
    "big": ("undelivered, 64 lists of 256 KB", undelivered(64, 262_144, "lists")),
    "beyond": ("undelivered, 300 lists of 180 KB", undelivered(300, 180_000, "lists")),
    "diffs": ("presence diffs that wait for a state", presence_diffs),
    "mail": ("embedded server, a client that does not read", unread_mail),
    "replies": ("replies that a plain thread never awaits", unawaited_replies),
}
LOGGING = "logging"


def options() -> argparse.Namespace:
    names = ",".join([*HELD, LOGGING])
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--only", help=f"some of {names}, with commas between")
    parser.add_argument("--measure", choices=HELD, help="one, in this process, as JSON")
    parser.add_argument("--trace", action="store_true", help="with tracemalloc")
    return parser.parse_args()


def in_own_process(name: str, *arguments: str) -> Held:
    """Run a measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--measure", name]
    done = subprocess.run([*command, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return Held(*json.loads(done.stdout))


def main() -> None:
    chosen = options()
    if not STATM.exists():
        sys.exit("It reads what is resident from /proc, which is Linux's.")
    logging.getLogger("slipstream_actor").addHandler(logging.NullHandler())
    logging.getLogger("slipstream_actor").propagate = False
    if not chosen.measure:
        report(chosen.only.split(",") if chosen.only else [*HELD, LOGGING])
        return
    with running_server() as uri:
        if chosen.trace:
            tracemalloc.start()
        print(json.dumps(HELD[chosen.measure][1](uri)))


def report(names: list[str]) -> None:
    """Print a line for each."""
    if unknown := set(names) - HELD.keys() - {LOGGING}:
        sys.exit(f"No such measure: {', '.join(sorted(unknown))}.")
    print(f"{'':<46}{'wire':>12}{'resident':>12}{'of wire':>9}{'traced':>12}{'of wire':>9}")
    for name in names:
        if name == LOGGING:
            report_logging()
            continue
        resident, traced = in_own_process(name), in_own_process(name, "--trace")
        row = f"{HELD[name][0]:<46}{resident.wire / MEBIBYTE:>8.1f} MiB"
        for held in (resident, traced):
            row += f"{held.memory / MEBIBYTE:>8.1f} MiB{held.memory / held.wire:>9.2f}"
        print(row, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
