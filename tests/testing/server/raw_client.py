"""A websocket client that sends whatever it is told to, broken frames too, and shows what comes.

It is written here and by hand: it shares no code with the embedded server, and none with our
client.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple

DEADLINE = 30.0 * float(os.environ.get("SLIPSTREAM_TEST_TIMEOUT_FACTOR", "1"))
"""Seconds that anything may take before a test fails."""

OPCODES = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
KINDS = {opcode: kind for kind, opcode in OPCODES.items()}
MASK = b"\x11\x22\x33\x44"


class Frame(NamedTuple):
    """What came: `value` is decoded JSON or a string for "text", bytes, a close code, or None for
    "eof".
    """

    kind: str
    value: Any


@dataclass
class HttpResponse:
    """The answer to a request; `headers` as they came, with lower-case names."""

    status: int
    headers: list[tuple[str, str]]
    body: str

    def header(self, name: str) -> str | None:
        """The first value of `name`."""
        return next((value for key, value in self.headers if key == name), None)


class RawClient:
    """One TCP or TLS connection."""

    def __init__(self, host: str, port: int, ssl_context: ssl.SSLContext | None = None) -> None:
        sock = socket.create_connection((host, port), timeout=DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host, self.port = host, port
        self.socket = (
            sock if ssl_context is None else ssl_context.wrap_socket(sock, server_hostname=host)
        )
        self.buffer = bytearray()
        self.ended = False
        # Without it a frame that is marked as compressed fails the test.
        self.inflater: Any = None

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.disconnect()

    # HTTP

    def upgrade(
        self, path: str = "/socket/websocket?vsn=2.0.0", *headers: str, method: str = "GET"
    ) -> HttpResponse:
        """Asks for an upgrade and returns the answer."""
        self.send(self.request(path, *headers, method=method))
        return self.response(method)

    def request(self, path: str, *headers: str, method: str = "GET") -> bytes:
        """The bytes of a request for an upgrade."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            *headers,
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def response(self, method: str = "GET") -> HttpResponse:
        """The next response. Raises `EOFError` when the connection ends instead."""
        while b"\r\n\r\n" not in self.buffer:
            self._fill_or_raise()
        head = bytes(self.buffer[: self.buffer.index(b"\r\n\r\n")])
        del self.buffer[: len(head) + 4]
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = [
            (name.lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines)
        ]
        response = HttpResponse(int(status_line.split()[1]), headers, "")
        length = int(response.header("content-length") or 0) if method != "HEAD" else 0
        while len(self.buffer) < length:
            self._fill_or_raise()
        response.body = self.buffer[:length].decode()
        del self.buffer[:length]
        return response

    # Frames

    def text(self, text: str) -> None:
        """Sends a text frame."""
        self.frame("text", text.encode("utf-8", "surrogatepass"))

    def message(self, *fields: Any) -> None:
        """Sends a message of version 2: join_ref, ref, topic, event, payload."""
        self.text(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))

    def binary(self, data: bytes) -> None:
        """Sends a binary frame."""
        self.frame("binary", data)

    def close(self, code: int | None = 1000) -> None:
        """Sends a close frame, an empty one for None."""
        self.frame("close", b"" if code is None else struct.pack("!H", code))

    def frame(
        self,
        kind: str,
        payload: bytes,
        *,
        fin: bool = True,
        rsv1: bool = False,
        masked: bool = True,
    ) -> None:
        """Sends a frame."""
        self.send(encode_frame(kind, payload, fin=fin, rsv1=rsv1, masked=masked))

    def send(self, data: bytes) -> None:
        """Sends bytes. That the server is gone does not matter here: what it has said does."""
        try:
            self.socket.sendall(data)
        except OSError:
            if not self.ended:
                self._fill(0)

    def receive(self, timeout: float = DEADLINE) -> Frame:
        """The next frame. Raises `TimeoutError`."""
        deadline = time.monotonic() + timeout
        while True:
            frame = self._decode()
            if frame is not None:
                return frame
            if self.ended:
                return Frame("eof", None)
            if not self._fill(deadline - time.monotonic()):
                raise TimeoutError("no frame came")

    def silent(self) -> bool:
        """Whether nothing more comes before the answer to a heartbeat; only for version 2."""
        self.message(None, "silent?", "phoenix", "heartbeat", {})
        answer = [None, "silent?", "phoenix", "phx_reply", {"response": {}, "status": "ok"}]
        return self.receive() == Frame("text", answer)

    def disconnect(self) -> None:
        """Closes the socket without a close frame."""
        self.socket.close()

    def _decode(self) -> Frame | None:
        sizes = _sizes(self.buffer)
        if sizes is None or len(self.buffer) < sum(sizes):
            return None
        head, size = sizes
        opcode, payload = self.buffer[0], bytes(self.buffer[head : head + size])
        del self.buffer[: head + size]
        if self.inflater is not None and opcode & 0x40:
            opcode ^= 0x40
            payload = self.inflater.decompress(payload + b"\x00\x00\xff\xff")
        assert opcode & 0xF0 == 0x80, "the server fragments nothing and reserves no bits"
        return _frame(KINDS[opcode & 15], payload)

    def _fill_or_raise(self) -> None:
        if not self._fill(DEADLINE):
            raise TimeoutError("nothing came")
        if self.ended:
            raise EOFError

    def _fill(self, wait: float) -> bool:
        """Whether anything came, be it the end."""
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if not pending and not select.select([self.socket], [], [], max(0, wait))[0]:
            return False
        try:
            chunk = self.socket.recv(1 << 18)
        except OSError:
            chunk = b""
        self.buffer += chunk
        self.ended = not chunk
        return True


def encode_frame(
    kind: str, payload: bytes, *, fin: bool = True, rsv1: bool = False, masked: bool = True
) -> bytes:
    """The bytes of a client's frame."""
    size, mask_bit = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | (0x40 if rsv1 else 0) | OPCODES[kind]])
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", size)
    return head + MASK + _mask(payload) if masked else head + payload


def _mask(payload: bytes) -> bytes:
    key = MASK * (len(payload) // 4 + 1)
    size = len(payload)
    whole = int.from_bytes(payload, "big") ^ int.from_bytes(key[:size], "big")
    return whole.to_bytes(size, "big")


def _sizes(buffer: bytearray) -> tuple[int, int] | None:
    if len(buffer) < 2:
        return None
    short = buffer[1]
    assert short < 128, "the server masks nothing"
    extended = {126: 2, 127: 8}.get(short, 0)
    if len(buffer) < 2 + extended:
        return None
    return 2 + extended, int.from_bytes(buffer[2 : 2 + extended], "big") if extended else short


def _frame(kind: str, payload: bytes) -> Frame:
    if kind == "text":
        return Frame(kind, decode_json(payload.decode()))
    if kind == "close":
        assert len(payload) in (0, 2), "the server gives no reasons"
        return Frame(kind, struct.unpack("!H", payload)[0] if payload else None)
    return Frame(kind, payload)


def decode_json(text: str) -> Any:
    """The value in `text`, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
