"""Messages to frames and back: version 2 of Phoenix's serializer (arrays, binary) and version 1.

A serializer of one's own is any object with `encode(Message) -> str | bytes` and
`decode(str | bytes) -> Message`: `str` is a text frame, `bytes` a binary one. `encode` runs in the
thread that pushes or joins, and for leaves and heartbeats, as `decode`, in the one that reads: the
connection's, or that of its client, which may read while it waits. A `Message` to be encoded always
has a ref; its join_ref is `None` for heartbeats. Whatever `encode` raises is the cause of a
`SerializerError`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeGuard

import msgspec

from slipstream_actor.errors import SerializerError
from slipstream_actor.protocol.message import Message, PartlyDecoded

__all__ = [
    "JsonParser",
    "MsgspecJson",
    "Serializer",
    "V1Serializer",
    "V2Serializer",
    "decoder_of",
    "decodes_as_ours",
    "encode_json",
    "encode_push",
    "encodes_as_ours",
    "frame_of",
    "payload_of_binary",
]

PUSH, REPLY, BROADCAST = 0, 1, 2
# What msgspec asks for only where it is a key: elsewhere it can write it.
KEYS_ALONE = (type(None), bool, tuple, frozenset)


class JsonParser(Protocol):
    """What `json_parser` takes: a module or object with `loads` and `dumps`.

    Both are called in several threads, also at once.
    """

    def loads(self, data: Any, /) -> Any:
        """Return the value of a JSON text."""

    def dumps(self, value: Any, /) -> str | bytes:
        """Return the JSON text of a value."""


class Serializer(Protocol):
    """What `serializer` takes. Its methods are called in several threads, also at once."""

    def encode(self, message: Message, /) -> str | bytes:
        """Return the frame for `message`: `str` for text, `bytes` for binary."""

    def decode(self, data: str | bytes, /) -> Message:
        """Return the message of a text (`str`) or binary (`bytes`) frame."""


def as_built_in(value: Any) -> Any:
    """Return a value whose class is one of text, of bytes or of a number as one of the built-in
    class, which is all that msgspec writes. Raises `TypeError` for other values."""
    kind = type(value)
    if issubclass(kind, KEYS_ALONE):
        raise TypeError("Only dicts with str-like or number-like keys are supported")
    # Not by `str(value)` and the like, which may be another value.
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, bytes):
        return bytes.__getitem__(value, slice(None))
    raise TypeError(f"Encoding objects of type {kind.__name__} is unsupported")


encode_json: Callable[[Any], bytes] = msgspec.json.Encoder(enc_hook=as_built_in).encode
"""Returns the JSON of a value, as a message has it."""


class MsgspecJson:
    """The default `json_parser`."""

    def __init__(self) -> None:
        self.loads: Callable[[str | bytes], Any] = msgspec.json.Decoder().decode
        self.dumps: Callable[[Any], bytes] = encode_json


class V2Serializer:
    """Phoenix's V2: `[join_ref, ref, topic, event, payload]`, and binary frames
    (docs/protocol.md#note-25)."""

    vsn = "2.0.0"

    def __init__(self, json_parser: JsonParser | None = None) -> None:
        self._json = json_parser or MsgspecJson()
        self._typed: Callable[[str | bytes], Message] | None = (
            msgspec.json.Decoder(Message).decode if isinstance(self._json, MsgspecJson) else None
        )
        self._partly = msgspec.json.Decoder(PartlyDecoded).decode

    def encode(self, message: Message) -> str | bytes:
        """Return the text or, where the payload is bytes, the binary frame of `message`.

        Raises `SerializerError` for a payload that is no JSON, and for a join_ref, ref, topic or
        event of more than 255 bytes in a binary frame (docs/protocol.md#note-25).
        """
        if isinstance(message.payload, (bytes, bytearray, memoryview)):
            return encode_binary(message)
        wire = message if self._typed is not None else list(msgspec.structs.astuple(message))
        return dump(self._json, wire, message)

    def decode(self, data: str | bytes) -> Message:
        """Return the message of a frame; `SerializerError` when it is none."""
        return decode_binary(data) if isinstance(data, bytes) else self.decode_text(data)

    def decode_partly(self, data: bytes) -> Message:
        """Return the message of a text frame; of one for a callback, with its payload as it came,
        `msgspec.Raw`, if the parser is ours."""
        if self._typed is None:
            return self.decode_text(data)
        try:
            part = self._partly(data)
        except (ValueError, RecursionError) as error:
            raise SerializerError(f"not a V2 message: {error}") from error
        return self.decode_text(data) if part.event.startswith("phx_") else part

    def decode_text(self, data: str | bytes) -> Message:
        """Return the message of a text frame, given as text or as its UTF-8 bytes."""
        try:
            if self._typed is not None:
                return self._typed(data)
            return msgspec.convert(load(self._json, data), Message)
        except (ValueError, RecursionError) as error:
            raise SerializerError(f"not a V2 message: {error}") from error


class V1Wire(msgspec.Struct):
    """A V1 message; in what the server sends there is no join_ref (docs/protocol.md#note-52)."""

    topic: str
    event: str
    payload: Any
    ref: str | None
    join_ref: str | None = None


class PartlyDecodedV1(msgspec.Struct, frozen=True):
    """A V1 message with its payload as it came."""

    topic: str
    event: str
    payload: msgspec.Raw
    ref: str | None
    join_ref: str | None = None


class V1Serializer:
    """Phoenix's V1: JSON objects, no binary frames (docs/protocol.md#note-28)."""

    vsn = "1.0.0"

    def __init__(self, json_parser: JsonParser | None = None) -> None:
        self._json = json_parser or MsgspecJson()
        self._partly = msgspec.json.Decoder(PartlyDecodedV1).decode

    def encode(self, message: Message) -> str | bytes:
        """Return the text frame of `message`; `SerializerError` when it has none."""
        if isinstance(message.payload, (bytes, bytearray, memoryview)):
            raise SerializerError(f"{describe(message)}: V1 has no binary frames; use vsn 2.0.0")
        return dump(self._json, msgspec.structs.asdict(message), message)

    def decode(self, data: str | bytes) -> Message:
        """Return the message of a frame; `SerializerError` when it is none."""
        if isinstance(data, bytes):
            raise SerializerError("a binary frame, and V1 has none")
        return self.decode_text(data)

    def decode_partly(self, data: bytes) -> Message:
        """Return the message of a text frame, as `V2Serializer.decode_partly` does."""
        if not isinstance(self._json, MsgspecJson):
            return self.decode_text(data)
        try:
            part = self._partly(data)
        except (ValueError, RecursionError) as error:
            raise SerializerError(f"not a V1 message: {error}") from error
        if part.event.startswith("phx_"):
            return self.decode_text(data)
        return PartlyDecoded(part.join_ref, part.ref, part.topic, part.event, part.payload)

    def decode_text(self, data: str | bytes) -> Message:
        """Return the message of a text frame, given as text or as its UTF-8 bytes."""
        try:
            wire = msgspec.convert(load(self._json, data), V1Wire)
        except (ValueError, RecursionError) as error:
            raise SerializerError(f"not a V1 message: {error}") from error
        return Message(wire.join_ref, wire.ref, wire.topic, wire.event, wire.payload)


# Before anybody has patched them.
OURS = {(kind.decode, kind.decode_text) for kind in (V2Serializer, V1Serializer)}


def decodes_as_ours(serializer: Any) -> TypeGuard[V2Serializer | V1Serializer]:
    """Whether a serializer decodes as ours do, so that `decode_text` may be given bytes.

    One that overrides a method of ours, or stands before one of ours, has its `decode` called.
    """
    whole, text = getattr(serializer, "decode", None), getattr(serializer, "decode_text", None)
    return (getattr(whole, "__func__", None), getattr(text, "__func__", None)) in OURS


ENCODES: Any = V2Serializer.encode


def decoder_of(serializer: V2Serializer | V1Serializer) -> Callable[[bytes], Message]:
    """Return what decodes a text as the serializer does, in one step of C where that can be; then
    it raises errors of msgspec's."""
    return getattr(serializer, "_typed", None) or serializer.decode_text


def part_decoder_of(serializer: V2Serializer | V1Serializer) -> Callable[[bytes], Message]:
    """Return what decodes a text as `decode_partly` does, in one step of C where that can be; then
    it leaves the payloads of replies too, and raises errors of msgspec's."""
    if isinstance(serializer, V2Serializer) and serializer._typed is not None:
        return serializer._partly
    return serializer.decode_partly


def encodes_as_ours(serializer: Any) -> bool:
    """Whether a serializer encodes a push as `encode_push` does: our V2 with msgspec."""
    ours = getattr(getattr(serializer, "encode", None), "__func__", None) is ENCODES
    return ours and serializer._typed is not None


def encode_push(join_ref: str, ref: str, topic: str, event: str, payload: Any) -> bytes | None:
    """Return the text of a push as bytes, and `None` for what is left to the serializer: payloads
    that are no dict, and those that cannot be encoded, of which that says why."""
    if type(payload) is not dict:
        return None
    try:
        return encode_json((join_ref, ref, topic, event, payload))
    except Exception:
        return None


def frame_of(serializer: Serializer, message: Message) -> str | bytes:
    """Return the text or binary frame of a message; `SerializerError` for whatever a serializer of
    one's own raises or returns in the place of one."""
    name = type(serializer).__name__
    try:
        data: Any = serializer.encode(message)
        if isinstance(data, str) and not data.isascii() and not encodes_as_ours(serializer):
            data.encode()  # A text frame is UTF-8: one that is not would end the connection.
        if isinstance(data, (str, bytes)):
            return data
        if isinstance(data, (bytearray, memoryview)):
            return bytes(data)
        why, cause = f"returned {type(data).__name__}, and neither str nor bytes", None
    except SerializerError:
        raise
    except Exception as error:
        # The error's text may be the payload, and those of Unicode hold it.
        why = f"raised {type(error).__name__}"
        cause = None if isinstance(error, UnicodeError) else error
    raise SerializerError(f"{describe(message)} cannot be encoded: {name} {why}") from cause


def describe(message: Message) -> str:
    """Return how errors call `message`, without its payload."""
    return f"{message.event!r} on {message.topic!r}"


def dump(parser: JsonParser, value: Any, message: Message) -> str:
    """Return the JSON text of `value`, whatever the parser returns or raises."""
    try:
        text = parser.dumps(value)
        if not isinstance(parser, MsgspecJson):
            # Python's json writes NaN and lone surrogates, for which the server hangs up
            # (docs/protocol.md#note-29).
            msgspec.json.decode(text)
        return text if isinstance(text, str) else bytes(text).decode()
    except Exception as error:
        why = error
    # Those of Unicode hold the text that they are about, and show it.
    cause = None if isinstance(why, UnicodeError) else why
    raise SerializerError(f"{describe(message)} cannot be encoded: {why}") from cause


def load(parser: JsonParser, data: str | bytes) -> Any:
    """Return the value of a JSON text; `SerializerError` for whatever the parser raises."""
    try:
        return parser.loads(data if isinstance(data, str) else data.decode())
    except Exception as error:
        raise SerializerError(f"not JSON: {error}") from error


def encode_binary(message: Message) -> bytes:
    """Return a client's binary push (docs/protocol.md#note-25)."""
    header = bytearray((PUSH, 0, 0, 0, 0))
    for at, field in enumerate(("join_ref", "ref", "topic", "event"), start=1):
        try:
            part = (getattr(message, field) or "").encode()
        except UnicodeEncodeError as error:
            raise SerializerError(f"{describe(message)} cannot be encoded: {error}") from error
        if len(part) > 255:
            raise SerializerError(
                f"the {field} of {describe(message)} is {len(part)} bytes long;"
                " a binary frame holds at most 255"
            )
        header[at] = len(part)
        header += part
    return bytes(header) + bytes(message.payload)


def payload_of_binary(frame: bytes) -> bytes:
    """Return the payload of a push that `encode_binary` has made."""
    return frame[5 + sum(frame[1:5]) :]


def decode_binary(data: bytes) -> Message:
    """Return the message of a server's binary push, reply or broadcast
    (docs/protocol.md#note-25)."""
    kind = data[0] if data else None
    if kind == PUSH:
        (join_ref, topic, event), payload = fields(data, 3)
        return Message(join_ref or None, None, topic, event, payload)
    if kind == REPLY:
        (join_ref, ref, topic, status), payload = fields(data, 4)
        reply = {"status": status, "response": payload}
        return Message(join_ref or None, ref or None, topic, "phx_reply", reply)
    if kind == BROADCAST:
        (topic, event), payload = fields(data, 2)
        return Message(None, None, topic, event, payload)
    raise SerializerError(f"a binary frame of kind {kind}, which there is not")


def fields(data: bytes, count: int) -> tuple[tuple[str, ...], bytes]:
    """Return the `count` strings of a binary frame's header, and what follows them."""
    at = 1 + count + sum(data[1 : 1 + count])
    if at > len(data):
        raise SerializerError(f"a binary frame of {len(data)} bytes is shorter than its header")
    return header_fields(data[1:at], count), data[at:]


@functools.lru_cache(maxsize=256)
def header_fields(header: bytes, count: int) -> tuple[str, ...]:
    """Return the strings of a header behind its kind: mostly those of the frame before."""
    parts, at = [], count
    try:
        for size in header[:count]:
            parts.append(header[at : at + size].decode())
            at += size
    except UnicodeDecodeError as error:
        raise SerializerError(f"a binary frame's header: {error}") from error
    return tuple(parts)
