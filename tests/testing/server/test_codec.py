"""The two serializers, from the server's side."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.testing.server.codec import V1, V2, MalformedMessage, Message, negotiate

NAMES = st.text(max_size=63)


@given(NAMES, NAMES, NAMES, NAMES, st.binary())
def test_a_binary_push_can_be_read(
    join_ref: str, ref: str, topic: str, event: str, data: bytes
) -> None:
    parts = [part.encode("utf-8", "replace") for part in (join_ref, ref, topic, event)]
    frame = bytes([0, *map(len, parts)]) + b"".join(parts) + data
    message = V2().decode_binary(frame)
    assert [part.encode() for part in message[:4]] == parts
    assert message.payload == data


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x00\x01\x01\x01", b"\x00\xff\x01\x01\x01abc", b"\x01\x00\x00\x00\x00",
     b"\x02\x00\x00\x00\x00", b"\x07\x00\x00\x00\x00", b"\x00\x01\x00\x00\x00\xff"],
)  # fmt: skip
def test_malformed_binary(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        V2().decode_binary(data)
    with pytest.raises(MalformedMessage):
        V1().decode_binary(data)


@pytest.mark.parametrize("text", ["", "[]", '["1","2","t","e"]', "{}", "1", "null", '"ping"'])
def test_malformed_text(text: str) -> None:
    for codec in (V1(), V2()):
        with pytest.raises(MalformedMessage):
            codec.decode_text(text)


def test_more_than_five_are_cut() -> None:
    assert V2().decode_text('[1,2,"t","e",null,6,7]') == Message(1, 2, "t", "e", None)


def test_binary_frames() -> None:
    codec = V2()
    assert codec.encode_message("1", None, "t", "e", b"x") == b"\x00\x01\x01\x011tex"
    assert codec.encode_message(None, None, "t", "é", b"x") == "\x00\x00\x01\x02té".encode() + b"x"
    assert codec.encode_reply("1", "2", "t", "ok", b"x") == b"\x01\x01\x01\x01\x0212tokx"
    assert codec.encode_broadcast("t", "e", b"x") == b"\x02\x01\x01tex"


@pytest.mark.parametrize("size", [255, 256])
def test_a_binary_frame_has_room_for_255_bytes(size: int) -> None:
    codec, topic = V2(), "é" * (size // 2) + "x" * (size % 2)
    if size <= 255:
        assert codec.encode_broadcast(topic, "e", b"")
        return
    with pytest.raises(ValueError):
        codec.encode_broadcast(topic, "e", b"")


def test_version_1_has_no_binary() -> None:
    with pytest.raises(TypeError):
        V1().encode_broadcast("t", "e", b"")


@pytest.mark.parametrize(
    ("vsn", "codec"),
    [("1.0.0", V1), ("1.0.9", V1), ("2.0.0", V2), ("2.0.7", V2), ("2.0.0+build", V2)]
    + [
        (v, type(None))
        for v in ("", "2", "2.0", "2.1.0", "3.0.0", "2.0.0-rc.1", "2.0.00", "abc", "2.0.0\n")
    ],
)
def test_negotiate(vsn: str, codec: type[Any]) -> None:
    assert type(negotiate(vsn)) is codec
