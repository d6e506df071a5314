"""Serializers of one's own: what is called for which frame, and what is told when it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    ANY,
    AwaitTimeoutError,
    JoinFailedError,
    Message,
    SerializerError,
    V1Serializer,
    V2Serializer,
    connect,
    get_state,
    wait_until_joined,
)
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.decoding import Decoding
from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.hints import DecodingFailed
from slipstream_actor.protocol.serializer import decodes_as_ours
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.wire.frames import Binary, Data
from tests.support.clients import recording

URI = "ws://localhost:4000/socket/websocket"
LOGGER = "slipstream_actor.connection"
BASES = (V2Serializer, V1Serializer)
SECRET = "a-payload-that-nobody-logs"
FAILURE = ValueError(SECRET)


def decoding(serializer: Any, say: Callable[[DecodingFailed, int], object] = print) -> Decoding:
    return Decoding(Configuration.validate(URI, {"serializer": serializer}), say)


def wire(base: type[Any], payload: Any = None) -> str:
    data = base().encode(Message("1", "2", "room:1", "event", payload))
    assert isinstance(data, str)
    return data


# which method is called


class Seeing:
    """What was decoded, by a mixin."""

    def decode(self, data: Any) -> Any:
        self.__dict__.setdefault("seen", []).append(data)
        return super().decode(data)  # type: ignore[misc]


class SeeingText:
    """The same, of the other method."""

    def decode_text(self, data: Any) -> Any:
        self.__dict__.setdefault("seen", []).append(data)
        return super().decode_text(data)  # type: ignore[misc]


class Wrapper:
    """One that stands before another, which has all that it lacks."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decode(self, data: Any) -> Any:
        self.seen.append(data)
        return self.inner.decode(data)


def set_on_the_instance(base: type[Any]) -> Any:
    serializer, seen = base(), []

    def decode(data: Any) -> Any:
        seen.append(data)
        return base().decode(data)

    serializer.decode, serializer.seen = decode, seen
    return serializer


OVERRIDING: dict[str, Any] = {
    "a subclass's decode": lambda base: type("Mine", (Seeing, base), {})(),
    "a subclass's decode_text": lambda base: type("Mine", (SeeingText, base), {})(),
    "a subclass of a subclass": lambda base: type("M", (type("M", (Seeing, base), {}),), {})(),
    "one that wraps": lambda base: Wrapper(base()),
    "one set on the instance": set_on_the_instance,
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", OVERRIDING)
def test_what_is_overridden_is_called_with_text(kind: str, base: type[Any]) -> None:
    serializer = OVERRIDING[kind](base)
    text = wire(base, "\u20ac")
    message = decoding(serializer).text(text.encode())
    assert (message.topic, message.payload) == ("room:1", "\u20ac")
    assert serializer.seen == [text]
    assert not decodes_as_ours(serializer)


@pytest.mark.parametrize("base", BASES)
def test_one_that_is_patched_is_called(base: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def decode(self: Any, data: Any) -> Any:
        seen.append(data)
        return self.decode_text(data)

    monkeypatch.setattr(base, "decode", decode)
    decoding(base()).text(wire(base).encode())
    assert seen == [wire(base)]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("change", [{}, {"encode": lambda self, message: ""}, {"vsn": "3"}])
def test_ours_decodes_bytes_without_a_detour(base: type[Any], change: dict[str, Any]) -> None:
    serializer = type("Mine", (base,), change)()
    assert decodes_as_ours(serializer)
    assert decoding(serializer).text == serializer.decode_text


@pytest.mark.parametrize("base", BASES)
def test_a_conversation_goes_through_what_is_overridden(
    base: type[Any], server: PhoenixServer
) -> None:
    serializer = type("Mine", (Seeing, base), {})()
    socket = connect(server.uri, vsn=base.vsn, serializer=serializer).join("bench:1")
    socket = socket.await_join("bench:1")
    assert socket.await_reply(socket.push("bench:1", "echo", {"a": 1})).response == {"a": 1}
    assert [type(data) for data in serializer.seen] == [str, str]
    if base is V2Serializer:
        assert socket.await_reply(socket.push("bench:1", "echo", b"\0")).response == b"\0"
        assert type(serializer.seen[-1]) is bytes
    socket.disconnect().await_disconnect()


# what is told


class Broken:
    """Encodes, and decodes nothing."""

    def __init__(self, failure: Any = FAILURE) -> None:
        self.failure = failure

    def encode(self, message: Message) -> str | bytes:
        return V2Serializer().encode(message)

    def decode(self, data: str | bytes) -> Any:
        if isinstance(self.failure, Exception):
            raise self.failure
        return self.failure


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER and record.levelno >= logging.WARNING
    ]


def test_failures_are_told_at_the_first_at_each_tenfold_and_at_the_end() -> None:
    said: list[tuple[DecodingFailed, int]] = []
    told = decoding(Broken(), lambda failure, count: said.append((failure, count)))
    for count in range(1, 235):
        told.fail(ValueError(SECRET), b'{"a": 1}')
        assert told.failures == count
    told.conclude()
    failure = DecodingFailed("Broken", "ValueError", "an object")
    assert said == [(failure, count) for count in (1, 10, 100, 234)]
    assert str(told) == (
        "234 messages of the server could not be decoded: Broken raised ValueError at an object"
    )


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (b'{"a": 1}', "an object"),
        (b" \n[1]", "an array"),
        (b"ping", "something else"),
        (b"", "something else"),
        (Binary(b"[1]"), "binary"),
    ],
)
def test_what_a_message_looks_like_is_told(data: Data, shape: str) -> None:
    said: list[str] = []
    decoding(Broken(), lambda failure, _: said.append(failure.shape)).fail(ValueError(), data)
    assert said == [shape]


@pytest.mark.parametrize("count", [0, 1, 10])
def test_the_end_says_nothing_that_was_told(count: int) -> None:
    said: list[int] = []
    told = decoding(Broken(), lambda _, number: said.append(number))
    for _ in range(count):
        told.fail(ValueError(), b"")
    before = said[:]
    told.conclude()
    assert said == before


FAILURES: dict[str, tuple[Any, str]] = {
    "raises": (ValueError(SECRET), "Broken raised ValueError"),
    "raises another": (SerializerError(SECRET), "Broken raised SerializerError"),
    "returns nothing": (None, "Broken raised TypeError"),
    "returns a list": (["1", "1", "bench:1", SECRET, {}], "Broken raised TypeError"),
    "returns refs that are numbers": (Message(1, 1, "t", "e", {}), "Broken raised TypeError"),  # type: ignore[arg-type]
    "returns a topic that is none": (Message("1", "1", None, "e", {}), "Broken raised TypeError"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_client_whose_serializer_is_broken_is_told(
    kind: str, server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    failure, problem = FAILURES[kind]
    with recording(server.uri, serializer=Broken(failure)) as (client, log):
        log.take("connect")
        client.proxy().do(lambda socket: socket.join("bench:1")).get(timeout=5)
        with pytest.raises(AwaitTimeoutError) as raised:
            wait_until_joined(client, "bench:1", timeout=0.5)
        assert f"1 message of the server could not be decoded: {problem}" in str(raised.value)
        assert len(warnings(caplog)) == 1
        assert problem in warnings(caplog)[0]
        connection = get_state(client).connection
        assert get_state(connection).counters.dropped == 1
    assert SECRET not in "".join(warnings(caplog)) + str(raised.value)


AWAITS: dict[str, Any] = {
    "await_join": lambda socket: socket.await_join("bench:1", timeout=0.3),
    "await_message": lambda socket: socket.await_message("bench:1", ANY, timeout=0.3),
    "ping": lambda socket: socket.ping(timeout=0.3),
}


@pytest.mark.parametrize("method", AWAITS)
def test_an_await_that_times_out_says_what_could_not_be_decoded(
    method: str, server: PhoenixServer
) -> None:
    socket = connect(server.uri, serializer=Broken()).await_connect().join("bench:1")
    with pytest.raises(AwaitTimeoutError, match="could not be decoded: Broken raised ValueError"):
        AWAITS[method](socket)
    socket.disconnect().await_disconnect()


def test_a_join_that_was_answered_in_vain_says_what_could_not_be_decoded(
    server: PhoenixServer,
) -> None:
    """It is given up before the await is: what its hint says alone would be misleading."""
    options: dict[str, Any] = {"serializer": Broken(), "join_timeout_msec": 200}
    socket = connect(server.uri, **options).await_connect().join("bench:1")
    with pytest.raises(JoinFailedError, match="could not be decoded: Broken raised ValueError"):
        socket.await_join("bench:1", timeout=5.0)
    socket.disconnect().await_disconnect()


def test_an_await_that_times_out_says_nothing_of_a_serializer_that_works(
    server: PhoenixServer,
) -> None:
    socket = connect(server.uri).await_connect()
    with pytest.raises(AwaitTimeoutError) as raised:
        socket.await_message(timeout=0)
    assert "decoded" not in str(raised.value)
    socket.disconnect().await_disconnect()


# what is encoded


class Recording(V2Serializer):
    """Notes the refs of what it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[Message] = []

    def encode(self, message: Message) -> str | bytes:
        self.encoded.append(message)
        return super().encode(message)


def test_no_message_is_encoded_without_a_ref(server: PhoenixServer) -> None:
    serializer = Recording()
    early = connect(server.uri, serializer=serializer, buffer_pushes=True).join("bench:1")
    buffered = early.push("bench:1", "echo", 1)
    socket = early.await_join("bench:1")
    assert socket.await_reply(buffered).ok
    connection: Any = socket.channel_pid
    connection.tell(PushMessage("bench:1", "push_event", {"event": "e", "payload": 1}))
    assert socket.await_message("bench:1", "e").payload == 1
    connection.tell(JoinTopic("bench:2", {"push": 2}))
    assert socket.await_message("bench:2", "after_join").payload == 2
    socket.ping()
    socket.leave("bench:1").await_leave("bench:1").disconnect().await_disconnect()
    assert {m.event for m in serializer.encoded} >= {"phx_join", "echo", "push_event", "phx_leave"}
    assert [m for m in serializer.encoded if not m.ref] == []
    unjoined = [m for m in serializer.encoded if not m.join_ref and m.topic != "phoenix"]
    assert unjoined == []
