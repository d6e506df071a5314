"""Peers that do what no good server does: it hurts nobody, and holds up nothing else."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import pykka
import pytest

from slipstream_actor import (
    ClosedByClient,
    ClosedByPeer,
    HeartbeatTimeout,
    JoinTimeout,
    NotConnectedError,
    Reply,
    Socket,
    TransportFailed,
    connect,
    get_state,
    wait,
)
from slipstream_actor.connection import connection
from slipstream_actor.connection.state import ConnectionState
from slipstream_actor.protocol.hints import hint
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording
from tests.support.raw_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Gone,
    Peer,
    RawServer,
    Script,
    broadcast,
    closing,
    frame,
    message,
)

MEGABYTE = 1024 * 1024
# Long enough that whatever ends before the test's patience does has not waited for it.
NEVER_MSEC = 60_000
# The beat of tests in which an answer must come before the next beat, on a busy machine too.
BEAT_MSEC = 1_000
GONE = "gone"


class Talk(NamedTuple):
    """A client that has joined "room" at a raw server."""

    server: RawServer
    ref: pykka.ActorRef[Recorder]
    log: Log

    @property
    def connection(self) -> Any:
        """The connection's ref."""
        return get_state(self.ref).connection

    def state(self) -> ConnectionState:
        """Look into the connection."""
        state: ConnectionState = get_state(self.connection, PATIENCE)
        return state

    def do(self, function: Callable[[Socket], Any]) -> Any:
        """Run `function` in the client."""
        return self.ref.proxy().do(function).get(timeout=PATIENCE)

    def push(self, event: str, payload: Any) -> str:
        """Push to the room."""
        ref: str = self.do(lambda socket: socket.push("room", event, payload))
        return ref

    def assert_others_go_on(self) -> None:
        """Whatever the peer does: client and connection answer, and so does another client's."""
        assert self.do(lambda socket: socket.joined("room"))
        assert self.state().status == "connected"
        with PhoenixServer() as server:
            socket = connect(server.uri).join("test:good").await_join("test:good")
            reply = socket.await_reply(socket.push("test:good", "ping"))
            assert reply == Reply("ok", {"pong": "pong"})
            socket.disconnect().await_disconnect()

    def assert_disconnects(self) -> None:
        """A disconnect comes through."""
        self.do(Socket.disconnect)
        assert self.log.take("disconnect") == ("disconnect", ClosedByClient())

    def closes(self) -> list[Frame]:
        """Return the close frames that came, when there is nothing more to come."""
        assert self.server.hung_up.wait(PATIENCE)
        return [came for came in list(self.server.frames.queue) if came.opcode == CLOSE]


@contextmanager
def talking(script: Script, kind: type[Recorder] = Recorder, **options: Any) -> Iterator[Talk]:
    """Let a client join the room, and `script` go on from there."""

    def whole(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        script(peer)

    quiet = {"reconnect_after_msec": [NEVER_MSEC], "close_timeout_msec": 100}
    options = {**quiet, "max_send_buffer_bytes": 100 * MEGABYTE, **options}
    with RawServer(whole) as server, recording(server.uri, kind, **options) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join("room")).get()
        log.take("join")
        yield Talk(server, ref, log)


def sending(*chunks: bytes) -> Script:
    """Return a script that sends `chunks`, and then does as a good server does."""

    def script(peer: Peer) -> None:
        for chunk in chunks:
            peer.send(chunk)
        peer.serve()

    return script


def holding(*chunks: bytes) -> Script:
    """Return a script that sends `chunks`, and then reads without a word."""

    def script(peer: Peer) -> None:
        for chunk in chunks:
            peer.send(chunk)
        drain(peer)

    return script


def drain(peer: Peer) -> None:
    """Read frames until the client hangs up."""
    while True:
        peer.frame()


# what is not finished


PAD = {"pad": "x" * 200_000}
BIG = {"pad": "x" * 16 * MEGABYTE}
FRAGMENTS = frame(TEXT, b'[null,null,"room"', fin=False)
UNFINISHED = [
    pytest.param(broadcast("whole"), 1, id="half a header"),
    pytest.param(broadcast("whole", PAD), 5, id="half a length"),
    pytest.param(broadcast("whole", {"pad": "x" * 1000}), 500, id="half a frame"),
    pytest.param(broadcast("whole", PAD), 100_000, id="half a big frame"),
    pytest.param(broadcast("whole", BIG), 8 * MEGABYTE, id="half of 16 MB"),
    pytest.param(
        FRAGMENTS + frame(CONTINUATION, b',"whole",{}]'), len(FRAGMENTS), id="half a message"
    ),
    pytest.param(frame(PING, b"x" * 100) + broadcast("whole"), 50, id="half a ping"),
]


@pytest.mark.parametrize(("data", "cut"), UNFINISHED)
def test_what_is_half_sent_holds_up_nothing(data: bytes, cut: int) -> None:
    def script(peer: Peer) -> None:
        peer.send(data[:cut])
        pushed = peer.expect("shout")
        # It cannot be answered inside of a frame; that it was sent is what there is to see.
        beat = peer.expect("heartbeat")
        peer.send(data[cut:])
        peer.reply(beat)
        peer.reply(pushed)
        peer.serve()

    with talking(script, heartbeat_interval_msec=BEAT_MSEC) as talk:
        ref = talk.push("shout", {"n": 1})
        assert talk.log.take("message")[:3] == ("message", "room", "whole")
        assert talk.log.take("reply")[1] == ref
        assert eventually(lambda: talk.state().heartbeat_rtt)
        talk.assert_disconnects()


@pytest.mark.parametrize(("data", "cut"), UNFINISHED)
def test_a_disconnect_in_the_middle_of_it(data: bytes, cut: int) -> None:
    with talking(holding(data[:cut])) as talk:
        talk.assert_others_go_on()
        talk.assert_disconnects()
        assert [came.code for came in talk.closes()] == [1000]


@pytest.mark.parametrize(("data", "cut"), UNFINISHED)
def test_an_end_in_the_middle_of_it(data: bytes, cut: int) -> None:
    with talking(lambda peer: peer.send(data[:cut])) as talk:
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(1006))


# much at once


class Counting(Recorder):
    """Notes how many messages came, and whether in order; not each of them."""

    came = 0

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        if event == "tick":
            assert payload == {"n": self.came}
            self.came += 1
            return None
        self.note("message", topic, event, self.came)
        return None


def ticks(count: int, start: int = 0) -> bytes:
    """Return numbered messages, and one behind them that ends them."""
    return b"".join(broadcast("tick", {"n": n}) for n in range(start, start + count))


def test_ten_thousand_frames_at_once() -> None:
    with talking(sending(ticks(10_000) + broadcast("done")), Counting) as talk:
        assert talk.log.take("message") == ("message", "room", "done", 10_000)
        assert talk.state().counters.frames_in == 10_002
        talk.assert_disconnects()


def test_text_and_binary_and_control_frames_in_one_segment() -> None:
    binary = frame(BINARY, b"\x02\x04\x05roomshout\x00\xff")
    burst = broadcast("a") + frame(PING, b"1") + binary + frame(PONG) + broadcast("b")
    with talking(sending(burst * 100)) as talk:
        for _ in range(100):
            assert talk.log.take("message") == ("message", "room", "a", {})
            assert talk.log.take("message") == ("message", "room", "shout", b"\x00\xff")
            assert talk.log.take("message") == ("message", "room", "b", {})
        for _ in range(100):
            assert talk.server.next_frame(opcode=PONG).payload == b"1"
        assert talk.state().counters.dropped == 0


def test_a_flood_without_end_holds_up_nothing() -> None:
    def script(peer: Peer) -> None:
        reader = threading.Thread(target=read, args=(peer,), name="raw-reader")
        reader.start()
        try:
            for start in itertools.count(0, 1000):
                peer.send(ticks(1000, start))
        finally:
            reader.join()

    def read(peer: Peer) -> None:
        with suppress(Gone):
            beats.append(peer.expect("heartbeat"))
            drain(peer)

    beats: list[Any] = []
    with talking(script, Counting, heartbeat_interval_msec=100) as talk:
        eventually(lambda: beats, "a heartbeat")
        talk.do(Socket.disconnect)
        assert talk.log.take("disconnect")[0] == "disconnect"
        assert talk.server.hung_up.wait(PATIENCE)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_a_message_of_sixteen_megabytes(kind: str) -> None:
    size = 16 * MEGABYTE
    if kind == "text":
        data = broadcast("big", {"pad": "x" * size})
    else:
        data = frame(BINARY, b"\x02\x04\x03roombig" + bytes(size))
    with talking(sending(data, broadcast("behind"))) as talk:
        payload = talk.log.take("message", "room", "big")[3]
        assert len(payload if kind == "binary" else payload["pad"]) == size
        talk.log.take("message", "room", "behind")
        talk.assert_disconnects()


# little at a time


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def test_a_stream_that_comes_byte_by_byte() -> None:
    data = broadcast("one", {"n": 1}) + frame(PING, b"p") + broadcast("two", {"pad": "x" * 200})
    with talking(sending(*bytewise(data))) as talk:
        talk.log.take("message", "room", "one", {"n": 1})
        assert talk.server.next_frame(opcode=PONG).payload == b"p"
        talk.log.take("message", "room", "two")
        talk.assert_disconnects()


def test_fragments_of_one_byte() -> None:
    """Control frames may stand between them (RFC 6455 section 5.4)."""
    payload = b'[null,null,"room","joined up",{"a":"\xc3\xa9"}]'
    first, *rest = bytewise(payload)
    parts = [frame(TEXT, first, fin=False), frame(PING, b"between")]
    parts += [frame(CONTINUATION, part, fin=False) for part in rest]
    parts += [frame(CONTINUATION, b"", fin=True), broadcast("behind")]
    with talking(sending(b"".join(parts))) as talk:
        talk.log.take("message", "room", "joined up", {"a": "é"})
        talk.log.take("message", "room", "behind")
        assert talk.server.next_frame(opcode=PONG).payload == b"between"
        assert talk.state().counters.dropped == 0


def test_a_ping_is_answered_while_fragments_are_outstanding() -> None:
    def script(peer: Peer) -> None:
        peer.send(FRAGMENTS + frame(PING, b"now"))
        assert peer.frame() == Frame(PONG, b"now")
        peer.send(frame(CONTINUATION, b',"whole",{}]'))
        peer.serve()

    with talking(script) as talk:
        talk.log.take("message", "room", "whole")


def test_many_fragments_take_time_by_their_number_alone() -> None:
    """Were each appended to the sum of the others, this would outlast any patience."""
    pad, size = b"x" * 4 * MEGABYTE, 100
    whole = b'[null,null,"room","joined up","' + pad + b'"]'
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    fragments = [frame(TEXT, parts[0], fin=False)]
    fragments += [frame(CONTINUATION, part, fin=False) for part in parts[1:]]
    with talking(sending(b"".join(fragments) + frame(CONTINUATION))) as talk:
        assert len(talk.log.take("message", "room", "joined up")[3]) == len(pad)


@pytest.mark.parametrize("size", [60_000, 300_000])
def test_a_frame_in_pieces_takes_time_by_its_size_alone(size: int) -> None:
    data = broadcast("whole", {"pad": "x" * size})
    pieces = (data[at : at + 16] for at in range(0, len(data), 16))
    with talking(sending(*pieces)) as talk:
        assert len(talk.log.take("message", "room", "whole")[3]["pad"]) == size


# more than there may be


def fragmented(size: int, of: int) -> bytes:
    """Return a text message of `size` bytes in fragments of `of`."""
    sizes = [min(of, size - at) for at in range(0, size, of)]
    parts = [frame(CONTINUATION, b"x" * part, fin=False) for part in sizes[1:]]
    return frame(TEXT, b"x" * sizes[0], fin=False) + b"".join(parts) + frame(CONTINUATION)


def header(size: int) -> bytes:
    """Return the header of a text frame whose payload never comes."""
    return bytes([0x80 | TEXT, 127]) + size.to_bytes(8, "big")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame(TEXT, b"x" * 1001), id="one byte more"),
        pytest.param(frame(BINARY, b"x" * 100_000), id="binary"),
        pytest.param(header(1 << 40), id="a header alone"),
        pytest.param(header((1 << 64) - 1), id="the longest"),
        pytest.param(fragmented(1001, 100), id="fragments"),
        pytest.param(
            frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 600, fin=False),
            id="two fragments without an end",
        ),
        pytest.param(frame(TEXT, b"x", fin=False) + header(1001), id="a long fragment"),
    ],
)
def test_a_message_that_is_too_long(data: bytes) -> None:
    with talking(holding(broadcast("before") + data), max_message_bytes=1000) as talk:
        talk.log.take("message", "room", "before")
        reason = talk.log.take("disconnect")[1]
        assert isinstance(reason, TransportFailed)
        assert "1000 bytes" in reason.error
        assert anchor(reason) == "too-big"
        assert [came.code for came in talk.closes()] == [1009]


def test_a_peer_in_the_middle_of_a_message_that_is_too_long() -> None:
    """It learns why, though we read no more of it."""

    def script(peer: Peer) -> None:
        with suppress(Gone):
            peer.send(broadcast("big", BIG))
        drain(peer)

    with talking(script, max_message_bytes=MEGABYTE) as talk:
        assert isinstance(talk.log.take("disconnect")[1], TransportFailed)
        assert [came.code for came in talk.closes()] == [1009]


def test_a_message_that_is_just_not_too_long() -> None:
    text = b'[null,null,"room","fits","%s"]'
    data = text % (b"x" * (1002 - len(text)))
    parts = frame(TEXT, data[:300], fin=False) + frame(CONTINUATION, data[300:])
    with talking(sending(frame(TEXT, data) + parts), max_message_bytes=1000) as talk:
        talk.log.take("message", "room", "fits")
        talk.log.take("message", "room", "fits")


# what RFC 6455 forbids


def anchor(reason: Any) -> str | None:
    """Return where the hint leads to that the log has of a reason."""
    known = hint(reason)
    return None if known is None else known.anchor


VIOLATIONS = [
    pytest.param(frame(TEXT, b"[]", masked=True), id="masked"),
    pytest.param(frame(PING, b"x", masked=True), id="masked ping"),
    pytest.param(frame(TEXT, b"[]", rsv=0x40), id="rsv1"),
    pytest.param(frame(BINARY, b"[]", rsv=0x10), id="rsv3"),
    pytest.param(frame(0x3, b"x"), id="reserved opcode"),
    pytest.param(frame(0xB, b"x"), id="reserved control opcode"),
    pytest.param(frame(CONTINUATION, b"x"), id="continuation of nothing"),
    pytest.param(frame(TEXT, b"x", fin=False) + frame(TEXT, b"[]"), id="text inside of text"),
    pytest.param(frame(BINARY, b"x", fin=False) + frame(BINARY, fin=False), id="begun twice"),
    pytest.param(frame(PING, b"x", fin=False), id="fragmented ping"),
    pytest.param(frame(PING, b"x" * 126), id="long ping"),
    pytest.param(frame(PONG, b"x" * 70_000), id="long pong"),
    pytest.param(frame(CLOSE, b"x" * 200), id="long close"),
    pytest.param(frame(CLOSE, b"\x03"), id="half a close code"),
    pytest.param(closing(999), id="a close code below 1000"),
    pytest.param(closing(1005), id="a close code that is none"),
    pytest.param(closing(1006), id="a close code that nobody sends"),
]


@pytest.mark.parametrize("data", VIOLATIONS)
def test_a_violation_ends_the_connection(data: bytes) -> None:
    """With 1002, and after the good frames that came before it."""
    with talking(holding(broadcast("before") + data + broadcast("behind"))) as talk:
        talk.log.take("message", "room", "before")
        entry = talk.log.take()
        assert entry[0] == "disconnect"
        assert isinstance(entry[1], TransportFailed)
        assert anchor(entry[1]) == "odd-frames"
        assert [came.code for came in talk.closes()] == [1002]


@pytest.mark.parametrize("rsv", [0x40, 0x20, 0x10])
def test_a_frame_of_an_extension_is_called_so(rsv: int) -> None:
    """And not said to be something that this client has yet to learn."""
    with talking(holding(frame(TEXT, b"[]", rsv=rsv))) as talk:
        reason = talk.log.take("disconnect")[1]
        assert reason.error == "a frame of an extension that was not agreed on"


# junk inside of good frames


JUNK = [
    *(
        frame(TEXT, text)
        for text in (
            b"",
            b"ping",
            b"{}",
            b"[]",
            b"null",
            b"[1,2,3,4]",
            b'[null,null,"room","e"',
            b'[null,null,"room",null,{}]',
            b'[null,null,null,"e",{}]',
            b'[1,null,"room","e",{}]',
            b'[null,null,"room","e",1e999]',
            b'[null,null,"room","e","\xff\xfe"]',
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"topic":"room","event":"e","payload":{},"ref":null}',
            b'[null,"99999999","room","phx_reply",{"status":"ok","response":{}}]',
            b'[null,"x","room","phx_reply",{"status":"ok","response":{}}]',
            b'[null,"1","room","phx_reply",{"no":"status"}]',
            b'[null,"1","room","phx_reply","ok"]',
            b'["999","999","room","phx_close",{}]',
            b'["999","999","room","phx_error",{}]',
            b'["999",null,"room","of another join",{}]',
            b'["999",null,"room","of another\\n\\u001b[2Jline",{}]',
            b'[null,"1","room","phx_reply",{"status":1,"response":{}}]',
            b'[null,"1","room","phx_reply",{"status":null,"response":{}}]',
        )
    ),
    *(
        frame(BINARY, data)
        for data in (
            b"",
            b"\x00",
            b"\x03\x00\x00\x00",
            b"\xff" * 300,
            b"\x00\xff\xff\xffshort",
            b"\x01\x01\x01\x04\x02",
            b"\x02\x02\x01\xff\xfex",
        )
    ),
]


def size_of(whole: bytes) -> int:
    """Return the size of a frame's payload."""
    return len(whole) - (2 if whole[1] < 126 else 4 if whole[1] == 126 else 10)


def test_junk_is_counted_and_hurts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "slipstream_actor")
    with talking(sending(b"".join(JUNK) + broadcast("behind"))) as talk:
        assert talk.log.take("message") == ("message", "room", "behind", {})
        assert talk.state().counters.dropped == len(JUNK)
        talk.push("shout", {"n": 1})
        assert talk.log.take("reply")[2] == Reply("ok", {"n": 1})
        talk.assert_disconnects()
    dropped = [r for r in caplog.records if r.name == "slipstream_actor.connection"]
    lines = [r.getMessage() for r in dropped if "drops" in r.getMessage()]
    told = [r.getMessage() for r in dropped if r.levelno > logging.DEBUG]
    assert 1 <= len(told) <= 4
    assert all("V2Serializer raised SerializerError" in text for text in told)
    # Once each, with its size, and never all of it.
    assert [f" {size_of(junk)} bytes" in line for junk, line in zip(JUNK, lines, strict=True)] == [
        True
    ] * len(JUNK)
    assert max(map(len, lines)) < 200
    # Nor does it write lines of its own.
    assert all(line.isprintable() for line in lines)


def test_junk_alone_costs_nothing_when_nobody_listens() -> None:
    with talking(sending(frame(TEXT, b"junk") * 10_000 + broadcast("behind"))) as talk:
        talk.log.take("message", "room", "behind")
        assert talk.state().counters.dropped == 10_000


# pings


def test_every_ping_is_answered_with_its_payload() -> None:
    payloads = [b"", b"x", b"x" * 125, b"\x00\xff"]
    with talking(sending(*(frame(PING, payload) for payload in payloads))) as talk:
        for payload in payloads:
            assert talk.server.next_frame(opcode=PONG).payload == payload
        talk.assert_disconnects()


def test_pongs_that_nobody_asked_for() -> None:
    with talking(sending(frame(PONG, b"x") * 10 + broadcast("behind"))) as talk:
        talk.log.take("message", "room", "behind")
        assert talk.state().counters.frames_in == 12


def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read_them() -> None:
    """The latest is answer enough (RFC 6455 section 5.5.3)."""

    def script(peer: Peer) -> None:
        peer.send(frame(PING, b"x" * 125) * 10_000 + broadcast("behind"))
        peer.park()

    # What the system takes on its way is small, so that the rest is for us to keep, or not.
    with talking(script, sockopt=[(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)]) as talk:
        talk.log.take("message", "room", "behind")
        assert talk.state().counters.bytes_pending < 10_000
        talk.assert_disconnects()


# a peer that does not read


class Stuck:
    """The script of a peer that stops reading until it is told to go on."""

    def __init__(self, pushes: int) -> None:
        self.pushes = pushes
        self.go_on = threading.Event()
        self.to_send = threading.Event()
        self.came: list[Frame] = []

    def __call__(self, peer: Peer) -> None:
        peer.wait_for(self.to_send)
        peer.send(frame(PING, b"still here") + broadcast("still here"))
        peer.wait_for(self.go_on)
        left = self.pushes
        while left:
            came = peer.frame()
            self.came.append(came)
            left -= came.event == "big"
            if came.event == "heartbeat":
                peer.reply(came.message)
        peer.send(broadcast("all came"))
        peer.serve()


def push_much(socket: Socket, pushes: int = 50) -> None:
    """Push as many megabytes."""
    pad = "x" * MEGABYTE
    for n in range(pushes):
        socket.push("room", "big", {"n": n, "pad": pad})


def push_while_there_is_a_connection(socket: Socket) -> None:
    """Push 50 MB, or as much as the peer lets us."""
    with suppress(NotConnectedError):
        push_much(socket)


def fill(talk: Talk, pushes: int = 50) -> None:
    """Push more than the system takes, which is some ten megabytes at most."""
    talk.do(lambda socket: push_much(socket, pushes))
    enough = (pushes - 15) * MEGABYTE
    eventually(lambda: talk.state().counters.bytes_pending > enough, "a full buffer")


def test_a_peer_that_stops_reading_stalls_nothing_else() -> None:
    stuck = Stuck(50)
    with talking(stuck) as talk:
        fill(talk)
        stuck.to_send.set()
        talk.log.take("message", "room", "still here")
        talk.assert_others_go_on()
        stuck.go_on.set()
        talk.log.take("message", "room", "all came")
        big = [came.message[4] for came in stuck.came if came.event == "big"]
        assert [payload["n"] for payload in big] == list(range(50))
        assert {len(payload["pad"]) for payload in big} == {MEGABYTE}
        # The answer to the ping did not wait for all that stood before it.
        kinds = [came.opcode for came in stuck.came]
        assert kinds.index(PONG) < len(kinds) - 1
        assert eventually(lambda: talk.state().counters.bytes_pending == 0)
        talk.assert_disconnects()


def test_a_heartbeat_overtakes_what_waits() -> None:
    stuck = Stuck(20)
    with talking(stuck, heartbeat_interval_msec=2000) as talk:
        stuck.to_send.set()
        fill(talk, 20)
        eventually(lambda: "heartbeat" in talk.state().refs.values(), "a heartbeat")
        stuck.go_on.set()
        talk.log.take("message", "room", "all came")
        events = [came.event for came in stuck.came if came.opcode == TEXT]
        assert "heartbeat" in events[:-1]
        assert eventually(lambda: talk.state().heartbeat_rtt)


def test_a_disconnect_from_a_peer_that_does_not_read() -> None:
    with talking(Peer.park) as talk:
        fill(talk)
        talk.assert_others_go_on()
        talk.assert_disconnects()


def test_a_stop_with_a_peer_that_does_not_read() -> None:
    with talking(Peer.park) as talk:
        fill(talk)
        connection = talk.connection
        talk.ref.stop(timeout=PATIENCE)
        assert wait(connection, 0) == ClosedByClient()


def test_a_peer_that_neither_reads_nor_writes_is_given_up() -> None:
    with talking(Peer.park, heartbeat_interval_msec=BEAT_MSEC) as talk:
        talk.do(push_while_there_is_a_connection)
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())


def test_two_sides_that_both_write_do_not_wait_for_each_other() -> None:
    count = 20

    def script(peer: Peer) -> None:
        peer.expect("begin")
        for _ in range(count):
            peer.send(broadcast("big", {"pad": "x" * MEGABYTE}))
        peer.send(broadcast("all sent"))
        for _ in range(count):
            peer.expect("big")
        peer.send(broadcast("all came"))
        peer.serve()

    def push(socket: Socket) -> None:
        for _ in range(count):
            socket.push("room", "big", {"pad": "x" * MEGABYTE})

    with talking(script, Counting) as talk:
        talk.push("begin", {})
        talk.do(push)
        talk.log.take("message", "room", "all sent")
        talk.log.take("message", "room", "all came")
        talk.assert_disconnects()


# heartbeats


def test_heartbeats_on_the_wire() -> None:
    beats: list[tuple[float, list[Any]]] = []

    def script(peer: Peer) -> None:
        while len(beats) < 5:
            beat = peer.expect("heartbeat")
            beats.append((time.monotonic(), beat))
            peer.reply(beat)
        peer.send(broadcast("enough"))
        peer.serve()

    with talking(script, heartbeat_interval_msec=200) as talk:
        talk.log.take("message", "room", "enough")
        rtt = talk.state().heartbeat_rtt
        assert rtt is not None
        assert 0 < rtt < PATIENCE
    messages = [beat for _, beat in beats]
    assert all([b[0], *b[2:]] == [None, "phoenix", "heartbeat", {}] for b in messages)
    assert len({beat[1] for beat in messages}) == 5
    # Never more often than every 200 ms; half of that, since the first may have been read late.
    assert beats[-1][0] - beats[0][0] > 4 * 0.2 / 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="nothing"),
        pytest.param(lambda beat: message(None, beat[1] + "0", *beat[2:]), id="another ref"),
        pytest.param(
            lambda beat: message(None, beat[1] + "0", "phoenix", "phx_reply", {"status": "ok"}),
            id="a reply to another",
        ),
        pytest.param(lambda _: broadcast("news"), id="news"),
    ],
)
def test_a_heartbeat_without_its_answer(answer: Callable[[list[Any]], bytes] | None) -> None:
    def script(peer: Peer) -> None:
        beat = peer.expect("heartbeat")
        if answer is not None:
            peer.send(answer(beat))
        drain(peer)

    with talking(script, heartbeat_interval_msec=100) as talk:
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())
        # The peer may hear of it yet; its answer is not waited for.
        assert [came.code for came in talk.closes()] == [1000]
        beats = [f for f in list(talk.server.frames.queue) if f.event == "heartbeat"]
        assert len(beats) == 1


def test_a_late_answer_is_an_answer() -> None:
    """As long as it comes before the next heartbeat is due."""

    def script(peer: Peer) -> None:
        for _ in range(2):
            beat = peer.expect("heartbeat")
            assert peer.is_silent(0.05), "one at a time"
            peer.reply(beat)
        peer.send(broadcast("two came"))
        peer.serve()

    with talking(script, heartbeat_interval_msec=BEAT_MSEC) as talk:
        talk.log.take("message", "room", "two came")
        rtt = talk.state().heartbeat_rtt
        assert rtt is not None
        # Half of it: a busy machine may take the time a little after the bytes were out.
        assert rtt > 0.025


def test_a_server_that_is_busy_with_a_join_is_not_dead() -> None:
    """Until the join's own timeout (note 12)."""
    options: dict[str, Any] = {"heartbeat_interval_msec": 50, "join_timeout_msec": 600}
    with talking(drain, rejoin_after_msec=[NEVER_MSEC], **options) as talk:
        talk.do(lambda socket: socket.join("slow"))
        assert talk.log.take() == ("topic_close", "slow", JoinTimeout())
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())


# heartbeats: what drips is no life, what moves is


def paced(peer: Peer, seconds: float = 0.02) -> None:
    """Let time pass between two pieces. Raises `Gone` at the end of the test."""
    if peer.server.stopping.wait(seconds):
        raise Gone


def dripping(begin: bytes, drop: bytes) -> Script:
    """Return a script that answers no heartbeat, and sends `drop` after `drop`."""

    def script(peer: Peer) -> None:
        peer.send(begin)
        while True:
            peer.send(drop)
            paced(peer)

    return script


LONG = b"\x81\x7f" + (50 * MEGABYTE).to_bytes(8, "big")
DRIPS = [
    pytest.param(LONG, b"x", id="a long frame"),
    pytest.param(b"\x82\x7e\xff\xff", b"x", id="a shorter one"),
    pytest.param(FRAGMENTS, frame(CONTINUATION, b" ", fin=False), id="fragments"),
    pytest.param(FRAGMENTS, frame(CONTINUATION, b"", fin=False), id="empty fragments"),
    pytest.param(FRAGMENTS, frame(PING, b"x"), id="pings between fragments"),
    pytest.param(broadcast("news") + LONG, b"xx", id="a long frame behind a whole one"),
    pytest.param(b"", broadcast("news"), id="whole ones"),
    pytest.param(b"", frame(PONG), id="pongs"),
]


@pytest.mark.parametrize(("begin", "drop"), DRIPS)
def test_a_drip_does_not_outlast_the_heartbeat(begin: bytes, drop: bytes) -> None:
    with talking(dripping(begin, drop), heartbeat_interval_msec=200) as talk:
        begun = time.monotonic()
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())
        # Two intervals; the margin is for a machine that is busy.
        assert time.monotonic() - begun < 8


def test_a_drip_does_not_either_while_we_push_much() -> None:
    """What goes out says nothing of what comes in."""

    def script(peer: Peer) -> None:
        peer.sock.settimeout(0.01)
        peer.send(LONG)
        while True:
            peer.send(b"x")
            with suppress(TimeoutError):
                peer.sock.recv(1 << 20)
            paced(peer, 0.01)

    with talking(script, heartbeat_interval_msec=200) as talk:
        begun = time.monotonic()
        while True:
            try:
                talk.do(lambda socket: socket.push("room", "news", {"pad": "x" * 1000}))
            except NotConnectedError:
                break
            assert time.monotonic() - begun < 8, "it goes on"
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())


@pytest.mark.parametrize("size", [2_000, 64 * 1024])
def test_a_message_that_moves_outlasts_the_heartbeat(size: int) -> None:
    """However many intervals it takes; behind it the heartbeat is answered."""
    data = broadcast("big", {"pad": "x" * (size * 100)})

    def script(peer: Peer) -> None:
        for at in range(0, len(data), size):
            peer.send(data[at : at + size])
            paced(peer)
        peer.reply(peer.expect("heartbeat"))
        peer.serve()

    with talking(script, heartbeat_interval_msec=500) as talk:
        talk.log.take("message", "room", "big")
        eventually(lambda: talk.state().heartbeat_rtt, "the heartbeat's answer")
        assert talk.state().status == "connected"
        talk.assert_disconnects()


SMALL_BUFFERS = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)]


def test_a_peer_that_reads_byte_by_byte_does_not_outlast_the_heartbeat() -> None:
    def script(peer: Peer) -> None:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while True:
            peer.sock.recv(1)
            paced(peer, 0.01)

    with talking(script, heartbeat_interval_msec=200, sockopt=SMALL_BUFFERS) as talk:
        begun = time.monotonic()
        talk.do(push_while_there_is_a_connection)
        assert talk.log.take("disconnect") == ("disconnect", HeartbeatTimeout())
        assert time.monotonic() - begun < 8


def test_a_peer_that_reads_at_a_pace_outlasts_the_heartbeat() -> None:
    """Until it has read all, and answers."""

    def script(peer: Peer) -> None:
        def slowly() -> None:
            paced(peer, 0.01)
            peer._buffer += peer.sock.recv(32_768)

        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(peer, "_fill", slowly)
            begun = time.monotonic()
            beat = peer.expect("heartbeat")
            peer.expect("last")
        assert time.monotonic() - begun > 0.6, "it has to last some intervals"
        peer.send(broadcast("all came"))
        peer.reply(beat)
        peer.serve()

    def push(socket: Socket) -> None:
        push_much(socket, 4)
        socket.push("room", "last", {})

    with talking(script, heartbeat_interval_msec=200, sockopt=SMALL_BUFFERS) as talk:
        talk.do(push)
        talk.log.take("message", "room", "all came")
        assert talk.state().status == "connected"


def test_heartbeats_may_be_off() -> None:
    def script(peer: Peer) -> None:
        assert peer.is_silent(0.3)
        peer.send(broadcast("silence"))
        peer.serve()

    with talking(script, heartbeat_interval_msec=0) as talk:
        talk.log.take("message", "room", "silence")


# the end: ours


def test_a_peer_that_does_not_answer_our_close_is_dropped() -> None:
    with talking(drain, close_timeout_msec=300) as talk:
        begun = time.monotonic()
        talk.assert_disconnects()
        assert time.monotonic() - begun >= 0.3
        assert [came.code for came in talk.closes()] == [1000]


@pytest.mark.parametrize(
    ("begin", "drop"),
    [(LONG, b"x"), (FRAGMENTS, frame(PING, b"x")), (b"", broadcast("news")), (b"", frame(PING))],
    ids=["a long frame", "a message", "messages", "pings"],
)
def test_a_peer_that_drips_instead_of_its_close_is_dropped(begin: bytes, drop: bytes) -> None:
    def script(peer: Peer) -> None:
        while peer.frame().opcode != CLOSE:
            pass
        peer.send(begin)
        while True:
            peer.send(drop)
            paced(peer, 0.01)

    with talking(script, close_timeout_msec=300, heartbeat_interval_msec=0) as talk:
        begun = time.monotonic()
        talk.assert_disconnects()
        assert 0.3 <= time.monotonic() - begun < 8


@pytest.mark.parametrize("answer", [closing(1000), closing(4001), closing(None), b""])
def test_an_answer_ends_the_wait_at_once(answer: bytes) -> None:
    def script(peer: Peer) -> None:
        while peer.frame().opcode != CLOSE:
            pass
        peer.send(answer)
        peer.finish()
        drain(peer)

    with talking(script, close_timeout_msec=NEVER_MSEC) as talk:
        talk.assert_disconnects()
        assert [came.code for came in talk.closes()] == [1000]


def test_what_comes_before_the_answer_is_delivered() -> None:
    def script(peer: Peer) -> None:
        while peer.frame().opcode != CLOSE:
            pass
        peer.send(broadcast("last") + frame(PING, b"x") + closing(1000) + broadcast("too late"))
        drain(peer)

    with talking(script, close_timeout_msec=NEVER_MSEC) as talk:
        talk.do(Socket.disconnect)
        talk.log.take("message", "room", "last")
        assert talk.log.take() == ("disconnect", ClosedByClient())
        assert talk.closes() == [Frame(CLOSE, b"\x03\xe8")]
        assert [f for f in list(talk.server.frames.queue) if f.opcode == PONG] == []


@pytest.mark.parametrize("who", ["client", "connection"])
def test_a_stop_sends_one_close_frame(who: str) -> None:
    with talking(Peer.serve) as talk:
        if who == "client":
            talk.ref.stop()
        else:
            talk.connection.stop()
            assert talk.log.take("disconnect") == ("disconnect", ClosedByClient())
        assert [came.code for came in talk.closes()] == [1000]


def test_a_second_disconnect_sends_nothing_more() -> None:
    with talking(drain) as talk:
        talk.do(lambda socket: socket.disconnect().disconnect())
        assert talk.log.take("disconnect") == ("disconnect", ClosedByClient())
        assert [came.code for came in talk.closes()] == [1000]


# the end: theirs


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1008, 1009, 1011, 1012, 1013, 4001])
def test_a_close_of_the_server(code: int) -> None:
    def script(peer: Peer) -> None:
        peer.send(broadcast("before") + closing(code) + broadcast("behind"))
        drain(peer)

    with talking(script) as talk:
        talk.log.take("message", "room", "before")
        assert talk.log.take() == ("disconnect", ClosedByPeer(code))
        assert [came.code for came in talk.closes()] == [code]


def test_a_close_with_a_reason() -> None:
    with talking(holding(closing(4001, "enough é"))) as talk:
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(4001, "enough é"))


def test_a_close_without_a_code() -> None:
    with talking(holding(closing(None))) as talk:
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(1005))
        assert [came.code for came in talk.closes()] == [None]


def test_a_close_whose_sender_does_not_wait_for_an_answer() -> None:
    """As Phoenix does (note 31)."""
    with talking(lambda peer: peer.send(closing(1001))) as talk:
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(1001))


def test_an_end_without_a_close_frame() -> None:
    with talking(Peer.finish) as talk:
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(1006))


def test_a_reset() -> None:
    with talking(Peer.reset) as talk:
        assert isinstance(talk.log.take("disconnect")[1], TransportFailed)


# a failed write, and why


def closing_while_we_push(code: int, end: Callable[[Peer], object]) -> Script:
    """Return a script that has enough in the middle of a push, as Bandit does (note 36)."""

    def script(peer: Peer) -> None:
        peer.read(100_000)
        peer.send(closing(code))
        end(peer)

    return script


ENDS = [
    pytest.param(Peer.reset, id="reset"),
    pytest.param(lambda peer: None, id="closed with bytes unread"),
    pytest.param(lambda peer: (peer.finish(), peer.park()), id="finished"),
]


@pytest.mark.parametrize("code", [1009, 1012])
@pytest.mark.parametrize("end", ENDS)
def test_the_close_frame_that_explains_a_failed_write(
    code: int, end: Callable[[Peer], object]
) -> None:
    with talking(closing_while_we_push(code, end)) as talk:
        talk.do(push_while_there_is_a_connection)
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(code))


def test_it_is_heard_by_a_thread_that_was_kept_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the time for it was over, as on a machine that does other things."""
    monkeypatch.setattr(connection, "LAST_WORDS_SECONDS", 0.0)
    with talking(closing_while_we_push(1012, Peer.reset)) as talk:
        talk.do(push_while_there_is_a_connection)
        assert talk.log.take("disconnect") == ("disconnect", ClosedByPeer(1012))


def test_a_failed_write_that_nothing_explains() -> None:
    def script(peer: Peer) -> None:
        peer.read(100_000)
        peer.reset()

    with talking(script) as talk:
        talk.do(push_while_there_is_a_connection)
        reason = talk.log.take("disconnect")[1]
        assert isinstance(reason, TransportFailed) or reason == ClosedByPeer(1006)
