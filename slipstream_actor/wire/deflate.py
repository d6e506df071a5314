"""permessage-deflate (RFC 7692 section 7.2): the payloads of data frames through zlib, both ways.

What costs memory is made when it is first needed. A compressor can be given back whenever nothing
moves: one that begins anew refers to nothing. What inflates is kept between messages only where the
server's refer to those before them, and then has to be.
"""

from __future__ import annotations

import sys
import zlib
from typing import NamedTuple

from slipstream_actor.configuration.extensions import MOST_BITS, DeflateParameters
from slipstream_actor.wire import frames
from slipstream_actor.wire.frames import ProtocolViolation

__all__ = ["COMPRESSED", "Deflate", "Deflater", "Inflater"]

# The first bytes of messages that are compressed and in one frame.
COMPRESSED = frozenset(frames.FIN | frames.RSV1 | opcode for opcode in (frames.TEXT, frames.BINARY))

# An empty block without compression, of which a message's end lacks these (section 7.2.1).
TAIL = b"\x00\x00\xff\xff"

BROKEN = "a message that does not inflate"

# zlib knows no smaller window: what it compresses with 9 it may not with 8, which it refuses.
LEAST_WINDOW = 9
# 32 KiB in the place of 256 for a connection, which costs an eighth of what is gained, and half of
# the time of zlib's default level, which costs another tenth.
WINDOW, MEMORY, LEVEL = 12, 5, 3
# Shorter messages gain nothing, or less than it costs: behind the same in a context, and alone.
LEAST_WITH_CONTEXT, LEAST_ALONE = 64, 256

WINDOW_SIZE = 1 << MOST_BITS
# Of the blocks that end a stream a frame may have as many; each costs a copy of what is behind it.
MOST_FINAL_BLOCKS = 16


class Inflater:
    """What the server has compressed, as it was before. `grown`: by how many bytes, in all.

    A message has at most `limit` bytes.
    """

    grown: int

    def __init__(self, parameters: DeflateParameters, limit: int) -> None:
        # What cannot be compressed grows by that, whatever zlib's settings (its deflateBound).
        self.longest: int = limit + limit // 8 + limit // 64 + 64
        self.grown = 0
        self._limit = min(limit, sys.maxsize - 1)
        self._bits = -max(LEAST_WINDOW, parameters.server_max_window_bits or MOST_BITS)
        self._takes_over = not parameters.server_no_context_takeover
        self._stream: zlib._Decompress | None = None

    def inflate(self, payload: bytes, *, behind: int = 0, last: bool = True) -> bytes:
        """Return the payload of a frame as it was, the `last` of its message or not.

        `behind` are the bytes that the message had before. Raises `ProtocolViolation`, as soon as
        there is a byte too many.
        """
        room = self._limit - behind
        if self._stream is None:
            self._stream = zlib.decompressobj(self._bits)
        try:
            # A bound of 0 would be none.
            data = self._stream.decompress(payload, room + 1)
            if self._stream.eof:
                data = self._go_on(data, room + 1)
            if len(data) > room:
                raise ProtocolViolation(1009, f"a message of more than {self._limit} bytes")
            if last:
                self._finish(self._stream)
        except zlib.error as error:
            raise ProtocolViolation(1002, f"{BROKEN}: {error}") from None
        self.grown += len(data) - len(payload)
        return data

    def _finish(self, stream: zlib._Decompress) -> None:
        """End a message. All of it has been said before its tail; else something is missing, and
        what follows would be read as that."""
        if stream.decompress(TAIL, 1):
            raise ProtocolViolation(1002, f"{BROKEN}: its end is missing")
        if not self._takes_over:
            self._stream = None

    def _go_on(self, data: bytes, most: int) -> bytes:
        """Return `data` with what comes behind blocks that end the stream (section 7.2.3.4)."""
        for _ in range(MOST_FINAL_BLOCKS):
            assert self._stream is not None
            if not self._stream.eof or len(data) >= most:
                return data
            rest = self._stream.unused_data
            self._stream = zlib.decompressobj(self._bits, zdict=data[-WINDOW_SIZE:])
            data += self._stream.decompress(rest, most - len(data))
        raise ProtocolViolation(1002, "a message of too many blocks that end it")


class Deflater:
    """What is sent, compressed, in the order in which it is sent."""

    def __init__(self, parameters: DeflateParameters) -> None:
        bits = parameters.client_max_window_bits or MOST_BITS
        self._bits = -min(bits, WINDOW)
        takes_over = not parameters.client_no_context_takeover
        # A full flush refers to nothing before it: a context that is not taken over.
        self._flush = zlib.Z_SYNC_FLUSH if takes_over else zlib.Z_FULL_FLUSH
        self._least: float = LEAST_WITH_CONTEXT if takes_over else LEAST_ALONE
        if bits < LEAST_WINDOW:
            self._least = float("inf")  # Whatever is sent may be sent as it is.
        self._stream: zlib._Compress | None = None

    def deflate(self, opcode: int, payload: bytes) -> tuple[int, bytes]:
        """Return opcode and payload of a message: compressed ones are marked (section 7.2.1)."""
        if len(payload) < self._least:
            return opcode, payload
        if self._stream is None:
            self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, self._bits, MEMORY)
        data = self._stream.compress(payload) + self._stream.flush(self._flush)
        return frames.RSV1 | opcode, data[: -len(TAIL)]

    def release(self) -> None:
        """Give back what it holds; the next message begins a context of its own."""
        self._stream = None


class Deflate(NamedTuple):
    """permessage-deflate in force on one connection."""

    parameters: DeflateParameters
    inflater: Inflater
    deflater: Deflater

    @classmethod
    def of(cls, parameters: DeflateParameters, limit: int) -> Deflate:
        """Return what keeps to these parameters; messages that come have at most `limit` bytes."""
        return cls(parameters, Inflater(parameters, limit), Deflater(parameters))
