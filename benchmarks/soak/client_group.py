"""All the clients, and the threads that work with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import pykka

from benchmarks.soak.clients import KINDS, Asked, Crashing, Seat
from benchmarks.soak.tally import Tally
from benchmarks.soak.threads import (
    Gate,
    Worker,
    pushing_by_proxy,
    pushing_by_socket,
    visiting,
    visiting_briefly,
)
from slipstream_actor import ChildSpec, SlipstreamError, Supervisor, get_state, whereis

# Of each client: its own and its connection's.
THREADS = 2
# Of each client: the connection, and the pair of sockets that wakes it.
DESCRIPTORS = 3


class Crowd:
    """`size` clients, of every kind alike; those that come and go in plain threads are among them.

    While `load` is clear nothing new is begun.
    """

    def __init__(self, size: int, uris: list[str], seed: int) -> None:
        self.size = size
        self.tally = Tally()
        self.load = Event()
        self.topics: list[str] = []
        self._gate = Gate(self.load)
        self._seats: list[Seat] = []
        self._crashing: list[ChildSpec] = []
        self._workers: list[Worker] = []
        kinds: Iterator[Any] = itertools.cycle((*KINDS, visiting, visiting_briefly))
        for number, kind in zip(range(size), kinds, strict=False):
            uri = uris[number % len(uris)]
            seat = Seat(f"{kind.__name__}-{number}", uri, seed + number, self.tally, self.load)
            self.topics.append(seat.topic)
            if isinstance(kind, type):
                self._seats.append(seat)
                self._start(kind, seat)
            else:
                self._work(0.2, partial(kind, seat))
        self._supervisor = Supervisor.start(self._crashing, max_restarts=1_000)

    @property
    def astray(self) -> list[str]:
        """The clients that are to be joined and are not."""
        return [seat.name for seat in self._seats if not seat.joined]

    @property
    def joined(self) -> str:
        """How many of them are joined, and of how many."""
        return f"{len(self._seats) - len(self.astray)}/{len(self._seats)}"

    @property
    def busy(self) -> int:
        """How many plain threads are in the middle of something."""
        return self._gate.inside

    @property
    def restarts(self) -> int:
        """How often a client was started again."""
        return sum(seat.lives - 1 for seat in self._seats)

    @property
    def threads(self) -> int:
        """How many threads there are to be when nothing is going on."""
        supervisor = 1
        return THREADS * len(self._seats) + len(self._workers) + supervisor

    @property
    def descriptors(self) -> int:
        """How many descriptors there are to be when nothing is going on."""
        return DESCRIPTORS * len(self._seats)

    def stop(self) -> None:
        """Stop them all; returns when they have ended."""
        self._gate.closing.set()
        self.load.set()
        for worker in self._workers:
            worker.join()
        self.load.clear()
        self._supervisor.stop()
        for seat in self._seats:
            if (ref := whereis(seat.name)) is not None:
                ref.stop()

    def state_of(self, name: str) -> str:
        """What a client and its connection say of themselves."""
        try:
            client = get_state(name)
            socket = client.socket
            connection = get_state(client.connection) if client.connection is not None else None
        except (SlipstreamError, pykka.ActorDeadError) as error:
            return f"{name}: {error!r}"
        return f"{name}: {dict(socket.joins)}, {client.mailbox} messages wait, {connection}"

    def _start(self, kind: type[Any], seat: Seat) -> None:
        if issubclass(kind, Crashing):
            self._crashing.append(ChildSpec(kind, seat, id=seat.name, name=seat.name))
            return
        ref = kind.start(seat, name=seat.name)
        if issubclass(kind, Asked):
            for _ in range(2):
                self._work(0.02, pushing_by_proxy(ref, seat))
            self._work(0.05, pushing_by_socket(ref, seat))

    def _work(self, pause: float, work: Any) -> None:
        self._workers.append(Worker(self._gate, pause, work))
