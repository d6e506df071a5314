"""Frames in and out: the fast splitter against websocket-client's parser, masks, partial writes.

The transport runs on a socket of the test's own, which hands out and takes what the test says.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import os
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast
from unittest.mock import patch

import pytest
import websocket
from hypothesis import example, given, settings
from hypothesis import strategies as st

from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.protocol.reasons import ClosedByPeer, TransportFailed
from slipstream_actor.wire import frames, output
from slipstream_actor.wire import websocket as transport
from slipstream_actor.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Binary, Data
from slipstream_actor.wire.waiter import AttemptFailed, Route
from slipstream_actor.wire.websocket import Transport, upgrade

LIMIT = 1 << 20


class FakeSocket:
    """A non-blocking socket. `fed` is what arrives, `taken` what was sent.

    `room` says how many bytes the next sends take: 0 is a refusal. Without one, all is taken.
    """

    def __init__(self, *fed: bytes) -> None:
        self.fed = deque(data for data in fed if data)
        self.taken = bytearray()
        self.room: Callable[[], int] | None = None
        self.eof = False
        self.read_error: OSError | None = None
        self.write_error: OSError | None = None
        self.reads = self.sends = 0
        self._refused: bytes | None = None

    def recv(self, size: int) -> bytes:
        self.reads += 1
        if not self.fed:
            if self.read_error is not None:
                raise self.read_error
            if self.eof:
                return b""
            raise BlockingIOError
        data = self.fed.popleft()
        if len(data) > size:
            self.fed.appendleft(data[size:])
        return data[:size]

    def recv_into(self, view: memoryview) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def send(self, data: bytes | memoryview) -> int:
        self.sends += 1
        if self.write_error is not None:
            raise self.write_error
        assert data, "a send of nothing"
        if self._refused is not None:
            # TLS insists on it.
            assert bytes(data) == self._refused, "a refused send is repeated with the same bytes"
        room = len(data) if self.room is None else self.room()
        if room <= 0:
            self._refused = bytes(data)
            raise BlockingIOError
        self._refused = None
        self.taken += data[:room]
        return min(room, len(data))

    def gettimeout(self) -> float:
        return 0


def make(sock: Any, *, limit: int = LIMIT, rest: bytes = b"") -> Transport:
    """A transport whose upgrade has been made."""
    return Transport(sock, limit, {}, rest)


def receive_all(over: Transport, sock: FakeSocket) -> list[Data]:
    """Everything that comes, until there is no more."""
    received = over.receive()
    while sock.fed and over.ended is None:
        received += over.receive()
    return received


# an independent reading and writing of frames (RFC 6455 section 5.2)


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masked: bool = False
    # How the length is written: as short as it can be, or in 16 or 64 bits.
    form: int = 0

    def encode(self) -> bytes:
        """The frame as a server sends it."""
        length = len(self.payload)
        form = max(self.form, 0 if length < 126 else 1 if length < 65536 else 2)
        first = self.fin << 7 | self.rsv << 4 | self.opcode
        second = self.masked << 7 | (length, 126, 127)[form]
        size = bytes([second]) + (length.to_bytes((0, 2, 8)[form], "big") if form else b"")
        if not self.masked:
            return bytes([first]) + size + self.payload
        return bytes([first]) + size + b"abcd" + unmask(b"abcd", self.payload)


def text(payload: str | bytes) -> bytes:
    return Frame(TEXT, payload.encode() if isinstance(payload, str) else payload).encode()


def close_frame(code: int | None, reason: bytes = b"") -> bytes:
    return Frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason).encode()


def unmask(key: bytes, payload: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(payload, itertools.cycle(key), strict=False))


def read_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and payload of a client's frames, which are final, masked, and as short as can be."""
    source = io.BytesIO(data)
    while head := source.read(2):
        first, second = head
        assert first & 0xF0 == 0x80, "final, and no RSV bit"
        assert second & 0x80, "a client masks"
        length = second & 0x7F
        if length == 126:
            length = int.from_bytes(source.read(2), "big")
            assert length > 125
        elif length == 127:
            length = int.from_bytes(source.read(8), "big")
            assert length > 65535
        key, payload = source.read(4), source.read(length)
        assert len(payload) == length
        yield first & 0x0F, unmask(key, payload) if length < 10_000 else quick(key, payload)


def quick(key: bytes, payload: bytes) -> bytes:
    """`unmask` for what is long: a translation of each of the four byte positions."""
    result = bytearray(payload)
    for n in range(4):
        result[n::4] = payload[n::4].translate(bytes(b ^ key[n] for b in range(256)))
    return bytes(result)


# the difference to websocket-client's parser


@dataclass
class Outcome:
    """What a stream of frames leads to."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    # The close frame that we send: its payload.
    closes: list[bytes] = field(default_factory=list)
    ended: Any = None


class Reference:
    """`websocket.WebSocket` alone, and the refusals that the transport's docstrings name."""

    def __init__(self, limit: int) -> None:
        self.outcome = Outcome()
        self._limit = limit
        self._sum = 0
        self._socket = FakeSocket()
        self._socket.read_error = TimeoutError()
        self._client = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        self._client.sock = cast(socket.socket, self._socket)
        self._client.connected = True

    def read(self, stream: bytes) -> Outcome:
        at = 0
        while self.outcome.ended is None and (size := self._next(stream[at:])) is not None:
            self._take(stream[at : at + size])
            at += size
        return self.outcome

    def _next(self, stream: bytes) -> int | None:
        """How long the next frame is; `None` when it is not whole, or was refused."""
        if len(stream) < 2:
            return None
        first, masked, length, start = stream[0], stream[1] >> 7, stream[1] & 127, 2
        if length > 125:
            start = 4 if length == 126 else 10
            if len(stream) < start:
                return None
            length = int.from_bytes(stream[2:start], "big")
        if masked or (first & 8 and (length > 125 or not first & 128)):
            self._refuse(1002)
            return None
        if length > self._limit:
            self._refuse(1009)
            return None
        return start + length if len(stream) >= start + length else None

    def _take(self, frame: bytes) -> None:
        self._socket.fed.append(frame)
        opcode = frame[0] & 15
        if opcode in (TEXT, BINARY):
            self._sum = 0
        try:
            kind, data = self._client.recv_data(control_frame=True)
        except websocket.WebSocketTimeoutException:
            assert not frame[0] & 128  # a fragment: there is more to come
            data = kind = None
        except websocket.WebSocketException:
            self._refuse(1002)
            return
        if opcode < 8:
            self._sum += len(frame) - (2, 4, 10)[max(0, (frame[1] & 127) - 125)]
        if self._sum > self._limit:
            self._refuse(1009)
        elif kind == PING:
            self.outcome.pongs.append(data)
        elif kind == CLOSE:
            code = struct.unpack("!H", data[:2])[0] if data else 1005
            self.outcome.closes.append(data[:2])
            self.outcome.ended = ClosedByPeer(code, data[2:].decode("utf-8", "replace"))
        elif kind in (TEXT, BINARY):
            self.outcome.messages.append((kind, data))

    def _refuse(self, code: int) -> None:
        self.outcome.closes.append(struct.pack("!H", code))
        self.outcome.ended = TransportFailed


def ours(sock: FakeSocket, over: Transport) -> Outcome:
    """What the transport makes of what the socket was fed."""
    received = receive_all(over, sock)
    outcome = Outcome(
        [(BINARY, d.data) if isinstance(d, Binary) else (TEXT, d) for d in received],
        ended=type(over.ended) if isinstance(over.ended, TransportFailed) else over.ended,
    )
    for opcode, payload in read_frames(bytes(sock.taken)):
        {PONG: outcome.pongs, CLOSE: outcome.closes}[opcode].append(payload)
    assert over.frames_out == len(outcome.pongs) + len(outcome.closes)
    assert over.bytes_out == len(sock.taken)
    assert over.pending_bytes == 0
    return outcome


SIZES = st.integers(0, 20) | st.sampled_from([125, 126, 127, 199, 200, 201, 300])
LONG_SIZES = st.sampled_from([65534, 65535, 65536, 65537, 70000])
PAYLOADS = st.binary(max_size=8) | st.builds(
    lambda size, byte: bytes([byte]) * size,
    SIZES | SIZES | SIZES | LONG_SIZES,
    st.integers(0, 255),
)
FORMS = st.integers(0, 2)
DATA_OPCODES = st.sampled_from([TEXT, BINARY])
PLAIN = st.builds(Frame, DATA_OPCODES, PAYLOADS, form=FORMS)
CONTROL = st.builds(
    Frame, st.sampled_from([PING, PONG]), st.binary(max_size=10) | st.just(b"x" * 125), form=FORMS
)
CLOSES = st.builds(
    lambda code, reason: Frame(CLOSE, struct.pack("!H", code) + reason),
    st.sampled_from([999, 1000, 1001, 1004, 1005, 1006, 1011, 1012, 1015, 2999, 3000, 4999, 5000]),
    st.binary(max_size=5),
) | st.builds(Frame, st.just(CLOSE), st.binary(max_size=3))
ODD = st.builds(
    Frame,
    st.integers(0, 15),
    PAYLOADS,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 2, 1, 7]),
    masked=st.sampled_from([False, False, False, True]),
    form=FORMS,
)


def fragmented(opcode: int, parts: list[bytes], between: list[list[Frame]]) -> list[Frame]:
    """A message in fragments, with control frames between them."""
    pieces: list[Frame] = []
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        pieces.append(Frame(CONTINUATION if n else opcode, part, fin=last))
        pieces += between[n] if n < len(between) and not last else []
    return pieces


FRAGMENTED = st.builds(
    fragmented,
    DATA_OPCODES,
    st.lists(PAYLOADS, min_size=2, max_size=5),
    st.lists(st.lists(CONTROL, max_size=2), max_size=4),
)
ONE = PLAIN.map(lambda f: [f])
STREAMS = st.builds(
    lambda groups, last, garbage: (
        b"".join(frame.encode() for group in [*groups, last] for frame in group) + garbage
    ),
    st.lists(ONE | ONE | FRAGMENTED | CONTROL.map(lambda f: [f]), max_size=8),
    st.lists(ODD | CLOSES | PLAIN, max_size=3),
    st.just(b"") | st.binary(max_size=12),
)
CUTS = st.lists(st.integers(0, 2000), max_size=8) | st.sampled_from(["bytes", "halves"])
LIMITS = st.sampled_from([LIMIT, LIMIT, LIMIT, LIMIT, 65536, 200, 125, 1, 0])


def pieces_of(stream: bytes, cuts: Any) -> list[bytes]:
    """The stream in pieces: cut here and there, in halves, or (its first 2000) in bytes."""
    if cuts == "bytes":
        return [*(stream[n : n + 1] for n in range(min(2000, len(stream)))), stream[2000:]]
    if cuts == "halves":
        cuts = [len(stream) // 2]
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@given(
    STREAMS,
    CUTS,
    LIMITS,
    st.sampled_from([16, 300, transport.BIG_FRAME]),
    st.booleans(),
)
@settings(max_examples=500, deadline=None)
# Text inside of fragments is refused, not passed by the fast path.
@example(Frame(TEXT, b"a", fin=False).encode() + text("b"), [], LIMIT, 16, False)
@example(Frame(TEXT, b"", fin=False).encode() + text("b"), [], LIMIT, 16, False)
@example(Frame(CONTINUATION, b"a").encode(), [], LIMIT, 16, False)
@example(b"\x81\xff" + b"\xff" * 8, [], LIMIT, 16, False)
@example(b"\x81\x7f" + b"\xff" * 8, [], LIMIT, 16, False)
@example(b"\x89\x7e\x00\x05hello", [], LIMIT, 16, False)
def test_the_transport_agrees_with_websocket_client(
    stream: bytes, cuts: Any, limit: int, big: int, with_the_101: bool
) -> None:
    pieces = pieces_of(stream, cuts)
    rest = pieces.pop(0) if with_the_101 else b""
    sock = FakeSocket(*pieces)
    with patch.object(transport, "BIG_FRAME", big):
        got = ours(sock, make(sock, limit=limit, rest=rest))
    assert got == Reference(limit).read(stream)


@settings(deadline=None)
@given(STREAMS, CUTS)
def test_a_stream_is_the_same_however_it_is_cut(stream: bytes, cuts: Any) -> None:
    whole, cut = FakeSocket(stream), FakeSocket(*pieces_of(stream, cuts))
    assert ours(whole, make(whole)) == ours(cut, make(cut))


@given(st.binary(max_size=60), CUTS)
def test_garbage_raises_nothing(garbage: bytes, cuts: Any) -> None:
    sock = FakeSocket(*pieces_of(garbage, cuts))
    assert ours(sock, make(sock)) == Reference(LIMIT).read(garbage)


@given(st.binary(max_size=60), st.integers(0, 10))
def test_the_splitter_takes_whole_plain_frames_and_leaves_the_rest(data: bytes, at: int) -> None:
    plain, end = frames.split(data, at, 20)
    again = b"".join(
        Frame(BINARY, f.data).encode() if isinstance(f, Binary) else Frame(TEXT, f).encode()
        for f in plain
    )
    assert at <= end <= max(at, len(data))
    # A length may be written longer than it need be.
    assert len(again) <= end - at
    assert frames.split(data, end, 20) == ([], end)


def test_a_plain_stream_needs_no_parser_of_websocket_client() -> None:
    sock = FakeSocket(text("a") + Frame(BINARY, b"b").encode())
    over = make(sock)
    assert receive_all(over, sock) == [b"a", Binary(b"b")]
    assert over._parser is None


# what arrives


def test_a_frame_per_kind_in_one_segment() -> None:
    sock = FakeSocket(
        text("é")
        + Frame(BINARY, b"\0\1").encode()
        + Frame(PONG, b"nobody asked").encode()
        + Frame(TEXT, b"in ", fin=False).encode()
        + Frame(PING, b"p").encode()
        + Frame(CONTINUATION, b"parts").encode()
        + close_frame(4001, b"bye")
        + text("after the end")
    )
    over = make(sock)
    assert over.receive() == ["é".encode(), Binary(b"\0\1"), b"in parts"]
    assert over.ended == ClosedByPeer(4001, "bye")
    assert list(read_frames(bytes(sock.taken))) == [(PONG, b"p"), (CLOSE, b"\x0f\xa1")]


def test_ten_thousand_frames_in_one_segment() -> None:
    expected = [str(n).encode() for n in range(10_000)]
    sock = FakeSocket(b"".join(map(text, expected)))
    over = make(sock)
    assert over.receive() == expected
    assert sock.reads == 2  # a small one, and all that is behind it
    assert over.frames_in == 10_000


def test_ten_thousand_frames_of_one_byte() -> None:
    stream = text("x") * 10_000
    sock = FakeSocket(*(stream[n : n + 1] for n in range(len(stream))))
    over = make(sock)
    assert receive_all(over, sock) == [b"x"] * 10_000
    assert not over.mid_frame


class Counting(Transport):
    """Counts the bytes that are put together for the parser."""

    handled = 0

    def _take(self, chunk: bytes, received: list[Data]) -> None:
        self.handled += len(self._rest) + len(chunk)
        super()._take(chunk, received)


@pytest.mark.parametrize("fragments", [1, 256])
@pytest.mark.parametrize("megabytes", [2, 16])
def test_a_long_message_in_pieces_is_handled_once(megabytes: int, fragments: int) -> None:
    size = megabytes << 20
    part = size // fragments
    message = os.urandom(1 << 20) * megabytes
    stream = b"".join(
        Frame(
            CONTINUATION if n else BINARY,
            message[n * part : (n + 1) * part],
            fin=n == fragments - 1,
        ).encode()
        for n in range(fragments)
    )
    sock = FakeSocket(*(stream[at : at + 16384] for at in range(0, len(stream), 16384)))
    over = Counting(cast(Any, sock), size, {})
    assert receive_all(over, sock) == [Binary(message)]
    # And a small read at the beginning of a message.
    assert sock.reads <= len(stream) // 16384 + 2 * fragments + 2
    # The pieces of a short frame are put together; those of the whole would be 64 times as much.
    assert over.handled < 4 * len(stream)


def test_fragments_are_joined_once() -> None:
    count = 10_000
    sock = FakeSocket(
        Frame(TEXT, b"a", fin=False).encode()
        + Frame(CONTINUATION, b"b", fin=False).encode() * count
    )
    over = make(sock)
    assert receive_all(over, sock) == []
    # Joined with each fragment, as websocket-client does it, they would be copied each time.
    assert over._fragments.cont_data[1] == b""
    sock.fed.append(Frame(CONTINUATION, b"c").encode())
    assert over.receive() == [b"a" + b"b" * count + b"c"]


def test_bytes_that_came_with_the_101_are_read_first() -> None:
    sock = FakeSocket()
    over = make(sock, rest=text("a") + text("bc")[:-1])
    assert over.receive() == [b"a"]
    assert over.mid_frame
    sock.fed.append(text("bc")[-1:])
    assert over.receive() == [b"bc"]
    assert not over.mid_frame


def test_whether_a_message_has_come_in_part() -> None:
    sock = FakeSocket()
    over = make(sock)
    long = Frame(BINARY, b"x" * (transport.BIG_FRAME + 1)).encode()
    for part, mid in (
        (text("abc"), False),
        (text("abc")[:1], True),
        (text("abc")[1:], False),
        (Frame(TEXT, b"a", fin=False).encode(), True),
        (Frame(PING).encode(), True),
        (Frame(CONTINUATION, b"b").encode(), False),
        (long[:100], True),
        (long[100:-1], True),
        (long[-1:], False),
    ):
        sock.fed.append(part)
        receive_all(over, sock)
        assert over.mid_frame is mid


def test_release_keeps_a_half_frame() -> None:
    sock = FakeSocket(text("abc")[:3])
    over = make(sock)
    over.receive()
    over.release()
    sock.fed.append(text("abc")[3:])
    assert over.receive() == [b"abc"]


# how it ends


@pytest.mark.parametrize(
    "partial",
    [b"", text("a"), text("abc")[:2], Frame(TEXT, b"a", fin=False).encode()],
    ids=["nothing", "a message", "half a frame", "a fragment"],
)
def test_an_end_without_a_close_frame_is_1006(partial: bytes) -> None:
    sock = FakeSocket(partial)
    over = make(sock)
    receive_all(over, sock)
    sock.eof = True
    over.receive()
    assert over.ended == ClosedByPeer(1006)
    assert over.receive() == []


def test_an_end_inside_of_a_long_frame_is_1006() -> None:
    sock = FakeSocket(Frame(BINARY, b"x" * (transport.BIG_FRAME + 1)).encode()[:-1])
    over = make(sock)
    assert receive_all(over, sock) == []
    sock.eof = True
    assert over.receive() == []
    assert over.ended == ClosedByPeer(1006)


@pytest.mark.parametrize("long", [False, True])
def test_a_read_that_fails_is_told_with_its_error(long: bool) -> None:
    data = Frame(BINARY, b"x" * (transport.BIG_FRAME + 1)).encode()[:-1] if long else b""
    sock = FakeSocket(text("a") + data)
    sock.read_error = ConnectionResetError(104, "Connection reset by peer")
    over = make(sock)
    assert receive_all(over, sock) == [b"a"]
    assert over.receive() == []
    assert over.ended == TransportFailed("Connection reset by peer")


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4000, 4999])
def test_a_close_frame_is_answered_with_its_code(code: int) -> None:
    sock = FakeSocket(close_frame(code, "warum nicht\u00e9".encode()))
    over = make(sock)
    over.receive()
    assert over.ended == ClosedByPeer(code, "warum nicht\u00e9")
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", code))]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1012])
def test_notes_31_to_34_a_server_s_end_is_told_with_its_code(code: int) -> None:
    # Without a reason, and with the FIN in the same instant: our answer may meet a closed door.
    sock = FakeSocket(close_frame(code))
    sock.eof = True
    sock.write_error = BrokenPipeError(32, "Broken pipe")
    over = make(sock)
    over.receive()
    assert over.ended == ClosedByPeer(code)


def test_an_empty_close_frame_is_1005_and_answered_with_one() -> None:
    sock = FakeSocket(close_frame(None))
    over = make(sock)
    over.receive()
    assert over.ended == ClosedByPeer(1005)
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, b"")]


def test_a_close_reason_that_is_no_utf8_is_shown_as_it_can_be() -> None:
    sock = FakeSocket(close_frame(1000, b"\xffa"))
    over = make(sock)
    over.receive()
    assert over.ended == ClosedByPeer(1000, "\ufffda")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_close_code_that_there_is_not_violates_the_protocol(code: int) -> None:
    sock = FakeSocket(text("good") + close_frame(code))
    over = make(sock)
    assert over.receive() == [b"good"]
    assert isinstance(over.ended, TransportFailed)
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", 1002))]


VIOLATIONS = {
    "masked": Frame(TEXT, b"a", masked=True).encode(),
    "masked, by its header": Frame(TEXT, b"a", masked=True).encode()[:2],
    "rsv1": Frame(TEXT, b"a", rsv=4).encode(),
    "rsv3": Frame(BINARY, b"a", rsv=1).encode(),
    "rsv on a control frame": Frame(PING, b"a", rsv=2).encode(),
    "an opcode that there is not": Frame(3, b"a").encode(),
    "a control opcode that there is not": Frame(11, b"a").encode(),
    "a control frame in fragments": Frame(PING, b"a", fin=False).encode(),
    "a close frame in fragments": Frame(CLOSE, b"", fin=False).encode(),
    "a long ping": Frame(PING, b"a" * 126).encode(),
    "a long pong, by its header": Frame(PONG, b"a" * 126).encode()[:4],
    "a long close frame": Frame(CLOSE, b"\x03\xe8" + b"a" * 124).encode(),
    "a close frame of one byte": Frame(CLOSE, b"a").encode(),
    "a continuation of nothing": Frame(CONTINUATION, b"a").encode(),
    "text inside of fragments": Frame(TEXT, b"a", fin=False).encode() + text("b"),
    "a fragment inside of fragments": Frame(TEXT, b"a", fin=False).encode() * 2,
}


@pytest.mark.parametrize("bad", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_the_good_messages_before_a_violation_are_delivered(bad: bytes) -> None:
    sock = FakeSocket(text("good") + bad + text("never"))
    over = make(sock)
    assert receive_all(over, sock) == [b"good"]
    assert isinstance(over.ended, TransportFailed)
    assert over.ended.error
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", 1002))]
    sock.fed.append(text("never"))
    assert over.receive() == []


def test_a_message_of_the_limit_passes_and_a_longer_one_does_not() -> None:
    for opcode in (TEXT, BINARY):
        sock = FakeSocket(Frame(opcode, b"x" * 100).encode() + Frame(opcode, b"x" * 101).encode())
        over = make(sock, limit=100)
        assert len(receive_all(over, sock)) == 1
        assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", 1009))]


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION])
@pytest.mark.parametrize("length", [101, 1 << 16, 1 << 32, 1 << 63, (1 << 64) - 1])
def test_a_message_over_the_limit_is_refused_by_its_header(opcode: int, length: int) -> None:
    start = b"" if opcode != CONTINUATION else Frame(TEXT, b"a", fin=False).encode()
    head = bytes([0x80 | opcode, 127]) + length.to_bytes(8, "big")
    sock = FakeSocket(text("good") + start + head)
    over = make(sock, limit=100)
    assert receive_all(over, sock) == [b"good"]
    assert over.ended == TransportFailed("a frame of more than 100 bytes")
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", 1009))]


def test_the_fragments_of_a_message_have_the_limit_together() -> None:
    parts = [Frame(TEXT, b"x" * 50, fin=False), Frame(CONTINUATION, b"x" * 50)]
    sock = FakeSocket(b"".join(f.encode() for f in parts) * 2 + text("x" * 100))
    over = make(sock, limit=100)
    assert receive_all(over, sock) == [b"x" * 100] * 3
    parts[1] = Frame(CONTINUATION, b"x" * 51, fin=False)
    sock.fed.append(b"".join(f.encode() for f in parts))
    assert over.receive() == []
    assert over.ended == TransportFailed("a message of more than 100 bytes")
    assert list(read_frames(bytes(sock.taken))) == [(CLOSE, struct.pack("!H", 1009))]


# what is sent


@given(
    st.lists(
        st.tuples(st.sampled_from([TEXT, BINARY, CLOSE, PING, PONG]), st.binary(max_size=300)),
        max_size=20,
    ),
    st.sampled_from([4, 64, frames.PIECE]),
)
def test_masked_frames_are_read_as_they_were(pairs: list[tuple[int, bytes]], piece: int) -> None:
    with patch.object(frames, "PIECE", piece):
        masked = frames.mask(pairs, os.urandom(4 * len(pairs)))
    assert list(read_frames(masked)) == pairs
    assert len(masked) == sum(frames.size_of(payload) for _, payload in pairs)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 125, 126, 127, 65535, 65536, 65537, 1 << 20])
def test_masked_frames_of_every_length(size: int) -> None:
    payload = os.urandom(size)
    masked = frames.mask([(BINARY, payload)], b"key!")
    assert list(read_frames(masked)) == [(BINARY, payload)]
    assert len(masked) == frames.size_of(payload)


def test_each_frame_has_a_mask_of_its_own() -> None:
    sock = FakeSocket()
    over = make(sock)
    over.send([b"\0" * 4] * 500)
    for _ in range(500):
        over.send([b"\0" * 4])
    sent = bytes(sock.taken)
    frames_sent = [sent[at : at + 10] for at in range(0, len(sent), 10)]
    # The payload is then the mask.
    assert len({frame[2:] for frame in frames_sent}) > 990
    assert {frame[2:6] == frame[6:] for frame in frames_sent} == {True}


@given(st.integers(0, 65535))
@example(1005)
def test_a_close_payload_is_its_code(code: int) -> None:
    assert frames.close_payload(code) == (b"" if code == 1005 else struct.pack("!H", code))


def test_messages_go_out_with_one_send() -> None:
    sock = FakeSocket()
    over = make(sock)
    over.send(["a", b"b", "é"])
    assert list(read_frames(bytes(sock.taken))) == [
        (TEXT, b"a"),
        (BINARY, b"b"),
        (TEXT, "é".encode()),
    ]
    assert sock.sends == 1
    assert (over.frames_out, over.bytes_out) == (3, len(sock.taken))
    over.send([])
    assert sock.sends == 1


def test_a_ping_is_answered_before_queued_output() -> None:
    sock = FakeSocket()
    over = make(sock)
    rooms = iter([100])
    sock.room = lambda: next(rooms, 0)
    messages = [bytes([n]) * 200_000 for n in range(4)]
    over.send(messages)
    assert over.wants_write
    sock.fed.append(Frame(PING, b"now").encode())
    over.receive()
    sock.room = None
    over.flush()
    opcodes = [payload if op == PONG else op for op, payload in read_frames(bytes(sock.taken))]
    # Not into the frame that was begun.
    assert opcodes == [BINARY, b"now", BINARY, BINARY, BINARY]
    assert not over.wants_write


def test_pings_that_cannot_be_answered_do_not_pile_up() -> None:
    sock = FakeSocket()
    over = make(sock)
    sock.room = lambda: 0
    over.send(["waits"])
    for n in range(1000):
        sock.fed.append(Frame(PING, b"%125d" % n).encode())
    receive_all(over, sock)
    # An endpoint may answer only the last (RFC 6455 section 5.5.3).
    assert over.pending_bytes < 10_000
    sock.room = None
    over.flush()
    [*_, last] = read_frames(bytes(sock.taken))
    assert last == (PONG, b"%125d" % 999)


def test_a_close_frame_is_the_last_and_the_only_one() -> None:
    sock = FakeSocket()
    over = make(sock)
    rooms = iter([3])
    sock.room = lambda: next(rooms, 0)
    over.send(["a", "b"])
    over.send_close(1000)
    over.send_close(1002)
    over.send(["never"])
    over.send_urgent(PING, b"never")
    sock.room = None
    over.flush()
    sent = list(read_frames(bytes(sock.taken)))
    assert sent == [(TEXT, b"a"), (TEXT, b"b"), (CLOSE, b"\x03\xe8")]
    # The answer to it is not answered.
    sock.fed.append(close_frame(1000))
    over.receive()
    assert over.ended == ClosedByPeer(1000)
    assert len(list(read_frames(bytes(sock.taken)))) == 3


def test_a_close_by_the_peer_drops_what_waits_but_not_what_was_begun() -> None:
    sock = FakeSocket(close_frame(1001))
    over = make(sock)
    rooms = iter([10])
    sock.room = lambda: next(rooms, 0)
    over.send([b"begun" * 60_000, b"waits" * 60_000])
    over.receive()
    sock.room = None
    over.flush()
    sent = list(read_frames(bytes(sock.taken)))
    assert sent == [(BINARY, b"begun" * 60_000), (CLOSE, b"\x03\xe9")]
    assert over.pending_bytes == 0


def test_a_failed_write_does_not_end_reading() -> None:
    sock = FakeSocket()
    over = make(sock)
    sock.room = lambda: 0
    over.send(["waits"])
    sock.write_error = BrokenPipeError(32, "Broken pipe")
    over.flush()
    assert over.write_error == "Broken pipe"
    assert over.ended is None
    assert not over.wants_write
    sends = sock.sends
    over.send(["never"])
    over.send_urgent(PING, b"never")
    over.send_close(1000)
    assert sock.sends == sends
    # Note 36: the 1009 that explains it is still to be read.
    sock.fed.append(text("last words") + close_frame(1009))
    assert over.receive() == [b"last words"]
    assert over.ended == ClosedByPeer(1009)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "urgent", "flush", "ping"]),
        st.lists(
            st.binary(max_size=5) | st.integers(0, 400).map(lambda n: b"x" * n),
            min_size=1,
            max_size=4,
        ),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(OPERATIONS, st.lists(st.integers(0, 40), max_size=200), st.sampled_from([50, 1 << 18]))
def test_partial_writes_never_corrupt_the_stream(
    operations: list[tuple[str, list[bytes]]], rooms: list[int], write_size: int
) -> None:
    sock = FakeSocket()
    over = make(sock)
    room = iter(rooms)
    sock.room = lambda: next(room, 0)
    messages: list[bytes] = []
    urgent: list[bytes] = []
    with patch.object(output, "WRITE_SIZE", write_size):
        for what, payloads in operations:
            if what == "send":
                over.send(payloads)
                messages += payloads
            elif what == "urgent":
                over.send_urgent(PING, payloads[0][:125])
                urgent.append(payloads[0][:125])
            elif what == "ping":
                sock.fed.append(Frame(PING, payloads[0][:125]).encode())
                over.receive()
                urgent.append(payloads[0][:125])
            else:
                over.flush()
            assert over.bytes_out == len(sock.taken)
        sock.room = None
        over.flush()
    data = bytes(sock.taken)
    assert (over.pending_bytes, over.wants_write, over.bytes_out) == (0, False, len(data))
    sent = list(read_frames(data))
    assert [payload for opcode, payload in sent if opcode == BINARY] == messages
    # Of each kind the last is enough, where several wait.
    came = [payload for opcode, payload in sent if opcode in (PING, PONG)]
    assert not Counter(came) - Counter(urgent)
    assert not urgent or urgent[-1] in came
    assert over.frames_out == len(sent)


def test_nothing_to_send_takes_nothing() -> None:
    """As beside a heartbeat, which goes before all that waits."""
    sock = FakeSocket()
    over = make(sock)
    over.send([])
    assert (sock.sends, over.frames_out) == (0, 0)
    assert over._output is output.NO_OUTPUT


def test_output_that_there_is_no_memory_for_ends_the_connection() -> None:
    """It is not forgotten as if it had been written."""
    sock = FakeSocket()
    over = make(sock)
    with patch.object(frames, "mask", side_effect=MemoryError):
        over.send([b"a", b"b"])
    assert over.write_error == "MemoryError"
    assert (over.pending_bytes, over.wants_write, bytes(sock.taken)) == (0, False, b"")


def test_an_urgent_frame_knows_when_it_is_out() -> None:
    sock = FakeSocket()
    over = make(sock)
    assert over.send_urgent(TEXT, b"at once") == over.bytes_out == 13
    rooms = iter([3])
    sock.room = lambda: next(rooms, 0)
    over.send([b"begun"] * 3)
    over.send([b"waits"])
    sock.fed.append(Frame(PING, b"p").encode())
    over.receive()
    mark = over.send_urgent(TEXT, b"heartbeat")
    sock.room = None
    over.flush()
    sent = list(read_frames(bytes(sock.taken)))
    ends = list(itertools.accumulate(6 + len(payload) for _, payload in sent))
    assert mark == ends[sent.index((TEXT, b"heartbeat"))]
    # Between the frames, before what waited.
    assert sent.index((TEXT, b"heartbeat")) < sent.index((BINARY, b"waits"))


# a real socket


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    one.setblocking(False)
    with contextlib.closing(one), contextlib.closing(other):
        yield one, other


def test_a_peer_that_reads_nothing_does_not_stop_us_reading(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    over = make(near)
    over.send([b"x" * 1_000_000 for _ in range(20)])
    assert over.wants_write
    assert 0 < over.bytes_out < 20_000_000
    far.sendall(text("still here"))
    assert over.receive() == [b"still here"]
    far.setblocking(False)
    received = bytearray()
    while over.wants_write:
        with contextlib.suppress(BlockingIOError):
            received += far.recv(1 << 20)
        over.flush()
    far.setblocking(True)
    near.shutdown(socket.SHUT_WR)
    while more := far.recv(1 << 20):
        received += more
    assert list(read_frames(bytes(received))) == [(BINARY, b"x" * 1_000_000)] * 20


def test_a_stream_over_a_real_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    over = make(near)
    expected = [b"%d" % n * 100 for n in range(300)]
    received: list[Data] = []
    for payload in expected:
        far.sendall(text(payload))
        received += over.receive()
    far.close()
    while over.ended is None:
        received += over.receive()
    assert received == expected
    assert over.ended == ClosedByPeer(1006)
    over.free()
    assert near.fileno() == -1


# the upgrade: the frames behind the 101


class Server:
    """Answers the upgrade when the client waits for it: the other end of a socketpair."""

    route: Route | None = None

    def __init__(self, far: socket.socket, answer: Iterable[bytes]) -> None:
        self._far = far
        self._answer = iter(answer)
        self.request = b""

    def left(self, phase: str) -> float:
        return 1.0

    def ready(self, sock: Any, phase: str, **interest: Any) -> bool:
        if not self.request:
            self.request = self._far.recv(65536)
        part = next(self._answer, None)
        if part is None:
            self._far.shutdown(socket.SHUT_WR)
        else:
            key = self.request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            self._far.sendall(part.replace(b"ACCEPT", base64.b64encode(accept)))
        return True

    def any_writable(self, socks: Any, phase: str, at_most: float | None = None) -> bool:
        raise AssertionError("there is one socket")

    def elsewhere(self, phase: str, function: Any, discard: Any) -> Any:
        raise AssertionError("nothing here blocks")


HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: ACCEPT\r\nX-Some: thing\r\nX-Some: else\r\n"
    b"Set-Cookie: a=b; domain=invalid\r\n\r\n"
)
CONFIG = Configuration.validate("ws://example.org/socket/websocket", {"max_message_bytes": 1000})


@pytest.mark.parametrize("cut", [1, 40, len(HEAD) - 2, len(HEAD), len(HEAD) + 3, None])
def test_frames_in_the_segment_of_the_101(
    pair: tuple[socket.socket, socket.socket], cut: int | None
) -> None:
    near, far = pair
    answer = HEAD + text("first") + text("second")
    parts = [answer] if cut is None else [answer[:cut], answer[cut:]]
    server = Server(far, parts)
    over = upgrade(near, CONFIG, server, "/socket/websocket?vsn=2.0.0", ["X-Mine: 1"])
    received = over.receive()
    for part in server._answer:
        far.sendall(part)
    received += over.receive()
    assert received == [b"first", b"second"]
    assert over.headers["x-some"] == "thing, else"
    # Note 42: nothing before the 101.
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    assert server.request.endswith(b"\r\n\r\n")
    lines = server.request.split(b"\r\n")
    assert lines[0] == b"GET /socket/websocket?vsn=2.0.0 HTTP/1.1"
    assert b"Host: example.org" in lines
    assert b"X-Mine: 1" in lines
    assert not any(line.lower().startswith(b"origin") for line in lines)


@pytest.mark.parametrize("selected", [b"", b"sec-websocket-protocol: phoenix\r\n"])
def test_notes_45_and_46_a_subprotocol_need_not_be_selected(
    pair: tuple[socket.socket, socket.socket], selected: bytes
) -> None:
    near, far = pair
    config = Configuration.validate("ws://example.org/", {"auth_token": "token"})
    head = HEAD.replace(b"X-Some: thing\r\n", selected)
    server = Server(far, [head + text("open")])
    over = upgrade(near, config, server, config.resource(), config.request_headers())
    assert over.receive() == [b"open"]
    assert server.request.lower().count(b"sec-websocket-protocol:") == 1


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ([], "closed without an answer"),
        ([HEAD[:50]], "closed in the middle of an answer"),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], "no HTTP/1.1"),
        ([HEAD.replace(b"ACCEPT", b"nonsense")], "no websocket's"),
        ([HEAD.replace(b"Upgrade: websocket\r\n", b"")], "no websocket's"),
        ([b"HTTP/1.1 101 OK\r\nX: " + b"x" * 40_000, b"x" * 40_000], "head is over"),
    ],
)
def test_an_answer_that_is_no_upgrade(
    pair: tuple[socket.socket, socket.socket], answer: list[bytes], detail: str
) -> None:
    near, far = pair
    with pytest.raises(AttemptFailed, match=detail) as failed:
        upgrade(near, CONFIG, Server(far, answer), "/", [])
    assert failed.value.reason.kind == "upgrade"
    assert failed.value.reason.status is None


@pytest.mark.parametrize("status", [200, 302, 403, 500])
def test_a_refusal_shows_its_status_headers_and_the_start_of_its_body(
    pair: tuple[socket.socket, socket.socket], status: int
) -> None:
    near, far = pair
    body = "é".encode() * 1000
    head = b"HTTP/1.1 %d No\r\nLocation: /x\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    with pytest.raises(AttemptFailed) as failed:
        upgrade(near, CONFIG, Server(far, [head, body]), "/", [])
    reason = failed.value.reason
    assert (reason.kind, reason.status) == ("upgrade", status)
    assert reason.headers["location"] == "/x"
    assert reason.body == "é" * 512
    assert "/x" not in repr(reason)
