"""A Phoenix channel server in a process of its own, which does in Python what `server.c` has no
words for. It costs something, but not to the process that is measured.

Every join, leave and push is answered with ok, but for those of these events:

- "flood" {"n", "size", "of"}: so many messages "tick" of about so many bytes: a text, or, where
  "of" says so, small "lists"; then one "flood_done";
- "presence" {"n", "diffs", "state", "integer", "size"}: the state of n presences, where "state"
  is true, and so many diffs, each of one that comes and one that goes; their `phx_ref` is a text or
  an integer, and each has so many bytes beside it;
- "silence": no answer at all;
- "hold", "release": joins of "held:*" wait for the latter;
- "hang up": the connection ends.

It prints its port and ends with its standard input.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
PADS: dict[str, Callable[[int], Any]] = {
    "text": lambda size: "x" * size,
    "lists": lambda size: [[]] * (size // 4),
}


class Peer:
    """One connection. What is sent leaves when all that has come is handled."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._in = bytearray()
        self._out: list[bytes] = []
        self._held: list[list[Any]] = []

    def serve(self) -> None:
        """Upgrade, and answer until the end."""
        while b"\r\n\r\n" not in self._in:
            self._read()
        head, _, rest = bytes(self._in).partition(b"\r\n\r\n")
        self._in[:] = rest
        accept = base64.b64encode(hashlib.sha1(key_of(head) + GUID).digest())
        self._sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while True:
            for opcode, payload in self._frames():
                if opcode == CLOSE:
                    return
                if opcode == TEXT:
                    self._answer(json.loads(payload))
            self._flush()
            self._read()

    def _read(self) -> None:
        data = self._sock.recv(256 * 1024)
        if not data:
            raise EOFError
        self._in += data

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield the complete frames that have come, all of them masked."""
        at, data = 0, self._in
        while len(data) >= at + 6:
            size, begin = data[at + 1] & 127, at + 2
            if size > 125:
                width = 2 if size == 126 else 8
                size, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
            end = begin + 4 + size
            if len(data) < end:
                break
            mask = bytes(data[begin : begin + 4]) * (size // 4 + 1)
            plain = int.from_bytes(data[begin + 4 : end], "big") ^ int.from_bytes(
                mask[:size], "big"
            )
            yield data[at] & 15, plain.to_bytes(size, "big")
            at = end
        del data[:at]

    def _send(self, *message: Any) -> None:
        payload = json.dumps(message).encode()
        size = len(payload)
        head = bytes([0x80 | TEXT])
        if size < 126:
            head += bytes([size])
        elif size < 65_536:
            head += b"\x7e" + struct.pack("!H", size)
        else:
            head += b"\x7f" + struct.pack("!Q", size)
        self._out.append(head + payload)

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._sock.sendall(b"".join(out))

    def _reply(self, message: list[Any]) -> None:
        join_ref, ref, topic, event, payload = message
        response = payload if event == "echo" else {}
        self._send(join_ref, ref, topic, "phx_reply", {"status": "ok", "response": response})

    def _answer(self, message: list[Any]) -> None:
        join_ref, _, topic, event, payload = message
        if event == "hang up":
            raise EOFError
        if event == "phx_join" and topic.startswith("held:"):
            self._held.append(message)
            return
        if event == "silence":
            return
        self._reply(message)
        if event == "phx_leave":
            self._send(join_ref, join_ref, topic, "phx_close", {})
        elif event == "release":
            for held in self._held:
                self._reply(held)
            self._held.clear()
        elif event == "flood":
            self._flood(topic, payload)
        elif event == "presence":
            self._presence(join_ref, topic, payload)

    def _flood(self, topic: str, asked: dict[str, Any]) -> None:
        pad: Any = PADS[asked.get("of", "text")](asked["size"])
        self._send(None, None, topic, "tick", {"pad": pad})
        self._out += [self._out[-1]] * (asked["n"] - 1)
        self._send(None, None, topic, "flood_done", {})

    def _presence(self, join_ref: str, topic: str, asked: dict[str, Any]) -> None:
        def someone(number: int) -> dict[str, Any]:
            ref = number if asked["integer"] else f"ref{number}"
            return {f"user:{number}": {"metas": [{"phx_ref": ref, "pad": "x" * asked["size"]}]}}

        count = asked["n"]
        if asked["state"]:
            state = {k: v for number in range(count) for k, v in someone(number).items()}
            self._send(join_ref, None, topic, "presence_state", state)
        for number in range(asked["diffs"]):
            diff = {"joins": someone(count + number), "leaves": someone(number)}
            self._send(None, None, topic, "presence_diff", diff)


def key_of(head: bytes) -> bytes:
    """Return the key of a request for a websocket."""
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    return next(value for name, _, value in lines if name.lower() == b"sec-websocket-key").strip()


def serve(sock: socket.socket) -> None:
    with sock, contextlib.suppress(EOFError, OSError):
        Peer(sock).serve()


@contextmanager
def running_server() -> Iterator[str]:
    """Run it; yields the URI of its socket."""
    command = [sys.executable, "-m", "benchmarks.plain_server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/socket/websocket"
        process.stdin.close()


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    print(listener.getsockname()[1], flush=True)

    def end() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
