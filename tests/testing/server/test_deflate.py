"""permessage-deflate of the embedded server: what it grants, and what it makes of frames."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.events import Ping

from slipstream_actor.testing import Mount, PhoenixServer
from slipstream_actor.testing.server.compression import Compression
from slipstream_actor.testing.server.websocket import CloseSocket, WebSocket
from tests.testing.server.raw_client import RawClient, encode_frame
from tests.testing.server.test_websocket import MESSAGES, in_pieces

TAIL = b"\x00\x00\xff\xff"
LIMIT = 100_000
BITS = st.none() | st.integers(8, 15)
AGREED = st.builds(Compression, st.booleans(), st.booleans(), BITS, BITS)
HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")
PATH = "/socket/websocket?vsn=2.0.0"


def compressor(agreed: Compression) -> zlib._Compress:
    """A client's compressor that keeps to what was agreed on; not for a window of 8 bits."""
    return zlib.compressobj(wbits=-max(9, agreed.client_max_window_bits or 15))


@given(AGREED, MESSAGES, st.lists(st.integers(1, 50)), st.data())
def test_messages_arrive_as_they_were(
    agreed: Compression,
    messages: list[str | bytes],
    sizes: list[int],
    data: st.DataObject,
) -> None:
    """Compressed or not, in one frame or two, with pings in between, whatever the pieces."""
    stream = compressor(agreed)
    frames, pings = b"", 0
    for message in messages:
        kind = "text" if isinstance(message, str) else "binary"
        payload = message.encode() if isinstance(message, str) else message
        marked = data.draw(st.booleans())
        if marked:
            payload = (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
            if agreed.client_no_context_takeover:
                stream = compressor(agreed)
        if data.draw(st.booleans()):
            frames += encode_frame(kind, payload, rsv1=marked)
        else:
            pings += 1
            frames += encode_frame(kind, payload[:5], rsv1=marked, fin=False)
            frames += encode_frame("ping", b"between")
            frames += encode_frame("continuation", payload[5:])
    websocket = WebSocket(10_000_000, agreed)
    got = [frame for piece in in_pieces(frames, sizes) for frame in websocket.receive(piece)]
    assert [frame for frame in got if not isinstance(frame, Ping)] == messages
    assert len(got) == len(messages) + pings


@given(AGREED, MESSAGES)
def test_every_message_is_compressed(agreed: Compression, messages: list[str | bytes]) -> None:
    """The shortest too (docs/protocol.md#note-49), but for a window that zlib does not have."""
    websocket = WebSocket(10_000_000, agreed)
    bits = agreed.server_max_window_bits or 15
    inflater = zlib.decompressobj(-bits)
    for message in messages:
        frame = websocket.encode(message)
        assert frame[0] & 0x40 == (0x40 if bits > 8 else 0)
        payload = bytes(frame[{126: 4, 127: 10}.get(frame[1], 2) :])
        if bits > 8:
            payload = inflater.decompress(payload + TAIL)
            if agreed.server_no_context_takeover:
                inflater = zlib.decompressobj(-bits)
        assert payload == (message.encode() if isinstance(message, str) else message)


def test_a_control_frame_is_not_compressed() -> None:
    websocket = WebSocket(LIMIT, Compression())
    [ping] = websocket.receive(encode_frame("ping", b"p" * 100))
    assert isinstance(ping, Ping)
    assert websocket.encode(ping.response()) == b"\x8a\x64" + b"p" * 100


def bomb() -> bytes:
    stream = zlib.compressobj(9, wbits=-15)
    return (stream.compress(bytes(LIMIT + 1)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(encode_frame("text", b"\xff" * 9, rsv1=True), 1007, id="no deflate"),
        pytest.param(encode_frame("binary", bomb(), rsv1=True), 1009, id="a bomb"),
        pytest.param(encode_frame("ping", b"", rsv1=True), 1002, id="a ping"),
        pytest.param(encode_frame("continuation", HELLO, rsv1=True), 1002, id="a continuation"),
        pytest.param(
            encode_frame("text", HELLO[:3], rsv1=True, fin=False)
            + encode_frame("continuation", HELLO[3:], rsv1=True),
            1002,
            id="a marked continuation",
        ),
        pytest.param(
            encode_frame("text", bytes.fromhex("ca 03 00"), rsv1=True)
            + encode_frame("text", b"\xff", rsv1=True),
            1007,
            id="behind a good one",
        ),
    ],
)
def test_what_breaks_a_rule(data: bytes, code: int) -> None:
    websocket = WebSocket(LIMIT, Compression())
    with pytest.raises(CloseSocket) as close:
        list(websocket.receive(data))
    assert close.value.code == code


def test_a_message_that_ends_the_stream() -> None:
    """RFC 7692 section 7.2.3.4; the next one has a stream of its own."""
    websocket = WebSocket(LIMIT, Compression())
    final = bytes.fromhex("f3 48 cd c9 c9 07 00 00")
    frames = encode_frame("text", final, rsv1=True) * 2 + encode_frame("text", HELLO, rsv1=True)
    assert list(websocket.receive(frames)) == ["Hello"] * 3


# what is granted; the recorded conversations have more


def granted(server: PhoenixServer, *headers: str, path: str = PATH) -> str | None:
    with RawClient(server.host, server.port) as client:
        return client.upgrade(path, *headers).header("sec-websocket-extensions")


OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def test_it_is_off_unless_it_is_asked_for() -> None:
    with PhoenixServer() as server:
        assert granted(server, OFFER) is None
        server.mounts["/socket"] = Mount(compress=True)
        assert granted(server, OFFER) == "permessage-deflate;client_max_window_bits=15"
    with PhoenixServer(compress=True) as server:
        assert granted(server, OFFER) == "permessage-deflate;client_max_window_bits=15"
        assert granted(server) is None
        assert {mount.compress for mount in server.mounts.values()} == {True}
    with PhoenixServer() as server:
        assert granted(server, OFFER) is None


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (["x-other, permessage-deflate; x=1, permessage-deflate"], "permessage-deflate"),
        (["x-other", "permessage-deflate"], "permessage-deflate"),
        (
            ["permessage-deflate; client_max_window_bits=9; server_no_context_takeover"],
            "permessage-deflate;server_no_context_takeover;client_max_window_bits=9",
        ),
        (["permessage-deflate; server_max_window_bits"], None),
        (["permessage-deflate; "], None),
        (['"'], None),
        ([""], None),
    ],
)
def test_the_first_offer_that_can_be_granted(headers: list[str], answer: str | None) -> None:
    lines = [f"sec-websocket-extensions: {value}" for value in headers]
    with PhoenixServer(compress=True) as server:
        assert granted(server, *lines) == answer
