"""Messages to frames and back: both versions, every JSON parser, and whatever else may arrive."""

from __future__ import annotations

import base64
import json
import math
import types
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream_actor.errors import SerializerError
from slipstream_actor.protocol.message import Message, Ref
from slipstream_actor.protocol.serializer import (
    JsonParser,
    MsgspecJson,
    V1Serializer,
    V2Serializer,
    encode_json,
    encode_push,
    frame_of,
)
from tests.support.transcripts import names, read, read_binary, same, wire


class TextOnly:
    """A parser of text: `json`, where it is given bytes, would guess their encoding."""

    def loads(self, data: Any) -> Any:
        assert isinstance(data, str)
        return json.loads(data)

    def dumps(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)


class ByteArrays(TextOnly):
    def dumps(self, value: Any) -> Any:
        return bytearray(json.dumps(value).encode())


class Odd:
    """Raises or returns what it was made with."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def loads(self, data: Any) -> Any:
        return self.dumps(data)

    def dumps(self, value: Any) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


PARSERS: dict[str, JsonParser | None] = {
    "default": None,
    "msgspec": MsgspecJson(),
    "json": json,
    "orjson": orjson,
    "text only": TextOnly(),
    "bytearray": ByteArrays(),
}
SERIALIZERS = {
    f"{vsn.vsn} {name}": vsn(parser)
    for vsn in (V1Serializer, V2Serializer)
    for name, parser in PARSERS.items()
}
every_serializer = pytest.mark.parametrize(
    "serializer", SERIALIZERS.values(), ids=SERIALIZERS.keys()
)
USUAL = {
    name: serializer
    for name, serializer in SERIALIZERS.items()
    if name.endswith((" default", " json", " orjson"))
}
usual_serializers = pytest.mark.parametrize("serializer", USUAL.values(), ids=USUAL.keys())
both = pytest.mark.parametrize("serializer", [V1Serializer(), V2Serializer()], ids=["v1", "v2"])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
REFS = st.none() | st.integers(1, 10**18).map(str) | st.text(max_size=5)
TEXTS = st.builds(Message, REFS, REFS, st.text(), st.text(), JSON)
SHORT = st.text(max_size=63)
ANY_TEXT = st.text(st.characters(exclude_categories=()))


def server_reads(text: str) -> Any:
    """A JSON text as a strict reader takes it, as the server is one (note 29)."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    def number(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else refuse(digits)

    value = json.loads(text, parse_constant=refuse, parse_float=number)
    json.dumps(value, ensure_ascii=False).encode()  # No lone surrogates.
    return value


# text


@every_serializer
def test_what_a_text_frame_is(serializer: V1Serializer | V2Serializer) -> None:
    message = Message("1", "2", "room:é", "new", {"a": [1, None, "\u2028"]})
    text = serializer.encode(message)
    assert isinstance(text, str)
    if serializer.vsn == "2.0.0":
        assert server_reads(text) == ["1", "2", "room:é", "new", {"a": [1, None, "\u2028"]}]
    else:
        assert server_reads(text) == {
            "join_ref": "1",
            "ref": "2",
            "topic": "room:é",
            "event": "new",
            "payload": {"a": [1, None, "\u2028"]},
        }


class Text(str):
    """As Django's `SafeString` and MarkupSafe's `Markup` are."""

    def __str__(self) -> str:
        return "not this one"


class Whole(int):
    pass


class Real(float):
    pass


class Items(list[Any]):
    pass


class Fields(dict[Any, Any]):
    pass


PARTS: list[tuple[Any, Any]] = [
    (Text("x"), "x"),
    (Ref("5", "rooms:a", "1"), "5"),
    (Whole(3), 3),
    (Real(1.5), 1.5),
    (Items([Text("x"), Whole(3)]), ["x", 3]),
    (Fields({Text("k"): Real(1.5)}), {"k": 1.5}),
]


@both
@pytest.mark.parametrize(("value", "read"), PARTS)
def test_values_of_subclasses(
    serializer: V1Serializer | V2Serializer, value: Any, read: Any
) -> None:
    message = Message(
        "1", Text("2"), Text("rooms:a"), Text("new"), {"v": value, Text("k"): [value]}
    )
    data = serializer.encode(message)
    assert isinstance(data, str)
    told = serializer.decode(data)
    assert (told.ref, told.topic, told.event) == ("2", "rooms:a", "new")
    assert told.payload == {"v": read, "k": [read]}


@pytest.mark.parametrize(("value", "read"), PARTS)
def test_a_push_of_subclasses(value: Any, read: Any) -> None:
    data = encode_push("1", "2", Text("rooms:a"), Text("new"), {Text("k"): value})
    assert data is not None
    assert json.loads(data) == ["1", "2", "rooms:a", "new", {"k": read}]


def test_keys_and_bytes_of_subclasses() -> None:
    class Coded(bytes):
        pass

    assert encode_json({Whole(3): Coded(b"ab")}) == b'{"3":"YWI="}'


@both
@pytest.mark.parametrize("key", [None, True, (1, 2), frozenset()])
def test_keys_that_are_no_text(serializer: V1Serializer | V2Serializer, key: Any) -> None:
    with pytest.raises(SerializerError, match="Only dicts with str-like or number-like keys"):
        serializer.encode(Message("1", "2", "t", "e", {"v": {key: 1}}))


@both
@pytest.mark.parametrize("value", [object(), types.MappingProxyType({}), iter(())])
def test_values_that_are_no_json(serializer: V1Serializer | V2Serializer, value: Any) -> None:
    why = f"'e' on 't' cannot be encoded: Encoding objects of type {type(value).__name__} is"
    with pytest.raises(SerializerError, match=f"{why} unsupported"):
        serializer.encode(Message("1", "2", "t", "e", {"v": value}))
    assert encode_push("1", "2", "t", "e", {"v": value}) is None


@every_serializer
def test_null_refs_are_null(serializer: V1Serializer | V2Serializer) -> None:
    text = serializer.encode(Message(None, None, "t", "e", None))
    assert isinstance(text, str)
    value = server_reads(text)
    assert (value if isinstance(value, list) else list(value.values())).count(None) == 3


@every_serializer
@settings(deadline=None)
@given(message=TEXTS)
def test_decode_is_the_inverse_of_encode(
    serializer: V1Serializer | V2Serializer, message: Message
) -> None:
    text = serializer.encode(message)
    assert isinstance(text, str)
    for decoded in (
        serializer.decode(text),
        serializer.decode_text(text),
        serializer.decode_text(text.encode()),
    ):
        assert same(wire(message), wire(decoded))


@pytest.mark.parametrize("parser", [None, json], ids=["default", "json"])
@pytest.mark.parametrize("version", [V1Serializer, V2Serializer])
def test_note_30_large_integers_survive(
    version: type[V1Serializer | V2Serializer], parser: JsonParser | None
) -> None:
    serializer = version(parser)
    message = Message("1", "2", "t", "e", [10**40, -(10**40)])
    assert serializer.decode(serializer.encode(message)) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Note 52: without a join_ref, in the server's order.
        (
            '{"event":"new","payload":{},"ref":null,"topic":"t"}',
            Message(None, None, "t", "new", {}),
        ),
        (
            '{"topic":"t","event":"e","payload":1,"ref":"2","join_ref":"1","more":0}',
            Message("1", "2", "t", "e", 1),
        ),
    ],
)
def test_note_52_what_a_v1_message_is(text: str, message: Message) -> None:
    assert V1Serializer().decode(text) == message
    assert V1Serializer(json).decode(text) == message


NO_V2 = [
    "",
    " ",
    "null",
    "1",
    '"text"',
    "{}",
    "[]",
    '["1","1","t","e"]',
    '["1","1",null,"e",{}]',
    '["1","1","t",null,{}]',
    '[1,"1","t","e",{}]',
    '["1",1,"t","e",{}]',
    '["1","1","t","e",{}',
    '["1","1","t","e",{}]]',
    '["1","1","t","e",{"a":NaN}]x',
    "[" * 100_000,
    '["1","1","t","e",' + "[" * 50_000 + "]" * 50_000 + "]",
    '["1","1","t","e",' + "9" * 5_000 + "]",
]
NO_V1 = [
    "",
    "[]",
    "{}",
    '{"topic":"t","event":"e","payload":{}}',
    '{"topic":"t","event":"e","ref":null}',
    '{"topic":null,"event":"e","payload":{},"ref":null}',
    '{"topic":"t","event":"e","payload":{},"ref":1}',
    '["1","1","t","e",{}]',
    '{"topic":"t","event":"e","ref":null,"payload":' + "[" * 50_000,
]


@pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS.keys())
@pytest.mark.parametrize(
    ("version", "texts"), [(V1Serializer, NO_V1), (V2Serializer, NO_V2)], ids=["v1", "v2"]
)
def test_what_is_no_message(
    parser: JsonParser | None, version: type[V1Serializer | V2Serializer], texts: list[str]
) -> None:
    serializer = version(parser)
    for text in texts:
        with pytest.raises(SerializerError):
            serializer.decode_text(text)
        with pytest.raises(SerializerError):
            serializer.decode_text(text.encode())


@both
def test_invalid_utf8_is_no_message(serializer: V1Serializer | V2Serializer) -> None:
    text = serializer.encode(Message("1", "2", "t", "e", "é"))
    assert isinstance(text, str)
    with pytest.raises(SerializerError):
        serializer.decode_text(text.encode("latin-1"))


# any input


@usual_serializers
@settings(deadline=None)
@given(data=st.binary() | ANY_TEXT)
def test_any_frame_raises_nothing_but_its_error(
    serializer: V1Serializer | V2Serializer, data: str | bytes
) -> None:
    for decode in (serializer.decode, serializer.decode_text):
        try:
            decode(data)
        except SerializerError:
            pass


@usual_serializers
@settings(deadline=None)
@given(
    value=st.lists(JSON, max_size=6)
    | st.dictionaries(
        st.sampled_from(["topic", "event", "payload", "ref", "join_ref", "x"]), JSON, max_size=6
    )
)
def test_any_json_raises_nothing_but_its_error(
    serializer: V1Serializer | V2Serializer, value: Any
) -> None:
    try:
        message = serializer.decode_text(json.dumps(value))
    except SerializerError:
        return
    assert isinstance(message.topic, str)
    assert isinstance(message.event, str)
    assert isinstance(message.ref, str | None)
    assert isinstance(message.join_ref, str | None)


@pytest.mark.parametrize("version", [V1Serializer, V2Serializer])
@pytest.mark.parametrize(
    "error",
    [
        KeyError("k"),
        ZeroDivisionError(),
        RecursionError(),
        MemoryError(),
        StopIteration(),
        OSError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_parser_raises(
    version: type[V1Serializer | V2Serializer], error: Exception
) -> None:
    serializer = version(Odd(error))
    with pytest.raises(SerializerError) as raised:
        serializer.encode(Message("1", "2", "room:1", "shout", {"secret": 1}))
    assert raised.value.__cause__ is error
    assert "room:1" in str(raised.value)
    assert "shout" in str(raised.value)
    assert "secret" not in str(raised.value)
    with pytest.raises(SerializerError):
        serializer.decode_text("{}")


@pytest.mark.parametrize("version", [V1Serializer, V2Serializer])
@pytest.mark.parametrize("outcome", [None, 7, b"\xff", "\ud800", ["text"], {1: 2}], ids=repr)
def test_whatever_a_parser_returns(
    version: type[V1Serializer | V2Serializer], outcome: Any
) -> None:
    serializer = version(Odd(outcome))
    with pytest.raises(SerializerError):
        serializer.encode(Message("1", "2", "t", "e", {}))
    with pytest.raises(SerializerError):
        serializer.decode_text("{}")


@pytest.mark.parametrize("version", [V1Serializer, V2Serializer])
def test_an_interrupt_is_no_error_of_a_message(version: type[V1Serializer | V2Serializer]) -> None:
    with pytest.raises(KeyboardInterrupt):
        version(Odd(KeyboardInterrupt())).encode(Message("1", "2", "t", "e", {}))


# serializers of one's own


class Own:
    """A serializer that raises or returns what it was made with."""

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome

    def encode(self, _: Message) -> Any:
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome

    def decode(self, data: str | bytes) -> Message:
        raise NotImplementedError


SECRET = Message("1", "2", "room:1", "shout", {"secret": 1})


@pytest.mark.parametrize(
    "error",
    [TypeError("secret"), ZeroDivisionError(), RecursionError(), MemoryError(), StopIteration()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_serializer_raises(error: Exception) -> None:
    with pytest.raises(SerializerError) as raised:
        frame_of(Own(error), SECRET)
    assert raised.value.__cause__ is error
    why = f"'shout' on 'room:1' cannot be encoded: Own raised {type(error).__name__}"
    assert str(raised.value) == why


@pytest.mark.parametrize("outcome", [None, 7, ["secret"], {"secret": 1}, ()], ids=repr)
def test_whatever_a_serializer_returns(outcome: Any) -> None:
    with pytest.raises(SerializerError) as raised:
        frame_of(Own(outcome), SECRET)
    why = f"Own returned {type(outcome).__name__}, and neither str nor bytes"
    assert str(raised.value) == f"'shout' on 'room:1' cannot be encoded: {why}"


def test_an_error_of_unicode_would_hold_the_text() -> None:
    with pytest.raises(SerializerError, match="Own raised UnicodeEncodeError") as raised:
        frame_of(Own("secret \ud800"), SECRET)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("frame", ["text", "tëxt", b"\xff", bytearray(b"a"), memoryview(b"a")])
def test_what_is_text_or_bytes_is_a_frame(frame: Any) -> None:
    encoded = frame_of(Own(frame), SECRET)
    assert encoded == frame
    assert type(encoded) in (str, bytes)


def test_its_own_errors_stay_what_they_are() -> None:
    error = SerializerError("no")
    with pytest.raises(SerializerError) as raised:
        frame_of(Own(error), SECRET)
    assert raised.value is error
    with pytest.raises(KeyboardInterrupt):
        frame_of(Own(KeyboardInterrupt()), SECRET)


# odd payloads


def deep(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


class Unencodable:
    def __repr__(self) -> str:
        raise AssertionError("an error message shows no payload")


ODD_PAYLOADS = {
    "NaN": math.nan,
    "infinity": -math.inf,
    "NaN inside": {"a": [1.0, math.nan]},
    "lone surrogate": "\ud800",
    "lone surrogate as a key": {"\udfff": 1},
    "surrogates that are a pair": "\ud83d\ude00",
    "an object": Unencodable(),
    "an object inside": [{"a": Unencodable()}],
    "a tuple as a key": {(1, 2): 3},
    "null as a key": {None: 1},
    "a number as a key": {1: 2},
    "a set": {1},
    "deep": deep(100_000),
    "less deep": deep(200),
    "a long integer": 10**400,
    "a very long integer": 10**5000,
    "a complex number": 1j,
    "bytes inside": {"a": b"\xff"},
    "a huge float": 1.7976931348623157e308,
}


@usual_serializers
@pytest.mark.parametrize("payload", ODD_PAYLOADS.values(), ids=ODD_PAYLOADS.keys())
def test_an_odd_payload_gives_an_error_or_a_frame_that_the_server_takes(
    serializer: V1Serializer | V2Serializer, payload: Any
) -> None:
    message = Message("1", "2", "t", "e", payload)
    try:
        text = serializer.encode(message)
    except SerializerError:
        with pytest.raises(SerializerError, match="'e' on 't'"):
            serializer.encode(message)
        return
    # Another would end the whole connection, and every channel on it (note 29).
    assert isinstance(text, str)
    server_reads(text)


@usual_serializers
@pytest.mark.parametrize("payload", [{}, b"data"], ids=["text", "binary"])
def test_a_lone_surrogate_in_any_field(
    serializer: V1Serializer | V2Serializer, payload: Any
) -> None:
    fields: dict[str, Any] = {"join_ref": "1", "ref": "2", "topic": "t", "event": "e"}
    for field in fields:
        with pytest.raises(SerializerError):
            serializer.encode(Message(**{**fields, field: "\ud800"}, payload=payload))


# binary (note 25)


def server_frame(kind: int, *parts: str, data: bytes) -> bytes:
    """A binary frame of the server, by the layout of note 25."""
    encoded = [part.encode() for part in parts]
    return bytes([kind, *map(len, encoded)]) + b"".join(encoded) + data


@given(SHORT, SHORT, SHORT, SHORT, st.binary())
def test_note_25_a_push_of_the_client(
    join_ref: str, ref: str, topic: str, event: str, data: bytes
) -> None:
    message = Message(join_ref or None, ref or None, topic, event, data)
    frame = V2Serializer().encode(message)
    assert isinstance(frame, bytes)
    assert read_binary(frame) == message


@pytest.mark.parametrize(
    "payload", [b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a.b.c")[::2]]
)
def test_what_is_bytes_makes_a_binary_frame(payload: Any) -> None:
    message = Message("1", "2", "t", "e", payload)
    assert V2Serializer().encode(message) == b"\0\1\1\1\1" + b"12te" + b"abc"
    with pytest.raises(SerializerError, match=r"no binary frames"):
        V1Serializer().encode(message)


@given(SHORT, SHORT, SHORT, st.binary())
def test_note_25_a_push_of_the_server(join_ref: str, topic: str, event: str, data: bytes) -> None:
    frame = server_frame(0, join_ref, topic, event, data=data)
    assert V2Serializer().decode(frame) == Message(join_ref or None, None, topic, event, data)


@given(SHORT, SHORT, SHORT, SHORT, st.binary())
def test_note_25_a_reply(join_ref: str, ref: str, topic: str, status: str, data: bytes) -> None:
    frame = server_frame(1, join_ref, ref, topic, status, data=data)
    assert V2Serializer().decode(frame) == Message(
        join_ref or None, ref or None, topic, "phx_reply", {"status": status, "response": data}
    )


@given(SHORT, SHORT, st.binary())
def test_note_25_a_broadcast(topic: str, event: str, data: bytes) -> None:
    frame = server_frame(2, topic, event, data=data)
    assert V2Serializer().decode(frame) == Message(None, None, topic, event, data)


@pytest.mark.parametrize("field", ["join_ref", "ref", "topic", "event"])
def test_note_25_a_field_has_at_most_255_bytes(field: str) -> None:
    fields: dict[str, Any] = {"join_ref": "1", "ref": "2", "topic": "t", "event": "e"}
    for longest in ("x" * 255, "é" * 127 + "x"):
        message = Message(**{**fields, field: longest}, payload=b"data")
        frame = V2Serializer().encode(message)
        assert isinstance(frame, bytes)
        assert read_binary(frame) == message
    for longer in ("x" * 256, "é" * 128, "x" * 100_000):
        message = Message(**{**fields, field: longer}, payload=b"data")
        with pytest.raises(SerializerError, match=rf"the {field} of .* at most 255"):
            V2Serializer().encode(message)
        V2Serializer().encode(Message(**{**fields, field: longer}, payload={}))  # Note 26.


def test_note_25_all_fields_of_the_server_at_their_limit() -> None:
    x, y, z, q = (letter * 255 for letter in "xyzq")
    frame = server_frame(1, x, y, z, q, data=b"\0" * 1000)
    expected = {"status": q, "response": b"\0" * 1000}
    assert V2Serializer().decode(frame) == Message(x, y, z, "phx_reply", expected)


FRAMES = [
    server_frame(0, "1", "topic", "event", data=b""),
    server_frame(1, "1", "2", "topic", "ok", data=b""),
    server_frame(2, "topic", "event", data=b""),
    server_frame(2, "töpïc", "évent", data=b""),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_binary_frame_that_is_cut_off_is_none(frame: bytes) -> None:
    V2Serializer().decode(frame)
    for end in range(len(frame)):
        with pytest.raises(SerializerError):
            V2Serializer().decode(frame[:end])


@pytest.mark.parametrize("kind", [3, 4, 7, 0x5B, 255])
def test_a_binary_frame_of_no_kind(kind: int) -> None:
    with pytest.raises(SerializerError, match=f"kind {kind}"):
        V2Serializer().decode(bytes([kind]) + FRAMES[0][1:])


@pytest.mark.parametrize("frame", [b"\0\1\1\1\xffte", b"\1\1\1\1\x011\xfft\xff", b"\2\1\1\xc3e"])
def test_a_binary_frame_s_header_is_utf8(frame: bytes) -> None:
    with pytest.raises(SerializerError):
        V2Serializer().decode(frame)


def test_note_28_v1_has_no_binary_frames() -> None:
    for frame in (b"", *FRAMES, b'{"topic":"t","event":"e","payload":{},"ref":null}'):
        with pytest.raises(SerializerError):
            V1Serializer().decode(frame)


@given(st.binary(max_size=40).map(lambda data: bytes([len(data) % 4]) + data))
def test_any_binary_frame_raises_nothing_but_its_error(data: bytes) -> None:
    try:
        message = V2Serializer().decode(data)
    except SerializerError:
        return
    payload = message.payload["response"] if data[0] == 1 else message.payload
    assert data.endswith(payload)


# recorded frames


@pytest.mark.parametrize("parser", [None, json, orjson], ids=["default", "json", "orjson"])
def test_every_recorded_frame_of_the_server_is_read(parser: JsonParser | None) -> None:
    v1, v2 = V1Serializer(parser), V2Serializer(parser)
    rows = [row for name in names() for row in read(name)]
    for row in rows:
        if row["dir"] != "recv" or row.get("raw"):
            continue
        if row["type"] == "binary":
            assert isinstance(v2.decode(base64.b64decode(row["data"])).payload, bytes | dict)
        elif row["type"] == "text" and row["data"].startswith("{"):
            fields = {"join_ref": None, **json.loads(row["data"])}
            assert v1.decode(row["data"]) == Message(**fields)
        elif row["type"] == "text":
            fields = json.loads(row["data"])
            if fields[2] is None or fields[1] == 7:
                # The echo of a topic or ref that we never send.
                with pytest.raises(SerializerError):
                    v2.decode(row["data"])
            else:
                assert v2.decode(row["data"]) == Message(*fields)
