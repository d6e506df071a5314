"""The threaded client of `websockets`: no compression, which the server has none of, no limit to
its queue, and bytes instead of texts, which msgspec decodes faster."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from websockets.sync.client import connect as connect_websocket

from benchmarks.peers import blocking, program
from benchmarks.peers.blocking import Loop, Websocket
from benchmarks.peers.program import PATIENCE, Fan, Found, Load

OPENED = ExitStack()


def connect(load: Load) -> Websocket:
    opened = OPENED.enter_context(
        connect_websocket(load.v2, compression=None, max_queue=None, proxy=None)
    )
    recv, send = opened.recv, opened.send
    return Websocket(lambda data: send(data, text=True), lambda: recv(decode=False), opened)


def fan(load: Load) -> Found:
    """Each client has a thread of its own anyway; another one waits for its messages."""
    done = threading.Event()
    fan = Fan(load, done.set)

    def wait(loop: Loop) -> None:
        for _ in range(load.count):
            fan.arrived(loop.next_payload()["at"])

    for _ in range(load.clients):
        loop = Loop(connect(load), load.fan)
        threading.Thread(target=wait, args=(loop,), daemon=True).start()
    assert done.wait(PATIENCE)
    return fan.found()


if __name__ == "__main__":
    program.main({**blocking.tasks(connect), "fan": fan})
