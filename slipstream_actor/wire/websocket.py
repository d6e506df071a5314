"""websocket-client, non-blocking: the upgrade, the bytes in and out of one socket, the close.

With `fragments.py` the only module that imports `websocket`. It waits for nothing but during the
upgrade, and there through the `Waiter`; everything else does what can be done now. Only the
connection's thread calls it, and whoever has that thread's turn.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import websocket

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.reasons import ClosedByPeer, TransportFailed
from slipstream_actor.wire import frames
from slipstream_actor.wire.addresses import remembering
from slipstream_actor.wire.deflate import COMPRESSED, Deflate
from slipstream_actor.wire.fragments import Fragments, Inflating
from slipstream_actor.wire.frames import Binary, Data, ProtocolViolation
from slipstream_actor.wire.output import Output
from slipstream_actor.wire.upgrade import UpgradeSocket
from slipstream_actor.wire.waiter import AttemptFailed, Waiter, text

__all__ = ["Transport", "upgrade"]

READ_SIZE, SMALL_READ = 128 * 1024, 4 * 1024  # What it becomes is in a core's cache when delivered.
BIG_FRAME = 64 * 1024
# By so much may messages grow that are inflated at a time: pressure is felt in between.
INFLATED_SIZE = 1024 * 1024
FORBIDDEN = "a frame that RFC 6455 forbids"
_attempts = itertools.count(1)


def upgrade(
    sock: socket.socket, config: Configuration, waiter: Waiter, resource: str, lines: list[str]
) -> Transport:
    """Turn a connected socket into a websocket. Raises `AttemptFailed`.

    `resource` is the request's path and query, `lines` are its headers besides the usual ones.
    """
    if not any(line.lower().startswith("host:") for line in lines):
        lines = [f"Host: {config.host_header()}", *lines]
    if config.origin is not None:
        lines = [*lines, f"Origin: {config.origin}"]
    shim = UpgradeSocket(sock, waiter, resource, lines, config.extensions)
    # A host of our own invention never matches a cookie in websocket-client's jar.
    url = f"ws://upgrade-{next(_attempts)}.invalid/"
    with remembering(waiter), upgrade_errors():
        client().connect(
            url, socket=shim, suppress_host=True, suppress_origin=True, redirect_limit=0
        )
    limit = config.max_message_bytes
    deflate = None if shim.deflate is None else Deflate.of(shim.deflate, limit)
    return Transport(sock, limit, shim.headers, shim.rest, deflate)


def client() -> Any:
    """Return a client of websocket-client's: for the upgrade, and for its parser of frames."""
    return websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)


@contextlib.contextmanager
def upgrade_errors() -> Iterator[None]:
    """Map what an upgrade raises."""
    try:
        yield
    except websocket.WebSocketException as error:
        # Its text may hold the answer's headers.
        detail = f"the answer is no websocket's: {type(error).__name__}"
        raise AttemptFailed("upgrade", detail) from None
    except ssl.SSLError as error:
        # With TLS 1.3 the server's refusal of the handshake comes behind it.
        raise AttemptFailed("tls", text(error)) from error
    except OSError as error:
        raise AttemptFailed("io", f"the upgrade broke: {text(error)}") from error


class Transport(Output):
    """One open websocket: whole messages in, masked frames out, without ever waiting."""

    bytes_in: int
    frames_in: int

    __slots__ = (
        "_big",
        "_big_size",
        "_enough",
        "_filled",
        "_fragments",
        "_fresh",
        "_limit",
        "_parser",
        "_rest",
        "_secure",
        "_simple",
        "bytes_in",
        "ended",
        "frames_in",
        "headers",
        "read_again",
    )

    def __init__(
        self,
        sock: socket.socket,
        max_message_bytes: int,
        headers: Mapping[str, str],
        rest: bytes = b"",
        deflate: Deflate | None = None,
    ) -> None:
        super().__init__(sock, deflate)
        self.headers: Mapping[str, str] = headers
        self.read_again: bool = False
        self.ended: ClosedByPeer | TransportFailed | None = None
        self.bytes_in = self.frames_in = 0
        self._limit = max_message_bytes
        self._secure = self._portion is not None
        # Whether what is read is frames as they are.
        self._simple = not self._secure and deflate is None
        # Of websocket-client, from the first frame that is not plain.
        self._parser: Any = None
        self._fragments = Fragments(max_message_bytes)
        if deflate is not None:
            self._fragments = Inflating(max_message_bytes, deflate.inflater)
        self._rest = rest
        self._fresh = bool(rest)
        self._enough = INFLATED_SIZE
        self._big: bytearray | None = None
        self._big_size = self._filled = 0

    @property
    def extensions(self) -> tuple[str, ...]:
        """Those that are in force, with their parameters."""
        return () if self.deflate is None else (str(self.deflate.parameters),)

    # reading

    @property
    def bytes_taken(self) -> int:
        """The `bytes_in` as they are when they are inflated."""
        return self.bytes_in if self.deflate is None else self.bytes_in + self._grown

    @property
    def _grown(self) -> int:
        return 0 if self.deflate is None else self.deflate.inflater.grown

    @property
    def mid_frame(self) -> bool:
        """Whether a message has come in part."""
        return bool(self._rest or self._big is not None or self._fragments.recving_frames)

    def receive(self) -> list[Data]:
        """Return the messages that are complete by now; sets `ended` when there is no more."""
        if not self._simple or self._fresh or self.mid_frame or self.ended is not None:
            return self._receive()
        # Most reads bring a few whole frames, and that is all.
        self.read_again = False
        try:
            chunk = self.sock.recv(SMALL_READ)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            self.ended = TransportFailed(text(error))
            return []
        received, at = frames.split(chunk, 0, self._limit)
        self.bytes_in += len(chunk)
        self.frames_in += len(received)
        if not chunk or at < len(chunk):
            self._rest, self._fresh = chunk[at:], True
            received += self._receive()
        return received

    def _receive(self) -> list[Data]:
        """Receive whatever there may be."""
        received: list[Data] = []
        self.read_again = False
        budget = READ_SIZE
        try:
            if self._fresh:
                self._fresh = False
                self._take(b"", received)
            while self.ended is None and not self._fresh:
                count = self._read_some(received)
                budget -= count
                # One recv is all that a plain socket has; TLS hands out 16 KiB at most.
                if not count or not self._secure:
                    break
                if budget <= 0:
                    self.read_again = True
                    break
        except ProtocolViolation as violation:
            self.send_close(violation.code)
            self.ended = TransportFailed(str(violation))
        except websocket.WebSocketException as error:
            self.send_close(1002)
            self.ended = TransportFailed(f"{FORBIDDEN}: {str(error).rstrip('.')}")
        except OSError as error:
            self.ended = TransportFailed(text(error))
        if self.awaits_input:
            self.flush()
        self.frames_in += len(received)
        return received

    def release(self) -> None:
        """Give back what idle buffers and the compressor hold."""
        self._rest = bytes(self._rest)
        self.release_output()
        if self.deflate is not None:
            self.deflate.deflater.release()

    def _read_some(self, received: list[Data]) -> int:
        """Read once; return how many bytes came, 0 when none can be had now."""
        try:
            if self._big is not None:
                return self._read_big(received)
            chunk = self.sock.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            chunk = b""
        if not chunk:
            self.ended = ClosedByPeer(1006)
            return 0
        self.bytes_in += len(chunk)
        self._take(chunk, received)
        return len(chunk)

    def _read_big(self, received: list[Data]) -> int:
        """Read into the buffer of a big frame, which grows as that comes."""
        assert self._big is not None
        if self._filled == len(self._big):
            # By as much again as has come: what is only announced costs nothing.
            more = max(self._filled, READ_SIZE)
            self._big += bytes(min(more, self._big_size - self._filled))
        with memoryview(self._big) as view:
            try:
                count = self.sock.recv_into(view[self._filled :])
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                count = 0
        if not count:
            self.ended = ClosedByPeer(1006)
            return 0
        self.bytes_in += count
        self._filled += count
        if self._filled == self._big_size:
            whole, self._big = bytes(self._big), None
            self._take(whole, received)
        return count

    def _take(self, chunk: bytes, received: list[Data]) -> None:
        """Add the messages that `chunk` completes; keep the half frame at its end."""
        buffer = self._rest + chunk if self._rest else chunk
        self._rest = b""
        at = 0
        while self.ended is None:
            if not self._fragments.recving_frames:
                plain, at = frames.split(buffer, at, self._limit)
                received += plain
                if at == len(buffer):
                    return
            header = frames.read_header(buffer, at)
            if header is None:
                break
            self._check(header)
            end = at + header.start + header.length
            if end > len(buffer):
                if header.length > BIG_FRAME:
                    self._big, self._big_size = bytearray(buffer[at:]), end - at
                    self._filled = len(self._big)
                    return
                break
            if self.deflate is not None and header.first in COMPRESSED:
                data = self.deflate.inflater.inflate(buffer[at + header.start : end])
                received.append(data if header.first & frames.TEXT else Binary(data))
            else:
                self._take_frame(buffer[at:end], received)
            at = end
            if at < len(buffer) and self._has_grown():
                break
        self._rest = buffer[at:]

    def _has_grown(self) -> bool:
        """Whether what is inflated is enough for now: the owner may have no room for more."""
        if self._grown <= self._enough:
            return False
        self._enough = self._grown + INFLATED_SIZE
        self._fresh = self.read_again = True
        return True

    def _check(self, header: frames.Header) -> None:
        """Refuse by its header what websocket-client lets pass, or would read into memory."""
        if header.masked:
            raise ProtocolViolation(1002, "a masked frame from the server")
        if header.first & 0x08 and (header.length > 125 or not header.first & frames.FIN):
            raise ProtocolViolation(1002, "a control frame that is fragmented or over 125 bytes")
        self._fragments.check(header)

    def _take_frame(self, whole: bytes, received: list[Data]) -> None:
        """Give one whole frame to websocket-client's parser, and do what it asks for."""
        parser = self._parser
        if parser is None:
            parser = self._parser = client().frame_buffer
        whole = self._fragments.unmarked(whole)
        if whole[0] & frames.RESERVED:
            raise ProtocolViolation(1002, "a frame of an extension that was not agreed on")
        parser.recv = io.BytesIO(whole).read
        frame = parser.recv_frame()
        parser.recv = None  # It would keep the frame.
        if frame.opcode == frames.PING:
            self.frames_in += 1
            self.send_urgent(frames.PONG, frame.data)
        elif frame.opcode == frames.PONG:
            self.frames_in += 1
        elif frame.opcode == frames.CLOSE:
            self.frames_in += 1
            self._take_close(frame.data)
        else:
            self._fragments.validate(frame)
            self._fragments.add(frame)
            if frame.fin:
                opcode, joined = self._fragments.cont_data
                self._fragments.cont_data = None
                received.append(joined if opcode == frames.TEXT else Binary(joined))

    def _take_close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        # What waits would not be read any more (RFC 6455 section 5.5.1).
        self._drop_output()
        self.send_close(code)
        self.ended = ClosedByPeer(code, payload[2:].decode("utf-8", "replace"))

    def free(self) -> None:
        """Close the socket. It is to be out of every selector."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
