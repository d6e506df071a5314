"""All the clients, and the threads that work with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pykka

from benchmarks.soak.clients import KINDS, ClientRecord, Crashing, SharedClient
from benchmarks.soak.outcomes import OutcomeCounts
from benchmarks.soak.threads import (
    Gate,
    Worker,
    pushing_by_proxy,
    pushing_by_socket,
    script,
    script_in_a_block,
    script_left_open,
)
from slipstream_actor import (
    ChildSpec,
    ClientState,
    SlipstreamError,
    Supervisor,
    get_state,
    whereis,
)

# Of each client: its own and its connection's.
THREADS = 2
# Of each client: the connection, and the pair of sockets that wakes it.
DESCRIPTORS = 3


class ClientGroup:
    """`size` clients, of every kind alike; those that come and go in plain threads are among them.

    While `load` is clear nothing new is begun.
    """

    def __init__(self, size: int, uris: list[str], seed: int) -> None:
        self.size = size
        self.counts = OutcomeCounts()
        self.load = Event()
        self.topics: list[str] = []
        self._gate = Gate(self.load)
        self._records: list[ClientRecord] = []
        self._crashing: list[ChildSpec] = []
        self._workers: list[Worker] = []
        kinds: Iterator[Any] = itertools.cycle(
            (*KINDS, script, script_in_a_block, script_left_open)
        )
        for number, kind in zip(range(size), kinds, strict=False):
            uri = uris[number % len(uris)]
            record = ClientRecord(
                f"{kind.__name__}-{number}", uri, seed + number, self.counts, self.load
            )
            record.other = uris[(number + 1) % len(uris)]
            self.topics.append(record.topic)
            if isinstance(kind, type):
                self._records.append(record)
                self._start(kind, record)
            else:
                self._work(0.2, partial(kind, record))
        self._supervisor = Supervisor.start(self._crashing, max_restarts=1_000)

    @property
    def not_joined(self) -> list[str]:
        """The clients that are to be joined and are not."""
        return [record.name for record in self._records if not record.joined]

    @property
    def joined(self) -> str:
        """How many of them are joined, and of how many."""
        return f"{len(self._records) - len(self.not_joined)}/{len(self._records)}"

    @property
    def busy(self) -> int:
        """How many plain threads are in the middle of something."""
        return self._gate.inside

    @property
    def restarts(self) -> int:
        """How often a client was started again."""
        return sum(record.lives - 1 for record in self._records)

    @property
    def threads(self) -> int:
        """How many threads there are to be when nothing is going on."""
        supervisor = 1
        return THREADS * len(self._records) + len(self._workers) + supervisor

    @property
    def descriptors(self) -> int:
        """How many descriptors there are to be when nothing is going on."""
        return DESCRIPTORS * len(self._records)

    def stop(self) -> None:
        """Stop them all; returns when they have ended."""
        self._gate.closing.set()
        self.load.set()
        for worker in self._workers:
            worker.join()
        self.load.clear()
        self._supervisor.stop()
        for record in self._records:
            if (ref := whereis(record.name)) is not None:
                ref.stop()

    def state_of(self, name: str) -> str:
        """What a client and its connection say of themselves."""
        try:
            client = get_state(name)
            assert isinstance(client, ClientState)
            socket = client.socket
            connection = get_state(client.connection) if client.connection is not None else None
        except (SlipstreamError, pykka.ActorDeadError) as error:
            return f"{name}: {error!r}"
        return f"{name}: {dict(socket.joins)}, {client.mailbox} messages wait, {connection}"

    def _start(self, kind: type[Any], record: ClientRecord) -> None:
        if issubclass(kind, Crashing):
            self._crashing.append(ChildSpec(kind, record, id=record.name, name=record.name))
            return
        ref = kind.start(record, name=record.name)
        if issubclass(kind, SharedClient):
            for _ in range(2):
                self._work(0.02, pushing_by_proxy(ref, record))
            self._work(0.05, pushing_by_socket(ref, record))

    def _work(self, pause: float, work: Any) -> None:
        self._workers.append(Worker(self._gate, pause, work))
