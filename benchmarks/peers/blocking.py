"""The tasks of a client that is a loop over a blocking websocket and a fast JSON decoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from benchmarks.peers import program
from benchmarks.peers.program import TOPIC, Found, Idle, Load, Window, unable

BROADCAST = 2


class Websocket(NamedTuple):
    """An open websocket."""

    send_text: Callable[[bytes], object]
    receive: Callable[[], bytes]
    underlying: Any


Connect = Callable[[Load], Websocket]


class Loop:
    """One connection, joined. Each message reaches a function that takes its topic, event and
    payload, each reply is matched with the push that it answers."""

    def __init__(self, websocket: Websocket, topic: str = TOPIC) -> None:
        self.websocket = websocket
        self._send, self._receive = websocket.send_text, websocket.receive
        self._encode = msgspec.json.Encoder().encode
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode
        self._last_ref = 0
        self._topic = topic
        self._received = 0
        self._join_ref = self.push("phx_join", {}, topic)
        self.await_reply(self._join_ref)

    def push(self, event: str, payload: Any, topic: str = "") -> str:
        self._last_ref += 1
        ref = str(self._last_ref)
        join_ref = ref if event == "phx_join" else self._join_ref
        self._send(self._encode([join_ref, ref, topic or self._topic, event, payload]))
        return ref

    def await_reply(self, wanted: str) -> Any:
        while True:
            _, ref, _, event, payload = self._decode(self._receive())
            if event == "phx_reply" and ref == wanted:
                return payload

    def ask(self, number: int) -> Any:
        return self.await_reply(self.push("echo", {"i": number}))

    def flood(self, load: Load) -> Found:
        receive, decode = self._receive, self._decode
        take, count, self._received = self._handle_message, load.count, 0
        with Window(load) as window:
            self.await_reply(self.push("phx_join", {}, load.flood))
            if load.binary:
                while self._received < count:
                    self._take_binary(receive())
            else:
                while self._received < count:
                    _, _, topic, event, payload = decode(receive())
                    take(topic, event, payload)
        return window.rate(count)

    def pipelined(self, load: Load) -> Found:
        receive, decode = self._receive, self._decode
        sent = load.in_flight
        with Window(load) as window:
            waiting = {self.push("echo", {"i": number}) for number in range(sent)}
            while waiting:
                _, ref, _, event, _ = decode(receive())
                if event != "phx_reply":
                    continue
                waiting.remove(ref)
                if sent < load.count:
                    waiting.add(self.push("echo", {"i": sent}))
                    sent += 1
        return window.rate(load.count)

    def next_payload(self) -> Any:
        return self._decode(self._receive())[4]

    def _take_binary(self, data: bytes) -> None:
        assert data[0] == BROADCAST
        event = 3 + data[1]
        payload = event + data[2]
        self._handle_message(data[3:event].decode(), data[event:payload].decode(), data[payload:])

    def _handle_message(self, topic: str, event: str, payload: Any) -> None:
        self._received += 1


def tasks(connect: Connect) -> dict[str, Callable[[Load], Found]]:
    """All but the fan, for which there is more than one way."""

    def inbound(load: Load) -> Found:
        loop = Loop(connect(load))
        loop.flood(load.warm_up())
        return loop.flood(load)

    def sequential(load: Load) -> Found:
        loop = Loop(connect(load))
        program.one_by_one(load.warm_up(), loop.ask)
        return program.one_by_one(load, loop.ask)

    def pipelined(load: Load) -> Found:
        loop = Loop(connect(load))
        loop.pipelined(load.warm_up())
        return loop.pipelined(load)

    def from_threads(load: Load) -> Found:
        """Threads take turns: a connection has room for one of them."""
        loop, turn = Loop(connect(load)), threading.Lock()

        def ask(number: int) -> Any:
            with turn:
                return loop.ask(number)

        program.from_threads(load.warm_up(), ask)
        return program.from_threads(load, ask)

    def idle(load: Load) -> Found:
        looked_at = Idle(load)
        kept = [Loop(connect(load), f"idle:{number}") for number in range(load.clients)]
        time.sleep(looked_at.joined())
        assert len(kept) == load.clients
        return looked_at.found()

    def start(load: Load) -> Found:
        Loop(connect(load))
        return program.since_start(load)

    return {
        "inbound": inbound,
        "sequential": sequential,
        # A loop is its own callback, its own thread and its own request.
        "sequential_thread": sequential,
        "sequential_request": sequential,
        "sequential_main": sequential,
        "pipelined": pipelined,
        "threads": from_threads,
        "threads_proxy": from_threads,
        "asyncio": unable("it blocks"),
        "idle": idle,
        "start": start,
    }
