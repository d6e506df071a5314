"""What is read at once means what it would mean one by one, whatever it consists of."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import V1Serializer, V2Serializer
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.connection.decoding import MANY_BYTES, SHORT, Decoding
from slipstream_actor.connection.reading import receive
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.commands import JoinTopic
from slipstream_actor.protocol.events import TopicLeft
from slipstream_actor.protocol.message import Message, PartlyDecoded
from slipstream_actor.wire.frames import Binary, Data
from tests.support.events import as_told

URI = "ws://localhost:4000/socket/websocket"
TOPIC = "room:a"

PAYLOADS = st.dictionaries(st.sampled_from("abc"), st.text() | st.just("é" * SHORT))
JOIN_REFS = st.sampled_from(["1", "9"]) | st.none()
EVENTS = st.sampled_from(["said", "phx_close", "phx_error", "phx_other"])
REPLIES = st.builds(
    lambda status, response: {"status": status, "response": response},
    st.sampled_from(["ok", "error"]),
    PAYLOADS,
)
MESSAGES = st.one_of(
    st.tuples(JOIN_REFS, st.none(), st.just(TOPIC), EVENTS, PAYLOADS),
    st.tuples(JOIN_REFS, st.sampled_from("1234"), st.just(TOPIC), st.just("phx_reply"), REPLIES),
)
BINARIES = st.sampled_from(
    [
        b"\x02\x06\x04room:asaid\x00\xff",
        b"\x00\x01\x06\x041room:asaidbytes",
        b"\x01\x01\x01\x06\x0212room:aokbytes",
        b"\x02\x06\x04room:a",
        b"\x02\x02\x01\xff\xff",
        b"\x07",
        b"",
    ]
)


def of_v1(message: tuple[Any, ...]) -> Any:
    return dict(zip(("join_ref", "ref", "topic", "event", "payload"), message, strict=True))


def texts(version: type[Any]) -> st.SearchStrategy[Data]:
    form = of_v1 if version is V1Serializer else list
    whole = MESSAGES.map(lambda message: json.dumps(form(message)).encode())
    broken = st.builds(lambda data, size: data[:size], whole, st.integers(0, 2 * SHORT))
    return whole | broken


class Reading:
    """A connection, as far as its reading goes."""

    def __init__(self, version: type[Any], waiting: int) -> None:
        refs = itertools.count(1)
        self._decoding = Decoding(Configuration.validate(URI, {"serializer": version()}), print)
        self._protocol = Protocol(next_ref=lambda: str(next(refs)))
        self._protocol.join(JoinTopic(TOPIC, {}), 0.0)
        self._status, self._dropped, self._leaves_out = "connected", 0, False
        self._log = SimpleNamespace(dropped=lambda data, why: None, undecodable=lambda *_: None)
        self.flow = SimpleNamespace(undelivered_bytes=waiting, full=False)

    def receive(self, *received: Data) -> list[Any]:
        transport: Any = SimpleNamespace(receive=lambda: list(received))
        receive(self, transport)
        events, self._protocol.events = self._protocol.events, []
        return events


@pytest.mark.parametrize("waiting", [0, MANY_BYTES], ids=["few", "many"])
@pytest.mark.parametrize("version", [V1Serializer, V2Serializer], ids=["v1", "v2"])
@given(data=st.data())
def test_a_burst_is_what_its_frames_are(version: type[Any], waiting: int, data: Any) -> None:
    frames = data.draw(st.lists(texts(version) | BINARIES.map(Binary), max_size=8))
    at_once, each = Reading(version, waiting), Reading(version, 0)
    events = as_told(at_once.receive(*frames))
    assert events == as_told(event for frame in frames for event in each.receive(frame))
    assert at_once._dropped == each._dropped
    assert at_once._protocol.channels.keys() == each._protocol.channels.keys()


def test_behind_the_end_of_its_join_a_message_is_nobodys() -> None:
    reading = Reading(V2Serializer, 0)
    said, closed = (
        json.dumps(["1", None, TOPIC, event, {}]).encode() for event in ("said", "phx_close")
    )
    events = reading.receive(said, said, closed, said)
    assert [type(event) for event in events] == [Message] * 2 + [TopicLeft]
    assert reading._dropped == 1


@pytest.mark.parametrize("size", [SHORT, 4 * SHORT])
def test_behind_many_bytes_the_long_ones_wait_undecoded(size: int) -> None:
    reading = Reading(V2Serializer, MANY_BYTES)
    frame = json.dumps([None, None, TOPIC, "said", "x" * size])[: size - 2] + '"]'
    kinds = {type(event) for event in reading.receive(frame.encode(), frame.encode())}
    assert kinds == {Message if size == SHORT else PartlyDecoded}


class Stamped(Message, array_like=True, frozen=True):
    """A message of a serializer of one's own, with more than ours has."""

    at: int = 7


class Stamping(V2Serializer):
    def decode(self, data: str | bytes) -> Message:
        message = super().decode(data)
        return Stamped(*msgspec.structs.astuple(message))


def test_a_message_of_a_class_of_ones_own_is_a_message() -> None:
    reading = Reading(Stamping, 0)
    assert reading.receive(b'[null, null, "room:a", "said", {"n": 1}]') == [
        Message(None, None, TOPIC, "said", {"n": 1})
    ]
