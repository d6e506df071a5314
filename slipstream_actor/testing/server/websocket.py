"""One open websocket without I/O: bytes in, frames out.

wsproto does the work; Bandit's limits stand before it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

try:
    from wsproto.connection import Connection, ConnectionState, ConnectionType
    from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
    from wsproto.extensions import Extension

    from slipstream_actor.testing.server.deflate import PerMessageDeflate
except ImportError as _missing:
    raise ImportError(
        "the embedded server needs wsproto: install the extra slipstream_actor[testing]"
    ) from _missing

from slipstream_actor.testing.server.compression import Compression

__all__ = ["CloseSocket", "FrameLimit", "Ping", "Pong", "WebSocket"]

MAX_FRAGMENTED_MESSAGE = 8_000_000


class CloseSocket(Exception):
    """Ends the connection with a close frame of this code, without a reason text.

    See docs/protocol.md#note-31.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class FrameLimit:
    """Follows the headers of the frames, to refuse a frame before its payload comes.

    See docs/protocol.md#note-36.
    """

    def __init__(self, max_frame_size: int) -> None:
        self._max = max_frame_size
        self._header = b""
        self._payload = 0

    def admit(self, data: bytes) -> int:
        """How many bytes of `data` may be read: not all of them when a frame in it is too big."""
        at = 0
        while at < len(data):
            if self._payload:
                step = min(self._payload, len(data) - at)
                self._payload -= step
                at += step
                continue
            header = self._header + data[at : at + 14 - len(self._header)]
            sizes = _frame_sizes(header)
            if sizes is None:
                self._header = header
                return len(data)
            if sum(sizes) > self._max:
                return at
            at += sizes[0] - len(self._header)
            self._header, self._payload = b"", sizes[1]
        return at


def _frame_sizes(header: bytes) -> tuple[int, int] | None:
    """Bytes of header and of payload, None until the header is there."""
    if len(header) < 2:
        return None
    mask, short = header[1] >> 7 << 2, header[1] & 127
    extended = {126: 2, 127: 8}.get(short, 0)
    size = 2 + extended + mask
    if len(header) < size:
        return None
    length = int.from_bytes(header[2 : 2 + extended], "big") if extended else short
    return size, length


def _size(part: str | bytes) -> int:
    return len(part.encode()) if isinstance(part, str) else len(part)


def _join(parts: list[str | bytes]) -> str | bytes:
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts) if texts else b"".join(part for part in parts if isinstance(part, bytes))


class WebSocket:
    """The server's side of one websocket."""

    def __init__(self, max_frame_size: int, compression: Compression | None = None) -> None:
        extensions: list[Extension] = []
        if compression is not None:
            extensions.append(PerMessageDeflate(compression, max_frame_size))
        self._connection = Connection(ConnectionType.SERVER, extensions)
        self._limit = FrameLimit(max_frame_size)
        self._parts: list[str | bytes] = []
        self._fragments_size = 0

    def receive(self, data: bytes) -> Iterator[str | bytes | Ping | Pong]:
        """The messages and pings in `data`.

        Raises `CloseSocket` for a close frame and for whatever breaks a rule
        (docs/protocol.md#note-29).
        """
        admitted = self._limit.admit(data)
        self._connection.receive_data(data[:admitted])
        for event in self._connection.events():
            if isinstance(event, TextMessage | BytesMessage):
                yield from self._message(event)
            elif isinstance(event, Ping | Pong):
                yield event
            elif isinstance(event, CloseConnection):
                raise CloseSocket(self._close_answer(event))
        if admitted < len(data):
            raise CloseSocket(1009)

    def _message(self, event: TextMessage | BytesMessage) -> Iterator[str | bytes]:
        """Joins what belongs to one message: its fragments, and wsproto's pieces of a big frame."""
        if event.message_finished and not self._parts:
            yield event.data if isinstance(event.data, str) else bytes(event.data)
            return
        self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
        if event.frame_finished and not event.message_finished:
            self._fragments_size = sum(map(_size, self._parts))
        if self._fragments_size > MAX_FRAGMENTED_MESSAGE:
            raise CloseSocket(1009)
        if event.message_finished:
            whole = _join(self._parts)
            self._parts, self._fragments_size = [], 0
            yield whole

    def _close_answer(self, event: CloseConnection) -> int:
        """1000 to a valid close, 1002 to a forbidden code; or the broken rule's code.

        See docs/protocol.md#note-35.
        """
        if self._connection.state is not ConnectionState.REMOTE_CLOSING:
            return int(event.code)
        return 1002 if 1012 <= event.code <= 2999 else 1000

    def encode(self, frame: str | bytes | Pong) -> bytes:
        """The bytes of one frame."""
        if isinstance(frame, str):
            return self._connection.send(TextMessage(data=frame))
        if isinstance(frame, bytes):
            return self._connection.send(BytesMessage(data=frame))
        return self._connection.send(frame)

    def close(self, code: int) -> bytes:
        """The bytes of a close frame; the code alone."""
        return b"\x88\x02" + struct.pack("!H", code)
