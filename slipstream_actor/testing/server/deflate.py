"""permessage-deflate as Bandit speaks it, without I/O: wsproto's hooks.

See docs/protocol.md#note-49.
"""

from __future__ import annotations

import zlib

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from slipstream_actor.testing.server.compression import DEFLATE, Compression

__all__ = ["PerMessageDeflate"]

TAIL = b"\x00\x00\xff\xff"
LEAST_WINDOW, WINDOW = 9, 15


class PerMessageDeflate(Extension):
    """The server's side of one connection. A message may inflate to `limit` bytes."""

    name = DEFLATE

    def __init__(self, compression: Compression, limit: int) -> None:
        self._compression = compression
        self._limit = limit
        self._size = 0
        self._compressed = False
        self._data = False
        self._inflater: zlib._Decompress | None = None
        self._deflater: zlib._Compress | None = None

    def enabled(self) -> bool:
        """Always: it is made when it has been agreed on."""
        return True

    def offer(self) -> bool:
        """Nothing: that is for clients."""
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Only the first frame of a message may be marked."""
        begins = opcode in (Opcode.TEXT, Opcode.BINARY)
        if rsv.rsv1 and not begins:
            return CloseReason.PROTOCOL_ERROR
        if begins:
            self._compressed, self._size = rsv.rsv1, 0
        self._data = not opcode.iscontrol()
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """A piece of a frame, as it was before."""
        return self._inflate(data) if self._data and self._compressed else data

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """What the end of a message still has."""
        if not (fin and self._data and self._compressed):
            return None
        rest = self._inflate(TAIL)
        ended = self._inflater is not None and self._inflater.eof
        if ended or self._compression.client_no_context_takeover:
            self._inflater = None
        return rest

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        if self._inflater is None:
            self._inflater = zlib.decompressobj(-WINDOW)
        try:
            inflated = self._inflater.decompress(data, self._limit - self._size + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._size += len(inflated)
        return CloseReason.MESSAGE_TOO_BIG if self._size > self._limit else inflated

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        """Every message is compressed, the shortest too.

        Not where a window of 8 bits was asked for: zlib has none. That is allowed as well.
        """
        window = self._compression.server_max_window_bits or WINDOW
        if opcode.iscontrol() or window < LEAST_WINDOW:
            return rsv, data
        if self._deflater is None:
            self._deflater = zlib.compressobj(wbits=-window)
        deflated = self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        if self._compression.server_no_context_takeover:
            self._deflater = None
        return RsvBits(True, False, False), deflated.removesuffix(TAIL)
