"""The writing half of a websocket: what waits to be sent, and the frames that it becomes."""

from __future__ import annotations

import os
import socket
import ssl
from collections import deque
from collections.abc import Iterable
from typing import Any

from slipstream_actor.wire import frames
from slipstream_actor.wire.deflate import Deflate
from slipstream_actor.wire.waiter import text

__all__ = ["Output"]

WRITE_SIZE = 256 * 1024
# So many bytes of masks are asked for at a time.
MANY_KEYS = 256
# OpenSSL tells of no progress before the whole of what it was given is out.
TLS_RECORD = 16 * 1024

# Where nothing is queued: an empty deque takes 760 bytes.
NO_OUTPUT: Any = ()


class Output:
    """What is sent over one websocket, without ever waiting: messages wait as they are, and are
    masked when the socket can take them, all that there are at once."""

    __slots__ = (
        "_blocked",
        "_current",
        "_keys",
        "_output",
        "_portion",
        "_urgent",
        "awaits_input",
        "bytes_out",
        "close_sent",
        "deflate",
        "frames_out",
        "pending_bytes",
        "sock",
        "write_error",
    )

    def __init__(self, sock: socket.socket, deflate: Deflate | None) -> None:
        self.sock: socket.socket = sock
        self.deflate: Deflate | None = deflate
        self.close_sent: bool = False
        self.write_error: str | None = None
        self.bytes_out: int = 0
        self.frames_out: int = 0
        self.pending_bytes: int = 0
        self._portion = TLS_RECORD if isinstance(sock, ssl.SSLSocket) else None
        # Opcodes and payloads.
        self._output: deque[tuple[int, bytes]] = NO_OUTPUT
        # What goes before them, by its opcode.
        self._urgent: dict[int, bytes] = {}
        # The bytes that are being written.
        self._current: bytes | memoryview | None = None
        self._blocked = False
        # Whether TLS has to hear something before it writes on, as in a renegotiation.
        self.awaits_input: bool = False
        # Random bytes, of which each frame takes four.
        self._keys = b""

    def send(self, messages: Iterable[str | bytes]) -> None:
        """Queue messages, text or binary, and write what the socket takes."""
        payloads = [*map(frames.of_message, messages)]
        if payloads and self.queue(payloads) and not self._blocked:
            self.flush()

    def queue(self, payloads: list[tuple[int, bytes]]) -> bool:
        """Queue messages, by opcode and payload, for the next `flush`; `False` when there is no
        sending any more."""
        if self.close_sent or self.write_error is not None:
            return False
        if self.deflate is not None:
            payloads = [self.deflate.deflater.deflate(*payload) for payload in payloads]
        self._put(payloads)
        return True

    def _put(self, payloads: list[tuple[int, bytes]]) -> None:
        self.frames_out += len(payloads)
        for _, payload in payloads:
            self.pending_bytes += frames.size_of(payload)
        try:
            self._output.extend(payloads)
        except AttributeError:
            self._output = deque(payloads)

    def send_urgent(self, opcode: int, payload: bytes) -> int:
        """Send a frame before those that wait, in the place of one of its opcode that does.

        Returns the `bytes_out` by which it is out.
        """
        if self.close_sent or self.write_error is not None:
            return self.bytes_out
        # Of the pings that could not be answered yet, the last is enough (RFC 6455 section 5.5.3).
        former = self._urgent.get(opcode)
        self.frames_out += former is None
        self.pending_bytes += frames.size_of(payload)
        self.pending_bytes -= 0 if former is None else frames.size_of(former)
        self._urgent[opcode] = payload
        ahead = len(self._current) if self._current is not None else 0
        mark = self.bytes_out + ahead + sum(map(frames.size_of, self._urgent.values()))
        if not self._blocked:
            self.flush()
        return mark

    def send_close(self, code: int) -> None:
        """Send a close frame behind what waits. Nothing is sent after it."""
        if self.close_sent or self.write_error is not None:
            return
        self._put([(frames.CLOSE, frames.close_payload(code))])
        self.close_sent = True
        self.flush()

    @property
    def wants_write(self) -> bool:
        """Whether output waits for room in the socket."""
        return self.pending_bytes > 0 and not self.awaits_input

    def flush(self) -> None:
        """Write what the socket takes now. A failure drops the output and ends no reading."""
        self._blocked = self.awaits_input = False
        try:
            while self._current is not None or (self.pending_bytes and self._next_chunk()):
                current = self._current
                assert current is not None
                if self._portion is not None:
                    current = self._current = memoryview(current)
                sent = self.sock.send(current[: self._portion])
                self.bytes_out += sent
                self.pending_bytes -= sent
                # With TLS a refused send is repeated with the same bytes; a taken one goes on.
                self._current = memoryview(current)[sent:] if sent < len(current) else None
        except ssl.SSLWantReadError:
            self._blocked = self.awaits_input = True
        except (BlockingIOError, ssl.SSLWantWriteError, InterruptedError):
            self._blocked = True
        except (OSError, MemoryError) as error:
            self.write_error = text(error)
            self._current = None
            self._drop_output()

    def release_output(self) -> None:
        """Give back what held the output, if there is none, and its masks."""
        self._keys = b""
        if not self._output:
            self._output = NO_OUTPUT

    def _drop_output(self) -> None:
        """Forget what has not been begun to be written."""
        self._output = NO_OUTPUT
        self._urgent.clear()
        self.pending_bytes = len(self._current) if self._current is not None else 0

    def _next_chunk(self) -> bool:
        """Make what waits into one piece for one `send`; it waits until that is there."""
        output, urgent = self._output, self._urgent
        if len(output) == 1 and not urgent:
            self._current = frames.mask_one(*output[0], self._take_keys(4))
            output.clear()
            return True
        chunk = list(urgent.items())
        ahead, size = len(chunk), 0
        for frame in output:
            size += len(frame[1])
            if chunk and size > WRITE_SIZE:
                break
            chunk.append(frame)
        if not chunk:
            return False
        self._current = frames.mask(chunk, self._take_keys(4 * len(chunk)))
        urgent.clear()
        for _ in range(len(chunk) - ahead):
            output.popleft()
        return True

    def _take_keys(self, size: int) -> bytes:
        """Return random bytes that no other frame has."""
        if len(self._keys) < size:
            self._keys = os.urandom(max(size, MANY_KEYS))
        keys, self._keys = self._keys[:size], self._keys[size:]
        return keys
