"""What is configured in confidence is shown nowhere: in no log line, no `repr` and no error.

Header values, query values, tokens, user information, proxy passwords, and the server's answers.
"""

from __future__ import annotations

import base64
import json
import logging
import socket as sockets
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec
import orjson
import pytest
import trustme
import websocket

from slipstream_actor import (
    ClientActor,
    ConfigurationError,
    ConnectFailed,
    ConnectFailedError,
    Disconnected,
    Socket,
    commands,
    connect,
    events,
    get_state,
    wait,
)
from slipstream_actor.errors import SerializerError, SlipstreamError
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, recording
from tests.support.raw_server import (
    Peer,
    RawServer,
    Script,
    closing,
    dead_port,
    dead_uri,
    frame,
    switching,
)

# Everything that is secret begins with it, so that its base64 begins with CODED.
MARK = "s3cret"
CODED = base64.b64encode(MARK.encode()).decode()
NEVER_MSEC = 60_000
URI = "ws://127.0.0.1:1/socket/websocket"
CA = trustme.CA()


def options() -> dict[str, Any]:
    """Return options that are full of secrets."""
    return {
        "headers": {"X-Api-Key": f"{MARK}-header", "Cookie": f"session={MARK}-cookie"},
        "params": {"password": f"{MARK}-param", "nested": {"key": [f"{MARK}-nested"]}},
        "auth_token": f"{MARK}-token",
        "reconnect_after_msec": [NEVER_MSEC],
        "close_timeout_msec": 200,
    }


def confidential(uri: str) -> str:
    """Return `uri` with secret user information, a secret query."""
    login = f"://{MARK}-user:{MARK}-password@"
    return uri.replace("://", login) + f"?key={MARK}-query"


def assert_hidden(*things: Any) -> None:
    """No secret is in the `repr` or the text of any of `things`; of errors, in their tracebacks."""
    for thing in things:
        texts = [repr(thing), str(thing)]
        if isinstance(thing, msgspec.Struct):
            texts += [repr(list(thing.__rich_repr__()))]  # What rich shows.
        if isinstance(thing, BaseException):
            texts += ["".join(traceback.format_exception(thing))]
            texts += [text for error in chain(thing) for text in (repr(error), repr(error.args))]
        for text in texts:
            assert MARK not in text, text
            assert CODED not in text, text


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and all that led to it, what `raise … from None` hides too."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every logger at its most talkative; what they said is looked through when the test ends."""
    caplog.set_level(logging.DEBUG)
    for name in (
        "slipstream_actor",
        "slipstream_actor.frames",
        "pykka",
        "websocket",
        "python_socks",
    ):
        caplog.set_level(logging.DEBUG, name)
    yield caplog
    # `caplog.records` are those of this phase, in which nothing happens any more.
    for record in caplog.get_records("call"):
        assert_hidden(logging.Formatter().format(record))
        # What a handler that looks deeper would send.
        assert_hidden(record.args, record.exc_info and record.exc_info[1])


def show_all(socket: Socket) -> list[Any]:
    """Return all that a socket knows, but for the answers of the server."""
    link = socket._link
    return [
        socket,
        socket.channel_config,
        socket.channel_pid,
        socket.metadata,
        socket.joins,
        link,
        link.connection if link is not None else None,
    ]


# when all goes well


def test_a_conversation(server: PhoenixServer, logs: pytest.LogCaptureFixture) -> None:
    uri = confidential(server.uri)
    with recording(uri, **options()) as (ref, log):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("test:good")).get()
        log.take("join")
        client.do(lambda s: s.push("test:good", "ping")).get()
        log.take("reply")
        state = get_state(ref)
        inner = get_state(state.connection)
        assert_hidden(ref, state, inner, inner.uri, *show_all(state.socket))
        # They are hidden, not lost.
        assert state.socket.channel_config is not None
        assert state.socket.channel_config.auth_token == f"{MARK}-token"
        client.do(Socket.disconnect).get()
        assert_hidden(log.take("disconnect"))
    assert "connect" in logs.text


def test_the_frame_log_shows_messages_and_no_secrets(
    server: PhoenixServer, logs: pytest.LogCaptureFixture
) -> None:
    """Join params, what a join answers, and what stands under a secret's name, both ways."""
    secret = {"token": f"{MARK}-t", "deep": [{"user": {"password": f"{MARK}-p", "name": "al"}}]}
    with recording(confidential(server.uri), **options()) as (ref, log):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("bench:room", {"harmless": MARK, "reply": {"x": MARK}})).get()
        log.take("join")
        client.do(lambda s: s.push("bench:room", "echo", secret)).get()
        log.take("reply")
        client.do(lambda s: s.push("bench:room", "broadcast", secret)).get()
        log.take("message")
        client.do(lambda s: s.push("bench:room", "echo", MARK.encode())).get()
        log.take("reply")
    assert "push bench:room phx_join (1, 1) {'harmless': …, 'reply': …}" in logs.text
    assert "push bench:room echo (1, 2) {'token': …, 'deep': [" in logs.text
    assert "receive ok bench:room phx_reply (1, 2) {'token': …" in logs.text
    assert "receive bench:room shout {'token': …" in logs.text
    assert "<6 bytes>" in logs.text


def test_what_is_shown_of_an_address() -> None:
    """Enough to know which it is: host, port, path and the names in the query."""
    uri = confidential("ws://127.0.0.1:1/socket/websocket")
    shown = repr(connect(uri, test_mode=True, **options()).channel_config)
    assert_hidden(shown)
    assert "ws://127.0.0.1:1/socket/websocket?key=" in shown
    assert "X-Api-Key" in shown


def test_the_params_that_reach_the_server_are_not_shown_on_the_way(server: PhoenixServer) -> None:
    socket = connect(confidential(server.uri), **options())
    socket = socket.join("params:a").await_join("params:a")
    sent = socket.joins["params:a"].response["connect"]
    assert sent["password"] == f"{MARK}-param"
    assert sent["key"] == f"{MARK}-query"
    assert_hidden(socket, socket.channel_config)
    socket.disconnect().await_disconnect()


def test_the_answers_of_the_server() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade(f"Set-Cookie: session={MARK}-answer", f"X-Token: {MARK}-answer")
        peer.serve()

    with RawServer(script) as server, recording(server.uri, **options()) as (ref, log):
        log.take("connect")
        socket = get_state(ref).socket
        headers = socket.response_headers
        assert headers is not None
        assert headers["x-token"] == f"{MARK}-answer"
        assert_hidden(socket, get_state(ref), events.ChannelConnected(ref, headers))


def test_events_and_reasons() -> None:
    headers = {"set-cookie": f"{MARK}-answer", "location": f"http://{MARK}-answer/"}
    reason = ConnectFailed("upgrade", "refused", status=302, headers=headers, body=f"{MARK}-body")
    assert_hidden(
        reason,
        Disconnected(reason),
        events.ChannelConnectFailed(reason),
        events.ChannelClosed(reason),
        events.ChannelConnected(None, headers),
        commands.OpenConnection(),
    )
    assert "302" in repr(reason)


def test_commands() -> None:
    payload = {"token": f"{MARK}-payload"}
    assert_hidden(
        commands.JoinTopic("room", payload, "1"),
        commands.PushMessage("room", "ask", payload, "2", "1", f'["1","2",{payload}]'),
    )
    assert "room" in repr(commands.JoinTopic("room")) + repr(commands.PushMessage("room", "ask"))


PARSERS = {"msgspec": None, "json": json, "orjson": orjson}
BAD_PAYLOADS = {
    "object": {"token": f"{MARK}-payload", "bad": object()},
    "surrogate": {"token": f"{MARK}-payload\ud800"},
    "number": {"token": f"{MARK}-payload", "bad": float("nan")},
    "key": {"token": f"{MARK}-payload", (1, 2): 1},
}


@pytest.mark.parametrize("payload", BAD_PAYLOADS)
@pytest.mark.parametrize("parser", PARSERS)
def test_a_payload_that_cannot_be_encoded(parser: str, payload: str) -> None:
    more: Any = {"json_parser": PARSERS[parser]} if PARSERS[parser] else {}
    socket = connect(URI, test_mode=True, **options(), **more)
    try:
        socket.join("room", BAD_PAYLOADS[payload])
    except SerializerError as error:
        assert_hidden(error)
    else:
        assert payload in ("number", "key")  # Of which some make what JSON has.


def test_what_websocket_client_traces(logs: pytest.LogCaptureFixture) -> None:
    """It would print the whole request and its answer: it is shown neither."""

    def script(peer: Peer) -> None:
        peer.upgrade(f"Set-Cookie: session={MARK}-answer", f"X-Token: {MARK}-answer")
        assert any(MARK in value for _, value in peer.server.requests.queue[0].headers)
        peer.serve()

    websocket.enableTrace(True, handler=logging.NullHandler())
    try:
        with RawServer(script) as server:
            connect(confidential(server.uri), **options()).await_connect().disconnect()
            refused_by(echo)
            refused_by(wrong_accept)
    finally:
        websocket.enableTrace(False)
    assert "request header" in logs.text


# when an attempt fails


Case: TypeAlias = Callable[[], "ConnectFailed"]


def failure(uri: str, **more: Any) -> ConnectFailed:
    """Connect from this thread; return why that failed, with no secret in the error."""
    socket = connect(confidential(uri), **{**options(), **more})
    with pytest.raises(ConnectFailedError) as failed:
        socket.await_connect(PATIENCE)
    reason = failed.value.reason
    assert isinstance(reason, ConnectFailed)
    assert_hidden(failed.value, reason, reason.detail, *show_all(failed.value.socket))
    return reason


def refused_by(script: Script, **more: Any) -> ConnectFailed:
    """Fail to connect to a server that runs `script`."""
    with RawServer(script) as server:
        return failure(server.uri, **more)


def proxied_by(script: Script) -> ConnectFailed:
    """Fail to connect through a proxy that runs `script`."""
    with RawServer(script) as proxy:
        url = f"http://{MARK}-user:{MARK}-password@127.0.0.1:{proxy.port}"
        return failure("ws://phoenix.invalid/socket/websocket", proxy=url)


def answer(*lines: str, body: str = "") -> Script:
    """Return a script that reads the request, and answers."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send("\r\n".join([*lines, "", body]).encode())

    return script


def echo(peer: Peer) -> None:
    """Send back the request itself, as the body of a refusal."""
    request = peer.read_until(b"\r\n\r\n")
    peer.send(b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n" % len(request) + request + request)


def echo_as_junk(peer: Peer) -> None:
    """Send back the request itself, as if it were an answer."""
    peer.send(peer.read_until(b"\r\n\r\n"))


def wrong_accept(peer: Peer) -> None:
    """Upgrade with a wrong key and a secret cookie."""
    good = switching(peer.request(), f"Set-Cookie: {MARK}-answer")
    peer.send(good.replace(b"sec-websocket-accept: ", b"sec-websocket-accept: x"))


def nobody() -> ConnectFailed:
    with dead_uri() as uri:
        return failure(uri)


def timeout() -> ConnectFailed:
    return refused_by(Peer.hold, connect_timeout_msec=100)


def stranger() -> ConnectFailed:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(Peer.hold, ssl_context=context) as server:
        return failure(server.uri)


def raising(option: str) -> ConnectFailed:
    def function() -> Any:
        raise LookupError(f"{MARK}-raised")

    return failure("ws://127.0.0.1:1/socket/websocket", **{option: function})


def returning(option: str, value: Any) -> ConnectFailed:
    return failure("ws://127.0.0.1:1/socket/websocket", **{option: lambda: value})


def no_proxy() -> ConnectFailed:
    with dead_port() as port:
        url = f"http://{MARK}-user:{MARK}-password@127.0.0.1:{port}"
        return failure("ws://phoenix.invalid/socket/websocket", proxy=url)


def proxy_of_the_environment(kind: str, more: str = "") -> ConnectFailed:
    with pytest.MonkeyPatch.context() as monkeypatch:
        url = f"{kind}://{MARK}-user:{MARK}-password{more}@127.0.0.1"
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.delenv("no_proxy", raising=False)
        return failure("ws://phoenix.invalid/socket/websocket")


REFUSED = f"Location: http://elsewhere/?token={MARK}-answer"
PROXY_SAYS = f"HTTP/1.1 407 no {MARK}-user:{MARK}-password"
BAD_OPTION = [(sockets.SOL_SOCKET, 99_999, 1)]
FAILURES: dict[str, tuple[str, Case]] = {
    "resolve": ("resolve", lambda: failure("ws://nobody.invalid/socket/websocket")),
    "refused": ("refused", nobody),
    "timeout": ("timeout", timeout),
    "tls": ("tls", stranger),
    "echo": ("upgrade", lambda: refused_by(echo)),
    "junk": ("upgrade", lambda: refused_by(echo_as_junk)),
    "redirect": ("upgrade", lambda: refused_by(answer("HTTP/1.1 302 Found", REFUSED))),
    "status line": ("upgrade", lambda: refused_by(answer(f"HTTP/1.1 403 {MARK}-answer"))),
    "bad status": ("upgrade", lambda: refused_by(answer(f"HTTP/1.1 {MARK} answer"))),
    "bad header": ("upgrade", lambda: refused_by(answer("HTTP/1.1 101 OK", f"{MARK}\0: a"))),
    "wrong accept": ("upgrade", lambda: refused_by(wrong_accept)),
    "eof": ("upgrade", lambda: refused_by(Peer.request)),
    "sockopt": ("io", lambda: failure("ws://127.0.0.1:1/socket", sockopt=BAD_OPTION)),
    "params raise": ("io", lambda: raising("params")),
    "auth_token raises": ("io", lambda: raising("auth_token")),
    "params return text": ("io", lambda: returning("params", f"{MARK}-returned")),
    "auth_token returns bytes": ("io", lambda: returning("auth_token", MARK.encode())),
    "auth_token returns a surrogate": ("io", lambda: returning("auth_token", f"{MARK}\ud800")),
    "no proxy": ("proxy", no_proxy),
    "proxy refuses": ("proxy", lambda: proxied_by(answer(PROXY_SAYS))),
    "proxy echoes": ("proxy", lambda: proxied_by(echo_as_junk)),
    "proxy hangs up": ("proxy", lambda: proxied_by(Peer.request)),
    "odd proxy in the environment": ("proxy", lambda: proxy_of_the_environment("gopher")),
    "proxy with an odd byte": ("proxy", lambda: proxy_of_the_environment("http", "\udcff")),
    "proxy of SOCKS with an odd password": (
        "proxy",
        lambda: proxy_of_the_environment("socks5", "é"),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_attempt(name: str) -> None:
    kind, attempt = FAILURES[name]
    assert attempt().kind == kind


@contextmanager
def refusing() -> Iterator[str]:
    """Yield the URI of a server that refuses, and tells all that it was told."""
    with RawServer(echo) as server:
        yield confidential(server.uri)


def test_what_a_client_is_told_of_a_refusal() -> None:
    with refusing() as uri, recording(uri, **options()) as (ref, log):
        entry = log.take("disconnect")
        assert_hidden(entry, get_state(ref))
        # It is there for who looks for it.
        assert f"{MARK}-header" in entry[1].body


# when a connection ends


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(closing(1011), id="close"),
        pytest.param(frame(3, f"{MARK}-sent".encode()), id="violation"),
        pytest.param(frame(1, f"{MARK}-sent".encode()), id="junk"),
        pytest.param(frame(2, f"{MARK}-sent".encode()), id="binary junk"),
        pytest.param(frame(1, f'[null,null,"{MARK}'.encode()), id="half of a message"),
        pytest.param(b"", id="eof"),
    ],
)
def test_the_end_of_a_connection(last: bytes) -> None:
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.wait_for(go_on)
        peer.send(last)

    with RawServer(script) as server:
        uri = confidential(server.uri)
        with recording(uri, heartbeat_interval_msec=500, **options()) as (ref, log):
            log.take("connect")
            connection = get_state(ref).connection
            go_on.set()
            entry = log.take("disconnect")
            assert_hidden(entry, wait(connection, PATIENCE))


class Crashing(ClientActor):
    """Raises as soon as it is connected."""

    def init(self, uri: str) -> Socket:
        return connect(uri, **options())

    def handle_connect(self, socket: Socket) -> Any:
        raise RuntimeError("on purpose")


def test_a_client_that_crashes(server: PhoenixServer, logs: pytest.LogCaptureFixture) -> None:
    ref = Crashing.start(confidential(server.uri))
    assert_hidden(wait(ref, PATIENCE))
    assert "on purpose" in logs.text


class BadSerializer:
    """Cannot encode what the connection itself has to say."""

    vsn = "2.0.0"

    def encode(self, message: Any) -> str:
        raise RuntimeError("on purpose")

    def decode(self, data: str | bytes) -> Any:
        raise RuntimeError("on purpose")


def test_a_connection_that_crashes(server: PhoenixServer, logs: pytest.LogCaptureFixture) -> None:
    more: dict[str, Any] = {"serializer": BadSerializer(), "heartbeat_interval_msec": 50}
    with recording(confidential(server.uri), **{**options(), **more}) as (_, log):
        assert_hidden(log.take("disconnect"))
    assert "on purpose" in logs.text


# when the configuration is wrong


WRONG: list[tuple[str, dict[str, Any]]] = [
    (f"http://{MARK}:{MARK}@127.0.0.1/{MARK}?a={MARK}", {}),
    (f"ws://[{MARK}/", {}),
    (f"ws://127.0.0.1:{MARK}/", {}),
    (f"ws://{MARK}:{MARK}@/", {}),
    (f"{MARK}", {}),
    (f"ws://127.0.0.1/\r\n{MARK}", {}),
    (f"{URI}?vsn={MARK}", {}),
    (f"{URI}?token={MARK}#{MARK}", {}),
    (URI, {"headers": {"X-Key": f"{MARK}\r\nX-Other: 1"}}),
    (URI, {"headers": {f"X {MARK}": "1"}}),
    (URI, {"headers": [(MARK,)]}),
    (URI, {"headers": MARK}),
    (URI, {"headers": {"X-Key": MARK.encode()}}),
    (URI, {"params": MARK}),
    (URI, {"params": {"a": [b"\xff" + MARK.encode()]}}),
    (URI, {"params": {MARK: {f"{MARK}\ud800": 1}}}),
    (URI, {"auth_token": MARK.encode()}),
    (URI, {"origin": f"http://{MARK}\n"}),
    (URI, {"proxy": f"ftp://{MARK}:{MARK}@127.0.0.1"}),
    (URI, {"proxy": f"http://[{MARK}:{MARK}"}),
    (URI, {"proxy": f"http://{MARK}:{MARK}@127.0.0.1:1\r\n"}),
    (URI, {"proxy": f"http://{MARK}%3A:{MARK}@127.0.0.1"}),
    (URI, {"proxy": f"socks5://{MARK}:{MARK}é@127.0.0.1"}),
    (URI, {"vsn": MARK}),
    (URI, {"heartbeat_interval_msec": MARK}),
    (URI, {"ssl_context": MARK}),
    (URI, {"serializer": MARK}),
    (URI, {"extensions": MARK}),
    (URI, {"extensions": [MARK]}),
    (URI, {"extensions": [f"permessage-deflate; {MARK}={MARK}"]}),
    (URI, {"extensions": [f"permessage-deflate; server_max_window_bits={MARK}"]}),
    (URI, {"auth_tokn": MARK}),
]


@pytest.mark.parametrize(("uri", "wrong"), WRONG)
def test_a_wrong_configuration(uri: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        connect(uri, **wrong)
    assert_hidden(refused.value, refused.value.option)
    assert isinstance(refused.value, SlipstreamError)
