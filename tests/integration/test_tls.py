"""wss: what is verified, and that everything goes on through TLS as it does without."""

from __future__ import annotations

import datetime
import gc
import logging
import os
import select
import socket as sockets
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from slipstream_actor import (
    AwaitTimeoutError,
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    ConnectFailedError,
    Socket,
    connect,
    get_state,
)
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.wire import dial
from slipstream_actor.wire.waiter import AttemptFailed, InboxWaiter
from tests.support.clients import PATIENCE, Recorder, eventually, recording
from tests.support.programs import Program
from tests.support.raw_server import Frame, Gone, Peer, RawServer, Script, broadcast, closing, serve

CA = trustme.CA()
MEGABYTE = 1024 * 1024
NEVER_MSEC = 60_000


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Return a server's context, with a good certificate for 127.0.0.1 by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or CA.issue_cert("127.0.0.1")).configure_cert(context)
    return context


def trusting(maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    """Return a client's context that trusts our certificate authority."""
    context = ssl.create_default_context()
    context.maximum_version = maximum
    CA.configure_trust(context)
    return context


@contextmanager
def phoenix(certificate: trustme.LeafCert | None = None) -> Iterator[PhoenixServer]:
    with PhoenixServer(ssl_context=server_context(certificate)) as server:
        yield server


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    """The embedded server over TLS."""
    with phoenix() as server:
        yield server


@contextmanager
def raw(script: Script) -> Iterator[RawServer]:
    with RawServer(script, ssl_context=server_context()) as server:
        yield server


def failure(uri: str, context: ssl.SSLContext | None) -> ConnectFailed:
    """Connect from this thread, and return why that failed."""
    with pytest.raises(ConnectFailedError) as failed:
        connect(uri, ssl_context=context, connect_timeout_msec=NEVER_MSEC).await_connect(PATIENCE)
    reason = failed.value.reason
    assert isinstance(reason, ConnectFailed)
    assert reason.status is None
    return reason


# who is on the other side


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_conversation(server: PhoenixServer, version: ssl.TLSVersion) -> None:
    assert server.uri.startswith("wss://")
    socket = connect(server.uri, ssl_context=trusting(version)).join("bench:a")
    socket = socket.await_join("bench:a")
    reply = socket.await_reply(socket.push("bench:a", "echo", {"text": "é"}))
    assert reply.unwrap() == {"text": "é"}
    server.broadcast("bench:a", "news", b"\x00\xff")
    assert socket.await_message("bench:a", "news").payload == b"\x00\xff"
    socket = socket.leave("bench:a").await_leave("bench:a")
    assert not socket.disconnect().await_disconnect().connected


def test_the_default_context_trusts_what_the_system_trusts(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = dial.default_context()
    assert default.verify_mode is ssl.CERT_REQUIRED
    assert default.check_hostname
    assert failure(server.uri, None).kind == "tls"
    monkeypatch.setattr(dial, "default_context", trusting)
    connect(server.uri).await_connect().disconnect().await_disconnect()


def test_a_certificate_that_has_expired() -> None:
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    with phoenix(CA.issue_cert("127.0.0.1", not_after=ended)) as server:
        reason = failure(server.uri, trusting())
        assert reason.kind == "tls"
        assert "expired" in reason.detail


@pytest.mark.parametrize("names", [("other.invalid",), ("127.0.0.2",), ("localhost",)])
def test_a_certificate_for_another_host(names: tuple[str, ...]) -> None:
    with phoenix(CA.issue_cert(*names)) as server:
        reason = failure(server.uri, trusting())
        assert reason.kind == "tls"
        assert "127.0.0.1" in reason.detail


def test_a_certificate_of_a_stranger() -> None:
    with phoenix(trustme.CA().issue_cert("127.0.0.1")) as server:
        reason = failure(server.uri, trusting())
        assert reason.kind == "tls"
        assert "certificate" in reason.detail


def test_a_context_that_verifies_nothing_is_the_users_to_give() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with phoenix(trustme.CA().issue_cert("other.invalid")) as server:
        socket = connect(server.uri, ssl_context=context).await_connect()
        socket.disconnect().await_disconnect()


def test_a_certificate_of_ours() -> None:
    theirs, ours = server_context(), trusting()
    CA.configure_trust(theirs)
    theirs.verify_mode = ssl.CERT_REQUIRED
    CA.issue_cert("client.invalid").configure_cert(ours)
    with PhoenixServer(ssl_context=theirs) as server:
        socket = connect(server.uri, ssl_context=ours).await_connect()
        socket.disconnect().await_disconnect()
    with RawServer(serve, ssl_context=theirs) as strict:
        assert failure(strict.uri, trusting()).kind == "tls"


def test_plain_where_the_server_speaks_tls(server: PhoenixServer) -> None:
    reason = failure(server.uri.replace("wss:", "ws:"), None)
    assert reason.kind in ("upgrade", "io")


def test_a_reset_before_the_handshake_leaves_no_socket() -> None:
    config = Configuration.validate("wss://127.0.0.1:1", {})
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        sock = sockets.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        select.select([sock], [], [], PATIENCE)
        sock.setblocking(False)
        waiter = InboxWaiter(SelectorInbox(), PATIENCE)
        with pytest.raises(AttemptFailed) as failed:
            dial.handshake(sock, config, waiter)
    assert failed.value.reason.kind == "tls"
    # One that was left open warns when it goes.
    del failed
    gc.collect()


# what is offered


def offered_to(context: ssl.SSLContext | None) -> str | None:
    """Return what a server that would like h2 best agrees on with us."""
    theirs = server_context()
    theirs.set_alpn_protocols(["h2", "http/1.1"])
    chosen: list[str | None] = []

    def script(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        chosen.append(peer.sock.selected_alpn_protocol())
        serve(peer)

    with RawServer(script, ssl_context=theirs) as server:
        socket = connect(server.uri, ssl_context=context).await_connect()
        socket.disconnect().await_disconnect()
    return chosen[0]


@pytest.fixture
def _trusting_default() -> Iterator[None]:
    """Let our default trust our certificate authority, for one test."""
    dial.default_context.cache_clear()
    CA.configure_trust(dial.default_context())
    yield
    dial.default_context.cache_clear()


AT_THE_LIMIT = """
import os, resource, sys
from slipstream_actor import ConnectFailedError, connect

def attempt(free):
    taken = []
    try:
        while free is not None:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for _ in range(free):
            os.close(taken.pop())
    try:
        connect(sys.argv[1]).await_connect().disconnect().await_disconnect()
        return "connected"
    except ConnectFailedError as failed:
        return failed.reason.detail
    finally:
        for descriptor in taken:
            os.close(descriptor)

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
# There is room for the connection's own three, and none for the file of the authorities.
for free in (3, None, None):
    print(attempt(free))
"""


def test_authorities_that_could_not_be_read_are_read_the_next_time(tmp_path: Path) -> None:
    """OpenSSL says nothing of it, and the context is that of all the process's connections."""
    pytest.importorskip("resource")
    authority = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(authority))
    paths = {"SSL_CERT_FILE": str(authority), "SSL_CERT_DIR": str(tmp_path / "none")}
    with (
        phoenix() as server,
        Program(AT_THE_LIMIT, server.uri, env={**os.environ, **paths}) as program,
    ):
        outcome = program.end()
    assert outcome.errors == ""
    first, *others = outcome.output.splitlines()
    assert "local issuer certificate" in first
    assert others == ["connected", "connected"]


@pytest.mark.usefixtures("_trusting_default")
def test_no_h2_is_offered() -> None:
    """It would be chosen, and the upgrade would fail (note 43)."""
    assert offered_to(None) == "http/1.1"
    assert offered_to(trusting()) in (None, "http/1.1")


def test_the_name_that_is_asked_for() -> None:
    """SNI: a server with several certificates needs it."""
    names: list[str | None] = []
    theirs = server_context(CA.issue_cert("localhost"))
    theirs.sni_callback = lambda _sock, name, _context: names.append(name)
    with PhoenixServer(host="localhost", ssl_context=theirs) as server:
        socket = connect(server.uri, ssl_context=trusting()).await_connect()
        socket.disconnect().await_disconnect()
    assert names == ["localhost"]


# what goes through


def test_big_messages_both_ways(server: PhoenixServer) -> None:
    socket = connect(server.uri, ssl_context=trusting()).join("bench:a").await_join("bench:a")
    pad = "x" * 3 * MEGABYTE
    assert socket.await_reply(socket.push("bench:a", "echo", {"pad": pad})).unwrap() == {"pad": pad}
    big = socket.await_reply(socket.push("bench:a", "bbig", {"size": 9 * MEGABYTE})).unwrap()
    assert len(big) == 9 * MEGABYTE
    socket.disconnect().await_disconnect()


def test_a_flood_while_we_push(server: PhoenixServer) -> None:
    socket = connect(server.uri, ssl_context=trusting()).join("bench:a").await_join("bench:a")
    flood = socket.push("bench:a", "flood", {"n": 20_000, "size": 100})
    for n in range(500):
        socket.push("bench:a", "sink", {"n": n})
    sunk = socket.push("bench:a", "sunk")
    for n in range(1, 20_001):
        assert socket.await_message("bench:a", "tick").payload["i"] == n
    assert socket.await_reply(flood).unwrap() == {"n": 20_000}
    assert socket.await_reply(sunk).unwrap() == {"count": 500}
    socket.disconnect().await_disconnect()


def test_frames_in_the_record_of_the_101() -> None:
    """No selector sees them: TLS has read them already."""

    def script(peer: Peer) -> None:
        peer.upgrade(then=broadcast("first") + broadcast("second"))
        peer.serve()

    with raw(script) as server:
        socket = connect(server.uri, ssl_context=trusting()).await_connect()
        socket.await_message("room", "first")
        socket.await_message("room", "second")
        socket.disconnect().await_disconnect()


def test_many_records_at_once() -> None:
    """More than one read takes: what TLS has in its own buffer is not left there."""
    count = 40

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        # The last of them ends where a selector has nothing more to tell.
        peer.send(b"".join(broadcast("big", {"pad": "x" * 30_000}) for _ in range(count)))
        peer.serve()

    with raw(script) as server:
        socket = connect(server.uri, ssl_context=trusting()).join("room").await_join("room")
        for _ in range(count):
            socket.await_message("room", "big")
        socket.disconnect().await_disconnect()


def test_a_peer_that_stops_reading_stalls_nothing_else() -> None:
    """A refused send is repeated with the same bytes, whatever is urgent meanwhile."""
    go_on = threading.Event()
    came: list[Frame] = []
    count = 20

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.expect("begin")
        peer.send(broadcast("still here"))
        peer.wait_for(go_on)
        while sum(frame.event == "big" for frame in came) < count:
            came.append(peer.frame())
        peer.send(broadcast("all came"))
        peer.serve()

    with raw(script) as server:
        room_for_all = count * MEGABYTE
        socket = connect(server.uri, ssl_context=trusting(), max_send_buffer_bytes=room_for_all)
        socket = socket.join("room").await_join("room")
        socket.push("room", "begin")
        for n in range(count):
            socket.push("room", "big", {"n": n, "pad": "x" * MEGABYTE})
        socket.await_message("room", "still here")
        state = get_state(socket.channel_pid)
        assert state.status == "connected"
        go_on.set()
        socket.await_message("room", "all came", timeout=PATIENCE)
        assert [frame.message[4]["n"] for frame in came] == list(range(count))
        socket.disconnect().await_disconnect()


def test_what_is_written_of_a_big_push_counts() -> None:
    """Progress is a sign of life: it must show before the whole push is out."""
    read_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.wait_for(read_on)
        peer.serve()

    with (
        raw(script) as server,
        recording(server.uri, ssl_context=trusting()) as (ref, log),
    ):
        client = ref.proxy()
        client.do(lambda s: s.join("room")).get()
        log.take("join")
        push = client.do(lambda s: s.push("room", "big", {"pad": "x" * 8 * MEGABYTE})).get()
        connection = get_state(ref).connection
        eventually(lambda: get_state(connection).counters.bytes_out > 65_536, "a part of it")
        assert get_state(connection).counters.bytes_pending
        read_on.set()
        assert log.take("reply", push)[2].ok


def write_and_read(peer: Peer, wanted: int) -> None:
    """Send without a pause, and read what comes, until `wanted` bytes have come."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    burst = broadcast("tick", {"pad": "x" * 1000}) * 1000
    got, at = 0, 0
    peer.sock.setblocking(False)
    while got < wanted:
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            at = (at + peer.sock.send(burst[at:])) % len(burst)
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            chunk = peer.sock.recv(1 << 18)
            if not chunk:
                raise Gone
            got += len(chunk)
    peer.sock.setblocking(True)
    # A refused send is to be repeated, and the stream is to stay whole.
    peer.send(burst[at:])


class Quiet(Recorder):
    """Notes no tick: in a flood they would fill the memory."""

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        return None if event == "tick" else super().handle_message(topic, event, payload, socket)


class Negotiating(ssl.SSLSocket):
    """Writes nothing before it has heard something, as in a renegotiation of TLS 1.2."""

    hears_first = False
    refused = 0

    def send(self, data: Any, flags: int = 0) -> int:
        if Negotiating.hears_first:
            Negotiating.refused += 1
            raise ssl.SSLWantReadError
        return super().send(data, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        data = super().recv(buflen, flags)
        Negotiating.hears_first = False
        return data


def negotiating() -> ssl.SSLContext:
    """A context whose connections are such."""
    context = trusting()
    context.sslsocket_class = Negotiating
    return context


def going_on(go_on: threading.Event, first: bytes = b"") -> Callable[[Peer], None]:
    """The script of a server that sends something `first`, and more when it is to go on."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.send(first)
        peer.wait_for(go_on)
        peer.send(broadcast("go on"))
        peer.serve()

    return script


def test_output_that_waits_for_input_does_not_ask_on_and_on() -> None:
    """There is room in the socket all the time, and nothing to do with it."""
    context, go_on = negotiating(), threading.Event()
    with raw(going_on(go_on)) as server:
        socket = connect(server.uri, ssl_context=context).join("room").await_join("room")
        Negotiating.hears_first = True
        push = socket.push("room", "say", {"n": 1})
        with pytest.raises(AwaitTimeoutError):
            socket.await_message("room", "something else", timeout=0.3)
        assert 0 < Negotiating.refused < 20
        go_on.set()
        assert socket.await_reply(push, timeout=PATIENCE).response == {"n": 1}
        socket.disconnect().await_disconnect()


def test_output_that_waits_for_input_does_not_wait_for_the_owner() -> None:
    """Reading is paused as long as nobody takes what has come: what TLS has to hear is read."""
    context, go_on = negotiating(), threading.Event()
    ticks = b"".join(broadcast("tick") for _ in range(15))
    with raw(going_on(go_on, ticks)) as server:
        options: dict[str, Any] = {"high_watermark": 10, "low_watermark": 5}
        socket = connect(server.uri, ssl_context=context, **options).join("room").await_join("room")
        connection = socket.channel_pid
        eventually(lambda: get_state(connection).paused, "a pause")
        Negotiating.hears_first = True
        push = socket.push("room", "say", {"n": 1})
        eventually(lambda: get_state(connection).counters.bytes_pending, "what is held back")
        go_on.set()
        eventually(lambda: not get_state(connection).counters.bytes_pending, "that it is written")
        eventually(lambda: get_state(connection).paused, "another pause")
        assert socket.await_reply(push, timeout=PATIENCE).response == {"n": 1}
        socket.disconnect().await_disconnect()


def test_output_goes_on_under_a_flood_of_input() -> None:
    """Input that waits inside of TLS must not keep us from asking whether we may write."""
    size = 8 * MEGABYTE
    started = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.wait_for(started)
        write_and_read(peer, size)
        peer.send(broadcast("all came"))
        peer.hold()

    with (
        raw(script) as server,
        recording(server.uri, Quiet, ssl_context=trusting(), close_timeout_msec=200) as (ref, log),
    ):
        log.take("connect")
        client = ref.proxy()
        client.do(lambda s: s.join("room")).get()
        log.take("join")
        client.do(lambda s: s.push("room", "big", {"pad": "x" * size})).get()
        connection = get_state(ref).connection
        eventually(lambda: get_state(connection).counters.bytes_pending, "a full buffer")
        started.set()
        log.take("message", "room", "all came")


# ends


def test_a_disconnect_by_the_server(server: PhoenixServer) -> None:
    options: dict[str, Any] = {"params": {"id": "7"}, "reconnect_after_msec": [1]}
    with recording(server.uri, ssl_context=trusting(), **options) as (_, log):
        log.take("connect")
        server.disconnect("7")
        assert log.take("disconnect") == ("disconnect", ClosedByPeer(1001))
        log.take("connect")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        pytest.param(lambda peer: peer.send(closing(1012)), ClosedByPeer(1012), id="close frame"),
        pytest.param(lambda peer: None, ClosedByPeer(1006), id="bare end"),
        pytest.param(lambda peer: peer.sock.unwrap(), ClosedByPeer(1006), id="close_notify"),
    ],
)
def test_an_end_of_the_server(end: Callable[[Peer], object], reason: ClosedByPeer) -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(broadcast("last"))
        with suppress(OSError):
            end(peer)

    with (
        raw(script) as server,
        recording(server.uri, ssl_context=trusting(), reconnect_after_msec=[NEVER_MSEC]) as (
            _,
            log,
        ),
    ):
        log.take("connect")
        log.take("message", "room", "last")
        assert log.take("disconnect") == ("disconnect", reason)


def test_a_peer_that_does_not_answer_our_close() -> None:
    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.hold()

    options: dict[str, Any] = {"ssl_context": trusting(), "close_timeout_msec": 200}
    with raw(script) as server, recording(server.uri, **options) as (ref, log):
        log.take("connect")
        ref.proxy().do(Socket.disconnect).get()
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        assert server.hung_up.wait(PATIENCE)


def test_garbage_instead_of_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """The stream breaks: an end like any other, and no crash."""
    caplog.set_level(logging.ERROR)

    def script(peer: Peer) -> None:
        peer.upgrade()
        # Past TLS: a record that nobody has encrypted.
        os.write(peer.sock.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        peer.hold()

    with (
        raw(script) as server,
        recording(server.uri, ssl_context=trusting(), reconnect_after_msec=[NEVER_MSEC]) as (
            _,
            log,
        ),
    ):
        log.take("connect")
        log.take("disconnect")
    assert caplog.records == []
