"""permessage-deflate over real sockets: with the embedded server, and with peers that do wrong."""

from __future__ import annotations

import json
import os
import random
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from slipstream_actor import (
    ConnectFailed,
    ConnectFailedError,
    ConnectionState,
    Next,
    Reply,
    Socket,
    TransportFailed,
    connect,
    get_state,
    request,
    wait_until_joined,
)
from slipstream_actor.protocol.hints import hint
from slipstream_actor.testing import Mount, PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording
from tests.support.raw_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    OK,
    PING,
    PONG,
    TEXT,
    Peer,
    RawServer,
    Script,
    broadcast,
    frame,
    unmasked,
)

DEFLATE = ["permessage-deflate"]
TOPIC = "bench:room"
TAIL = b"\x00\x00\xff\xff"
RSV1 = 0x40
MEGABYTE = 1024 * 1024
NEVER_MSEC = 60_000
ROWS = [{"id": n, "name": f"row {n}", "price": n / 100} for n in range(100)]

OFFERS = [
    "permessage-deflate",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8",
]


def look(socket: Socket) -> ConnectionState:
    assert socket.channel_pid is not None
    state: ConnectionState = get_state(socket.channel_pid, PATIENCE)
    return state


@contextmanager
def joined(uri: str, params: Any = None, **options: Any) -> Iterator[Socket]:
    """A plain thread's socket that has joined the topic."""
    with connect(uri, **options) as socket:
        yield socket.await_connect(PATIENCE).join(TOPIC, params or {}).await_join(TOPIC, PATIENCE)


@pytest.fixture(scope="module")
def phoenix() -> Iterator[PhoenixServer]:
    with PhoenixServer(compress=True) as server:
        yield server


def payloads() -> list[Any]:
    """JSON and binaries of all sizes, some that compress well and some that do not."""
    some = random.Random(7)
    found: list[Any] = [{}, b"", {"rows": ROWS}, {"text": "é" * 5000}, os.urandom(70_000)]
    for _ in range(60):
        size = some.choice([1, 30, 63, 64, 65, 300, 3000, 40_000])
        found += [{"x": "ab" * size, "n": size}, bytes(size), some.randbytes(size)]
    return found


# with a server that is right


@pytest.mark.parametrize("offer", OFFERS)
def test_a_conversation(phoenix: PhoenixServer, offer: str) -> None:
    """Joins, pushes and replies, JSON and binary, one after the other."""
    with joined(phoenix.uri, {"reply": {"rows": ROWS}}, extensions=[offer]) as socket:
        assert socket.joins[TOPIC].response == {"rows": ROWS}
        for payload in payloads():
            reply = socket.await_reply(socket.push(TOPIC, "echo", payload))
            assert reply == Reply("ok", payload)
        assert socket.ping() > 0
        assert look(socket).counters.dropped == 0


def test_pushes_that_are_on_their_way_together(phoenix: PhoenixServer) -> None:
    with joined(phoenix.uri, extensions=DEFLATE) as socket:
        sent = payloads()
        refs = [socket.push(TOPIC, "echo", payload) for payload in sent]
        assert [socket.await_reply(ref).response for ref in refs] == sent


@pytest.mark.parametrize("offer", OFFERS[:4])
def test_it_is_in_force(phoenix: PhoenixServer, offer: str) -> None:
    """Much fewer bytes are on the wire, both ways; what is counted are those."""
    payload = {"rows": ROWS}
    size = len(json.dumps(payload))
    with joined(phoenix.uri, extensions=[offer]) as socket:
        [said] = look(socket).extensions
        assert said == f"{offer}; client_max_window_bits=15"
        assert socket.response_headers is not None
        assert socket.response_headers["sec-websocket-extensions"] == said.replace("; ", ";")
        before = look(socket).counters
        for _ in range(10):
            socket.await_reply(socket.push(TOPIC, "echo", payload))
        after = look(socket).counters
        assert after.bytes_out - before.bytes_out < 10 * size / 3
        assert after.bytes_in - before.bytes_in < 10 * size / 3


def test_a_server_that_does_not_compress() -> None:
    with PhoenixServer() as server, joined(server.uri, extensions=DEFLATE) as socket:
        assert look(socket).extensions == ()
        payload = {"rows": ROWS}
        before = look(socket).counters
        assert socket.await_reply(socket.push(TOPIC, "echo", payload)).response == payload
        after = look(socket).counters
        size = len(json.dumps(payload, separators=(",", ":")))
        assert after.bytes_out - before.bytes_out > size
        assert after.bytes_in - before.bytes_in > size


def test_a_client_that_asks_for_nothing(phoenix: PhoenixServer) -> None:
    with joined(phoenix.uri) as socket:
        assert look(socket).extensions == ()
        assert socket.await_reply(socket.push(TOPIC, "echo", {"rows": ROWS})).response


def test_over_tls() -> None:
    authority = trustme.CA()
    there, here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(there)
    authority.configure_trust(here)
    with PhoenixServer(ssl_context=there, compress=True) as server:
        uri = server.uri.replace("127.0.0.1", "localhost")
        with joined(uri, extensions=DEFLATE, ssl_context=here) as socket:
            for payload in payloads():
                assert socket.await_reply(socket.push(TOPIC, "echo", payload)).response == payload


def test_a_connection_that_comes_back_has_contexts_of_its_own(phoenix: PhoenixServer) -> None:
    """What the last one had seen, neither side knows any more."""
    options: dict[str, Any] = {"extensions": DEFLATE, "reconnect_after_msec": [1]}
    with recording(phoenix.uri, **options) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join(TOPIC)).get()
        for _ in range(3):
            log.take("join")
            for _ in range(5):
                reply = request(ref, TOPIC, "echo", {"rows": ROWS}).get(timeout=PATIENCE)
                assert reply == Reply("ok", {"rows": ROWS})
            phoenix.drop()
            log.take("disconnect")
            log.take("connect")


def test_idle_buffers_are_given_back(phoenix: PhoenixServer) -> None:
    """And the conversation goes on as if nothing were."""
    with joined(phoenix.uri, extensions=DEFLATE) as socket:
        for _ in range(5):
            assert socket.await_reply(socket.push(TOPIC, "echo", {"rows": ROWS})).ok
            socket.collect_garbage()


class Chatty(Recorder):
    """Pushes from its callbacks, one each: those that are written in its own thread."""

    def handle_info(self, message: Any, socket: Socket) -> Any:
        socket.push(TOPIC, "echo", {"n": message, "rows": ROWS[message % 50 :]})
        return Next(socket)


def test_pushes_of_many_threads_keep_the_order_of_their_compression(
    phoenix: PhoenixServer,
) -> None:
    """Of callbacks, of other threads, of requests: each is compressed as it is written."""
    each = 40
    with recording(phoenix.uri, Chatty, extensions=DEFLATE) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join(TOPIC)).get()
        wait_until_joined(ref, TOPIC, PATIENCE)
        failures: list[Any] = []

        def ask(which: int) -> None:
            for n in range(each):
                payload = {"who": which, "n": n, "rows": ROWS[n:]}
                reply = request(ref, TOPIC, "echo", payload).get(timeout=PATIENCE)
                if reply.response != payload:
                    failures.append((reply, payload))

        threads = [threading.Thread(target=ask, args=(which,)) for which in range(4)]
        for thread in threads:
            thread.start()
        for n in range(each):
            ref.tell(n)
        for thread in threads:
            thread.join()
        assert failures == []
        seen = [log.take("reply")[2].response["n"] for _ in range(each)]
        assert seen == list(range(each))
        assert get_state(get_state(ref).connection).counters.dropped == 0


def test_big_messages_both_ways() -> None:
    with PhoenixServer(compress=True) as server:
        server.mounts["/socket"] = Mount(compress=True, max_frame_size=100 * MEGABYTE)
        with joined(server.uri, extensions=DEFLATE) as socket:
            for payload in (os.urandom(3 * MEGABYTE), bytes(30 * MEGABYTE)):
                ref = socket.push(TOPIC, "echo", payload)
                assert socket.await_reply(ref, PATIENCE).response == payload


# with peers that are not


@contextmanager
def talking(
    script: Script, answer: str = "permessage-deflate", **options: Any
) -> Iterator[tuple[RawServer, Any, Log]]:
    """Let a client join "room" at a peer that says it compresses, and `script` go on from there."""

    def whole(peer: Peer) -> None:
        peer.upgrade(f"sec-websocket-extensions: {answer}")
        peer.join()
        script(peer)

    options = {
        "extensions": DEFLATE,
        "reconnect_after_msec": [NEVER_MSEC],
        "close_timeout_msec": 100,
        **options,
    }
    with RawServer(whole) as server, recording(server.uri, **options) as (ref, log):
        log.take("connect")
        ref.proxy().do(lambda socket: socket.join("room")).get()
        log.take("join")
        yield server, ref, log


class Compressor:
    """The peer's messages."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(9, wbits=-15)

    def payload(self, data: bytes) -> bytes:
        compressed = self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        return compressed.removesuffix(TAIL)

    def broadcast(self, event: str, payload: Any = None) -> bytes:
        fields = [None, None, "room", event, payload]
        return frame(TEXT, self.payload(json.dumps(fields).encode()), rsv=RSV1)


def sending(data: bytes) -> Script:
    def script(peer: Peer) -> None:
        peer.send(data)
        while True:
            peer.frame()

    return script


def codes(server: RawServer) -> list[int | None]:
    """The close frames that came, when there is nothing more to come."""
    assert server.hung_up.wait(PATIENCE)
    return [came.code for came in list(server.frames.queue) if came.opcode == CLOSE]


HELLO = bytes.fromhex("f2 48 cd c9 c9 07 00")
WRONG = [
    pytest.param(frame(PING, b"x", rsv=RSV1), id="a ping that is marked"),
    pytest.param(
        frame(TEXT, HELLO[:3], rsv=RSV1, fin=False) + frame(CONTINUATION, HELLO[3:], rsv=RSV1),
        id="a continuation that is marked",
    ),
    pytest.param(frame(TEXT, HELLO, rsv=RSV1 | 0x20), id="rsv2"),
    pytest.param(frame(BINARY, HELLO, rsv=0x10), id="rsv3"),
    pytest.param(frame(TEXT, b"\x06", rsv=RSV1), id="corrupt"),
    pytest.param(frame(BINARY, b"\xff" * 70_000, rsv=RSV1), id="corrupt and big"),
]


@pytest.mark.parametrize("data", WRONG)
def test_a_violation_ends_the_connection(data: bytes) -> None:
    """With 1002, and after the good frames that came before it."""
    flow = Compressor()
    stream = flow.broadcast("before", ROWS) + broadcast("plain") + data + broadcast("behind")
    with talking(sending(stream)) as (server, _, log):
        assert log.take("message")[1:] == ("room", "before", ROWS)
        assert log.take("message")[1:3] == ("room", "plain")
        name, reason = log.take()
        assert name == "disconnect"
        assert isinstance(reason, TransportFailed)
        assert codes(server) == [1002]


def test_corrupt_data_is_called_so() -> None:
    with talking(sending(frame(TEXT, b"\x06", rsv=RSV1))) as (_, _, log):
        reason = log.take("disconnect")[1]
        assert "a message that does not inflate" in reason.error
        assert (known := hint(reason)) is not None
        assert known.anchor == "compression"


@pytest.mark.parametrize("extensions", [[], DEFLATE])
def test_a_mark_that_was_not_agreed_on(extensions: list[str]) -> None:
    """As ever, where nothing was offered, or nothing granted."""
    data = frame(TEXT, HELLO, rsv=RSV1)
    with talking(sending(data), "", extensions=extensions) as (server, _, log):
        assert isinstance(log.take("disconnect")[1], TransportFailed)
        assert codes(server) == [1002]


def test_a_message_that_is_cut_off() -> None:
    """Else all that follows would be read as what is missing, and be dropped."""
    flow = Compressor()
    cut = json.dumps([None, None, "room", "cut", ROWS]).encode()
    stream = flow.broadcast("before")
    stream += frame(TEXT, flow.payload(cut)[:-9], rsv=RSV1)
    stream += b"".join(flow.broadcast("behind", ROWS) for _ in range(5))
    with talking(sending(stream)) as (_, _, log):
        log.take("message", "room", "before")
        reason = log.take("disconnect")[1]
        assert reason == TransportFailed("a message that does not inflate: its end is missing")


def bomb(megabytes: int) -> bytes:
    """A message of zeros: blocks that refer to nothing before them, all the same."""
    stream = zlib.compressobj(wbits=-15)
    block = stream.compress(bytes(MEGABYTE)) + stream.flush(zlib.Z_FULL_FLUSH)
    return frame(BINARY, (block * megabytes).removesuffix(TAIL), rsv=RSV1)


def test_a_bomb_of_a_gigabyte() -> None:
    data = bomb(1024)
    assert len(data) < 1.1 * MEGABYTE
    with talking(sending(data), max_message_bytes=4 * MEGABYTE) as (server, _, log):
        tracemalloc.start()
        try:
            reason = log.take("disconnect")[1]
            assert isinstance(reason, TransportFailed)
            assert f"{4 * MEGABYTE} bytes" in reason.error
            assert codes(server) == [1009]
            assert tracemalloc.get_traced_memory()[1] < 24 * MEGABYTE
        finally:
            tracemalloc.stop()


class Slow(Recorder):
    """Takes a message when it is let."""

    turns: threading.Semaphore

    def handle_connect(self, socket: Socket) -> None:
        self.note("connect", socket.channel_pid)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        assert self.turns.acquire(timeout=PATIENCE)
        self.note("message", topic, event, payload["n"])


def test_what_grows_is_felt_as_pressure() -> None:
    """Forty messages of a megabyte come in one read: a few of them are taken, and no more."""
    count = 40
    flow = Compressor()
    messages = [flow.broadcast("big", {"n": n, "pad": "x" * MEGABYTE}) for n in range(count)]
    stream = b"".join(messages)
    assert len(stream) < 100_000
    Slow.turns = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.upgrade("sec-websocket-extensions: permessage-deflate")
        peer.send(stream)
        peer.send(frame(PING, b"behind"))
        while peer.frame().opcode != PONG:
            pass
        peer.hold()

    options = {"extensions": DEFLATE, "max_undelivered_bytes": 4 * MEGABYTE}
    with RawServer(script) as server, recording(server.uri, Slow, **options) as (_, log):
        try:
            connection = log.take("connect")[1]
            eventually(lambda: get_state(connection).paused, "a pause")
            state = get_state(connection)
        finally:
            Slow.turns.release(count)
        # Down to a quarter of the bound it stays so, while the client takes the first ones.
        assert MEGABYTE < state.undelivered_bytes < 8 * MEGABYTE
        assert state.undelivered < 8
        assert state.counters.bytes_in < 150_000
        assert [log.take("message")[3] for _ in range(count)] == list(range(count))
        server.next_frame(opcode=PONG)
        eventually(lambda: get_state(connection).undelivered_bytes == 0, "all taken")


class Reading:
    """A script that accepts joins and answers heartbeats; `frames` are first byte and message."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, list[Any]]] = []
        self.beaten = threading.Event()
        self._inflater = zlib.decompressobj(-15)

    def __call__(self, peer: Peer) -> None:
        peer.upgrade("sec-websocket-extensions: permessage-deflate; client_max_window_bits=15")
        while (frame := self.frame(peer))[0] & 0x0F != CLOSE:
            self.take(peer, frame[0], json.loads(frame[1]))

    def frame(self, peer: Peer) -> tuple[int, bytes]:
        first, second = peer.read(2)
        assert second & 0x80
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(peer.read(2 if size == 126 else 8), "big")
        key = peer.read(4)
        payload = unmasked(peer.read(size), key)
        return first, self._inflater.decompress(payload + TAIL) if first & RSV1 else payload

    def take(self, peer: Peer, first: int, message: list[Any]) -> None:
        self.frames.append((first, message))
        join_ref, ref, topic, event, _ = message
        if event in ("phx_join", "heartbeat"):
            fields = [join_ref, ref, topic, "phx_reply", OK]
            peer.send(frame(TEXT, json.dumps(fields).encode()))
        if event == "heartbeat":
            self.beaten.set()


def test_what_the_client_sends_is_masked_and_marked() -> None:
    """But for heartbeats, which go ahead of what waits."""
    reading = Reading()
    options: dict[str, Any] = {"heartbeat_interval_msec": 200, "close_timeout_msec": 100}
    params = {"rows": ROWS}
    with RawServer(reading) as server:
        with joined(server.uri, params, extensions=DEFLATE, **options) as socket:
            for _ in range(3):
                socket.push(TOPIC, "rows", params)
            assert reading.beaten.wait(PATIENCE)
            socket.push(TOPIC, "rows", params)
        assert server.hung_up.wait(PATIENCE)
    firsts: dict[str, set[int]] = {}
    for first, message in reading.frames:
        firsts.setdefault(message[3], set()).add(first)
        assert message[4] == ({} if message[3] == "heartbeat" else params)
    assert firsts == {"phx_join": {0xC1}, "rows": {0xC1}, "heartbeat": {0x81}}
    assert len(reading.frames) >= 6


# the upgrade


def answering(answer: str) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.upgrade(f"Sec-WebSocket-Extensions: {answer}")
        peer.hold()

    return script


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", "x-other"),
        ("", "permessage-deflate; x-other"),
        ("", "permessage-deflate, permessage-deflate"),
        ("", "permessage-deflate; server_max_window_bits=16"),
        ("", "permessage-deflate; server_max_window_bits=7"),
        ("", "permessage-deflate; client_max_window_bits"),
        ("", "permessage-deflate; server_no_context_takeover; server_no_context_takeover"),
        ("", "permessage-deflate; server_no_context_takeover=yes"),
        ("; server_no_context_takeover", "permessage-deflate"),
        ("; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=10"),
    ],
)
def test_an_answer_that_is_none_to_the_offer(offer: str, answer: str) -> None:
    """RFC 7692 section 7.1: the client fails the connection."""
    with (
        RawServer(answering(answer)) as server,
        connect(server.uri, extensions=[f"permessage-deflate{offer}"]) as socket,
    ):
        with pytest.raises(ConnectFailedError) as raised:
            socket.await_connect(PATIENCE)
        reason = raised.value.reason
        assert isinstance(reason, ConnectFailed)
        assert reason.kind == "upgrade"
        assert "extension" in reason.detail.lower() or "permessage-deflate" in reason.detail


@pytest.mark.parametrize("extensions", [[], DEFLATE])
def test_what_is_offered(extensions: list[str]) -> None:
    with (
        RawServer(answering("")) as server,
        connect(server.uri, extensions=extensions, close_timeout_msec=100) as socket,
    ):
        socket.await_connect(PATIENCE)
        offered = server.next_request().all("sec-websocket-extensions")
        assert offered == [f"{name}; client_max_window_bits" for name in extensions]


def test_two_lines_are_one_answer() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(
            "Sec-WebSocket-Extensions: permessage-deflate",
            "Sec-WebSocket-Extensions: permessage-deflate",
        )
        peer.hold()

    with (
        RawServer(script) as server,
        connect(server.uri, extensions=DEFLATE) as socket,
        pytest.raises(ConnectFailedError, match="2 times"),
    ):
        socket.await_connect(PATIENCE)
