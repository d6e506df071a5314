"""A loop over a bare websocket-client, as one writes it who counts time.

It has no heartbeats, no timeouts, no UTF-8 check, and nobody can interrupt it.
"""

from __future__ import annotations

import selectors
import threading

import websocket

from benchmarks.peers import blocking, program
from benchmarks.peers.blocking import Loop, Websocket
from benchmarks.peers.program import Fan, Found, Load


def connect(load: Load) -> Websocket:
    opened = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
    opened.connect(load.v2, suppress_origin=True)
    recv_data = opened.recv_data

    def receive() -> bytes:
        data: bytes = recv_data()[1]
        return data

    return Websocket(opened.send, receive, opened)


def fan(load: Load) -> Found:
    done = threading.Event()
    fan = Fan(load, done.set)
    with selectors.DefaultSelector() as selector:
        for _ in range(load.clients):
            loop = Loop(connect(load), load.fan)
            selector.register(loop.websocket.underlying.sock, selectors.EVENT_READ, loop)
        while not done.is_set():
            for key, _ in selector.select(program.PATIENCE):
                fan.arrived(key.data.next_payload()["at"])
    return fan.found()


if __name__ == "__main__":
    program.main({**blocking.tasks(connect), "fan": fan})
