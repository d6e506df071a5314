"""Messages in several frames: gathered, limited, and inflated where they are compressed."""

from __future__ import annotations

from typing import Any

from websocket._abnf import continuous_frame

from slipstream_actor.wire import frames
from slipstream_actor.wire.deflate import Inflater
from slipstream_actor.wire.frames import RSV1, ProtocolViolation

__all__ = ["Fragments", "Inflating"]


class Fragments(continuous_frame):
    """Gathers the fragments of a message, in as many bytes as they have, and limits their sum."""

    cont_data: Any
    recving_frames: int | None

    def __init__(self, limit: int) -> None:
        super().__init__(False, True)
        self._limit = limit
        self._gathered = bytearray()

    def check(self, header: frames.Header) -> None:
        """Refuse a frame by its header that is too long, or makes its message so."""
        if header.length > self._limit:
            raise ProtocolViolation(1009, f"a frame of more than {self._limit} bytes")
        continued = header.first & 0x0F == frames.CONTINUATION
        if continued and len(self._gathered) + header.length > self._limit:
            raise ProtocolViolation(1009, f"a message of more than {self._limit} bytes")

    def unmarked(self, whole: bytes) -> bytes:
        """Return a frame as websocket-client's parser knows them, which knows no extensions."""
        return whole

    def add(self, frame: Any) -> None:
        """Take in a text, binary or continuation frame that `validate` let pass."""
        if frame.opcode != frames.CONTINUATION:
            self.recving_frames = frame.opcode
            self.cont_data = [frame.opcode, b""]
        self._gathered += frame.data
        if frame.fin:
            self.cont_data = [self.recving_frames, bytes(self._gathered)]
            self._gathered, self.recving_frames = bytearray(), None


class Inflating(Fragments):
    """The same where permessage-deflate is in force: messages may be compressed."""

    def __init__(self, limit: int, inflater: Inflater) -> None:
        super().__init__(limit)
        self._inflater = inflater
        self._begun = False  # a message in fragments that is compressed

    def check(self, header: frames.Header) -> None:
        """Refuse a frame by its header that is too long, or marked and cannot be compressed."""
        data = header.first & 0x0F in (frames.TEXT, frames.BINARY)
        if header.first & RSV1 and (not data or self.recving_frames):
            raise ProtocolViolation(1002, "a frame that says it is compressed and cannot be")
        if not (header.first & RSV1 or self._begun):
            super().check(header)
        elif header.length > self._inflater.longest:
            raise ProtocolViolation(1009, f"a frame of more than {self._limit} bytes")

    def unmarked(self, whole: bytes) -> bytes:
        """Return a frame without its mark, which is noted."""
        if not whole[0] & RSV1:
            return whole
        self._begun = True
        return bytes((whole[0] ^ RSV1,)) + whole[1:]

    def add(self, frame: Any) -> None:
        """Take in a frame, inflated where its message is compressed."""
        if self._begun:
            last, behind = bool(frame.fin), len(self._gathered)
            frame.data = self._inflater.inflate(frame.data, behind=behind, last=last)
            self._begun = not last
        super().add(frame)
