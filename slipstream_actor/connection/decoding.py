"""Frames to messages, by the serializer of the options, and what is told of those that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.hints import DecodingFailed, shape_of
from slipstream_actor.protocol.incoming import RESERVED
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.reason_texts import text_of
from slipstream_actor.protocol.serializer import (
    Serializer,
    decoder_of,
    decodes_as_ours,
    part_decoder_of,
)
from slipstream_actor.wire.frames import Data

__all__ = ["Decoding"]

# Bytes of a message: one of more waits undecoded, and of those that wait behind many bytes most do.
LONG, SHORT = 65_536, 256
MANY_BYTES = 1_048_576


class Decoding:
    """How one connection decodes: `text` takes the bytes of a text frame, `binary` of the other;
    `partly` leaves the payload of a text frame as it came, where it can. `at_once` is `text`, and
    `part_at_once` is `partly` for what is no reply, in one step of C where that can be.

    A serializer that fails for every message is a mistake that nobody would see: the first failure
    of a connection is said, and so is each tenfold number of them, and the last number: `say` is
    told the last failure and the number. `str` says what has failed; any thread may ask for it.
    """

    __slots__ = (
        "_say",
        "_told",
        "at_once",
        "binary",
        "failures",
        "last",
        "part_at_once",
        "partly",
        "serializer",
        "text",
    )

    def __init__(self, config: Configuration, say: Callable[[DecodingFailed, int], object]) -> None:
        assert config.serializer is not None
        self._say = say
        self.serializer: Serializer = config.serializer
        self.text: Callable[[bytes], Message]
        self.binary: Callable[[bytes], Message]
        self.partly: Callable[[bytes], Message]
        self.at_once: Callable[[bytes], Message]
        self.part_at_once: Callable[[bytes], Message]
        if decodes_as_ours(config.serializer):
            self.text, self.binary = config.serializer.decode_text, config.serializer.decode
            self.partly = config.serializer.decode_partly
            self.at_once = decoder_of(config.serializer)
            self.part_at_once = part_decoder_of(config.serializer)
        else:
            self.text, self.binary = lambda data: self._decode(data.decode()), self._decode
            self.partly = self.at_once = self.part_at_once = self.text
        self.failures: int = 0
        self._told = 0
        self.last: DecodingFailed | None = None

    def __str__(self) -> str:
        messages = "1 message" if self.failures == 1 else f"{self.failures} messages"
        return f"{messages} of the server could not be decoded: {text_of(self.last)}"

    def longest(self, flow: Inflow) -> int:
        """Return the most bytes of a message that is decoded when it comes, and not when it is
        delivered: decoded, it takes many times as many."""
        return LONG if flow.undelivered_bytes < MANY_BYTES else SHORT

    def decode_all(self, received: list[Data], flow: Inflow) -> list[Message]:
        """Return the messages of frames. Raises whatever, where one is none, and may where they
        are of both kinds."""
        whole, part, binary = self.at_once, self.part_at_once, self.binary
        frames: list[Any] = received
        if type(frames[0]) is not bytes:
            return [binary(data.data) for data in frames]
        most = max(map(len, frames))
        if most <= SHORT or most <= (longest := self.longest(flow)):
            return [*map(whole, frames)]
        return [
            whole(data)
            if len(data) <= longest or (message := part(data)).event in RESERVED
            else message
            for data in frames
        ]

    def decode(self, data: Data, longest: int) -> Message:
        """Return the message of a frame, with its payload as it came when it has more bytes than
        `longest`."""
        if not isinstance(data, bytes):
            return self.binary(data.data)
        return self.text(data) if len(data) <= longest else self.partly(data)

    def fail(self, error: Exception, data: Data) -> None:
        """Count a message that could not be decoded."""
        # The error's text may be the payload.
        name, raised = type(self.serializer).__name__, type(error).__name__
        shape = shape_of(data) if isinstance(data, bytes) else "binary"
        self.last = DecodingFailed(name, raised, shape)
        self.failures += 1
        if self.failures >= 10 * self._told:
            self._tell()

    def conclude(self) -> None:
        """Tell how many there were: the connection has ended."""
        if self.failures > self._told:
            self._tell()

    def _tell(self) -> None:
        self._told = self.failures
        if self.last is not None:
            self._say(self.last, self.failures)

    def _decode(self, data: str | bytes) -> Message:
        """Return what a serializer of one's own makes of a frame, if it is a message."""
        message = self.serializer.decode(data)
        if not isinstance(message, Message):
            raise TypeError(f"decode returned {type(message).__name__}, and no Message")
        texts = message.topic, message.event, message.join_ref or "", message.ref or ""
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("decode returned a Message with a field that is no text")
        if type(message) is Message:
            return message
        return Message(message.join_ref, message.ref, message.topic, message.event, message.payload)
