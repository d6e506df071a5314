"""Frames in, messages out, whatever the pieces in which they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import Ping, Pong

from slipstream_actor.testing.server.websocket import CloseSocket, FrameLimit, WebSocket
from tests.testing.server.raw_client import encode_frame

MESSAGES = st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=8)


def in_pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(MESSAGES, st.lists(st.integers(1, 50)), st.booleans())
def test_messages_arrive_whole(
    messages: list[str | bytes], sizes: list[int], fragmented: bool
) -> None:
    data = b"".join(frames(message, fragmented) for message in messages)
    websocket = WebSocket(10_000_000)
    got = [frame for piece in in_pieces(data, sizes) for frame in websocket.receive(piece)]
    assert got == messages


def frames(message: str | bytes, fragmented: bool) -> bytes:
    kind, data = ("text", message.encode()) if isinstance(message, str) else ("binary", message)
    if not fragmented:
        return encode_frame(kind, data)
    middle = len(data) // 2
    start = encode_frame(kind, data[:middle], fin=False)
    return start + encode_frame("continuation", data[middle:])


@given(
    st.lists(st.integers(0, 70_000), max_size=4),
    st.lists(st.integers(1, 70_000), max_size=8),
    st.integers(100, 70_000),
)
def test_the_limit_does_not_depend_on_the_pieces(
    payloads: list[int], sizes: list[int], limit: int
) -> None:
    """Up to the first frame that is too big, all is admitted; of that one a part of its header."""
    whole = [encode_frame("binary", b"x" * size) for size in payloads]
    allowed = 0
    for frame in whole:
        if len(frame) > limit:
            break
        allowed += len(frame)
    frame_limit = FrameLimit(limit)
    admitted = 0
    for piece in in_pieces(b"".join(whole), sizes):
        step = frame_limit.admit(piece)
        admitted += step
        if step < len(piece):
            break
    assert allowed <= admitted < allowed + 14 or admitted == allowed


FRAGMENT = encode_frame("text", b"x", fin=False)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(encode_frame("text", b"x", masked=False), 1002, id="unmasked"),
        pytest.param(encode_frame("text", b"x", rsv1=True), 1002, id="rsv1"),
        pytest.param(encode_frame("continuation", b"x"), 1002, id="continues nothing"),
        pytest.param(FRAGMENT + encode_frame("text", b"x"), 1002, id="interleaved"),
        pytest.param(encode_frame("ping", b"x" * 126), 1002, id="long ping"),
        pytest.param(encode_frame("ping", b"x", fin=False), 1002, id="fragmented ping"),
        pytest.param(encode_frame("text", b"\xff\xfe"), 1007, id="no UTF-8"),
        pytest.param(encode_frame("text", b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(encode_frame("text", b"\xc3"), 1007, id="half a character"),
        pytest.param(encode_frame("close", b""), 1000, id="empty close"),
        pytest.param(encode_frame("close", b"\x03\xe8bye"), 1000, id="close"),
        pytest.param(encode_frame("close", b"\x0f\xa1"), 1000, id="close 4001"),
        pytest.param(encode_frame("close", b"\x03"), 1002, id="half a code"),
        pytest.param(encode_frame("close", b"\x03\xf4"), 1002, id="close 1012"),
        pytest.param(encode_frame("close", b"\x03\xe7"), 1002, id="close 999"),
    ],
)
def test_ends(data: bytes, code: int) -> None:
    websocket = WebSocket(1000)
    assert list(websocket.receive(encode_frame("text", b"before"))) == ["before"]
    with pytest.raises(CloseSocket) as closed:
        list(websocket.receive(data))
    assert closed.value.code == code


def test_what_comes_before_an_end_is_delivered() -> None:
    websocket = WebSocket(1000)
    received = websocket.receive(
        encode_frame("text", b"a") + encode_frame("pong", b"") + encode_frame("text", b"x" * 1000)
    )
    assert next(received) == "a"
    assert isinstance(next(received), Pong)
    with pytest.raises(CloseSocket):
        next(received)


def test_a_ping_is_answered() -> None:
    websocket = WebSocket(1000)
    (ping,) = websocket.receive(encode_frame("ping", b"hello"))
    assert isinstance(ping, Ping)
    assert websocket.encode(ping.response()) == b"\x8a\x05hello"
