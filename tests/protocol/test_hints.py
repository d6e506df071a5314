"""The table of hints: which reason has which. That real servers give these reasons is tested in
`tests/integration/test_hints.py`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream_actor import (
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    Configuration,
    ConnectFailed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    PushTimeout,
    TransportFailed,
)
from slipstream_actor.protocol.hints import HINTS, DecodingFailed, Shape, hint, shape_of

SECRET = "a-secret-of-the-server"
OPTIONS = {field.name for field in dataclasses.fields(Configuration)}


def anchor(reason: Any, path: str | None = None) -> str | None:
    known = hint(reason, path)
    return None if known is None else known.anchor


def answered(status: int, body: str = "", **headers: str) -> ConnectFailed:
    return ConnectFailed("upgrade", f"the server answered {status}", status, headers, body)


STATUSES = {
    200: "plain-http",
    204: "plain-http",
    301: "redirect",
    302: "redirect",
    307: "redirect",
    308: "redirect",
    400: "upgrade-lost",
    401: "401",
    403: "403",
    404: "404",
    405: "upgrade-lost",
    407: "proxy",
    410: "plain-http",
    414: "too-long",
    418: "plain-http",
    426: "upgrade-lost",
    429: "busy",
    431: "too-long",
    500: "500",
    502: "gateway",
    503: "gateway",
    504: "gateway",
    522: "gateway",
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_a_plain_answer_has_the_hint_of_its_status(status: int, expected: str) -> None:
    assert anchor(answered(status)) == expected


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_is_asked_for_has_a_hint_of_its_own(status: int) -> None:
    known = hint(ConnectFailed("upgrade", "", status, {"retry-after": "120"}))
    assert known is not None
    assert known.anchor == "busy"
    assert "Retry-After" in known.text
    assert "120" not in known.text


@pytest.mark.parametrize(
    "body",
    [
        "<center>The plain HTTP request was sent to HTTPS port</center>",
        "Client sent an HTTP request to an HTTPS server.\n",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
    ],
)
def test_a_page_about_tls_is_known(body: str) -> None:
    assert anchor(answered(400, body)) == "tls-expected"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/socket", "this URI's does not"),
        ("", "this URI's does not"),
        ("/socket/websocketx", "this URI's does not"),
        ("/socket/websocket", "no such socket"),
        ("/socket/websocket/", "no such socket"),
    ],
)
def test_a_path_says_more_of_a_404(path: str, words: str) -> None:
    known = hint(answered(404), path)
    assert known is not None
    assert known.anchor == "404"
    assert words in known.text
    assert "/websocket" in known.text


DETAILS: dict[str, list[tuple[str, str]]] = {
    "resolve": [
        ("nowhere.invalid: Name or service not known", "resolve"),
        ("nowhere.invalid: Too many open files", "files"),
    ],
    "refused": [("127.0.0.1:1: Connection refused", "refused")],
    "timeout": [
        ("TCP took more than 10 s", "timeout"),
        ("TCP took more than 10 s (2001:db8::1: Network is unreachable)", "timeout"),
        ("name resolution took more than 10 s", "resolve"),
        ("the proxy took more than 10 s", "proxy"),
        ("the TLS handshake took more than 10 s", "timeout-tls"),
        ("the upgrade took more than 10 s", "timeout-upgrade"),
        ("the upgrade took more than 10 s, in the middle of its answer", "timeout-upgrade"),
    ],
    "tls": [
        ("h: certificate is not yet valid", "clock"),
        ("h: certificate has expired", "certificate-expired"),
        ("h: Hostname mismatch, certificate is not valid for 'h'.", "certificate-name"),
        ("h: IP address mismatch, certificate is not valid for 'h'.", "certificate-name"),
        ("h: self-signed certificate", "certificate-authority"),
        ("h: self signed certificate in certificate chain", "certificate-authority"),
        ("h: unable to get local issuer certificate", "certificate-authority"),
        ("h: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert", "client-certificate"),
        ("h: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "client-certificate"),
        ("h: the server chose HTTP/2 (ALPN h2)", "http2"),
        ("h: [SSL: TLSV1_ALERT_NO_APPLICATION_PROTOCOL] tlsv1 alert", "http2"),
        ("h: [SSL: WRONG_VERSION_NUMBER] wrong version number", "tls-not-expected"),
        ("h: [SSL: HTTP_REQUEST] http request", "tls-not-expected"),
        ("h: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred", "tls-cut-off"),
        ("h: Connection reset by peer", "tls-cut-off"),
        ("h: [SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert", "tls-versions"),
        ("h: [SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] handshake failure", "tls-versions"),
    ],
    "upgrade": [
        ("the answer is TLS, and no HTTP", "tls-expected"),
        ("the answer is HTTP/2", "http2"),
        ("the answer is no HTTP/1.1", "no-answer"),
        ("the server closed without an answer", "no-answer"),
        ("the server closed in the middle of an answer", "no-answer"),
        ("the server chose a subprotocol that was not offered", "subprotocol"),
        ("the server chose an extension, and none was offered", "odd-answer"),
        ("the server's answer on permessage-deflate has a parameter twice", "compression"),
        ("the server's Sec-WebSocket-Extensions lacks a name", "compression"),
        ("the answer is no websocket's: Upgrade is not right", "odd-answer"),
        ("the answer has more than 100 headers", "odd-answer"),
        ("the answer's head is over 65536 bytes long", "odd-answer"),
    ],
    "proxy": [
        ("the proxy refused (code 407)", "proxy"),
        ("the proxy refused (code 502)", "proxy"),
        ("the proxy cannot be reached: 127.0.0.1:1: Connection refused", "proxy"),
        ("the proxy cannot be reached: h:1: Too many open files", "files"),
        ("the proxy closed the connection", "proxy"),
    ],
    "io": [
        ("the upgrade broke: Connection reset by peer", "no-answer"),
        ("h:1: No route to host", "unreachable"),
        ("h:1: Network is unreachable", "unreachable"),
        ("Too many open files", "files"),
    ],
}


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [(kind, *row) for kind, rows in DETAILS.items() for row in rows],
)
def test_what_has_failed_has_the_hint_of_its_detail(kind: Any, detail: str, expected: str) -> None:
    assert anchor(ConnectFailed(kind, detail)) == expected


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("io", "params raised ValueError"),
        ("proxy", "the environment's proxy needs the extra: pip install 'slipstream_actor[proxy]'"),
        ("tls", "h: something new"),
    ],
)
def test_what_says_it_all_or_is_unknown_has_none(kind: Any, detail: str) -> None:
    assert hint(ConnectFailed(kind, detail)) is None


def test_the_options_that_hints_name_are_there() -> None:
    named = {
        row.hint.anchor: re.findall(r"\boptions? (\w+)(?: and (\w+))?", str(row.hint))
        for row in HINTS
    }
    for options in named.values():
        assert {name for pair in options for name in pair if name} <= OPTIONS
    assert named["subprotocol"] == [("headers", "")]


def test_each_answer_of_a_proxy_is_told_apart() -> None:
    texts = {str(hint(ConnectFailed("proxy", detail))) for detail, _ in DETAILS["proxy"]}
    assert len(texts) == 5


OTHERS: list[tuple[Any, str | None]] = [
    (HeartbeatTimeout(), "heartbeat"),
    (ClosedByPeer(1002), "idle"),
    (ClosedByPeer(1009), "too-big"),
    (ClosedByPeer(1011), "1011"),
    (ClosedByPeer(1012, "restarting"), None),
    (ClosedByClient(), None),
    (TransportFailed("reset"), None),
    (TransportFailed("a frame of more than 1000 bytes"), "too-big"),
    (TransportFailed("a message of more than 1000 bytes"), "too-big"),
    (TransportFailed("a frame that says it is compressed and cannot be"), "compression"),
    (TransportFailed("a message that does not inflate: its end is missing"), "compression"),
    (TransportFailed("a message of too many blocks that end it"), "compression"),
    (TransportFailed("a masked frame from the server"), "odd-frames"),
    (TransportFailed("a control frame that is fragmented or over 125 bytes"), "odd-frames"),
    (TransportFailed("a frame of an extension that was not agreed on"), "odd-frames"),
    (TransportFailed("a frame that RFC 6455 forbids: Invalid opcode 3"), "odd-frames"),
    (JoinRefused({"reason": "unmatched topic"}), "unmatched-topic"),
    (JoinRefused({"reason": "join crashed"}), "join-crashed"),
    (JoinRefused({"reason": "too many channels joined"}), "too-many-channels"),
    (JoinRefused({"reason": "unauthorized"}), "unauthorized"),
    (JoinRefused({"reason": "members only"}), None),
    (JoinRefused({"reason": ["unmatched topic"]}), None),
    (JoinRefused("unmatched topic"), None),
    (JoinTimeout(), "join-timeout"),
    (ChannelCrashed({}), "channel-crashed"),
    (PushTimeout(), "push-timeout"),
    (Disconnected(HeartbeatTimeout()), "heartbeat"),
    (ChannelEnded(ChannelCrashed({})), "channel-crashed"),
    (ChannelEnded("left"), None),
    (DecodingFailed("V2Serializer", "SerializerError", "an object"), "vsn"),
    (DecodingFailed("V1Serializer", "SerializerError", "an array"), "vsn"),
    (DecodingFailed("V1Serializer", "SerializerError", "binary"), "vsn"),
    (DecodingFailed("V2Serializer", "SerializerError", "something else"), "serializer"),
    (DecodingFailed("Mine", "ValueError", "an object"), "serializer"),
    (None, None),
    (7, None),
    (ValueError("what"), None),
]


@pytest.mark.parametrize(("reason", "expected"), OTHERS)
def test_other_reasons(reason: Any, expected: str | None) -> None:
    assert anchor(reason) == expected


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (b'{"topic": 1}', "an object"),
        (b"[1, 2]", "an array"),
        (b" \n\t[1]", "an array"),
        (b"ping", "something else"),
        (b"", "something else"),
        (b"\xff\xfe", "something else"),
    ],
)
def test_what_a_frame_looks_like(text: bytes, shape: Shape) -> None:
    assert shape_of(text) == shape


# the table itself

WORDS = st.sampled_from([detail for rows in DETAILS.values() for detail, _ in rows])


@given(
    st.sampled_from([*DETAILS]),
    WORDS | st.text(),
    st.none() | st.integers(100, 999),
    st.dictionaries(st.text(max_size=5), st.just(SECRET), max_size=2),
)
def test_no_hint_says_what_the_server_said(
    kind: Any, detail: str, status: int | None, headers: dict[str, str]
) -> None:
    reason = ConnectFailed(kind, f"{SECRET} {detail}", status, headers, SECRET)
    assert SECRET not in str(hint(reason, f"/{SECRET}"))


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_whatever_a_join_is_refused_with_nothing_is_raised(response: Any) -> None:
    hint(JoinRefused(response))
    hint(JoinRefused({"reason": response}))
    hint(response)


def test_each_row_is_the_hint_of_something() -> None:
    reasons = [
        *(ConnectFailed(kind, d) for kind, rows in DETAILS.items() for d, _ in rows),  # type: ignore[arg-type]
        *map(answered, STATUSES),
        answered(429, **{"retry-after": "1"}),
        answered(400, "HTTPS port"),
        *(reason for reason, _ in OTHERS),
        ConnectFailed("proxy", "the proxy failed: OSError"),
    ]
    given_hints = [hint(reason) for reason in reasons]
    assert [row.hint for row in HINTS if row.hint not in given_hints] == []


def test_texts_are_sentences_without_an_end_and_anchors_are_links() -> None:
    for row in HINTS:
        assert re.fullmatch(r"[a-z0-9-]+", row.hint.anchor), row.hint
        assert not row.hint.text.endswith("."), row.hint
        assert row.hint.text.isprintable()
        assert len(row.hint.text) < 300
        assert str(row.hint) == f"{row.hint.text} [troubleshooting#{row.hint.anchor}]"
