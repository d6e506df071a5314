"""Plain threads beside the clients: those that push, and those that come and go."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pykka

from benchmarks.soak.clients import AWAIT_TIMEOUT, ClientRecord, SharedClient, await_outcome
from benchmarks.soak.outcomes import PushLedger
from slipstream_actor import SlipstreamError, connect

STUCK = 30.0
MESSAGES = 20
REQUESTS: tuple[tuple[str, Any], ...] = (
    *(("echo", {"n": n}) for n in range(12)),
    ("echo", b"\x00\x01"),
    ("echo_error", {}),
    ("big", {"size": 20_000}),
    ("block", {"ms": 20}),
    ("slow", {"ms": 50}),
    ("never", {}),
)


class Gate:
    """Threads that come and go while there is load, and how many are on their way."""

    def __init__(self, load: threading.Event) -> None:
        self.load = load
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self.inside = 0

    @contextmanager
    def passed(self) -> Any:
        """Wait for load; inside of it, one more thread is on its way."""
        self.load.wait()
        with self._lock:
            self.inside += 1
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1


class Worker:
    """A thread that does `work` over and over while there is load, until it is stopped."""

    def __init__(self, gate: Gate, pause: float, work: Callable[[], object]) -> None:
        self._gate = gate
        self._pause = pause
        self._work = work
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"soak {work!r}")
        self._thread.start()

    def join(self) -> None:
        """Wait for its end; the gate is closing and there is load."""
        self._thread.join()

    def _run(self) -> None:
        while not self._gate.closing.wait(self._pause):
            with self._gate.passed():
                if not self._gate.closing.is_set():
                    self._work()


def pushing_by_proxy(ref: pykka.ActorRef[SharedClient], record: ClientRecord) -> Callable[[], None]:
    """Have the client push, as a web worker does."""
    proxy = ref.proxy()
    chance = random.Random(record.seed)

    def work() -> None:
        proxy.ask_for(*chance.choice(REQUESTS)).get(timeout=STUCK)

    return work


def pushing_by_socket(
    ref: pykka.ActorRef[SharedClient], record: ClientRecord
) -> Callable[[], None]:
    """Push with the client's socket from another thread; the outcome comes to the client."""
    proxy = ref.proxy()
    ledger: PushLedger = proxy.ledger.get(timeout=STUCK)
    chance = random.Random(record.seed)

    def work() -> None:
        socket = proxy.socket.get(timeout=STUCK)
        for _ in range(5):
            event, payload = chance.choice(REQUESTS)
            ledger.push(lambda: socket.push(record.topic, event, payload))  # noqa: B023 Called at once.

    return work


def script(record: ClientRecord) -> None:
    """Connect, join, push, await, leave, disconnect: a script's life, in one thread."""
    ledger = PushLedger(record.counts)
    socket = connect(record.uri, **record.options())
    try:
        socket = socket.await_connect(AWAIT_TIMEOUT).join(record.topic)
        socket = socket.await_join(record.topic, AWAIT_TIMEOUT)
        for number in range(3):
            ref = ledger.push(lambda: socket.push(record.topic, "echo", {"n": number}))  # noqa: B023
            if ref is not None:
                await_outcome(ledger, socket, ref)
        socket = socket.leave(record.topic).await_leave(record.topic, AWAIT_TIMEOUT)
    except SlipstreamError as error:
        socket = getattr(error, "socket", None) or socket
    finally:
        ledger.close()
        socket.disconnect()


def script_in_a_block(record: ClientRecord) -> None:
    """The same in a `with` block, with messages, a drop of its own, and mostly no `close`."""
    ledger = PushLedger(record.counts)
    try:
        with connect(record.uri, **record.options()) as opened:
            socket = opened.await_connect(AWAIT_TIMEOUT).join(record.topic, timeout=AWAIT_TIMEOUT)
            socket = socket.await_join(record.topic, AWAIT_TIMEOUT)
            if random.random() < 0.3:
                socket = socket.reconnect(delay=0).await_connect(AWAIT_TIMEOUT)
                socket = socket.await_join(record.topic, AWAIT_TIMEOUT)
            socket.push(record.topic, "flood", {"n": MESSAGES, "size": 50})
            messages = socket.messages(record.topic, timeout=AWAIT_TIMEOUT)
            for _ in itertools.islice(messages, MESSAGES):
                pass
            ref = ledger.push(lambda: socket.push(record.topic, "echo", {}))
            if ref is not None:
                await_outcome(ledger, socket, ref)
            if random.random() < 0.3:
                socket.leave(record.topic, timeout=1).close(AWAIT_TIMEOUT)
    except SlipstreamError:
        pass  # The network is as bad as it was ordered.
    finally:
        ledger.close()


def script_left_open(record: ClientRecord) -> None:
    """The same in a thread of its own, which ends with its connection open."""

    def visit() -> None:
        try:
            socket = connect(record.uri, **record.options()).await_connect(AWAIT_TIMEOUT)
            socket.join(record.topic).await_join(record.topic, AWAIT_TIMEOUT)
        except SlipstreamError:
            pass

    thread = threading.Thread(target=visit, name=f"soak visit {record.name}")
    thread.start()
    thread.join()
