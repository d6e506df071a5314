"""A loop over a bare websocket-client with a fast JSON decoder, as one writes it who counts time.

It does the same work as a client of the library: each message reaches a function that takes its
topic, event and payload, each reply is matched with the push that it answers. It has no heartbeats,
no timeouts, and nobody can interrupt it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec
import websocket

from benchmarks.load import TOPIC, Load


class Bare:
    def __init__(self, uri: str) -> None:
        self._ws = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        self._ws.connect(uri, suppress_origin=True)
        self._encode = msgspec.json.Encoder().encode
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode
        self._last_ref = 0
        self._received = 0
        self._join_ref = self._push("phx_join", {})
        self._await_reply(self._join_ref)

    def close(self) -> None:
        self._ws.close()

    def inbound(self, load: Load) -> float:
        recv_data, decode, self._received = self._ws.recv_data, self._decode, 0
        started = perf_counter()
        self._push("flood", {"n": load.count, "size": load.size})
        while True:
            _, _, topic, event, payload = decode(recv_data()[1])
            if event == "phx_reply":
                break
            self._handle_message(topic, event, payload)
        elapsed = perf_counter() - started
        assert self._received == load.count + 1, self._received
        return load.count / elapsed

    def sequential(self, load: Load) -> float:
        started = perf_counter()
        for number in range(load.count):
            self._await_reply(self._push("echo", {"i": number}))
        return load.count / (perf_counter() - started)

    def pipelined(self, load: Load) -> float:
        recv_data, decode = self._ws.recv_data, self._decode
        sent = load.in_flight
        started = perf_counter()
        waiting = {self._push("echo", {"i": number}) for number in range(sent)}
        while waiting:
            _, ref, _, event, _ = decode(recv_data()[1])
            if event != "phx_reply":
                continue
            waiting.remove(ref)
            if sent < load.count:
                waiting.add(self._push("echo", {"i": sent}))
                sent += 1
        return load.count / (perf_counter() - started)

    def _handle_message(self, topic: str, event: str, payload: Any) -> None:
        self._received += 1

    def _push(self, event: str, payload: Any) -> str:
        self._last_ref += 1
        ref = str(self._last_ref)
        join_ref = ref if event == "phx_join" else self._join_ref
        self._ws.send(self._encode([join_ref, ref, TOPIC, event, payload]))
        return ref

    def _await_reply(self, wanted: str) -> Any:
        while True:
            _, ref, _, event, payload = self._decode(self._ws.recv_data()[1])
            if event == "phx_reply" and ref == wanted:
                return payload
