"""A scripted TCP server: every connection is handed to a function, which does what no server does.

The upgrade and the frames are written here by hand: nothing is shared with the client, and nothing
with the embedded server. Everything has a deadline; a script that fails fails its test.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import queue
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, TypeAlias

DEADLINE = 60.0
"""Seconds that anything may take; what the tests wait for themselves is given up before."""

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OK: dict[str, Any] = {"status": "ok", "response": {}}


class Gone(Exception):
    """The client has hung up, or the test is over: the end of a script, and no failure."""


class Request(NamedTuple):
    """The head of an HTTP request; names are in lower case, in the order they came in."""

    line: str
    headers: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        """Return the values of every header line called `name`."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True)
class Frame:
    """One frame of the client, unmasked."""

    opcode: int
    payload: bytes

    @functools.cached_property
    def message(self) -> list[Any]:
        """The Phoenix message in a text frame: join_ref, ref, topic, event, payload."""
        message: list[Any] = json.loads(self.payload)
        return message

    @property
    def event(self) -> str | None:
        """The event of a message in a text frame."""
        return self.message[3] if self.opcode == TEXT else None

    @property
    def code(self) -> int | None:
        """The code of a close frame, `None` for an empty one."""
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = False
) -> bytes:
    """Return a frame's bytes; a `masked` one is what a server must not send."""
    size, mask = len(payload), 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    # A mask of zeros leaves the payload as it is.
    return head + (bytes(4) if masked else b"") + payload


def message(join_ref: Any, ref: Any, topic: str, event: str, payload: Any = None) -> bytes:
    """Return a message as a text frame."""
    fields = [join_ref, ref, topic, event, {} if payload is None else payload]
    return frame(TEXT, json.dumps(fields).encode())


def head(status: str, *lines: str) -> bytes:
    """Return the head of an HTTP answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def broadcast(event: str, payload: Any = None, topic: str = "room") -> bytes:
    """Return a broadcast as a text frame: it needs no join."""
    return message(None, None, topic, event, payload)


def closing(code: int | None, reason: str = "") -> bytes:
    """Return a close frame, an empty one for `None`."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


def accept(request: Request) -> str:
    """Return the `Sec-WebSocket-Accept` that answers `request`."""
    [key] = request.all("sec-websocket-key")
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def switching(request: Request, *lines: str) -> bytes:
    """Return the 101 that answers `request`, with more header `lines`."""
    head = [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: Upgrade",
        f"sec-websocket-accept: {accept(request)}",
        *lines,
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


class Peer:
    """One connection, in the thread of its script."""

    def __init__(self, server: RawServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        self._buffer = bytearray()

    # bytes

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises `Gone`."""
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError) as error:
            raise Gone from error

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises `Gone`."""
        while len(self._buffer) < count:
            self._fill()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def read_until(self, end: bytes) -> bytes:
        """Return all bytes up to and with `end`. Raises `Gone`."""
        while (at := self._buffer.find(end)) < 0:
            self._fill()
        return self.read(at + len(end))

    def read_to_the_end(self) -> bytes:
        """Return all that still comes before the client hangs up."""
        with suppress(Gone):
            while True:
                self._fill()
        return bytes(self._buffer)

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing comes within `seconds`: for what must not come."""
        self.sock.settimeout(seconds)
        try:
            self._fill()
        except TimeoutError:
            return not self._buffer
        finally:
            self.sock.settimeout(DEADLINE)
        return False

    def _fill(self) -> None:
        try:
            chunk = self.sock.recv(1 << 18)
        except (ConnectionError, ssl.SSLError) as error:
            raise Gone from error
        if not chunk:
            raise Gone
        self._buffer += chunk

    # HTTP

    def request(self) -> Request:
        """Return the head of a request, and note it."""
        line, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = (entry.partition(":") for entry in lines if entry)
        request = Request(line, [(name.lower(), value.strip()) for name, _, value in pairs])
        self.server.requests.put(request)
        return request

    def upgrade(self, *lines: str, then: bytes = b"") -> Request:
        """Read the request and answer it, with `then` in the same segment."""
        request = self.request()
        self.send(switching(request, *lines) + then)
        return request

    # frames

    def frame(self) -> Frame:
        """Return the client's next frame, and note it. Asserts that it is masked and whole."""
        first, second = self.read(2)
        assert first & 0xF0 == 0x80, "a client's frame is whole, and has no reserved bit set"
        assert second & 0x80, "a client's frame is masked"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.read(2 if size == 126 else 8), "big")
        key = self.read(4)
        came = Frame(first & 0x0F, unmasked(self.read(size), key))
        self.server.frames.put(came)
        return came

    def expect(self, event: str) -> list[Any]:
        """Return the next message with `event`; those before it are noted, not answered."""
        while (came := self.frame()).event != event:
            pass
        return came.message

    def reply(self, to: list[Any], payload: Any = None) -> None:
        """Reply to a message of the client."""
        self.send(message(to[0], to[1], to[2], "phx_reply", OK if payload is None else payload))

    def join(self) -> str:
        """Accept the client's join, and return its ref."""
        asked = self.expect("phx_join")
        self.reply(asked)
        return str(asked[0])

    def serve(self) -> None:
        """Do as a good server does until the client closes: accept, echo, answer."""
        while (came := self.frame()).opcode != CLOSE:
            if came.opcode == PING:
                self.send(frame(PONG, came.payload))
            elif came.opcode == TEXT:
                asked = came.message
                self.reply(asked, {"status": "ok", "response": asked[4]})
        self.send(frame(CLOSE, came.payload))

    # ends

    def hold(self) -> None:
        """Read and answer nothing, until the client hangs up."""
        self.read_to_the_end()

    def park(self) -> None:
        """Not even read, until the test is over."""
        self.server.stopping.wait(DEADLINE)

    def wait_for(self, event: threading.Event) -> None:
        """Wait for something that the test says."""
        deadline = time.monotonic() + DEADLINE
        while not event.wait(0.05):
            if self.server.stopping.is_set():
                raise Gone
            assert time.monotonic() < deadline, "the test said nothing"

    def finish(self) -> None:
        """Send a FIN; what the client sends can still be read. Raises `Gone`."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Gone from error

    def reset(self) -> None:
        """End the connection with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script: TypeAlias = Callable[[Peer], object]


class RawServer:
    """Listens while its context is entered, and runs `script(peer)` for every connection.

    `requests` and `frames` are what scripts have read; `hung_up` is set when a script is done.
    """

    def __init__(
        self,
        script: Script,
        *,
        ssl_context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.requests: queue.Queue[Request] = queue.Queue()
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.stopping = threading.Event()
        self.hung_up = threading.Event()
        self.accepted = 0
        self._script = script
        self._ssl_context = ssl_context
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.host, self.port = host, self._listener.getsockname()[1]

    @property
    def uri(self) -> str:
        """Where clients connect to."""
        scheme = "ws" if self._ssl_context is None else "wss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/socket/websocket"

    def next_frame(self, *, event: str | None = None, opcode: int | None = None) -> Frame:
        """Return the next frame read that is one of those, passing over the others."""
        deadline = time.monotonic() + DEADLINE
        while True:
            came = self.frames.get(timeout=max(0.0, deadline - time.monotonic()))
            if event in (None, came.event) and opcode in (None, came.opcode):
                return came

    def next_request(self) -> Request:
        """Return the next request read."""
        return self.requests.get(timeout=DEADLINE)

    def __enter__(self) -> RawServer:
        self._start(self._listen, "raw-listener")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        # A thread that waits in `accept` wakes for a connection, on every system.
        with suppress(OSError):
            socket.create_connection(self._listener.getsockname()[:2], timeout=DEADLINE).close()
        self._threads[0].join(DEADLINE)
        self._listener.close()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        self._report(error)

    def _report(self, error: BaseException | None) -> None:
        left = [thread.name for thread in self._threads if thread.is_alive()]
        assert not left, f"scripts that do not end: {left}"
        for failure in self._failures:
            if error is None:
                raise failure
            error.add_note("".join(traceback.format_exception(failure)))

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopping.is_set():
                sock.close()
                return
            self.accepted += 1
            sock.settimeout(DEADLINE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(lambda sock=sock: self._run(sock), "raw-script")  # type: ignore[misc]

    def _run(self, sock: socket.socket) -> None:
        self._socks.append(sock)
        try:
            with self._secured(sock) as stream:
                self._script(Peer(self, stream))
        except Gone:
            pass
        except BaseException as error:
            if not self.stopping.is_set():
                self._failures.append(error)
        finally:
            self.hung_up.set()

    @contextmanager
    def _secured(self, sock: socket.socket) -> Iterator[socket.socket]:
        if self._ssl_context is None:
            with sock:
                yield sock
            return
        try:
            secure = self._ssl_context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:  # The client is gone.
            sock.close()
            raise Gone from error
        self._socks.append(secure)
        with secure:
            try:
                secure.do_handshake()
            except (OSError, ValueError) as error:
                hang_up(secure)
                raise Gone from error
            yield secure


def hang_up(secure: ssl.SSLSocket) -> None:
    """End a connection whose handshake has failed, so that the client can read the alert.

    Of a close with unread bytes the system makes a reset, which overtakes it.
    """
    with suppress(OSError):
        secure.shutdown(socket.SHUT_WR)  # From here on it is plain.
        while secure.recv(1 << 16):
            pass


def unmasked(payload: bytes, key: bytes) -> bytes:
    """Return a client's payload without its mask."""
    size = len(payload)
    keys = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(size, "big")


def serve(peer: Peer) -> None:
    """The script of a good server."""
    peer.upgrade()
    peer.serve()


@contextmanager
def dead_port() -> Iterator[int]:
    """Yield a port that nobody listens on, nor can take meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextmanager
def dead_uri() -> Iterator[str]:
    """Yield the address of an endpoint that is not there."""
    with dead_port() as port:
        yield f"ws://127.0.0.1:{port}/socket/websocket"
