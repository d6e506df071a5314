"""Websocket frames as bytes (RFC 6455 section 5.2): the fast splitter, and masking in batches.

Only what is plain is split here: whole, unmasked, unfragmented text and binary frames. All else
goes through websocket-client's parser, and the two agree on every input (a property test says so).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "RESERVED",
    "RSV1",
    "TEXT",
    "Binary",
    "Data",
    "Header",
    "ProtocolViolation",
    "close_payload",
    "mask",
    "mask_one",
    "of_message",
    "read_header",
    "size_of",
    "split",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RESERVED = 0x80, 0x40, 0x70
FIN_TEXT, FIN_BINARY = FIN | TEXT, FIN | BINARY


class Binary(msgspec.Struct, frozen=True, gc=False):
    """The payload of a binary message. That of a text message is plain `bytes`: the usual case."""

    data: bytes


Data: TypeAlias = bytes | Binary


class Header(NamedTuple):
    """A frame's first bytes: `start` is where its payload begins, relative to the frame."""

    first: int
    masked: bool
    start: int
    length: int


class ProtocolViolation(Exception):
    """The server sent what RFC 6455 forbids; `code` is what our close frame says."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code


def split(buffer: bytes, at: int, limit: int) -> tuple[list[Data], int]:
    """Return the plain frames that stand in `buffer` from `at`, and where the rest begins.

    Stops before a frame that is not whole, not plain, or longer than `limit` bytes.
    """
    frames: list[Data] = []
    append = frames.append
    end = len(buffer)
    try:
        while True:
            first, length, start = buffer[at], buffer[at + 1], at + 2
            if length > 125:
                if length == 126:
                    length = buffer[start] << 8 | buffer[at + 3]
                    start = at + 4
                elif length == 127 and at + 10 <= end:
                    length = int.from_bytes(buffer[start : at + 10], "big")
                    start = at + 10
                else:
                    break
            stop = start + length
            if stop > end or length > limit:
                break
            if first == FIN_TEXT:
                append(buffer[start:stop])
            elif first == FIN_BINARY:
                append(Binary(buffer[start:stop]))
            else:
                break
            at = stop
    except IndexError:  # Where the header is not whole: to ask each time costs more.
        pass
    return frames, at


def read_header(buffer: bytes, at: int) -> Header | None:
    """Return the header of the frame at `at`, `None` while it has not arrived in full."""
    left = len(buffer) - at
    if left < 2:
        return None
    first, second = buffer[at], buffer[at + 1]
    masked, length, size = bool(second & 0x80), second & 0x7F, 2
    if length == 126:
        size = 4
    elif length == 127:
        size = 10
    if left < size:
        return None
    if size > 2:
        length = int.from_bytes(buffer[at + 2 : at + size], "big")
    return Header(first, masked, size + 4 * masked, length)


def mask(frames: Sequence[tuple[int, bytes]], keys: bytes) -> bytes:
    """Return `(opcode, payload)` pairs as a client's frames, of which each takes four of the
    `keys` (section 5.3): one XOR of two integers for many."""
    done: list[bytes] = []
    plain: list[bytes] = []
    masks: list[bytes] = []
    at = 0
    for opcode, payload in frames:
        length, key = len(payload), keys[at : at + 4]
        at += 4
        short = opcode == TEXT and length < 126
        header = SHORT_TEXT[length] if short else header_of(opcode, length)
        if length > PIECE:
            done += (xor(plain, masks), header, key, *pieces(payload, key))
            plain, masks = [], []
            continue
        plain += (header, key, payload)
        # What stands before the payload is not masked.
        masks += (UNMASKED[len(header)], (key * (length // 4 + 1))[:length])
    return b"".join((*done, xor(plain, masks))) if done else xor(plain, masks)


def mask_one(opcode: int, payload: bytes, key: bytes) -> bytes:
    """Return what `mask` does of one frame; where that is short, in less time."""
    length = len(payload)
    if opcode != TEXT or length > 125:
        return mask([(opcode, payload)], key)
    masked = int.from_bytes(payload, "little") ^ int.from_bytes((key * 32)[:length], "little")
    return SHORT_TEXT[length] + key + masked.to_bytes(length, "little")


def xor(plain: list[bytes], masks: list[bytes]) -> bytes:
    """Return the one with the other on it."""
    bare = b"".join(plain)
    masked = int.from_bytes(bare, "little") ^ int.from_bytes(b"".join(masks), "little")
    return masked.to_bytes(len(bare), "little")


def pieces(payload: bytes, key: bytes) -> Iterator[bytes]:
    """Return a long payload masked, in pieces: integers of all of it take many times as much."""
    whole = key * (PIECE // 4)
    for at in range(0, len(payload), PIECE):
        piece = payload[at : at + PIECE]
        yield xor([piece], [whole[: len(piece)]])


def header_of(opcode: int, length: int) -> bytes:
    """Return what stands before the mask of a client's frame (section 5.2)."""
    if length < 126:
        return bytes((FIN | opcode, 0x80 | length))
    if length < 65536:
        return struct.pack("!BBH", FIN | opcode, 0x80 | 126, length)
    return struct.pack("!BBQ", FIN | opcode, 0x80 | 127, length)


# Bytes that are masked at a time.
PIECE = 64 * 1024

# Most are such.
SHORT_TEXT = [header_of(TEXT, length) for length in range(126)]
# As many bytes as a header of so many bytes has, and its mask.
UNMASKED = [bytes(size + 4) for size in range(11)]


def size_of(payload: bytes) -> int:
    """Return how many bytes a client's frame of a payload has."""
    length = len(payload)
    return length + (6 if length < 126 else 8 if length < 65536 else 14)


def close_payload(code: int) -> bytes:
    """Return the payload of a close frame; 1005 is an empty one (section 7.1.5)."""
    return b"" if code == 1005 else code.to_bytes(2, "big")


def of_message(data: str | bytes) -> tuple[int, bytes]:
    """Return opcode and payload of an encoded message."""
    return (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
