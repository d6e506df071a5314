"""The same work as `bare` does, by a client of the library, through its public interface alone."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from benchmarks.load import TOPIC, Load
from slipstream_actor import (
    Answer,
    ClientActor,
    From,
    Next,
    Ref,
    Reply,
    Socket,
    call,
    connect,
    reply,
    wait_until_joined,
)

PATIENCE = 120.0


class BenchmarkClient(ClientActor):
    def init(self, uri: str) -> Socket:
        self._received = 0
        self._unsent = 0
        self._unanswered = 0
        return connect(uri)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(TOPIC)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Answer | Next:
        task, load = message
        self._caller, self._count = from_, load.count
        self._received = self._unsent = 0
        self._started = perf_counter()
        if task == "sequential":
            return Answer(self._sequential(load, socket), socket)
        if task == "inbound":
            self._unanswered = 1
            socket.push(TOPIC, "flood", {"n": load.count, "size": load.size})
        else:
            self._unanswered = load.count
            self._unsent = load.count - load.in_flight
            for number in range(load.in_flight):
                socket.push(TOPIC, "echo", {"i": number})
        return Next(socket)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self._received += 1

    def handle_reply(self, ref: Ref, answer: Reply, socket: Socket) -> None:
        self._unanswered -= 1
        if self._unsent:
            socket.push(TOPIC, "echo", {"i": self._unsent})
            self._unsent -= 1
        elif not self._unanswered:
            elapsed = perf_counter() - self._started
            reply(self._caller, (self._count / elapsed, self._received))

    def _sequential(self, load: Load, socket: Socket) -> tuple[float, int]:
        for number in range(load.count):
            socket.await_reply(socket.push(TOPIC, "echo", {"i": number}))
        return load.count / (perf_counter() - self._started), 0


class Ours:
    def __init__(self, uri: str) -> None:
        self._client = BenchmarkClient.start(uri)
        assert self._client is not None
        wait_until_joined(self._client, TOPIC)

    def close(self) -> None:
        self._client.stop()

    def inbound(self, load: Load) -> float:
        rate, received = self._do("inbound", load)
        assert received == load.count + 1, received
        return rate

    def sequential(self, load: Load) -> float:
        return self._do("sequential", load)[0]

    def pipelined(self, load: Load) -> float:
        return self._do("pipelined", load)[0]

    def _do(self, task: str, load: Load) -> tuple[float, int]:
        result: tuple[float, int] = call(self._client, (task, load), timeout=PATIENCE)
        return result
