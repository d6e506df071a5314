"""permessage-deflate on a transport whose socket is the test's: RFC 7692 section 7.2.

The other side is zlib alone, and the frames are read and written by the test's own means.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream_actor.configuration.extensions import DeflateParameters
from slipstream_actor.protocol.reasons import TransportFailed
from slipstream_actor.wire import deflate
from slipstream_actor.wire.deflate import Deflate
from slipstream_actor.wire.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Binary, Data
from slipstream_actor.wire.websocket import Transport
from tests.wire.test_frames import FakeSocket, Frame, read_frames, receive_all, text, unmask

LIMIT = 1 << 20
TAIL = b"\x00\x00\xff\xff"
RSV1 = 4
JSON = json.dumps(
    [None, None, "room", "tick", {"rows": [{"id": n, "name": f"row {n}"} for n in range(50)]}]
).encode()

USUAL = DeflateParameters()
BITS = st.integers(8, 15)
PARAMETERS = st.builds(DeflateParameters, st.booleans(), st.booleans(), st.none() | BITS, BITS)
MESSAGES = st.lists(
    st.binary(max_size=400)
    | st.text("ab", max_size=400).map(str.encode)
    | st.integers(0, 3).map(lambda n: JSON[n : 900 * (n + 1)]),
    max_size=12,
)


class Server:
    """The server's compressor; a window of 8 bits is one that it does not use."""

    def __init__(self, parameters: DeflateParameters = USUAL) -> None:
        self._bits = max(9, parameters.server_max_window_bits or 15)
        self._forgets = parameters.server_no_context_takeover
        self._stream = zlib.compressobj(wbits=-self._bits)

    def compress(self, data: bytes) -> bytes:
        compressed = self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        if self._forgets:
            self._stream = zlib.compressobj(wbits=-self._bits)
        assert compressed.endswith(TAIL)
        return compressed[: -len(TAIL)]


def make(
    sock: Any,
    parameters: DeflateParameters = USUAL,
    *,
    limit: int = LIMIT,
    rest: bytes = b"",
) -> Transport:
    """A transport on which permessage-deflate is in force."""
    return Transport(sock, limit, {}, rest, Deflate.of(parameters, limit))


def compressed(payload: bytes, opcode: int = TEXT) -> bytes:
    """A message in one frame, of a payload that is compressed already."""
    return Frame(opcode, payload, rsv=RSV1).encode()


def in_fragments(
    payload: bytes, cuts: list[int], opcode: int = TEXT, rsv: int = RSV1
) -> list[bytes]:
    """The same in frames, cut anywhere; or a message that is not compressed."""
    at = sorted({min(cut, len(payload)) for cut in cuts})
    parts = [payload[a:b] for a, b in itertools.pairwise([0, *at, len(payload)])]
    opcodes = [opcode, *[CONTINUATION] * (len(parts) - 1)]
    return [
        Frame(opcodes[n], part, fin=n == len(parts) - 1, rsv=0 if n else rsv).encode()
        for n, part in enumerate(parts)
    ]


def fragments(payload: bytes, cuts: list[int], opcode: int = TEXT) -> bytes:
    """Those frames one behind the other."""
    return b"".join(in_fragments(payload, cuts, opcode))


def sent(sock: FakeSocket) -> Iterator[tuple[bool, int, bytes]]:
    """Of each of the client's frames: whether it is marked, opcode, payload."""
    source = io.BytesIO(bytes(sock.taken))
    while head := source.read(2):
        first, second = head
        assert first & 0xB0 == 0x80, "final, and no RSV bit but the first"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(source.read(2 if size == 126 else 8), "big")
        key = source.read(4)
        yield bool(first & 0x40), first & 0x0F, unmask(key, source.read(size))


def closes(sock: FakeSocket) -> list[int]:
    """The codes of the client's close frames."""
    return [int.from_bytes(p[:2], "big") for _, opcode, p in sent(sock) if opcode == CLOSE]


# RFC 7692 section 7.2.3

HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")
EXAMPLES = {
    "7.2.3.1, one frame": bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00"),
    "7.2.3.1, fragments": bytes.fromhex("41 03 f2 48 cd 80 04 c9 c9 07 00"),
    "7.2.3.3, no compression": bytes.fromhex("c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00"),
    "7.2.3.4, BFINAL": bytes.fromhex("c1 08 f3 48 cd c9 c9 07 00 00"),
    "7.2.3.5, two blocks": bytes.fromhex("c1 0d f2 48 05 00 00 00 ff ff ca c9 c9 07 00"),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
@pytest.mark.parametrize("forgets", [True, False])
def test_the_examples_of_the_rfc(example: bytes, forgets: bool) -> None:
    """Again and again, and an ordinary message behind them."""
    sock = FakeSocket(example * 3 + compressed(HELLO) + text("Hello"))
    over = make(sock, DeflateParameters(server_no_context_takeover=forgets))
    assert receive_all(over, sock) == [b"Hello"] * 5
    assert over.ended is None


def test_the_example_of_a_window_that_is_shared() -> None:
    """Section 7.2.3.2: the second one refers to the first."""
    again = bytes.fromhex("f2 00 11 00 00")
    sock = FakeSocket(compressed(HELLO) + compressed(again) * 2)
    assert receive_all(make(sock), sock) == [b"Hello"] * 3
    sock = FakeSocket(compressed(HELLO) + compressed(again))
    over = make(sock, DeflateParameters(server_no_context_takeover=True))
    assert receive_all(over, sock) == [b"Hello"]
    assert isinstance(over.ended, TransportFailed)
    assert "does not inflate" in over.ended.error


def test_the_example_of_an_empty_message() -> None:
    """Section 7.2.3.6."""
    sock = FakeSocket(compressed(b"\x00") + compressed(b"\x00", BINARY))
    assert receive_all(make(sock), sock) == [b"", Binary(b"")]


RECORDED = Path(__file__).parents[1] / "protocol" / "transcripts" / "compressed_traffic.jsonl"


def test_what_a_real_server_sent() -> None:
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    came = [row for row in rows if row["dir"] == "recv" and row.get("rsv1")]
    opcodes = {"text": TEXT, "binary": BINARY}
    stream = [compressed(base64.b64decode(row["raw"]), opcodes[row["type"]]) for row in came]
    sock = FakeSocket(b"".join(stream))
    assert receive_all(make(sock, DeflateParameters(client_max_window_bits=15)), sock) == [
        row["data"].encode() if row["type"] == "text" else Binary(base64.b64decode(row["data"]))
        for row in came
    ]
    assert len(came) == 5


# what comes


@given(PARAMETERS, MESSAGES, st.data())
@settings(max_examples=200)
def test_whatever_is_compressed_comes_as_it_was(
    parameters: DeflateParameters, messages: list[bytes], data: st.DataObject
) -> None:
    """In one frame or in fragments, with pings in between, among others, in any pieces."""
    server = Server(parameters)
    frames: list[bytes] = []
    pings = 0
    expected: list[Data] = []
    for message in messages:
        opcode = data.draw(st.sampled_from([TEXT, BINARY]))
        expected.append(message if opcode == TEXT else Binary(message))
        marked = data.draw(st.booleans())
        payload = server.compress(message) if marked else message
        cuts = data.draw(st.lists(st.integers(0, len(payload)), max_size=4))
        for part in in_fragments(payload, cuts, opcode, RSV1 if marked else 0):
            if data.draw(st.integers(0, 5)) == 0:
                pings += 1
                frames.append(Frame(PING, b"between").encode())
            frames.append(part)
    stream = b"".join(frames)
    at = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    cut = [0, *sorted(at), len(stream)]
    sock = FakeSocket(*(stream[a:b] for a, b in itertools.pairwise(cut)))
    over = make(sock, parameters)
    assert receive_all(over, sock) == expected
    assert over.ended is None
    assert [frame[1] for frame in sent(sock)] == [PONG] * pings
    assert over.bytes_in == len(stream)
    # It is what frames without compression would have had: the headers of these, of 2 or 4 bytes.
    headers = over.bytes_taken - sum(map(len, messages)) - pings * len(b"between")
    assert 2 * len(frames) <= headers <= 4 * len(frames)


def test_a_ping_inside_of_a_compressed_message() -> None:
    payload = Server().compress(JSON)
    sock = FakeSocket(
        Frame(TEXT, payload[:20], fin=False, rsv=RSV1).encode()
        + Frame(PING, b"now").encode()
        + Frame(CONTINUATION, payload[20:]).encode()
    )
    over = make(sock)
    assert receive_all(over, sock) == [JSON]
    assert list(read_frames(bytes(sock.taken))) == [(PONG, b"now")]


@pytest.mark.parametrize("size", [300_000, 3_000_000])
@pytest.mark.parametrize("pieces", [1, 7])
def test_big_messages(size: int, pieces: int) -> None:
    """Such as cannot be compressed, in pieces as they come from a network."""
    server, message = Server(), os.urandom(size)
    payload = server.compress(message)
    stream = fragments(payload, [size // pieces * n for n in range(1, pieces)], BINARY)
    stream += compressed(server.compress(JSON))
    sock = FakeSocket(*(stream[at : at + 16384] for at in range(0, len(stream), 16384)))
    assert receive_all(make(sock, limit=size), sock) == [Binary(message), JSON]


def test_frames_in_the_segment_of_the_101() -> None:
    sock = FakeSocket()
    over = make(sock, rest=compressed(HELLO) + compressed(HELLO)[:3])
    assert over.receive() == [b"Hello"]
    sock.fed.append(compressed(HELLO)[3:])
    assert over.receive() == [b"Hello"]


# what breaks the rules

WRONG = {
    "a ping": Frame(PING, b"a", rsv=RSV1).encode(),
    "a pong": Frame(PONG, b"a", rsv=RSV1).encode(),
    "a close frame": Frame(CLOSE, b"\x03\xe8", rsv=RSV1).encode(),
    "a continuation": Frame(TEXT, HELLO[:3], fin=False, rsv=RSV1).encode()
    + Frame(CONTINUATION, HELLO[3:], rsv=RSV1).encode(),
    "a continuation of what is not compressed": Frame(TEXT, b"a", fin=False).encode()
    + Frame(CONTINUATION, HELLO, rsv=RSV1).encode(),
    "a message inside of fragments": Frame(TEXT, HELLO[:3], fin=False, rsv=RSV1).encode()
    + compressed(HELLO),
    "a message inside of fragments that are not compressed": Frame(TEXT, b"", fin=False).encode()
    + compressed(HELLO),
    "a continuation of nothing": Frame(CONTINUATION, HELLO, rsv=RSV1).encode(),
    "an opcode that there is not": Frame(3, HELLO, rsv=RSV1).encode(),
    "another RSV bit": Frame(TEXT, HELLO, rsv=RSV1 | 2).encode(),
    "the last RSV bit": Frame(TEXT, HELLO, rsv=RSV1 | 1, fin=False).encode(),
    "a masked frame": Frame(TEXT, HELLO, rsv=RSV1, masked=True).encode(),
}


@pytest.mark.parametrize("bad", WRONG.values(), ids=WRONG.keys())
def test_a_mark_where_none_may_be(bad: bytes) -> None:
    sock = FakeSocket(compressed(HELLO) + bad + compressed(HELLO))
    over = make(sock)
    assert receive_all(over, sock) == [b"Hello"]
    assert isinstance(over.ended, TransportFailed)
    assert over.ended.error
    assert closes(sock) == [1002]


CORRUPT = {
    "a block of no type": b"\x06",
    "a stored block of another length": bytes.fromhex("00 05 00 00 00 48"),
    "a distance too far back": bytes.fromhex("f2 00 11 00 00"),
    "bytes": b"\xff" * 40,
    "gzip": b"\x1f\x8b" + bytes(16),
}


@pytest.mark.parametrize("bad", CORRUPT.values(), ids=CORRUPT.keys())
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_not_deflate(bad: bytes, whole: bool) -> None:
    sock = FakeSocket(text("good") + (compressed(bad) if whole else fragments(bad, [1])))
    over = make(sock)
    assert receive_all(over, sock) == [b"good"]
    assert isinstance(over.ended, TransportFailed)
    assert over.ended.error.startswith("a message that does not inflate: ")
    assert closes(sock) == [1002]


@given(st.binary(max_size=80), st.booleans())
def test_no_bytes_raise(data: bytes, forgets: bool) -> None:
    sock = FakeSocket(compressed(data) * 2 + fragments(data, [len(data) // 2]))
    over = make(sock, DeflateParameters(server_no_context_takeover=forgets))
    receive_all(over, sock)
    assert over.ended is None or isinstance(over.ended, TransportFailed)


@pytest.mark.parametrize("forgets", [True, False])
def test_a_message_that_is_cut_off(forgets: bool) -> None:
    """Nearly always it shows at once, else by what is behind it: that is never read as the rest."""
    parameters = DeflateParameters(server_no_context_takeover=forgets)
    server = Server(parameters)
    first, whole = server.compress(JSON), server.compress(JSON[::-1])
    behind = b"".join(compressed(server.compress(JSON)) for _ in range(3))
    # The last two bytes may say nothing but that the message is over.
    cuts, at_once = range(len(whole) - 2), 0
    for cut in cuts:
        sock = FakeSocket(compressed(first) + compressed(whole[:cut]) + behind)
        over = make(sock, parameters)
        received = receive_all(over, sock)
        assert received[0] == JSON
        assert JSON[::-1] not in received
        if over.ended == TransportFailed("a message that does not inflate: its end is missing"):
            at_once += len(received) == 1
        assert isinstance(over.ended, TransportFailed) or forgets
    assert at_once > 0.8 * len(cuts)


# the bound


@pytest.mark.parametrize("cuts", [[], [5], [5, 9, 11]])
@pytest.mark.parametrize("forgets", [True, False])
def test_a_message_of_the_limit_passes_and_a_longer_one_does_not(
    cuts: list[int], forgets: bool
) -> None:
    parameters = DeflateParameters(server_no_context_takeover=forgets)
    server = Server(parameters)
    stream = b"".join(
        fragments(server.compress(b"x" * size), cuts) for size in (1000, 1000, 1001, 5)
    )
    sock = FakeSocket(stream)
    over = make(sock, parameters, limit=1000)
    assert receive_all(over, sock) == [b"x" * 1000] * 2
    assert over.ended == TransportFailed("a message of more than 1000 bytes")
    assert closes(sock) == [1009]


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_message_of_the_limit_passes_that_grows_when_it_is_compressed(level: int) -> None:
    data = os.urandom(100_000)
    stream = zlib.compressobj(level, zlib.DEFLATED, -9, 1)
    payload = (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    assert len(payload) > len(data)
    sock = FakeSocket(compressed(payload, BINARY))
    assert receive_all(make(sock, limit=len(data)), sock) == [Binary(data)]


@pytest.mark.parametrize("length", [2000, 1 << 16, 1 << 32, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("first", [0xC1, 0x42])
def test_a_frame_far_over_the_limit_is_refused_by_its_header(length: int, first: int) -> None:
    sock = FakeSocket(text("good") + bytes([first, 127]) + length.to_bytes(8, "big"))
    over = make(sock, limit=1000)
    assert receive_all(over, sock) == [b"good"]
    assert over.ended == TransportFailed("a frame of more than 1000 bytes")
    assert closes(sock) == [1009]


def bomb(megabytes: int, cuts: int) -> bytes:
    """A message of zeros: blocks that refer to nothing before them, all the same."""
    stream = zlib.compressobj(wbits=-15)
    block = stream.compress(bytes(1 << 20)) + stream.flush(zlib.Z_FULL_FLUSH)
    payload = (block * megabytes).removesuffix(TAIL)
    return fragments(payload, [len(payload) // (cuts + 1) * n for n in range(1, cuts + 1)], BINARY)


@pytest.mark.parametrize("cuts", [0, 20])
def test_a_bomb_takes_no_more_memory_than_the_longest_message(cuts: int) -> None:
    data = bomb(256, cuts)
    assert len(data) < 300_000
    sock = FakeSocket(data)
    over = make(sock, limit=LIMIT)
    tracemalloc.start()
    try:
        assert receive_all(over, sock) == []
        assert tracemalloc.get_traced_memory()[1] < 5 * LIMIT
    finally:
        tracemalloc.stop()
    assert over.ended == TransportFailed(f"a message of more than {LIMIT} bytes")
    assert closes(sock) == [1009]


def test_of_many_messages_that_grow_a_few_are_taken_at_a_time() -> None:
    """What is left is taken by the next calls, without anything that comes."""
    server = Server()
    count, size = 100, 300_000
    stream = b"".join(compressed(server.compress(b"%d" % n + bytes(size))) for n in range(count))
    assert len(stream) < 100_000
    sock = FakeSocket(stream)
    over = make(sock)
    received: list[Data] = []
    calls = 0
    while len(received) < count:
        calls += 1
        came = over.receive()
        assert 0 < len(came) <= 5
        received += came
        assert over.read_again == (len(received) < count)
    assert received == [b"%d" % n + bytes(size) for n in range(count)]
    assert calls == count / 4
    assert over.bytes_in == len(stream)
    assert over.bytes_taken > count * size
    assert over.receive() == []
    # The first call read, the last one did, and this: none of those in between.
    assert sock.reads == 3


def test_a_limit_that_is_no_size() -> None:
    sock = FakeSocket(compressed(HELLO))
    assert receive_all(make(sock, limit=sys.maxsize * 10), sock) == [b"Hello"]


# blocks that end the stream (section 7.2.3.4)


def ended(data: bytes) -> bytes:
    """A stream of its own, with its end."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def test_blocks_that_end_the_stream_in_the_middle_of_a_message() -> None:
    payload = ended(JSON) + ended(JSON[:100]) + ended(b"") + Server().compress(JSON)
    sock = FakeSocket(compressed(payload) + compressed(HELLO) + fragments(payload, [10]))
    whole = JSON + JSON[:100] + JSON
    assert receive_all(make(sock), sock) == [whole, b"Hello", whole]


def test_the_bound_holds_behind_blocks_that_end_the_stream() -> None:
    payload = ended(b"x" * 600) + Server().compress(b"y" * 401)
    sock = FakeSocket(compressed(payload))
    over = make(sock, limit=1000)
    assert receive_all(over, sock) == []
    assert over.ended == TransportFailed("a message of more than 1000 bytes")


def test_a_bomb_behind_a_block_that_ends_the_stream() -> None:
    stream = zlib.compressobj(wbits=-15)
    block = stream.compress(bytes(1 << 20)) + stream.flush(zlib.Z_FULL_FLUSH)
    sock = FakeSocket(compressed(ended(b"x") + (block * 100).removesuffix(TAIL)))
    over = make(sock, limit=1 << 18)
    tracemalloc.start()
    try:
        assert receive_all(over, sock) == []
        assert tracemalloc.get_traced_memory()[1] < 5 << 18
    finally:
        tracemalloc.stop()
    assert over.ended == TransportFailed(f"a message of more than {1 << 18} bytes")


def test_a_message_whose_tail_ends_the_stream() -> None:
    """Its last block is the empty one whose end is left out."""
    final = bytes.fromhex("00 05 00 fa ff 48 65 6c 6c 6f 01")
    sock = FakeSocket((compressed(final) + compressed(HELLO)) * 3 + fragments(final, [3, 7]))
    assert receive_all(make(sock), sock) == [b"Hello"] * 7


def test_no_end_of_such_blocks() -> None:
    """Each costs a copy of all that is behind it: a megabyte of them would cost a minute."""
    sock = FakeSocket(compressed(b"\x03\x00" * 500_000))
    over = make(sock)
    assert receive_all(over, sock) == []
    assert over.ended == TransportFailed("a message of too many blocks that end it")
    assert closes(sock) == [1002]


# what is sent


@given(PARAMETERS, MESSAGES, st.lists(st.booleans(), min_size=12, max_size=12), st.data())
@settings(max_examples=200)
def test_what_is_sent_is_read_by_zlib(
    parameters: DeflateParameters, messages: list[bytes], as_text: list[bool], data: st.DataObject
) -> None:
    """By one with the window that was agreed on, which forgets where that was agreed on."""
    sock = FakeSocket()
    over = make(sock, parameters)
    expected = []
    for number, message in enumerate(messages):
        if as_text[number]:
            over.send([message.decode("latin-1")])
            expected.append((TEXT, message.decode("latin-1").encode()))
        else:
            over.send([message])
            expected.append((BINARY, message))
        if data.draw(st.integers(0, 5)) == 0:
            over.release()
    bits = parameters.client_max_window_bits or 15
    inflater = zlib.decompressobj(-bits)
    came = []
    for marked, opcode, payload in sent(sock):
        assert not (marked and bits == 8)
        if marked:
            came.append((opcode, inflater.decompress(payload + TAIL)))
            if parameters.client_no_context_takeover:
                inflater = zlib.decompressobj(-bits)
        else:
            came.append((opcode, payload))
    assert came == expected
    assert over.bytes_out == len(sock.taken)
    assert over.frames_out == len(messages)


def saved(parameters: DeflateParameters, count: int = 20) -> float:
    """By what part twenty messages are smaller."""
    sock = FakeSocket()
    over = make(sock, parameters)
    for _ in range(count):
        over.send([JSON])
    return 1 - len(sock.taken) / (count * len(JSON))


def test_compression_is_worth_it() -> None:
    assert saved(DeflateParameters()) > 0.9
    assert 0.5 < saved(DeflateParameters(client_no_context_takeover=True)) < 0.9
    assert saved(DeflateParameters(client_max_window_bits=8)) < 0


def test_short_messages_are_sent_as_they_are() -> None:
    sock = FakeSocket()
    over = make(sock)
    over.send([b"x" * (deflate.LEAST_WITH_CONTEXT - 1), b"x" * deflate.LEAST_WITH_CONTEXT, ""])
    assert [marked for marked, _, _ in sent(sock)] == [False, True, False]
    sock = FakeSocket()
    over = make(sock, DeflateParameters(client_no_context_takeover=True))
    over.send([b"x" * (deflate.LEAST_ALONE - 1), b"x" * deflate.LEAST_ALONE])
    assert [marked for marked, _, _ in sent(sock)] == [False, True]


def test_what_goes_ahead_of_what_waits_is_not_compressed() -> None:
    """A heartbeat is written before pushes that wait: what they refer to is in their order."""
    sock = FakeSocket()
    sock.room = lambda: 0
    over = make(sock)
    beat = json.dumps([None, "1", "phoenix", "heartbeat", {"pad": "x" * 100}]).encode()
    over.send([JSON])
    over.send([JSON, JSON])
    over.send_urgent(TEXT, beat)
    over.send([JSON])
    waiting = over.pending_bytes
    sock.room = None
    over.flush()
    inflater = zlib.decompressobj(-15)
    messages = [
        inflater.decompress(payload + TAIL) if marked else payload
        for marked, _, payload in sent(sock)
    ]
    assert messages == [JSON, beat, JSON, JSON, JSON]
    assert [marked for marked, _, _ in sent(sock)] == [True, False, True, True, True]
    assert waiting == len(sock.taken) == over.bytes_out
    assert over.pending_bytes == 0


def test_control_frames_are_not_compressed() -> None:
    sock = FakeSocket(Frame(PING, b"p" * 120).encode())
    over = make(sock)
    over.receive()
    over.send_urgent(PING, b"q" * 120)
    over.send_close(1000)
    assert [(marked, opcode) for marked, opcode, _ in sent(sock)] == [
        (False, PONG),
        (False, PING),
        (False, CLOSE),
    ]


def test_nothing_is_compressed_that_is_not_sent() -> None:
    """What is refused after the close frame does not move the context either."""
    sock = FakeSocket()
    over = make(sock)
    over.send_close(1000)
    over.send([JSON])
    assert over.deflate is not None
    assert over.deflate.deflater._stream is None


# memory


def held(over: Transport) -> tuple[bool, bool]:
    """Whether the transport holds what inflates, and what compresses."""
    assert over.deflate is not None
    return over.deflate.inflater._stream is not None, over.deflate.deflater._stream is not None


@pytest.mark.parametrize("forgets", [True, False])
def test_contexts_are_made_when_they_are_needed_and_given_back(forgets: bool) -> None:
    server = Server()
    parameters = DeflateParameters(server_no_context_takeover=forgets)
    sock = FakeSocket()
    over = make(sock, parameters)
    over.send([b"short"])
    sock.fed.append(text("plain"))
    assert over.receive() == [b"plain"]
    assert held(over) == (False, False)
    over.send([JSON])
    sock.fed.append(compressed(server.compress(JSON)))
    assert over.receive() == [JSON]
    # The server's next message refers to this one, unless it has said that it does not.
    assert held(over) == (not forgets, True)
    over.release()
    assert held(over) == (not forgets, False)


def test_a_message_that_has_begun_is_not_given_back() -> None:
    parameters = DeflateParameters(server_no_context_takeover=True)
    payload = Server(parameters).compress(JSON)
    sock = FakeSocket(Frame(TEXT, payload[:50], fin=False, rsv=RSV1).encode())
    over = make(sock, parameters)
    assert over.receive() == []
    over.release()
    sock.fed.append(Frame(CONTINUATION, payload[50:]).encode())
    assert over.receive() == [JSON]


def test_what_is_in_force() -> None:
    assert make(FakeSocket(), DeflateParameters(True, False, 9, 15)).extensions == (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9;"
        " client_max_window_bits=15",
    )
