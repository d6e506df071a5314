"""What stands in the frames: Phoenix's two serializers, the server's side of them.

`decode_*` raise `MalformedMessage`, for which Phoenix ends the connection with 1011
(docs/protocol.md#note-27 to #note-29). `encode_*` raise `ValueError` or `TypeError`, which crash
whoever encodes: the channel, for its own pushes and replies
(docs/protocol.md#note-19, #note-26 and #note-28). A payload that is `bytes` stands for Elixir's
`{:binary, data}`.
"""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple, Protocol

from slipstream_actor.testing.server import strict_json

PUSH, REPLY, BROADCAST = 0, 1, 2


class MalformedMessage(ValueError):
    """A frame that is no message of this serializer."""


class Message(NamedTuple):
    """One message of a client.

    Everything but the payload is usually a string, and nothing says that it is.
    """

    join_ref: Any
    ref: Any
    topic: Any
    event: Any
    payload: Any


class Codec(Protocol):
    """One version of the serializer."""

    def decode_text(self, text: str) -> Message: ...
    def decode_binary(self, data: bytes) -> Message: ...
    def encode_message(
        self, join_ref: Any, ref: Any, topic: Any, event: str, payload: Any
    ) -> str | bytes: ...
    def encode_reply(
        self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any
    ) -> str | bytes: ...
    def encode_broadcast(self, topic: str, event: str, payload: Any) -> str | bytes: ...


def _parse(text: str) -> Any:
    try:
        return strict_json.decode(text)
    except ValueError as error:
        raise MalformedMessage(str(error)) from error


class V1:
    """vsn 1.0.0: objects; the server never sends a join_ref (docs/protocol.md#note-52)."""

    def decode_text(self, text: str) -> Message:
        """The message in `text`: an object that has all four keys (docs/protocol.md#note-52).

        Raises `MalformedMessage`.
        """
        fields = _parse(text)
        if not isinstance(fields, dict):
            raise MalformedMessage("not an object")
        try:
            return Message(
                fields.get("join_ref"),
                fields["ref"],
                fields["topic"],
                fields["event"],
                fields["payload"],
            )
        except KeyError as missing:
            raise MalformedMessage(f"no {missing}") from missing

    def decode_binary(self, data: bytes) -> Message:
        """Raises `MalformedMessage`: version 1 knows no binary frames.

        See docs/protocol.md#note-28.
        """
        raise MalformedMessage("binary frame for the serializer 1.0.0")

    def encode_message(self, join_ref: Any, ref: Any, topic: Any, event: str, payload: Any) -> str:
        """A push, a close or an error."""
        if isinstance(payload, bytes):
            raise TypeError("the serializer 1.0.0 has no binary payloads")
        return strict_json.encode({"event": event, "payload": payload, "ref": ref, "topic": topic})

    def encode_reply(self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any) -> str:
        """A phx_reply."""
        payload = {"response": response, "status": status}
        return self.encode_message(None, ref, topic, "phx_reply", payload)

    def encode_broadcast(self, topic: str, event: str, payload: Any) -> str:
        """A broadcast; one of bytes raises, which crashes the broadcasting channel.

        See docs/protocol.md#note-28.
        """
        return self.encode_message(None, None, topic, event, payload)


class V2:
    """vsn 2.0.0: arrays of five, and binary frames (docs/protocol.md#note-25)."""

    def decode_text(self, text: str) -> Message:
        """The message in `text`: an array of five, all after that is ignored
        (docs/protocol.md#note-29).

        Raises `MalformedMessage`.
        """
        fields = _parse(text)
        if not isinstance(fields, list) or len(fields) < 5:
            raise MalformedMessage("not an array of five")
        return Message(*fields[:5])

    def decode_binary(self, data: bytes) -> Message:
        """The push in `data`.

        Raises `MalformedMessage` for any other kind, and for one cut short
        (docs/protocol.md#note-27).
        """
        if len(data) < 5 or data[0] != PUSH:
            raise MalformedMessage("not a binary push")
        at = 5
        parts: list[str] = []
        for size in data[1:5]:
            part = data[at : at + size]
            if len(part) < size:
                raise MalformedMessage("header cut short")
            parts.append(_utf8(part))
            at += size
        join_ref, ref, topic, event = parts
        return Message(join_ref, ref, topic, event, data[at:])

    def encode_message(
        self, join_ref: Any, ref: Any, topic: Any, event: str, payload: Any
    ) -> str | bytes:
        """A push, a close or an error; a binary push has no room for a ref.

        See docs/protocol.md#note-25.
        """
        if isinstance(payload, bytes):
            return _binary(PUSH, (join_ref, topic, event), payload)
        return strict_json.encode([join_ref, ref, topic, event, payload])

    def encode_reply(
        self, join_ref: Any, ref: Any, topic: Any, status: str, response: Any
    ) -> str | bytes:
        """A reply, binary when `response` is bytes."""
        if isinstance(response, bytes):
            return _binary(REPLY, (join_ref, ref, topic, status), response)
        payload = {"response": response, "status": status}
        return strict_json.encode([join_ref, ref, topic, "phx_reply", payload])

    def encode_broadcast(self, topic: str, event: str, payload: Any) -> str | bytes:
        """A broadcast: null refs (docs/protocol.md#note-1)."""
        if isinstance(payload, bytes):
            return _binary(BROADCAST, (topic, event), payload)
        return strict_json.encode([None, None, topic, event, payload])


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedMessage(str(error)) from error


def _binary(kind: int, parts: tuple[Any, ...], data: bytes) -> bytes:
    texts = [b"" if part is None else str(part).encode() for part in parts]
    for text in texts:
        if len(text) > 255:
            raise ValueError(f"{len(text)} bytes where a binary frame has room for 255")
    return struct.pack(f"{len(texts) + 1}B", kind, *map(len, texts)) + b"".join(texts) + data


_V1, _V2 = V1(), V2()


def negotiate(vsn: str) -> Codec | None:
    """The serializer for a vsn: `~> 1.0.0` or `~> 2.0.0`; None for any other.

    See docs/protocol.md#note-37.
    """
    match = re.fullmatch(r"([12])\.0\.(0|[1-9][0-9]*)(\+[0-9A-Za-z.-]+)?", vsn)
    if match is None:
        return None
    return _V1 if match[1] == "1" else _V2
