"""Messages of more than 64 KiB wait as they came, and are what they would be wherever they are
taken; the bound in bytes, over real sockets. With both versions of the serializer."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import msgspec
import pytest

from slipstream_actor import (
    ConnectionState,
    MessageReceived,
    Reply,
    Socket,
    connect,
    get_state,
    on,
    wait_until_joined,
)
from slipstream_actor.protocol.message import PartlyDecoded
from slipstream_actor.testing import PhoenixServer
from tests.integration.test_pairs import until_mark
from tests.support.clients import PATIENCE, Recorder, do, eventually, recording
from tests.support.raw_server import TEXT, Peer, RawServer, frame
from tests.support.slow_client import Slow

TOPIC = "bench:room"
MEGABYTE = 1024 * 1024
PAD = "é" * 40_000  # Of two bytes each.
BIG = {"n": 1, "pad": PAD, "nested": [{"a": [1.5, None, True]}]}
LOGGER = "slipstream_actor.connection"

NAMES = {"2.0.0": "V2Serializer", "1.0.0": "V1Serializer"}

both = pytest.mark.parametrize("vsn", ["2.0.0", "1.0.0"])


def said(vsn: str, event: str, payload: str, topic: str = TOPIC) -> bytes:
    """Return a broadcast with this JSON text, or what is none, for its payload."""
    if vsn == "2.0.0":
        text = f'[null, null, "{topic}", "{event}", {payload}]'
    else:
        text = f'{{"topic": "{topic}", "event": "{event}", "payload": {payload}, "ref": null}}'
    return frame(TEXT, text.encode(errors="surrogateescape"))


def broken(error: str) -> str:
    """Return what reads like JSON until one looks into it."""
    wrong = {"number": "1e999", "text": '"\udcff"'}[error]
    return f'{{"token": "SECRET", "pad": "{PAD}", "wrong": {wrong}}}'


class Handling(Recorder):
    """Takes what is big with a handler by its pattern."""

    @on("bench:*", "big")
    def on_big(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.note("handled", topic, event, payload)


class Watching(Recorder):
    """Notes who comes and goes in its topic."""

    def init(self, uri: str, log: Any, **options: Any) -> Socket:
        self.log = log
        return connect(uri, **options).track_presence("presence:room")

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> None:
        self.note("presence_join", key, new)

    def handle_presence_sync(self, topic: str, socket: Socket) -> None:
        self.note("presence_sync", dict(socket.presences(topic)))


# wherever they are taken


@both
def test_callbacks_are_given_the_payload(server: PhoenixServer, vsn: str) -> None:
    with recording(server.uri, vsn=vsn) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        server.broadcast(TOPIC, "big", BIG)
        assert log.take("message") == ("message", TOPIC, "big", BIG)
        assert until_mark(ref, log) == []


@both
def test_handlers_are_found_by_topic_and_event(server: PhoenixServer, vsn: str) -> None:
    with recording(server.uri, Handling, vsn=vsn) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        server.broadcast(TOPIC, "big", BIG)
        server.broadcast(TOPIC, "other", BIG)
        assert log.get(timeout=PATIENCE) == ("handled", TOPIC, "big", BIG)
        assert log.get(timeout=PATIENCE) == ("message", TOPIC, "other", BIG)


@both
def test_presences_are_kept(server: PhoenixServer, vsn: str) -> None:
    with recording(server.uri, Watching, vsn=vsn) as (ref, log):
        do(ref, lambda s: s.join("presence:room", {"user": "ann", "meta": {"pad": PAD}}))
        log.take("join")
        # The state and the diff are both as big.
        joined = log.take("presence_join", "ann")[2]
        assert joined["metas"][0]["pad"] == PAD
        eventually(lambda: "ann" in do(ref, lambda s: s.presences("presence:room")), "her")
        with connect(server.uri, vsn=vsn).join(
            "presence:room", {"user": "bob", "meta": {"pad": PAD}}
        ) as socket:
            socket.await_join("presence:room")
            assert log.take("presence_join", "bob")[2]["metas"][0]["pad"] == PAD
        assert all(entry[0] != "message" for entry in until_mark(ref, log))


@both
def test_awaits_look_into_the_payload(server: PhoenixServer, vsn: str) -> None:
    with connect(server.uri, vsn=vsn).join(TOPIC) as first:
        socket = first.await_join(TOPIC)
        for n in range(3):
            server.broadcast(TOPIC, "big", {**BIG, "n": n})
        wanted: list[dict[str, Any]] = [
            {"n": 2},
            {"nested": [{"a": [1.5, None, True]}], "n": 1},
            {"pad": lambda pad: pad == PAD},
        ]
        numbers = [
            socket.await_message(TOPIC, "big", pattern, PATIENCE).payload["n"] for pattern in wanted
        ]
        assert numbers == [2, 1, 0]


@both
def test_an_await_in_a_callback_looks_into_the_payload(server: PhoenixServer, vsn: str) -> None:
    def await_second(socket: Socket) -> Any:
        return socket.await_message(TOPIC, "big", {"n": 2}, PATIENCE).payload["pad"]

    with recording(server.uri, vsn=vsn) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        waiting = ref.proxy().do(await_second)
        for n in range(3):
            server.broadcast(TOPIC, "big", {**BIG, "n": n})
        assert waiting.get(timeout=PATIENCE) == PAD
        assert [log.take("message")[3]["n"] for _ in range(2)] == [0, 1]


@both
def test_messages_are_iterated_over(server: PhoenixServer, vsn: str) -> None:
    with connect(server.uri, vsn=vsn).join(TOPIC) as first:
        socket = first.await_join(TOPIC)
        for n in range(4):
            server.broadcast(TOPIC, "big", {**BIG, "n": n})
        odd = socket.messages(TOPIC, payload={"n": lambda n: n % 2}, timeout=0.2)
        assert [message.payload["n"] for message in odd] == [1, 3]
        rest = socket.messages(timeout=0.05)
        assert list(rest) == [MessageReceived(TOPIC, "big", {**BIG, "n": n}) for n in (0, 2)]


@both
def test_a_big_reply_is_one(server: PhoenixServer, vsn: str) -> None:
    with connect(server.uri, vsn=vsn).join(TOPIC) as first:
        socket = first.await_join(TOPIC)
        assert socket.await_reply(socket.push(TOPIC, "echo", BIG)) == Reply("ok", BIG)


# what is no JSON inside


@pytest.fixture(params=["number", "text"])
def error(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def saying(vsn: str, *texts: str) -> Any:
    """Return a script that accepts a connection and says these payloads, and then a small one."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(b"".join(said(vsn, "big", text) for text in texts) + said(vsn, "next", "{}"))
        peer.frame()
        peer.hold()

    return script


QUICK: dict[str, Any] = {"close_timeout_msec": 50}


@both
def test_a_callback_is_given_the_next(
    vsn: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = saying(vsn, broken(error), json.dumps(BIG))
    with RawServer(script) as server, recording(server.uri, vsn=vsn, **QUICK) as (_, log):
        log.take("connect")
        assert log.get(timeout=PATIENCE) == ("message", TOPIC, "big", BIG)
        assert log.get(timeout=PATIENCE) == ("message", TOPIC, "next", {})
    [record] = [r for r in caplog.records if r.name == LOGGER and r.levelno >= logging.WARNING]
    assert " cannot decode a message of " in record.getMessage()
    assert f": {NAMES[vsn]} raised DecodeError" in record.getMessage()
    assert "SECRET" not in caplog.text


@both
@pytest.mark.parametrize("way", ["await", "await a payload", "messages"])
def test_an_await_is_given_the_next(
    vsn: str, error: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    script = saying(vsn, broken(error), json.dumps(BIG))
    with RawServer(script) as server, connect(server.uri, vsn=vsn, **QUICK) as first:
        socket = first.await_connect()
        vars(socket.socket_pid.actor_inbox).pop("log", None)  # What another test's has said.
        if way == "messages":
            messages = socket.messages(event="big", timeout=PATIENCE)
            assert next(messages).payload == BIG
        else:
            pattern: Any = {"n": 1} if way == "await a payload" else {}
            assert socket.await_message(TOPIC, "big", pattern, PATIENCE).payload == BIG
        assert socket.await_message(TOPIC, "next", timeout=PATIENCE).payload == {}
    assert " cannot decode a message of " in caplog.text
    assert f": {NAMES[vsn]} raised DecodeError" in caplog.text
    assert "SECRET" not in caplog.text


# the frame log


@both
def test_the_frame_log_shows_the_beginning(
    server: PhoenixServer, vsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.DEBUG, "slipstream_actor.frames"),
        connect(server.uri, vsn=vsn).join(TOPIC) as first,
    ):
        socket = first.await_join(TOPIC)
        payload = {"body": "hello", "token": "SECRET", "pairs": [["password", "SECRET"]], **BIG}
        server.broadcast(TOPIC, "big", payload)
        assert socket.await_message(TOPIC, "big", timeout=PATIENCE).payload == payload
    [line] = [r.getMessage() for r in caplog.records if f"{TOPIC} big" in r.getMessage()]
    assert line.startswith(f"receive {TOPIC} big {{'body': 'hello', 'token': …, 'pairs': ")
    assert "SECRET" not in caplog.text
    assert len(line) < 600


# the bound in bytes


def look(ref: Any) -> ConnectionState:
    state: ConnectionState = get_state(get_state_of(ref), PATIENCE)
    return state


def get_state_of(ref: Any) -> Any:
    """Return its connection, without asking it: it is in a callback."""
    return ref._actor_weakref()._slipstream.socket.channel_pid


@both
def test_reading_stands_still_above_the_bytes_and_goes_on(
    server: PhoenixServer, turns: threading.Semaphore, vsn: str
) -> None:
    count, size = 60, 100_000
    options: dict[str, Any] = {"vsn": vsn, "max_undelivered_bytes": MEGABYTE}
    with recording(server.uri, Slow, **options) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": count, "size": size}))
        eventually(lambda: look(ref).paused, "the pause")
        assert Slow.entered.wait(PATIENCE)
        state = look(ref)
        assert state.max_undelivered_bytes == MEGABYTE
        # One read more, and what came before it of a message; that which the client is in may have
        # been taken when reading stood still already.
        assert MEGABYTE - size < state.undelivered_bytes < 2 * MEGABYTE
        assert state.undelivered < 25
        assert look(ref).counters.bytes_in == state.counters.bytes_in
        # They wait as they came.
        waiting = [event for burst in bursts(ref) for event in burst.events]
        assert waiting
        assert all(type(event) is PartlyDecoded for event in waiting)
        assert all(type(event.payload) is msgspec.Raw for event in waiting)
        # Down to a quarter nothing is read.
        while look(ref).undelivered_bytes > MEGABYTE // 4 + 2 * size:
            left = look(ref).undelivered - 1
            turns.release()
            eventually(lambda left=left: look(ref).undelivered == left, "one less")  # type: ignore[misc]
            assert look(ref).paused
        turns.release(10**6)
        assert [log.take("message")[3]["i"] for _ in range(count)] == [*range(1, count + 1)]
        log.take("reply")
        assert not look(ref).paused
        assert look(ref).undelivered_bytes == 0


def bursts(ref: Any) -> list[Any]:
    """Return the bursts in a client's queue, which stays as it is: the client is in a callback."""
    inbox = ref.actor_inbox
    envelopes = [inbox._queue.get_nowait() for _ in range(inbox._queue.qsize())]
    for envelope in envelopes:
        inbox._queue.put(envelope)
    return [e.message for e in envelopes if hasattr(e.message, "events")]


@both
def test_a_disconnect_is_heard_while_reading_stands_still(
    server: PhoenixServer, turns: threading.Semaphore, vsn: str
) -> None:
    options: dict[str, Any] = {"vsn": vsn, "max_undelivered_bytes": MEGABYTE // 4}
    with recording(server.uri, Slow, **options) as (ref, log):
        do(ref, lambda s: s.join(TOPIC))
        wait_until_joined(ref, TOPIC)
        do(ref, lambda s: s.push(TOPIC, "flood", {"n": 60, "size": 100_000}))
        eventually(lambda: look(ref).paused, "the pause")
        closing = ref.proxy().do(lambda s: s.disconnect())
        turns.release(10**6)
        closing.get(timeout=PATIENCE)
        log.take("disconnect")
        server.wait_for_connections(0)
