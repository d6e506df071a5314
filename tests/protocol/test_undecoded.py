"""Messages whose payload waits as it came: they say what they would say if they were decoded."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import MessageReceived, SerializerError
from slipstream_actor.protocol.message import Message, PartlyDecoded
from slipstream_actor.protocol.serializer import V1Serializer, V2Serializer
from slipstream_actor.protocol.undecoded import event_of

OURS = [V1Serializer, V2Serializer]
every_version = pytest.mark.parametrize("version", OURS, ids=["v1", "v2"])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.text() | st.sampled_from(["phx_reply", "phx_close", "phx_error", "phx_other"])
REFS = st.none() | st.text(max_size=4)
MESSAGES = st.builds(Message, REFS, REFS, st.text(), EVENTS, JSON)


def wire(version: type[Any], message: Message, payload: bytes | None = None) -> bytes:
    """Return a message as the server sends it, with these bytes for its payload."""
    said = json.dumps(message.payload).encode() if payload is None else payload
    texts = (message.join_ref, message.ref, message.topic, message.event)
    head = [json.dumps(text).encode() for text in texts]
    if version is V2Serializer:
        return b"[" + b", ".join([*head, said]) + b"]"
    names = (b"join_ref", b"ref", b"topic", b"event")
    pairs = [b'"%s": %s' % pair for pair in zip(names, head, strict=True)]
    return b"{" + b", ".join([*pairs, b'"payload": ' + said]) + b"}"


@every_version
@given(message=MESSAGES)
def test_the_parts_are_those_of_the_whole(version: type[Any], message: Message) -> None:
    data = wire(version, message)
    whole, part = version().decode_text(data), version().decode_partly(data)
    if message.event.startswith("phx_"):
        assert part == whole  # The protocol's own is looked into at once.
        return
    assert isinstance(part.payload, msgspec.Raw)
    assert msgspec.structs.astuple(part)[:-1] == msgspec.structs.astuple(whole)[:-1]
    assert (
        event_of(part)
        == event_of(whole)
        == MessageReceived(whole.topic, whole.event, whole.payload)
    )


@every_version
def test_it_takes_the_bytes_that_it_came_in(version: type[Any]) -> None:
    payload = b"[" + b",".join([b'{"n": 1}'] * 10_000) + b"]"
    message = Message(None, None, "room", "big", None)
    part = version().decode_partly(wire(version, message, payload))
    assert bytes(part.payload) == payload


@every_version
def test_a_parser_of_ones_own_decodes_at_once(version: type[Any]) -> None:
    message = Message(None, None, "room", "said", {"n": [1, 2]})
    assert version(json_parser=json).decode_partly(wire(version, message)) == message


@every_version
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'[null, null, "t", "e"]',
        b'{"topic": "t", "event": "e", "ref": null}',
        b'[null, null, 1, "e", {}]',
        b'{"topic": 1, "event": "e", "payload": {}, "ref": null}',
        b'[null, null, "t", "e", {}',
        b'{"topic": "t", "event": "e", "payload": {}, "ref": null',
        b'[null, null, "\xff", "e", {}]',
        b"[" * 100_000,
    ],
)
def test_what_is_no_message_is_none(version: type[Any], data: bytes) -> None:
    for decode in (version().decode_text, version().decode_partly):
        with pytest.raises(SerializerError):
            decode(data)


def test_a_payload_that_is_no_json_is_none() -> None:
    payload = msgspec.Raw(b'{"token": "SECRET", "n": 01}')
    assert event_of(PartlyDecoded(None, None, "room", "said", payload)) is None
