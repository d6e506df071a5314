"""Every option: its default, good values, bad values; what is sent; and what is never shown."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import re
import socket
import ssl
import sys
import types
import urllib.parse
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor.configuration.configuration import Configuration, table
from slipstream_actor.configuration.options import Options
from slipstream_actor.configuration.uris import redact, server_name
from slipstream_actor.errors import ConfigurationError
from slipstream_actor.protocol.message import Message
from slipstream_actor.protocol.serializer import MsgspecJson, V1Serializer, V2Serializer
from slipstream_actor.testing.server import query as plug

URI = "ws://localhost:4000/socket/websocket"
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
SECRET = "s3cr3t"


def configured(uri: Any = URI, **options: Any) -> Configuration:
    return Configuration.validate(uri, options)


class OwnSerializer:
    def encode(self, message: Message, /) -> str:
        return ""

    def decode(self, data: str | bytes, /) -> Message:
        return Message(None, None, "", "", None)


def query_of(config: Configuration) -> list[tuple[str, str]]:
    """The query as a server reads it."""
    query = config.resource().partition("?")[2]
    return urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True)


def read_by_plug(config: Configuration) -> dict[str, Any]:
    """The params as a Phoenix server has them (note 40)."""
    return plug.parse(config.resource().partition("?")[2].encode())


DEFAULTS: dict[str, Any] = {
    "heartbeat_interval_msec": 30_000,
    "headers": (),
    "params": {},
    "auth_token": None,
    "vsn": "2.0.0",
    "reconnect_after_msec": (10, 50, 100, 150, 200, 250, 500, 1000, 2000, 5000),
    "reconnect_jitter_msec": 1000,
    "rejoin_after_msec": (100, 500, 1000, 2000, 5000, 10000),
    "rejoin_jitter_msec": 1000,
    "stable_after_msec": 5000,
    "honor_retry_after": True,
    "max_retry_after_msec": 300_000,
    "max_undelivered_bytes": 16 * 1024 * 1024,
    "rejoin_on_reconnect": True,
    "reply_timeout_msec": None,
    "buffer_pushes": False,
    "buffer_max_pushes": 1000,
    "buffer_max_bytes": 16 * 1024 * 1024,
    "buffer_max_age_msec": 10_000,
    "high_watermark": 20_000,
    "low_watermark": 5_000,
    "max_send_buffer_bytes": 16 * 1024 * 1024,
    "max_requests": 10_000,
    "connect_timeout_msec": 10_000,
    "join_timeout_msec": 10_000,
    "close_timeout_msec": 1000,
    "shutdown_timeout_msec": 2000,
    "max_message_bytes": 64 * 1024 * 1024,
    "ssl_context": None,
    "proxy": None,
    "origin": None,
    "sockopt": (),
    "extensions": (),
    "test_mode": False,
}

PROXIES = ["http://u:p@localhost:8080", "socks4://h:1", "socks5://h:1", "socks5h://[::1]:1"]
CONTEXT = ssl.create_default_context()
OWN = OwnSerializer()


def params() -> dict[str, Any]:
    return {"a": 1}


OFFERS = [
    "permessage-deflate",
    "Permessage-Deflate",
    " permessage-deflate ; server_no_context_takeover;client_no_context_takeover ",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_max_window_bits=8; server_max_window_bits=15",
    'permessage-deflate; server_max_window_bits="10"',
]
NO_OFFERS = [
    "",
    ",",
    "deflate",
    "x-webkit-deflate-frame",
    "permessage-deflate, permessage-deflate",
    "permessage-deflate, x-other",
    "permessage-deflate; x-other",
    "permessage-deflate; x-other=1",
    "permessage-deflate;",
    "permessage-deflate; =10",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=010",
    "permessage-deflate; server_max_window_bits=1 0",
    "permessage-deflate; client_max_window_bits=-8",
    "permessage-deflate; client_max_window_bits=9.0",
    'permessage-deflate; client_max_window_bits="9',
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
    "permessage deflate",
    "permessage-deflate\r\nX: y",
    "permessage-deflate; \u0661",
]


GOOD: dict[str, list[tuple[Any, Any]]] = {
    "heartbeat_interval_msec": [(0, 0), (1, 1), (10**9, 10**9)],
    "headers": [
        ({"X-A": "1"}, (("X-A", "1"),)),
        ([("X-A", "1"), ["X-A", "2"]], (("X-A", "1"), ("X-A", "2"))),
        ((), ()),
        ({"x-empty": ""}, (("x-empty", ""),)),
    ],
    "params": [({"a": [1]}, {"a": [1]}), (params, params)],
    "auth_token": [("t", "t"), ("", ""), (str, str), (None, None)],
    "vsn": [("2.0.0", "2.0.0"), ("1.0.0", "1.0.0")],
    "serializer": [(OWN, OWN)],
    "json_parser": [(json, json)],
    "reconnect_after_msec": [([0], (0,)), ((1, 2), (1, 2)), (range(2), (0, 1)), (abs, abs)],
    "reconnect_jitter_msec": [(0, 0), (1, 1)],
    "rejoin_after_msec": [([0], (0,)), ((1, 2), (1, 2)), (abs, abs)],
    "rejoin_jitter_msec": [(0, 0), (1, 1)],
    "stable_after_msec": [(0, 0), (1, 1)],
    "honor_retry_after": [(True, True), (False, False)],
    "max_retry_after_msec": [(0, 0), (1, 1)],
    "max_undelivered_bytes": [(1, 1)],
    "rejoin_on_reconnect": [(True, True), (False, False)],
    "reply_timeout_msec": [(None, None), (1, 1)],
    "buffer_pushes": [(True, True), (False, False)],
    "buffer_max_pushes": [(1, 1)],
    "buffer_max_bytes": [(1, 1)],
    "buffer_max_age_msec": [(1, 1)],
    "high_watermark": [(1, 1), (100, 100)],
    "low_watermark": [(0, 0), (19_999, 19_999), (None, 5000)],
    "max_send_buffer_bytes": [(1, 1)],
    "max_requests": [(1, 1)],
    "connect_timeout_msec": [(1, 1)],
    "join_timeout_msec": [(1, 1)],
    "close_timeout_msec": [(0, 0), (1, 1)],
    "shutdown_timeout_msec": [(0, 0), (1, 1)],
    "max_message_bytes": [(1, 1)],
    "ssl_context": [(CONTEXT, CONTEXT), (None, None)],
    "proxy": [
        (None, None),
        (False, False),
        *((url, url) for url in PROXIES),
    ],
    "origin": [("https://example.org", "https://example.org"), (None, None)],
    "sockopt": [
        ([(6, 1, 1)], ((6, 1, 1),)),
        (
            ((socket.SOL_SOCKET, socket.SO_RCVBUF, b"\0"),),
            ((socket.SOL_SOCKET, socket.SO_RCVBUF, b"\0"),),
        ),
    ],
    "extensions": [([], ()), ((), ()), *(([item], (item,)) for item in OFFERS)],
    "test_mode": [(True, True), (False, False)],
}

NOT_WHOLE: list[Any] = [-1, 1.0, "1000", None, True, b"1", [], float("nan")]
NO_SCHEDULE: list[Any] = [[], (), None, 5, "10", b"10", [1.5], ["1"], [-1], [True], [None], {1: 2}]
NO_TIME = [value for value in NOT_WHOLE if value is not None]
NO_TRUTH: list[Any] = [1, 0, None, "yes", "False"]
BAD: dict[str, list[Any]] = {
    "heartbeat_interval_msec": NOT_WHOLE,
    "headers": [
        "X-A: 1",
        5,
        None,
        ["X-A"],
        [("X-A",)],
        [("X-A", "1", "2")],
        {"X-A": 1},
        {"X-A": b"1"},
        {1: "1"},
        {"": "1"},
        {"X A": "1"},
        {"X:A": "1"},
        {"é": "1"},
        {"X-A": "1\r\nX-B: 2"},
        {"X-A": "1\n"},
        {"X-A": "1\x00"},
        {"X-A\r\nX-B": "1"},
        {"X-A": "\ud800"},
    ],
    "params": [None, "a=1", 5, [("a", 1)], b""],
    "auth_token": [5, b"token", ["t"], {}, "\ud800"],
    "vsn": ["2", "2.0", "3.0.0", "", 2, None, ["2.0.0"], "2.0.0\r\n"],
    "serializer": [
        "json",
        5,
        object(),
        V2Serializer,
        V2Serializer.decode,
        types.SimpleNamespace(encode=len),
    ],
    "json_parser": ["json", object(), types.SimpleNamespace(loads=len, dumps=5)],
    "reconnect_after_msec": NO_SCHEDULE,
    "reconnect_jitter_msec": NOT_WHOLE,
    "rejoin_after_msec": NO_SCHEDULE,
    "rejoin_jitter_msec": NOT_WHOLE,
    "stable_after_msec": NOT_WHOLE,
    "honor_retry_after": NO_TRUTH,
    "max_retry_after_msec": NOT_WHOLE,
    "max_undelivered_bytes": [0, *NOT_WHOLE],
    "rejoin_on_reconnect": NO_TRUTH,
    "reply_timeout_msec": [0, *NO_TIME],
    "buffer_pushes": NO_TRUTH,
    "buffer_max_pushes": [0, *NOT_WHOLE],
    "buffer_max_bytes": [0, *NOT_WHOLE],
    "buffer_max_age_msec": [0, *NOT_WHOLE],
    "high_watermark": [0, *NOT_WHOLE],
    "low_watermark": NO_TIME,
    "max_send_buffer_bytes": [0, *NOT_WHOLE],
    "max_requests": [0, *NOT_WHOLE],
    "connect_timeout_msec": [0, *NOT_WHOLE],
    "join_timeout_msec": [0, *NOT_WHOLE],
    "close_timeout_msec": NOT_WHOLE,
    "shutdown_timeout_msec": NOT_WHOLE,
    "max_message_bytes": [0, *NOT_WHOLE],
    "ssl_context": [True, "cert.pem", ssl.SSLContext],
    "proxy": [
        True,
        0,
        "",
        "localhost:8080",
        "ftp://localhost",
        5,
        b"http://localhost",
        "http://[",
        f"http://user:{SECRET}@[::1",
        "http://local\r\nhost",
        "http://local host",
        "http:localhost:8080",
        "http://localhost:0",
        f"http://user:{SECRET}\n@localhost",
        f"http://user:{SECRET}%0A@localhost",
        f"http://us%3Aer:{SECRET}@localhost",
        f"http://:{SECRET}@localhost",
        f"socks5://user:{SECRET}é@localhost",
        f"socks5h://user:{SECRET * 50}@localhost",
        "socks5://user@localhost",
        "socks4://us%C3%A9r@localhost",
    ],
    "origin": [5, b"x", "a\r\nb: c", "a\n", "\ud800"],
    "sockopt": [None, 5, "abc", [5], [(1, 2)], [(1, 2, 3, 4, 5)], ["abcd"], {1: 2}],
    "extensions": [
        None,
        "",
        5,
        {},
        "permessage-deflate",
        {"permessage-deflate": {}},
        ["permessage-deflate"] * 2,
        [None],
        [("permessage-deflate", {})],
        *([item] for item in NO_OFFERS),
    ],
    "test_mode": NO_TRUTH,
}

GOOD_URIS = [
    URI,
    "wss://example.org/socket/websocket",
    "ws://example.org",
    "ws://[::1]:4000/socket/websocket",
    "ws://127.0.0.1/?a=b",
    "WS://EXAMPLE.ORG/x",
    "ws://bücher.example/x",
    "ws://user:pass@example.org/x",
    urllib.parse.urlsplit(URI),
    urllib.parse.urlparse(URI),
]
BAD_URIS: list[Any] = [
    None,
    5,
    b"ws://localhost",
    "",
    "localhost",
    "http://localhost",
    "https://localhost",
    "//localhost",
    "ws:",
    "ws://",
    "ws:///path",
    "ws://:4000/",
    "ws://localhost:0/",
    "ws://localhost:65536/",
    "ws://localhost:-1/",
    "ws://localhost:port/",
    "ws://[::1/",
    "ws://local\r\nhost/",
    "ws://localhost/\r\nHost: evil",
    "ws://localhost/\t",
    "ws://local host/",
    "ws://localhost/\x7f",
    "ws://" + "ü" * 80 + "/",
    "ws://localhost/\ud800",
    "ws://[fe80::1%25a%00]/",
    "ws://[fe80::1%25a%20b]/",
    urllib.parse.urlsplit("http://localhost"),
    7,
]


def test_the_tables_have_every_option() -> None:
    names = {field.name for field in dataclasses.fields(Configuration)}
    assert names == {"uri", *GOOD}
    assert names == {"uri", *BAD}
    assert names == {"uri", "serializer", "json_parser", *DEFAULTS}


def test_the_low_watermark_is_below_the_high_one() -> None:
    assert configured(high_watermark=100).low_watermark == 25
    assert configured(high_watermark=1).low_watermark == 0
    with pytest.raises(ConfigurationError, match="low_watermark: must be below high_watermark"):
        configured(high_watermark=10, low_watermark=10)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("reconnect", "default handle_disconnect returns socket.reconnect"),
        ("timeout", "connect_timeout_msec, join_timeout_msec or reply_timeout_msec"),
        ("token", "auth_token"),
        ("url", "the first argument, uri"),
        ("heartbeat_interval", "heartbeat_interval_msec"),
        ("reconnect_after", "reconnect_after_msec"),
    ],
)
@pytest.mark.parametrize("value", [False, True, 5])
def test_an_option_of_another_library(option: str, meant: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{option}: there is no such option.*{meant}"):
        configured(**{option: value})


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        (
            "http://localhost:4000/socket/websocket",
            "must begin with ws:// in the place of http://;",
        ),
        ("HTTPS://localhost/live/websocket", "must begin with wss:// in the place of https://;"),
        (
            f"https://user:{SECRET}@localhost/socket?key={SECRET}",
            "must begin with wss:// in the place of https://; Phoenix's path ends in /websocket;",
        ),
        ("ftp://localhost/socket", "must begin with ws:// or wss://;"),
    ],
)
def test_a_uri_of_another_scheme(uri: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Configuration.validate(uri, {})
    assert str(raised.value) == f"uri: {problem} got a value of type str"


@pytest.mark.parametrize(
    "uri",
    [
        f"{URI}?token={SECRET}#{SECRET}",
        f"{URI}?token={SECRET}#",
        f"{URI}#",
        f"ws://user:{SECRET}#{SECRET}@localhost/",
        urllib.parse.urlsplit(f"{URI}?token={SECRET}#{SECRET}"),
    ],
)
def test_a_uri_with_a_fragment(uri: Any) -> None:
    """It would not be sent, and was rather to be a part of the token."""
    with pytest.raises(ConfigurationError) as raised:
        configured(uri)
    problem = "must have no fragment (RFC 6455 section 3): a # within it is written %23"
    assert str(raised.value) == f"uri: {problem}; got a value of type {type(uri).__name__}"


def test_the_defaults() -> None:
    config = configured()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert isinstance(config.serializer, V2Serializer)
    assert isinstance(config.json_parser, MsgspecJson)


@pytest.mark.parametrize(
    ("name", "value", "kept"), [(n, v, k) for n, pairs in GOOD.items() for v, k in pairs]
)
def test_good_values(name: str, value: Any, kept: Any) -> None:
    assert getattr(configured(**{name: value}), name) == kept


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_bad_values(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configured(**{name: value})
    error = raised.value
    assert isinstance(error, ValueError)
    assert error.option == name
    text = str(error)
    assert text.startswith(f"{name}: must ")
    assert text.endswith(f"; got a value of type {type(value).__name__}")
    assert SECRET not in text


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("x-other", "must hold nothing but permessage-deflate, with its parameters or without"),
        (
            "permessage-deflate; server_max_window_bits=7",
            "must hold permessage-deflate as RFC 7692 has it: this has a"
            " server_max_window_bits that is not from 8 to 15",
        ),
        (
            "permessage-deflate; x",
            "must hold permessage-deflate as RFC 7692 has it: this has a parameter that there"
            " is not",
        ),
    ],
)
def test_what_is_wrong_with_an_extension(item: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configured(extensions=[item])
    assert str(raised.value) == f"extensions: {problem}; got a value of type list"


@pytest.mark.parametrize("uri", GOOD_URIS)
def test_good_uris(uri: Any) -> None:
    assert configured(uri).uri.scheme in ("ws", "wss")


@pytest.mark.parametrize("uri", BAD_URIS, ids=ascii)
def test_bad_uris(uri: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^uri: must ") as raised:
        configured(uri)
    assert f"type {type(uri).__name__}" in str(raised.value)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("heartbeat_interval", "heartbeat_interval_msec"),
        ("header", "headers"),
        ("timeout", None),
        ("parms", "params"),
        ("URI", None),
        ("mint_opts", None),
    ],
)
def test_an_option_that_there_is_not(wrong: str, meant: str | None) -> None:
    with pytest.raises(ConfigurationError, match=f"^{wrong}: there is no such option") as raised:
        configured(**{wrong: SECRET})
    assert raised.value.option == wrong
    assert SECRET not in str(raised.value)
    if meant is not None:
        assert str(raised.value).endswith(f"; did you mean {meant}?")


NAMES = st.sampled_from(sorted(GOOD))
SECRETS = (
    st.text(min_size=1, max_size=10).map(lambda s: SECRET + s)
    | st.text(max_size=10).map(lambda s: f"http://user:{SECRET}@[{s}")
    | st.binary(max_size=5).map(lambda b: SECRET.encode() + b)
)


@given(NAMES, SECRETS | st.lists(SECRETS, min_size=1) | st.dictionaries(SECRETS, SECRETS))
def test_an_error_never_shows_the_value(name: str, value: Any) -> None:
    try:
        config = configured(**{name: value})
    except ConfigurationError as error:
        shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
    else:
        if name == "origin" or name == "headers":
            return  # Not secret; a header's name is shown. See below.
        shown = repr(config)
    assert SECRET not in shown


@pytest.mark.parametrize(
    "uri",
    [
        SECRET,
        f"ws://user:{SECRET}@[",
        f"http://user:{SECRET}@host",
        f"ws://host:{SECRET}",
        f"ws://user:{SECRET}@host:99999/",
        f"ws://host/?token={SECRET}\n",
    ],
)
def test_an_error_never_shows_the_uri(uri: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        configured(uri)
    assert SECRET not in f"{raised.value} {raised.value!r}"
    assert raised.value.__cause__ is raised.value.__context__ is None


@pytest.mark.parametrize("url", PROXIES)
def test_a_proxy_of_socks_needs_the_extra(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    if url.startswith("http:"):
        assert configured(proxy=url).proxy == url
        return
    with pytest.raises(ConfigurationError, match=r"^proxy: needs the extra: .*\[proxy\]"):
        configured(proxy=url)


# the serializer's version


@pytest.mark.parametrize(("vsn", "kind"), [("2.0.0", V2Serializer), ("1.0.0", V1Serializer)])
def test_the_version_chooses_the_serializer(vsn: str, kind: type) -> None:
    config = configured(vsn=vsn)
    assert type(config.serializer) is kind
    assert config.has_join_refs is (vsn == "2.0.0")
    assert query_of(config) == [("vsn", vsn)]


def test_note_37_the_version_is_always_asked_for() -> None:
    # Without it the server speaks V1.
    for uri in (URI, f"{URI}?", f"{URI}?a=b", "ws://h", "ws://h?vsn=2.0.0"):
        assert query_of(configured(uri)).count(("vsn", "2.0.0")) == 1


def test_a_version_in_the_uri_must_agree() -> None:
    with pytest.raises(ConfigurationError, match=r"^vsn: "):
        configured(f"{URI}?vsn=1.0.0")
    with pytest.raises(ConfigurationError, match=r"^vsn: "):
        configured(f"{URI}?vsn=2.0.0", vsn="1.0.0")
    for vsn in ("1.0.0", "2.0.0"):
        config = configured(f"{URI}?a=b&vsn={vsn}", vsn=vsn)
        assert query_of(config) == [("a", "b"), ("vsn", vsn)]


@pytest.mark.parametrize("uri", [URI, f"{URI}?vsn=2.0.0"])
def test_a_version_among_the_params_must_agree(uri: str) -> None:
    """It is the last in the query, so the server would take it."""
    for asked in ({"vsn": "1.0.0"}, {"vsn": b"1.0.0"}, {"vsn": ""}):
        with pytest.raises(ConfigurationError, match=r"^vsn: is 2\.0\.0, and the params have"):
            configured(uri, params=asked)
    for late in (lambda: {"vsn": "1.0.0"}, {"vsn": lambda: "1.0.0"}):
        with pytest.raises(ConfigurationError, match=r"^vsn: is 2\.0\.0, and the params have"):
            configured(uri, params=late).resource()
    with pytest.raises(ConfigurationError, match=r"^vsn: is 1\.0\.0, and the params have"):
        configured(params={"vsn": "2.0.0"}, serializer=V1Serializer())


def test_a_version_among_the_params_is_sent_once() -> None:
    assert query_of(configured(params={"vsn": "2.0.0", "a": 1})) == [("vsn", "2.0.0"), ("a", "1")]
    own = configured(params={"vsn": "9.0.0"}, serializer=OWN)
    assert query_of(own) == [("vsn", "9.0.0")]


def test_an_explicit_serializer_outranks_the_version() -> None:
    config = configured(serializer=OWN)
    assert config.serializer is OWN
    assert query_of(config) == [("vsn", "2.0.0")]
    assert configured(f"{URI}?vsn=1.0.0", serializer=OWN).serializer is OWN


def test_the_version_that_is_sent_is_the_serializer_s() -> None:
    config = configured(serializer=V1Serializer())
    assert not config.has_join_refs
    assert query_of(config) == [("vsn", "1.0.0")]


@pytest.mark.parametrize("vsn", ["1.0.0", "2.0.0"])
def test_the_serializer_uses_the_parser(vsn: str) -> None:
    class Parser:
        def loads(self, data: Any) -> Any:
            return json.loads(data)

        def dumps(self, value: Any) -> str:
            return json.dumps(value).replace("before", "after")

    serializer = configured(vsn=vsn, json_parser=Parser()).serializer
    assert serializer is not None
    text = serializer.encode(Message("1", "2", "t", "before", {}))
    assert isinstance(text, str)
    assert "after" in text


# what is never shown


def test_the_repr_shows_no_secret() -> None:
    config = configured(
        f"wss://user:{SECRET}1@example.org:444/socket/websocket?token={SECRET}2&a=b",
        headers={"Authorization": f"Bearer {SECRET}4"},
        params={"token": f"{SECRET}5"},
        auth_token=f"{SECRET}6",
    )
    config = dataclasses.replace(config, proxy=f"http://user:{SECRET}7@proxy")
    for shown in (repr(config), str(config), f"{config}", redact(config.uri)):
        assert SECRET not in shown
        assert "wss://example.org:444/socket/websocket?token=…&a=…" in shown
    assert "Authorization" in repr(config)


@pytest.mark.parametrize("query", [SECRET, f"{SECRET}==", f"{SECRET}=", f"a=1&{SECRET}&b"])
def test_a_query_without_names_is_not_shown(query: str) -> None:
    config = configured(f"{URI}?{query}")
    for shown in (repr(config), redact(config.uri)):
        assert SECRET not in shown
        assert f"{URI}?" in shown


def test_the_repr_shows_whether_there_is_a_secret() -> None:
    assert "auth_token=None" in repr(configured())
    assert "auth_token='…'" in repr(configured(auth_token=SECRET))


# the request


@pytest.mark.parametrize(
    ("uri", "secure", "host", "port", "header"),
    [
        ("ws://localhost:4000/x", False, "localhost", 4000, "localhost:4000"),
        ("ws://localhost/x", False, "localhost", 80, "localhost"),
        ("ws://localhost:80/x", False, "localhost", 80, "localhost"),
        ("ws://localhost:443/x", False, "localhost", 443, "localhost:443"),
        ("wss://Example.ORG/x", True, "example.org", 443, "example.org"),
        ("wss://example.org:443/x", True, "example.org", 443, "example.org"),
        ("wss://example.org:80/x", True, "example.org", 80, "example.org:80"),
        ("ws://[::1]:4000/x", False, "::1", 4000, "[::1]:4000"),
        ("ws://[::1]/x", False, "::1", 80, "[::1]"),
        (
            "ws://bücher.example/x",
            False,
            "xn--bcher-kva.example",
            80,
            "xn--bcher-kva.example",
        ),
        ("ws://user:pass@example.org/x", False, "example.org", 80, "example.org"),
        # The zone is this machine's alone (RFC 6874 section 4).
        ("ws://[fe80::1%25eth0]:4000/x", False, "fe80::1%eth0", 4000, "[fe80::1]:4000"),
        ("ws://[FE80::1%25Eth0]/x", False, "fe80::1%Eth0", 80, "[fe80::1]"),
        ("ws://[fe80::1%eth0]/x", False, "fe80::1%eth0", 80, "[fe80::1]"),
        ("ws://[fe80::1%25]/x", False, "fe80::1%25", 80, "[fe80::1]"),
        # As browsers send it: with the dot.
        ("wss://example.org./x", True, "example.org.", 443, "example.org."),
    ],
)
def test_host_and_port(uri: str, secure: bool, host: str, port: int, header: str) -> None:
    config = configured(uri)
    assert (config.secure, config.host, config.port) == (secure, host, port)
    assert config.host_header() == header


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Example.org", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example.", "xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("[fe80::1%25eth0]", "fe80::1"),
    ],
)
def test_the_name_for_tls(host: str, name: str) -> None:
    assert server_name(configured(f"wss://{host}:4000/x").host) == name


@pytest.mark.parametrize(
    ("uri", "resource"),
    [
        ("ws://h", "/?vsn=2.0.0"),
        ("ws://h?a=b", "/?a=b&vsn=2.0.0"),
        ("ws://h/socket/websocket", "/socket/websocket?vsn=2.0.0"),
        ("ws://h/socket/websocket/", "/socket/websocket/?vsn=2.0.0"),
        ("ws://h/a?x=1&y=a%20b+c%23d", "/a?x=1&y=a%20b+c%23d&vsn=2.0.0"),
        ("ws://h/a?flag", "/a?flag&vsn=2.0.0"),
        ("ws://h/é%C3%A9?é=ü", "/%C3%A9%C3%A9?%C3%A9=%C3%BC&vsn=2.0.0"),
        ("ws://h/a b?c d", "/a%20b?c%20d&vsn=2.0.0"),
    ],
)
def test_the_resource(uri: str, resource: str) -> None:
    assert configured(uri).resource() == resource


def test_note_40_params_are_lists_and_maps() -> None:
    asked = {
        "a": ["1", "2"],
        "m": {"k": "v", "deeper": {"n": "1"}, "list": ["x"]},
        "plus": "a b+c",
        "é": "ü&=?#",
        "empty": "",
    }
    config = configured(f"{URI}?in=uri", params=asked)
    assert read_by_plug(config) == {"in": "uri", **asked, "vsn": "2.0.0"}


@pytest.mark.parametrize(
    "value",
    [[{"a": SECRET}], ({"a": 1, "b": 2},), [[1, 2], [3]], [1, ({1},)], {"deep": [{}]}],
)
def test_lists_hold_no_lists_and_no_mappings(value: Any) -> None:
    """Plug would make one item of several, without a word."""
    for asked in ({"t": value}, {"t": lambda: value}, lambda: {"t": value}):
        with pytest.raises(ConfigurationError, match=r"^params: .* in lists") as raised:
            configured(params=asked).resource()
        assert SECRET not in str(raised.value)


def test_params_that_hold_themselves() -> None:
    itself: dict[str, Any] = {"secret": SECRET}
    itself["a"] = itself
    for asked in (itself, lambda: itself):
        with pytest.raises(
            ConfigurationError, match=r"^params: must not hold themselves"
        ) as raised:
            configured(params=asked).resource()
        assert raised.value.__context__ is None


def test_params_that_are_no_text() -> None:
    pairs = query_of(configured(params={"yes": True, "no": False, "none": None, "n": 1.5, 3: 4}))
    assert pairs[:-1] == [("yes", "true"), ("no", "false"), ("none", ""), ("n", "1.5"), ("3", "4")]


class Topic(str, enum.Enum):  # noqa: UP042 - as older programs have it
    """Whose `str` is `Topic.LOBBY`, as that of many a program."""

    LOBBY = "lobby"


class Level(int, enum.Enum):
    HIGH = 3


class Safe(str):
    """As those of Django and MarkupSafe, it may be written otherwise."""

    def __str__(self) -> str:
        return "otherwise"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (b"ab+c", "ab+c"),
        (bytearray("é".encode()), "é"),
        (memoryview(b"x"), "x"),
        (Topic.LOBBY, "lobby"),
        (Level.HIGH, "3"),
        (Safe("x"), "x"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (lambda: b"later", "later"),
        (lambda: Topic.LOBBY, "lobby"),
    ],
)
def test_the_text_of_a_param(value: Any, sent: str) -> None:
    assert query_of(configured(params={"t": value}))[0] == ("t", sent)


def test_the_text_of_params_within_params() -> None:
    asked = {"m": {b"k": [b"v", Topic.LOBBY]}, Topic.LOBBY: {1}, Safe("s"): frozenset([None])}
    assert query_of(configured(params=asked))[:-1] == [
        ("m[k][]", "v"),
        ("m[k][]", "lobby"),
        ("lobby[]", "1"),
        ("s[]", ""),
    ]


TEXTLESS: list[tuple[Any, str, str]] = [
    (b"\xff" + SECRET.encode(), "text that UTF-8 can hold, or bytes that are UTF-8", "bytes"),
    (f"\ud800{SECRET}", "text that UTF-8 can hold, or bytes that are UTF-8", "str"),
    (object(), "text, numbers, lists and mappings", "object"),
    (types.SimpleNamespace(a=SECRET), "text, numbers, lists and mappings", "SimpleNamespace"),
    ([params], "nothing to call within its values", "function"),
    ({"a": {"b": params}}, "nothing to call within its values", "function"),
    ({None: SECRET}, "text, numbers, lists and mappings", "NoneType"),
    ({b"\xff": SECRET}, "text that UTF-8 can hold, or bytes that are UTF-8", "bytes"),
]


@pytest.mark.parametrize(("value", "what", "kind"), TEXTLESS)
def test_a_param_without_a_text(value: Any, what: str, kind: str) -> None:
    """It is refused at once, and what a callable returns when it is there."""
    for asked in ({"t": value}, {"t": lambda: value}, lambda: {"t": value}):
        with pytest.raises(ConfigurationError) as raised:
            configured(params=asked).resource()
        assert str(raised.value) == f"params: must hold {what}; got a value of type {kind}"
        assert raised.value.__cause__ is raised.value.__context__ is None
    with pytest.raises(ConfigurationError):
        configured(params={"t": value})


def test_options_of_enumerations_are_sent_as_their_values() -> None:
    class Given(str, enum.Enum):  # noqa: UP042 - as above
        TEXT = "a"
        VSN = "1.0.0"

    config = configured(headers={Given.TEXT: Given.TEXT}, origin=Given.TEXT, vsn=Given.VSN)
    assert config.request_headers() == ["a: a"]
    assert f"{config.origin}" == "a"
    assert query_of(config) == [("vsn", "1.0.0")]


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), min_size=1)


@given(
    st.dictionaries(WORDS.map(lambda s: "p" + s), WORDS | st.lists(WORDS, min_size=1), max_size=4)
)
def test_any_params_are_read_as_they_were(asked: Mapping[str, Any]) -> None:
    config = configured(params=asked)
    assert read_by_plug(config) == {**asked, "vsn": "2.0.0"}
    assert re.fullmatch(r"[\x21-\x7e]+", config.resource())


def test_params_may_be_made_at_each_connect() -> None:
    made = iter([{"n": 1}, {"n": 2}, None])
    config = configured(params=lambda: next(made))
    assert query_of(config)[0] == ("n", "1")
    assert query_of(config)[0] == ("n", "2")
    with pytest.raises(ConfigurationError, match=r"^params: must return a mapping; .* NoneType"):
        config.resource()


def token_in(config: Configuration) -> str:
    """The token as Phoenix reads it: standard base64, its padding not needed (note 44)."""
    [line] = [line for line in config.request_headers() if line.startswith("Sec-WebSocket-")]
    name, _, value = line.partition(": ")
    assert name == "Sec-WebSocket-Protocol"
    phoenix, bearer = value.split(", ")
    assert phoenix == "phoenix"
    prefix = "base64url.bearer.phx."
    assert bearer.startswith(prefix)
    coded = bearer.removeprefix(prefix)
    assert re.fullmatch(r"[A-Za-z0-9+/]*", coded), "no -, no _, no padding"
    return base64.b64decode(coded + "=" * (-len(coded) % 4), validate=True).decode()


@given(st.text())
def test_note_44_the_token_is_standard_base64(token: str) -> None:
    assert token_in(configured(auth_token=token)) == token


def test_note_44_the_whole_alphabet() -> None:
    token = "ÿþ>>??~"
    lines = configured(auth_token=token).request_headers()
    assert "+" in lines[0].rpartition(".")[2]
    assert "/" in lines[0].rpartition(".")[2]
    assert token_in(configured(auth_token=token)) == token


def test_the_token_may_be_made_at_each_connect() -> None:
    made = iter(["one", "two", None, b"three", f"{SECRET}\ud800"])
    config = configured(auth_token=lambda: next(made))
    assert token_in(config) == "one"
    assert token_in(config) == "two"
    assert config.request_headers() == []
    with pytest.raises(ConfigurationError, match=r"^auth_token: must return text; .* bytes"):
        config.request_headers()
    with pytest.raises(ConfigurationError, match=r"^auth_token: must return .* UTF-8 can hold$"):
        config.request_headers()


def test_headers_are_lines_in_their_order() -> None:
    config = configured(headers=[("X-B", "2"), ("X-A", "1"), ("X-B", "3")])
    assert config.request_headers() == ["X-B: 2", "X-A: 1", "X-B: 3"]


@given(st.text(), st.text())
def test_no_header_splits_the_request(name: str, value: str) -> None:
    try:
        [line] = configured(headers=[(name, value)]).request_headers()
    except ConfigurationError:
        return
    assert not re.search(r"[\r\n]", line)
    assert line.partition(": ") == (name, ": ", value)


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "CONTENT-LENGTH",
        "Sec-WebSocket-Extensions",
        "sec-websocket-key",
        "Sec-WebSocket-Version",
        "Transfer-Encoding",
        "Upgrade",
    ],
)
def test_headers_that_are_the_upgrades_own(name: str) -> None:
    """A second one would be read by some, and not by others."""
    problem = f"^headers: must not hold {name.lower()}, which belongs to the upgrade"
    with pytest.raises(ConfigurationError, match=problem):
        configured(headers=[("X-A", "1"), (name, "1")])


@pytest.mark.parametrize("name", ["Host", "Origin", "Sec-WebSocket-Protocol"])
def test_headers_that_are_sent_once(name: str) -> None:
    assert configured(headers={name: "a"}).request_headers() == [f"{name}: a"]
    with pytest.raises(ConfigurationError, match=f"^headers: must hold {name.lower()} once"):
        configured(headers=[(name, "a"), (name.upper(), "b")])


@pytest.mark.parametrize(
    ("option", "header"), [("origin", "Origin"), ("auth_token", "Sec-WebSocket-Protocol")]
)
def test_an_option_and_its_header(option: str, header: str) -> None:
    problem = f"^{option}: is sent as {header.lower()}, which the headers have too"
    with pytest.raises(ConfigurationError, match=problem) as raised:
        configured(headers={header: SECRET}, **{option: SECRET})
    assert SECRET not in repr(raised.value)


def test_user_information_is_basic_authorization() -> None:
    config = configured("ws://us%C3%A9r:p%40ss@example.org/")
    [line] = config.request_headers()
    scheme, coded = line.removeprefix("Authorization: ").split(" ")
    assert scheme == "Basic"
    assert base64.b64decode(coded).decode() == "usér:p@ss"
    for name in ("Authorization", "authorization"):
        config = configured("ws://user:pass@example.org/", headers={name: "mine"})
        assert config.request_headers() == [f"{name}: mine"]


# the documentation


def test_the_table_has_every_option() -> None:
    head, rule, *rows = table().splitlines()
    assert head == "| option | default | what it is |"
    assert rule == "|---|---|---|"
    names = [row.split("`")[1] for row in rows]
    assert names == [field.name for field in dataclasses.fields(Configuration)]
    for row in rows:
        # A pipe inside of a cell is escaped.
        cells = re.split(r"(?<!\\)\|", row)
        assert len(cells) == 5
        assert all(cell.strip() for cell in cells[1:-1])


def test_the_types_are_those_of_the_options() -> None:
    fields = {field.name for field in dataclasses.fields(Configuration)}
    assert {"uri", *Options.__annotations__} == fields


def test_the_table_shows_the_defaults() -> None:
    rows = {row.split("`")[1]: row for row in table().splitlines()[2:]}
    for name, default in DEFAULTS.items():
        shown = list(default) if isinstance(default, tuple) else default
        assert f"| `{shown!r}` |" in rows[name]


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    between = text.partition("<!-- options -->\n")[2].partition("\n<!-- /options -->")[0]
    assert between == table()
