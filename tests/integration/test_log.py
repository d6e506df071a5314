"""What is said of plain threads, which have no callbacks; and hints of failures as they are."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from slipstream_actor import (
    ConnectFailed,
    ConnectFailedError,
    JoinFailedError,
    NotConnectedError,
    Socket,
    connect,
)
from slipstream_actor.protocol.hints import hint
from slipstream_actor.testing import PhoenixServer
from tests.integration.deaf import CA as AUTHORITY
from tests.integration.deaf import answering, trusting
from tests.support.clients import PATIENCE, Recorder, recording
from tests.support.log_lines import LogLines, listening
from tests.support.raw_server import Peer, RawServer, Script, closing


@pytest.fixture
def lines() -> Iterator[LogLines]:
    with listening() as lines:
        yield lines


def in_a_thread(function: Any) -> None:
    """Run something in a plain thread called "cook", and raise what it raises."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="cook")
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


# plain threads


def test_a_thread_connects_and_closes(lines: LogLines, server: PhoenixServer) -> None:
    def talk() -> None:
        with connect(server.uri).join("bench:1").await_join("bench:1") as socket:
            socket.await_reply(socket.push("bench:1", "echo", {}))

    in_a_thread(talk)
    assert lines.texts() == [f"INFO thread cook connected to {server.uri}"]


def test_a_connection_that_nobody_awaits_is_said_to_be_lost(
    lines: LogLines, server: PhoenixServer
) -> None:
    def talk() -> None:
        socket = connect(server.uri).await_connect()
        server.drop()
        lines.wait_for(2)
        with pytest.raises(NotConnectedError):
            socket.push("bench:1", "echo", {})
        socket = socket.reconnect(delay=0).await_connect()
        socket.disconnect().await_disconnect()

    in_a_thread(talk)
    connected, lost, again = lines.texts()
    assert connected == f"INFO thread cook connected to {server.uri}"
    assert lost == (
        f"WARNING thread cook has lost its connection to {server.uri}: it ended without a close"
        " frame (1006)"
    )
    assert again.startswith(f"INFO thread cook connected again to {server.uri}, after 0.")


def test_a_channel_that_crashes_is_said_to_have_crashed(
    lines: LogLines, server: PhoenixServer
) -> None:
    def talk() -> None:
        with connect(server.uri).join("test:good").await_join("test:good") as socket:
            socket.push("test:good", "raise")
            lines.wait_for(2)

    in_a_thread(talk)
    assert lines.texts()[1].startswith(
        "WARNING thread cook has lost 'test:good': the channel crashed: \"channel_crash\". Hint:"
    )


def test_what_an_await_raises_is_not_said(lines: LogLines, server: PhoenixServer) -> None:
    def talk() -> None:
        with pytest.raises(ConnectFailedError):
            connect(server.uri, params={"reject": "yes"}).await_connect()
        with connect(server.uri).join("test:bad") as socket, pytest.raises(JoinFailedError):
            socket.await_join("test:bad")

    in_a_thread(talk)
    assert lines.texts() == [f"INFO thread cook connected to {server.uri}"]


def test_a_thread_that_ends_has_lost_nothing(lines: LogLines, server: PhoenixServer) -> None:
    kept: list[Socket] = []

    def talk() -> None:
        kept.append(connect(server.uri).await_connect())

    in_a_thread(talk)
    connection = kept[0]._link
    assert connection is not None
    assert connection.connection.actor_inbox.ended.wait(PATIENCE)
    assert lines.texts() == [f"INFO thread cook connected to {server.uri}"]


def test_a_client_that_awaits_the_end_says_it(lines: LogLines) -> None:
    def close(peer: Peer) -> None:
        peer.upgrade()
        peer.send(closing(4000, "enough"))
        peer.hold()

    class Patient(Recorder):
        def handle_connect(self, socket: Socket) -> Socket:
            socket = socket.await_disconnect(PATIENCE)
            self.note("awaited")
            return socket

    with RawServer(close) as server, recording(server.uri, Patient) as (_, log):
        log.take("awaited")
        assert [text.partition(" ")[2].partition(" ")[2] for text in lines.wait_for(2)] == [
            f"connected to {server.uri}",
            f'has lost its connection to {server.uri}: the server closed it (4000, "enough")',
        ]


# hints of what fails


def failure(uri: str, **options: Any) -> ConnectFailed:
    """Connect, and return why that failed."""
    options = {"proxy": False, "connect_timeout_msec": 2000, **options}
    with pytest.raises(ConnectFailedError) as failed:
        connect(uri, **options).await_connect(PATIENCE)
    reason = failed.value.reason
    assert isinstance(reason, ConnectFailed)
    return reason


def anchor(reason: ConnectFailed) -> str | None:
    known = hint(reason)
    return None if known is None else known.anchor


def sending(data: bytes) -> Script:
    """Return the script of a server that sends these bytes, whatever it is asked."""

    def send(peer: Peer) -> None:
        peer.send(data)
        peer.hold()

    return send


def after_the_request(data: bytes, then: Script) -> Script:
    def send(peer: Peer) -> None:
        peer.request()
        peer.send(data)
        then(peer)

    return send


SETTINGS = b"\0\0\x12\x04\0\0\0\0\0" + bytes(18)
NOT_RIGHT = (
    b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-accept: abc\r\n\r\n"
)
PLAIN: dict[str, tuple[Script, str]] = {
    "a TLS alert": (after_the_request(b"\x15\x03\x01\x00\x02\x02\x46", Peer.hold), "tls-expected"),
    "a TLS alert and the end": (
        after_the_request(b"\x15\x03\x01\x00\x02\x02\x46", lambda _: None),
        "tls-expected",
    ),
    "half a TLS alert": (after_the_request(b"\x15", Peer.hold), "tls-expected"),
    "a page of nginx": (
        answering(400, body="plain HTTP request was sent to HTTPS port"),
        "tls-expected",
    ),
    "HTTP/2": (after_the_request(SETTINGS, Peer.hold), "http2"),
    "a mail server": (sending(b"220 mail.invalid ESMTP\r\n"), "no-answer"),
    "a database": (sending(b"J\0\0\0\n8.0.36\0"), "no-answer"),
    "nothing, and the end": (lambda peer: peer.request(), "no-answer"),
    "nothing, and a reset": (after_the_request(b"", Peer.reset), "no-answer"),
    "half an answer": (after_the_request(b"HTTP/1.1 1", lambda _: None), "no-answer"),
    "another key": (after_the_request(NOT_RIGHT, Peer.hold), "odd-answer"),
    "headers without end": (
        after_the_request(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", Peer.hold),
        "odd-answer",
    ),
    "moved": (answering(301, "location: /elsewhere"), "redirect"),
    "too long": (answering(431), "too-long"),
    "upgrade required": (answering(426), "upgrade-lost"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_what_a_server_does_has_its_hint(case: str) -> None:
    script, expected = PLAIN[case]
    with RawServer(script) as server:
        assert anchor(failure(server.uri)) == expected


TLS: dict[str, tuple[Script, str]] = {
    "an answer in plain text": (sending(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls-not-expected"),
    "the end": (lambda _: None, "tls-cut-off"),
    "nothing": (Peer.hold, "timeout-tls"),
}


@pytest.mark.parametrize("case", TLS)
def test_tls_to_what_speaks_none(case: str) -> None:
    script, expected = TLS[case]
    with RawServer(script) as server:
        uri = server.uri.replace("ws", "wss", 1)
        reason = failure(uri, ssl_context=trusting(), connect_timeout_msec=500)
        assert anchor(reason) == expected
        assert "_ssl.c" not in reason.detail


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_server_that_wants_a_certificate() -> None:
    context = server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    with RawServer(Peer.upgrade, ssl_context=context) as server:
        assert anchor(failure(server.uri, ssl_context=trusting())) == "client-certificate"


def test_a_server_of_another_version_of_tls() -> None:
    ours, theirs = trusting(), server_context()
    theirs.maximum_version = ssl.TLSVersion.TLSv1_2
    ours.minimum_version = ssl.TLSVersion.TLSv1_3
    with RawServer(Peer.upgrade, ssl_context=theirs) as server:
        assert anchor(failure(server.uri, ssl_context=ours)) == "tls-versions"


@pytest.mark.parametrize("kind", ["self-signed", "of a stranger"])
def test_a_certificate_that_nobody_vouches_for(kind: str) -> None:
    authority = trustme.CA()
    ours = ssl.create_default_context()
    if kind == "self-signed":
        # The authority itself, whom nobody trusts, stands in the chain.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf = authority.issue_cert("127.0.0.1")
        with leaf.private_key_and_cert_chain_pem.tempfile() as path:
            with open(path, "ab") as chain:
                chain.write(authority.cert_pem.bytes())
            context.load_cert_chain(path)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    with PhoenixServer(ssl_context=context) as server:
        reason = failure(server.uri, ssl_context=ours)
        assert anchor(reason) == "certificate-authority"
        assert ("self-signed" in reason.detail) is (kind == "self-signed")


PROXIES: dict[str, Script] = {
    "wants a password": answering(407),
    "does not let through": answering(403),
    "does not reach it": answering(502),
    "hangs up": lambda _: None,
    "is none": sending(b"SSH-2.0-OpenSSH\r\n\r\n"),
}


def saying(*said: bytes) -> Script:
    """Return the script of a proxy that says these, each when it has been told something."""

    def script(peer: Peer) -> None:
        for answer in said:
            peer.sock.recv(1000)
            peer.send(answer)
        peer.hold()

    return script


SOCKS: dict[str, tuple[Script, str, str]] = {
    "wants a password": (
        saying(b"\x05\xff"),
        "the proxy failed: No acceptable authentication methods were offered",
        "the proxy wants a user and a password",
    ),
    "knows nobody of this name": (
        saying(b"\x05\x02", b"\x01\x01"),
        "the proxy failed: Username and password authentication failure",
        "the proxy wants a user and a password",
    ),
    "does not reach it": (
        saying(b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)),
        "the proxy refused (code 5): Connection refused by destination host",
        "the proxy does not let this host and port through",
    ),
    "is none": (
        saying(b"SSH-2.0-OpenSSH\r\n\r\n"),
        "the proxy failed: Unexpected SOCKS version number: 83",
        "what the option proxy or the environment names does not answer as a proxy of its kind",
    ),
}


@pytest.mark.parametrize("case", SOCKS)
def test_a_socks_proxy_in_the_way(case: str) -> None:
    script, detail, advice = SOCKS[case]
    with RawServer(script) as proxy:
        reason = failure(
            "ws://kitchen.invalid/socket/websocket",
            proxy=f"socks5://me:s3cret@127.0.0.1:{proxy.port}",
        )
    assert reason.detail == detail
    known = hint(reason)
    assert known is not None
    assert known.text.startswith(advice)


@pytest.mark.parametrize("case", PROXIES)
def test_a_proxy_in_the_way(case: str) -> None:
    with RawServer(PROXIES[case]) as proxy:
        uri = f"http://127.0.0.1:{proxy.port}"
        assert anchor(failure("ws://kitchen.invalid/socket/websocket", proxy=uri)) == "proxy"


def test_a_proxy_that_is_not_there() -> None:
    uri = "ws://kitchen.invalid/socket/websocket"
    assert anchor(failure(uri, proxy="http://127.0.0.1:1")) == "proxy"


def test_a_name_that_is_not_known() -> None:
    assert anchor(failure("ws://kitchen.invalid/socket/websocket")) == "resolve"
