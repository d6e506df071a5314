"""How an attempt to connect fails, is given up, and what it sends: over real sockets."""

from __future__ import annotations

import base64
import contextlib
import errno
import itertools
import os
import select
import socket as sockets
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pykka
import pytest
import trustme

from slipstream_actor import (
    AwaitTimeoutError,
    ClosedByClient,
    ConfigurationError,
    ConnectFailed,
    ConnectFailedError,
    NotConnectedError,
    Socket,
    commands,
    connect,
    get_state,
    wait,
)
from slipstream_actor.cli.blocking_waiter import BlockingWaiter
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.wire import addresses as known
from slipstream_actor.wire import race
from slipstream_actor.wire.dial import default_context, resolve
from slipstream_actor.wire.waiter import AttemptFailed
from tests.conftest import descriptors
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording
from tests.support.raw_server import (
    Peer,
    RawServer,
    Script,
    accept,
    broadcast,
    closing,
    dead_port,
    head,
    serve,
    switching,
)

# Long enough that whatever ends before the test's patience does has not waited for it.
NEVER_MSEC = 60_000
CA = trustme.CA()
SECRET = "SECRET"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxies the machine has are none of ours."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def failure(uri: str, **options: Any) -> ConnectFailed:
    """Connect from this thread, and return why that failed."""
    with pytest.raises(ConnectFailedError) as failed:
        connect(uri, **options).await_connect(PATIENCE)
    reason = failed.value.reason
    assert isinstance(reason, ConnectFailed), reason
    assert SECRET not in repr(reason)
    return reason


def close(socket: Socket) -> None:
    """Disconnect, and wait until it is done."""
    socket.disconnect().await_disconnect()


@pytest.fixture
def unused_port() -> Iterator[int]:
    with dead_port() as port:
        yield port


def answering(*chunks: bytes, keep: bool = False) -> Script:
    """Return a script that reads the request and sends `chunks`; `keep`: without hanging up."""

    def script(peer: Peer) -> None:
        peer.request()
        for chunk in chunks:
            peer.send(chunk)
        if keep:
            peer.hold()
        else:
            peer.finish()
            peer.hold()

    return script


def upgrading(*lines: str, then: bytes = b"") -> Script:
    """Return the script of a good server that answers with more `lines`, and `then` at once."""

    def script(peer: Peer) -> None:
        peer.upgrade(*lines, then=then)
        peer.serve()

    return script


# names and addresses


def test_a_name_without_an_address() -> None:
    reason = failure("ws://nobody.invalid/socket/websocket")
    assert reason.kind == "resolve"
    assert "nobody.invalid" in reason.detail


def test_a_name_that_cannot_be_one() -> None:
    assert failure(f"ws://{'a' * 64}.invalid/socket/websocket").kind == "resolve"


@pytest.fixture
def no_look_ups(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the system without a thread for a look-up until the event is set."""
    start, over = threading.Thread.start, threading.Event()

    def started(thread: threading.Thread) -> None:
        if thread.name == "slipstream-lookup" and not over.is_set():
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", started)
    yield over
    over.set()


def test_without_a_thread_for_the_look_up_the_attempt_fails_and_is_made_again(
    no_look_ups: threading.Event, server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    uri = server.uri.replace("127.0.0.1", "localhost")
    with recording(uri, reconnect_after_msec=[1]) as (_, log):
        failed = ConnectFailed("io", "can't start new thread")
        for _ in range(2):
            assert log.take("disconnect") == ("disconnect", failed)
        no_look_ups.set()
        log.take("connect")
    assert not any(record.exc_info for record in caplog.records)


def test_so_does_one_that_blocks(no_look_ups: threading.Event) -> None:
    with pytest.raises(AttemptFailed) as failed:
        resolve("localhost", 80, BlockingWaiter(PATIENCE))
    assert failed.value.reason == ConnectFailed("io", "can't start new thread")


def test_a_port_that_nobody_listens_on(unused_port: int) -> None:
    reason = failure(f"ws://127.0.0.1:{unused_port}/socket/websocket")
    assert (reason.kind, reason.status, reason.body) == ("refused", None, "")
    assert f"127.0.0.1:{unused_port}" in reason.detail


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the addresses of other tests."""
    monkeypatch.setattr(known, "_last", {})


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make `many.invalid` have the addresses given, `(host, port)` each."""
    resolve = sockets.getaddrinfo

    def set_to(*pairs: tuple[str, int]) -> None:
        def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in ("many.invalid", "many.invalid."):
                return resolve(host, *args, **kwargs)
            return [(sockets.AF_INET, sockets.SOCK_STREAM, 6, "", pair) for pair in pairs]

        monkeypatch.setattr(sockets, "getaddrinfo", look_up)

    return set_to


def test_the_second_address_where_the_first_refuses(
    server: PhoenixServer, addresses: Callable[..., None], unused_port: int
) -> None:
    addresses(("127.0.0.1", unused_port), ("127.0.0.1", server.port))
    socket = connect("ws://many.invalid:9/socket/websocket").await_connect()
    assert socket.connected
    close(socket)


def test_an_address_with_a_zone(server: PhoenixServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for this machine, and the server is not told."""
    looked_up = []

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        looked_up.append(host)
        return [(sockets.AF_INET, sockets.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(sockets, "getaddrinfo", look_up)
    uri = "ws://[fe80::1%25eth0]:4000/socket/websocket"
    socket = connect(uri).join("params:a").await_join("params:a")
    assert looked_up == ["fe80::1%eth0"]
    info = socket.joins["params:a"].response["info"]
    assert info["uri"].startswith("http://[fe80::1]:4000/")
    close(socket)


def test_the_second_address_where_the_first_says_nothing(
    server: PhoenixServer, addresses: Callable[..., None]
) -> None:
    with deaf_listener() as port:
        addresses(("127.0.0.1", port), ("127.0.0.1", server.port))
        uri = "ws://many.invalid:9/socket/websocket"
        socket = connect(uri, connect_timeout_msec=2_000).await_connect(PATIENCE)
        assert socket.connected
        close(socket)


def test_black_holes_before_the_address_that_answers(
    server: PhoenixServer, addresses: Callable[..., None]
) -> None:
    with deaf_listener() as first, deaf_listener() as second:
        addresses(("127.0.0.1", first), ("127.0.0.1", second), ("127.0.0.1", server.port))
        begun = time.monotonic()
        close(connect("ws://many.invalid:9/socket/websocket").await_connect(PATIENCE))
        # Two staggers, and what a busy machine adds.
        assert time.monotonic() - begun < 6


def test_the_address_that_worked_is_tried_first_next_time(
    server: PhoenixServer, addresses: Callable[..., None]
) -> None:
    with dropping_listener() as (port, tried):
        addresses(("127.0.0.1", port), ("127.0.0.1", server.port))
        uri = "ws://many.invalid:9/socket/websocket"
        with recording(uri, reconnect_after_msec=[0]) as (ref, log):
            # It hangs up instead of an answer: then the other one is the first.
            assert log.take("disconnect")[1].kind in ("upgrade", "io")
            for _ in range(3):
                log.take("connect")
                ref.proxy().do(Socket.disconnect).get()
                log.take("disconnect")
                ref.proxy().do(lambda socket: socket.connect(uri)).get()
            log.take("connect")
        assert tried() == 1


@contextmanager
def dropping_listener() -> Iterator[tuple[int, Callable[[], int]]]:
    """Yield a port where every connection is dropped, and how often that was."""
    with RawServer(lambda peer: peer.request()) as server:
        yield server.port, lambda: server.accepted


def test_nothing_is_left_of_the_addresses_that_were_late(
    server: PhoenixServer, addresses: Callable[..., None]
) -> None:
    """While the connection is open, too."""

    def sockets_of_a_connection(*ports: int) -> int:
        addresses(*[("127.0.0.1", port) for port in ports])
        before = descriptors()
        with recording("ws://many.invalid:9/socket/websocket") as (_, log):
            log.take("connect")
            return len(descriptors() - before)

    with deaf_listener() as first, deaf_listener() as second:
        late = sockets_of_a_connection(first, second, server.port)
        assert late == sockets_of_a_connection(server.port)


@pytest.mark.parametrize("seconds", [0.05, 0.4, 0.6])
def test_a_disconnect_between_black_holes(addresses: Callable[..., None], seconds: float) -> None:
    with deaf_listener() as first, deaf_listener() as second:
        addresses(("127.0.0.1", first), ("127.0.0.1", second))
        socket = connect("ws://many.invalid:9/socket/websocket", connect_timeout_msec=NEVER_MSEC)
        with pytest.raises(AwaitTimeoutError):
            socket.await_connect(seconds)
        begun = time.monotonic()
        close(socket)
        assert time.monotonic() - begun < 6


def test_a_proxy_with_black_holes_among_its_addresses(
    server: PhoenixServer, addresses: Callable[..., None]
) -> None:
    with deaf_listener() as hole, RawServer(tunnel(server.port)) as proxy:
        addresses(("127.0.0.1", hole), ("127.0.0.1", proxy.port))
        url = "http://many.invalid:9"
        begun = time.monotonic()
        close(connect("ws://phoenix.invalid/socket/websocket", proxy=url).await_connect(PATIENCE))
        assert time.monotonic() - begun < 6


def test_no_address_that_works(addresses: Callable[..., None], unused_port: int) -> None:
    addresses(("127.0.0.1", unused_port), ("127.0.0.1", unused_port))
    assert failure("ws://many.invalid:9/socket/websocket").kind == "refused"


def test_a_name_with_no_address_at_all(addresses: Callable[..., None]) -> None:
    addresses()
    assert failure("ws://many.invalid:9/socket/websocket").kind == "resolve"


# phases: where an attempt can hang


@dataclass
class Phase:
    """An attempt that hangs: `reached` is set when it does, by `server` where there is one."""

    uri: str
    reached: threading.Event
    server: RawServer | None = None
    options: dict[str, Any] = field(default_factory=dict)
    is_look_up: bool = False


@contextmanager
def deaf_listener() -> Iterator[int]:
    """Yield a port whose queue is full: the system answers nobody any more."""
    with ExitStack() as stack:
        listener = stack.enter_context(sockets.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(sockets.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def hanging_look_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[Phase]:
    reached, released = threading.Event(), threading.Event()
    resolve = sockets.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "slow.invalid":
            return resolve(host, *args, **kwargs)
        reached.set()
        released.wait(PATIENCE)
        raise sockets.gaierror("released")

    monkeypatch.setattr(sockets, "getaddrinfo", look_up)
    try:
        yield Phase("ws://slow.invalid/socket/websocket", reached, is_look_up=True)
    finally:
        released.set()


@contextmanager
def hanging_tcp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Phase]:
    reached = threading.Event()
    wait = race.Race._wait

    def noted(running: race.Race) -> None:
        reached.set()
        wait(running)

    monkeypatch.setattr(race.Race, "_wait", noted)
    with deaf_listener() as port:
        yield Phase(f"ws://127.0.0.1:{port}/socket/websocket", reached)


@contextmanager
def hanging_server(
    before: Callable[[Peer], object], scheme: str = "ws", drip: bytes = b""
) -> Iterator[Phase]:
    """After `before`, say nothing more; or `drip` for ever, byte by byte."""
    reached = threading.Event()

    def script(peer: Peer) -> None:
        before(peer)
        reached.set()
        for byte in itertools.cycle(drip):
            peer.send(bytes([byte]))
            if not peer.is_silent(0.01):
                raise AssertionError("something was sent before the 101")
        peer.hold()

    with RawServer(script) as server:
        yield Phase(server.uri.replace("ws:", f"{scheme}:"), reached, server)


def hanging_tls(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    return hanging_server(lambda peer: peer.sock.recv(1), "wss")


def hanging_upgrade(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    return hanging_server(Peer.request)


def dripping_answer(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    def begin(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n")

    return hanging_server(begin, drip=b"x-pad: aaaaaaaaa\r\n")


def dripping_tls(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    def begin(peer: Peer) -> None:
        _, _, _, high, low = peer.read(5)
        peer.read(high << 8 | low)
        peer.send(b"\x16\x03\x03\x40\x00")

    return hanging_server(begin, "wss", drip=b"\0")


def hanging_proxy(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    return through_a_proxy(Peer.request)


def dripping_proxy(_: pytest.MonkeyPatch) -> AbstractContextManager[Phase]:
    def begin(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")

    return through_a_proxy(begin, drip=b"x-pad: aaaaaaaaa\r\n")


@contextmanager
def through_a_proxy(before: Callable[[Peer], object], drip: bytes = b"") -> Iterator[Phase]:
    with hanging_server(before, drip=drip) as phase:
        assert phase.server is not None
        options = {"proxy": f"http://user:{SECRET}@127.0.0.1:{phase.server.port}"}
        uri = "ws://phoenix.invalid/socket/websocket"
        yield Phase(uri, phase.reached, phase.server, options)


PHASES = [
    pytest.param(hanging_look_up, id="resolve"),
    pytest.param(hanging_tcp, id="tcp"),
    pytest.param(hanging_tls, id="tls"),
    pytest.param(hanging_upgrade, id="upgrade"),
    pytest.param(dripping_answer, id="drip"),
    pytest.param(dripping_tls, id="drip of tls"),
    pytest.param(hanging_proxy, id="proxy"),
    pytest.param(dripping_proxy, id="drip of a proxy"),
]
MakePhase = Callable[[pytest.MonkeyPatch], AbstractContextManager[Phase]]


@pytest.fixture(params=PHASES)
def phase(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Phase]:
    make: MakePhase = request.param
    with make(monkeypatch) as phase:
        yield phase


def test_one_deadline_for_every_phase(phase: Phase) -> None:
    begun = time.monotonic()
    reason = failure(phase.uri, connect_timeout_msec=300, **phase.options)
    assert time.monotonic() - begun >= 0.3
    assert (reason.kind, reason.status) == ("timeout", None)
    assert "0.3 s" in reason.detail


@pytest.mark.parametrize("make", [dripping_answer, dripping_tls, dripping_proxy])
def test_a_dripping_answer_does_not_move_the_deadline(
    monkeypatch: pytest.MonkeyPatch, make: MakePhase
) -> None:
    with make(monkeypatch) as phase:
        begun = time.monotonic()
        failure(phase.uri, connect_timeout_msec=300, **phase.options)
        # By drips it would take hours; the margin is for a machine that is busy.
        assert time.monotonic() - begun < 8


def test_the_await_may_give_up_before_the_attempt_does(phase: Phase) -> None:
    socket = connect(phase.uri, connect_timeout_msec=NEVER_MSEC, **phase.options)
    with pytest.raises(AwaitTimeoutError) as timeout:
        socket.await_connect(0.05)
    assert timeout.value.awaited == "the connection"
    socket = timeout.value.socket or socket
    close(socket)


# ending an attempt


def of_the_attempt(phase: Phase) -> set[threading.Thread]:
    """Return the threads of an attempt, but for a look-up's: nothing can interrupt that."""
    others: tuple[str, ...] = ("raw-", "phoenix-", "MainThread")
    if phase.is_look_up:
        others += ("slipstream-lookup",)
    return {thread for thread in threading.enumerate() if not thread.name.startswith(others)}


def assert_released(phase: Phase) -> None:
    """The attempt's descriptors are free, which its peer sees, and its threads have ended."""
    if phase.server is not None:
        assert phase.server.hung_up.wait(PATIENCE), "the attempt still holds its connection"
    eventually(lambda: not of_the_attempt(phase), "the end of the attempt's threads")


@contextmanager
def attempting(phase: Phase) -> Iterator[tuple[pykka.ActorRef[Recorder], Log, Any]]:
    """Yield a client that hangs in `phase`, its log, and the connection."""
    options = {"connect_timeout_msec": NEVER_MSEC, **phase.options}
    with recording(phase.uri, **options) as (ref, log):
        assert phase.reached.wait(PATIENCE)
        yield ref, log, get_state(ref).connection


def test_a_disconnect_ends_the_attempt(phase: Phase) -> None:
    with attempting(phase) as (ref, log, connection):
        ref.proxy().do(Socket.disconnect).get()
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        assert wait(connection, PATIENCE) == ClosedByClient()
        ref.stop()
        assert_released(phase)


def test_a_stop_of_the_client_ends_the_attempt(phase: Phase) -> None:
    with attempting(phase) as (ref, log, connection):
        ref.stop()
        assert log.take("terminate") == ("terminate", "normal")
        assert wait(connection, PATIENCE) == ClosedByClient()
        assert_released(phase)


def test_a_stop_of_the_connection_ends_the_attempt(phase: Phase) -> None:
    with attempting(phase) as (ref, log, connection):
        connection.stop()
        assert log.take("disconnect") == ("disconnect", ClosedByClient())
        ref.stop()
        assert_released(phase)


def test_a_thread_disconnects_before_it_is_connected(phase: Phase) -> None:
    socket = connect(phase.uri, connect_timeout_msec=NEVER_MSEC, **phase.options)
    assert phase.reached.wait(PATIENCE)
    socket = socket.disconnect().await_disconnect(PATIENCE)
    assert not socket.connected
    assert_released(phase)


def test_an_await_that_a_disconnect_ends(phase: Phase) -> None:
    socket = connect(phase.uri, connect_timeout_msec=NEVER_MSEC, **phase.options).disconnect()
    with pytest.raises(ConnectFailedError) as failed:
        socket.await_connect(PATIENCE)
    assert failed.value.reason == ClosedByClient()
    close(socket)
    assert_released(phase)


@pytest.mark.filterwarnings("ignore:the last socket:ResourceWarning")
def test_the_end_of_the_owning_thread_ends_the_attempt(phase: Phase) -> None:
    def own() -> None:
        _socket = connect(phase.uri, connect_timeout_msec=NEVER_MSEC, **phase.options)
        reached.append(phase.reached.wait(PATIENCE))

    reached: list[bool] = []
    thread = threading.Thread(target=own, name="raw-owner")
    thread.start()
    thread.join(2 * PATIENCE)
    assert reached == [True]
    assert_released(phase)


LEAVING = """
import sys
from slipstream_actor import ClientActor, connect

class Client(ClientActor):
    def init(self, uri):
        return connect(uri)

Client.start(sys.argv[1])
socket = connect(sys.argv[1])
sys.stdin.read(1)
"""


def test_the_end_of_the_program_ends_the_attempt() -> None:
    """Whoever attempts it, a client or the main thread: nothing keeps the program."""
    reached = threading.Barrier(3)

    def script(peer: Peer) -> None:
        peer.request()
        reached.wait(PATIENCE)
        peer.hold()

    with RawServer(script) as server:
        command = [sys.executable, "-c", LEAVING, server.uri]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as program:
            reached.wait(PATIENCE)
            output, errors = program.communicate(b"x", timeout=PATIENCE)
        assert (program.returncode, output, errors) == (0, b"", b"")
        assert server.hung_up.wait(PATIENCE)


def test_a_second_connect_replaces_the_attempt(phase: Phase, server: PhoenixServer) -> None:
    with attempting(phase) as (ref, log, connection):
        ref.proxy().do(lambda s: s.connect(server.uri)).get()
        assert log.take("connect") == ("connect",)
        assert wait(connection, PATIENCE) == ClosedByClient()
        assert log.empty()


# TLS: the handshake. What comes after it is in test_tls.


@contextmanager
def tls_server(certificate: trustme.LeafCert, script: Script = serve) -> Iterator[RawServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with RawServer(script, ssl_context=context) as server:
        yield server


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


def test_a_certificate_that_nobody_trusts() -> None:
    with tls_server(trustme.CA().issue_cert("127.0.0.1")) as server:
        reason = failure(server.uri)
        assert reason.kind == "tls"
        assert "127.0.0.1" in reason.detail
        assert server.requests.empty()


def test_a_certificate_for_another_name() -> None:
    with tls_server(CA.issue_cert("other.invalid")) as server:
        reason = failure(server.uri, ssl_context=trusting())
        assert reason.kind == "tls"
        assert server.requests.empty()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ssl.SSLCertVerificationError("not the pinned key."), "not the pinned key"),
        (ssl.SSLCertVerificationError(), "SSLCertVerificationError"),
        (ssl.SSLError("not the pinned key"), "not the pinned key"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_context_that_refuses_what_openssl_takes(error: Exception, said: str) -> None:
    """Such are those that compare keys, and those of truststore."""

    class Pinning(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            raise error

    context = trusting()
    context.sslsocket_class = Pinning
    with tls_server(CA.issue_cert("127.0.0.1")) as server:
        reason = failure(server.uri, ssl_context=context)
    assert (reason.kind, reason.detail) == ("tls", f"127.0.0.1: {said}")


def test_a_default_context_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the environment says is looked at by the first attempt, and again while it fails."""
    file = tmp_path / "not here" / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    default_context.cache_clear()
    with tls_server(trustme.CA().issue_cert("127.0.0.1")) as server:
        reason = failure(server.uri)
        assert reason.kind == "tls"
        assert str(file) in reason.detail
        monkeypatch.delenv("SSLKEYLOGFILE")
        assert "certificate" in failure(server.uri).detail


def test_the_dot_of_a_full_name_is_none_of_tls(addresses: Callable[..., None]) -> None:
    """Neither of what the server is told, nor of what its certificate has to name."""
    named = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("many.invalid").configure_cert(context)
    context.sni_callback = lambda _, name, __: named.append(name)
    with RawServer(serve, ssl_context=context) as server:
        addresses(("127.0.0.1", server.port))
        uri = f"wss://many.invalid.:{server.port}/socket/websocket"
        close(connect(uri, ssl_context=trusting()).await_connect(PATIENCE))
        assert named == ["many.invalid"]
        assert server.next_request().all("host") == [f"many.invalid.:{server.port}"]


def test_a_plain_peer_where_tls_was_expected() -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        peer.hold()

    with RawServer(script) as server:
        uri = server.uri.replace("ws:", "wss:")
        assert failure(uri, connect_timeout_msec=NEVER_MSEC).kind == "tls"


def test_a_peer_that_hangs_up_in_the_handshake() -> None:
    with RawServer(lambda peer: peer.sock.recv(1)) as server:
        uri = server.uri.replace("ws:", "wss:")
        assert failure(uri, connect_timeout_msec=NEVER_MSEC).kind == "tls"


def test_a_server_that_wants_a_certificate_of_ours() -> None:
    """In TLS 1.3 that comes to light behind the handshake, when the first bytes are read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    CA.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with RawServer(serve, ssl_context=context) as server:
        assert failure(server.uri, ssl_context=trusting()).kind == "tls"


# the upgrade refused


REFUSALS = [
    pytest.param(head("403 Forbidden", "content-length: 0"), 403, "", id="403 empty"),
    pytest.param(head("403 Forbidden"), 403, "", id="403 without a length"),
    pytest.param(
        head("429 Too Many Requests", "Retry-After: 7", "Content-Length: 4") + b"slow",
        429,
        "slow",
        id="429",
    ),
    pytest.param(
        head("503 Service Unavailable", "content-length: 9000") + b"x" * 9000,
        503,
        "x" * 1024,
        id="503 with a long body",
    ),
    pytest.param(head("200 OK", "content-length: 5") + b"hello", 200, "hello", id="200"),
    pytest.param(head("400 Bad Request", "content-length: 3") + b"bad", 400, "bad", id="400"),
    pytest.param(
        head("500 Error", "transfer-encoding: chunked")
        + b"5\r\nhello\r\n3;x=y\r\n!!!\r\n0\r\n\r\n",
        500,
        "hello!!!",
        id="500 in chunks",
    ),
    pytest.param(
        head("418 Teapot", "content-length: 2") + b"\xc3\xa9", 418, "é", id="418 in UTF-8"
    ),
    pytest.param(head("404 Not Found", "content-length: junk") + b"", 404, "", id="bad length"),
    pytest.param(head("404 Not Found", "content-length: \xb2") + b"", 404, "", id="odd length"),
]


@pytest.mark.parametrize(("answer", "status", "body"), REFUSALS)
def test_a_refused_upgrade(answer: bytes, status: int, body: str) -> None:
    """At once, though the server keeps the connection open (note 38)."""
    with RawServer(answering(answer, keep=True)) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert (reason.kind, reason.status, reason.body) == ("upgrade", status, body)
        assert server.hung_up.wait(PATIENCE)


# More than a connection holds that nobody reads.
LONG_REQUEST: dict[str, Any] = {
    "params": {"token": "x" * 8_000_000},
    "sockopt": [(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 4096)],
}


@pytest.mark.parametrize("tls", [False, True])
def test_a_refusal_of_a_request_that_is_too_long(tls: bool) -> None:
    """The server does not read all of it: sending the rest fails."""

    def script(peer: Peer) -> None:
        peer.read(1000)
        peer.send(head("431 Too Large", "content-length: 3", "connection: close") + b"big")
        peer.sock.close()

    certificate = CA.issue_cert("127.0.0.1")
    with tls_server(certificate, script) if tls else RawServer(script) as server:
        reason = failure(server.uri, ssl_context=trusting(), **LONG_REQUEST)
        assert (reason.status, reason.body) == (431, "big")


def test_a_server_that_takes_half_of_a_request() -> None:
    def script(peer: Peer) -> None:
        peer.read(1000)
        peer.reset()

    with RawServer(script) as server:
        reason = failure(server.uri, **LONG_REQUEST)
        assert (reason.kind, reason.detail) == ("io", "the upgrade broke: Connection reset by peer")


def test_the_headers_of_a_refusal() -> None:
    answer = head("429 Slow", "Retry-After: 7", "X-A: 1", "x-a: 2", "content-length: 0")
    with RawServer(answering(answer)) as server:
        reason = failure(server.uri)
        assert reason.headers["retry-after"] == "7"
        assert reason.headers["x-a"] == "1, 2"


@pytest.mark.parametrize("line", ["connection: close", "content-length: 5"])
def test_a_body_that_comes_behind_its_head(line: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head("503 Unavailable", line))
        assert peer.is_silent(0.1), "it shall wait for the body"
        peer.send(b"sorry")
        peer.finish()
        peer.hold()

    with RawServer(script) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert (reason.status, reason.body) == (503, "sorry")


@pytest.mark.parametrize("line", ["connection: close", "transfer-encoding: chunked"])
def test_a_body_without_end(line: str) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head("503 Unavailable", line))
        while True:
            peer.send(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")

    with RawServer(script) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert reason.status == 503
        assert "xxxx" in reason.body
        assert len(reason.body) <= 1024
        assert server.hung_up.wait(PATIENCE)


def test_a_body_that_does_not_come_is_not_waited_for_beyond_the_deadline() -> None:
    answer = head("503 Unavailable", "content-length: 100") + b"half"
    with RawServer(answering(answer, keep=True)) as server:
        reason = failure(server.uri, connect_timeout_msec=1_500)
        assert (reason.kind, reason.status, reason.body) == ("upgrade", 503, "half")


def test_a_disconnect_does_not_wait_for_a_refusals_body() -> None:
    reached = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head("503 Unavailable", "content-length: 100"))
        reached.set()
        peer.hold()

    with RawServer(script) as server:
        with attempting(Phase(server.uri, reached)) as (ref, log, _):
            ref.proxy().do(Socket.disconnect).get()
            assert log.take("disconnect") == ("disconnect", ClosedByClient())
        assert server.hung_up.wait(PATIENCE)


def test_a_redirect_is_not_followed() -> None:
    with RawServer(serve) as elsewhere:
        location = f"Location: http://127.0.0.1:{elsewhere.port}/socket/websocket"
        answer = head("302 Found", location, "content-length: 0")
        with RawServer(answering(answer)) as server:
            reason = failure(server.uri)
            assert (reason.kind, reason.status) == ("upgrade", 302)
            assert reason.headers["location"].startswith("http://127.0.0.1")
            assert server.accepted == 1
        assert elsewhere.accepted == 0


@pytest.mark.parametrize(
    ("params", "status", "body"),
    [
        ({"reject": "yes"}, 403, ""),
        ({"reject": "429"}, 429, "Too many requests"),
        ({"reject": "302"}, 302, ""),
        ({"reject": "raise"}, 500, '{"errors":{"detail":"Internal Server Error"}}'),
    ],
)
def test_refusals_of_phoenix(
    server: PhoenixServer, params: dict[str, str], status: int, body: str
) -> None:
    reason = failure(server.uri, params=params)
    assert (reason.kind, reason.status, reason.body) == ("upgrade", status, body)


# answers that are none


JUNK = [
    pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="a banner"),
    pytest.param(b"220 mail ESMTP\r\n\r\n", id="a banner with an empty line"),
    pytest.param(b"", id="nothing"),
    pytest.param(b"HTTP/1.1 101", id="half a line"),
    pytest.param(b"HTTP/1.1\r\n\r\n", id="no status"),
    pytest.param(b"HTTP/1.1 abc Huh\r\n\r\n", id="a status that is no number"),
    pytest.param(b"HTTP/1.1 \xb2\xb2\xb2 Huh\r\n\r\n", id="digits that are none"),
    pytest.param(b"HTTP/1.1 " + b"1" * 5000 + b" Huh\r\n\r\n", id="a number without end"),
    pytest.param(b"\x00" * 200_000, id="zeros"),
    pytest.param(bytes(range(256)) * 4 + b"\r\n\r\n", id="all bytes"),
    pytest.param(b"HTTP/1.1 101 OK\r\n" + b"x: y\r\n" * 20_000, id="a head without end"),
]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_instead_of_an_answer(junk: bytes) -> None:
    with RawServer(answering(junk)) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert (reason.kind, reason.status) == ("upgrade", None)


def test_a_head_without_end_is_not_read_to_the_end() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 101 OK\r\n")
        while True:
            peer.send(b"x-pad: y\r\n" * 1000)

    with RawServer(script) as server:
        assert failure(server.uri, connect_timeout_msec=NEVER_MSEC).kind == "upgrade"
        assert server.hung_up.wait(PATIENCE)


@pytest.mark.parametrize(
    ("edit", "detail"),
    [
        (lambda head: head.replace(b"\r\n", b"\n"), ", in the middle of its answer"),
        (lambda head: head[:-1], ", in the middle of its answer"),
        (lambda head: head[:1], ", in the middle of its answer"),
        (lambda head: b"", ""),
    ],
    ids=["lines that end with LF", "all but a byte", "a byte", "nothing"],
)
def test_a_timeout_says_whether_the_answer_has_begun(
    edit: Callable[[bytes], bytes], detail: str
) -> None:
    def script(peer: Peer) -> None:
        peer.send(edit(switching(peer.request())))
        peer.hold()

    with RawServer(script) as server:
        reason = failure(server.uri, connect_timeout_msec=300)
    assert reason.kind == "timeout"
    assert reason.detail == f"the upgrade took more than 0.3 s{detail}"


def test_a_reset_instead_of_an_answer() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.reset()

    with RawServer(script) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert reason.kind in ("upgrade", "io")


@pytest.mark.parametrize(
    ("spoil", "by"),
    [
        (b"sec-websocket-accept: ", b"sec-websocket-accept: x"),
        (b"sec-websocket-accept: ", b"x-accept: "),
        (b"upgrade: websocket", b"upgrade: h2c"),
        (b"connection: Upgrade", b"connection: close"),
    ],
)
def test_a_101_that_is_no_websockets(spoil: bytes, by: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.send(switching(peer.request()).replace(spoil, by))
        peer.hold()

    with RawServer(script) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert reason.kind == "upgrade"
        assert server.hung_up.wait(PATIENCE)


ODD_BODIES = {
    "a chunk of a negative size": b"Transfer-Encoding: chunked\r\n\r\n-FFFFFFFFFFFF\r\nhello\r\n",
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\nhello",
    "no chunk": b"Transfer-Encoding: chunked\r\n\r\n\xff\xfe\r\n",
    "a negative length": b"Content-Length: -5\r\n\r\nhello",
    "a huge length": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
    "an unknown coding": b"Transfer-Encoding: x-odd\r\n\r\nhello",
    "a header that is none": b"no colon\r\n\r\nhello",
}


@pytest.mark.parametrize("name", ODD_BODIES)
def test_an_odd_refusal_is_a_refusal(name: str) -> None:
    with RawServer(answering(b"HTTP/1.1 500 Oops\r\n" + ODD_BODIES[name])) as server:
        reason = failure(server.uri, connect_timeout_msec=NEVER_MSEC)
        assert (reason.kind, reason.status) == ("upgrade", 500)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer, key: answer.replace(key, key.swapcase()),
        lambda answer, _: answer.replace(b"HTTP/1.1", b"HTTP/1.0"),
        lambda answer, _: answer.replace(b"upgrade:", b"no colon\r\nupgrade:"),
        lambda answer, _: answer.replace(b"upgrade:", b"upgrade :"),
        lambda answer, _: answer.replace(b"upgrade: websocket", b"upgrade: websocket, h2c"),
    ],
    ids=["accept", "version", "colon", "name", "upgrade"],
)
def test_a_101_that_websocket_client_would_take(spoil: Callable[[bytes, bytes], bytes]) -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        peer.send(spoil(switching(request), accept(request).encode()))
        peer.hold()

    with RawServer(script) as server:
        assert failure(server.uri, connect_timeout_msec=NEVER_MSEC).kind == "upgrade"
        assert server.hung_up.wait(PATIENCE)


# proxies


def tunnel(port: int, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Script:
    """Return the script of a CONNECT proxy that takes every host to be our `port`."""

    def script(peer: Peer) -> None:
        peer.request()
        with sockets.create_connection(("127.0.0.1", port), timeout=PATIENCE) as inner:
            peer.send(reply)
            pump(peer.sock, inner)

    return script


def pump(outer: sockets.socket, inner: sockets.socket) -> None:
    """Carry bytes both ways until either side ends."""
    while True:
        for source in select.select([outer, inner], [], [], PATIENCE)[0]:
            data = source.recv(1 << 16)
            if not data:
                return
            (inner if source is outer else outer).sendall(data)


def test_through_a_proxy(server: PhoenixServer) -> None:
    with RawServer(tunnel(server.port)) as proxy:
        url = f"http://me:{SECRET}@127.0.0.1:{proxy.port}"
        socket = connect("ws://phoenix.invalid:81/socket/websocket", proxy=url)
        socket = socket.join("params:a").await_join("params:a")
        asked = proxy.next_request()
        assert asked.line == "CONNECT phoenix.invalid:81 HTTP/1.1"
        coded = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert asked.all("proxy-authorization") == [f"Basic {coded}"]
        info = socket.joins["params:a"].response["info"]
        assert info["uri"].startswith("http://phoenix.invalid:81/")
        assert SECRET not in repr(info)
        close(socket)


@pytest.mark.parametrize("host", ["[2001:db8::1]", "[2001:db8::1%251]"])
def test_a_proxy_is_told_of_an_address_in_brackets(server: PhoenixServer, host: str) -> None:
    """And not of its zone, which is this machine's (RFC 6874 section 4)."""
    with RawServer(tunnel(server.port)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        close(connect(f"ws://{host}:81/socket/websocket", proxy=url).await_connect(PATIENCE))
        asked = proxy.next_request()
        assert asked.line == "CONNECT [2001:db8::1]:81 HTTP/1.1"
        assert asked.all("host") == ["[2001:db8::1]:81"]


def test_an_http_proxy_of_the_environment_needs_no_extra(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with RawServer(tunnel(server.port)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        close(connect("ws://phoenix.invalid/socket/websocket").await_connect(PATIENCE))
        assert proxy.accepted == 1


def test_a_proxy_whose_answer_comes_in_pieces(server: PhoenixServer) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        with sockets.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as inner:
            peer.send(b"HTTP/1.1 200 OK\r\n")
            assert peer.is_silent(0.1), "the answer is not over"
            peer.send(b"via: test\r\n\r\n")
            pump(peer.sock, inner)

    with RawServer(script) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        close(connect("ws://phoenix.invalid/socket/websocket", proxy=url).await_connect())


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nVia: x\r\n\r\n" * 9 + b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_interim_answers_of_a_proxy_are_passed_over(server: PhoenixServer, reply: bytes) -> None:
    with RawServer(tunnel(server.port, reply)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        close(connect("ws://phoenix.invalid/socket/websocket", proxy=url).await_connect())


def test_tls_through_a_proxy() -> None:
    with (
        tls_server(CA.issue_cert("phoenix.invalid")) as server,
        RawServer(tunnel(server.port)) as proxy,
    ):
        uri, url = "wss://phoenix.invalid/socket/websocket", f"http://127.0.0.1:{proxy.port}"
        close(connect(uri, proxy=url, ssl_context=trusting()).await_connect())
        assert proxy.next_request().line == "CONNECT phoenix.invalid:443 HTTP/1.1"
        assert server.next_request().all("host") == ["phoenix.invalid"]


def failed_by_proxy(script: Script) -> ConnectFailed:
    with RawServer(script) as proxy:
        url = f"http://me:{SECRET}@127.0.0.1:{proxy.port}"
        uri = "ws://phoenix.invalid/socket/websocket"
        reason = failure(uri, proxy=url, connect_timeout_msec=NEVER_MSEC)
        assert proxy.hung_up.wait(PATIENCE)
    return reason


@pytest.mark.parametrize(
    "answer",
    [
        head("407 Proxy Authentication Required", "content-length: 0"),
        head("502 Bad Gateway", "content-length: 0"),
        head("100 Continue") + head("403 Forbidden", "content-length: 0"),
        head("100 Continue"),
        head("101 Switching Protocols"),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
    ids=["407", "502", "403", "100", "101", "junk", "half", "nothing"],
)
def test_a_proxy_that_refuses(answer: bytes) -> None:
    assert failed_by_proxy(answering(answer)).kind == "proxy"


@pytest.mark.parametrize(
    "beginning",
    [b"220 mail ESMTP\r\n", b"\x05\x00", b"\x15\x03\x03\x00\x02\x02\x46", b"H\r\n", b"HTTP-1"],
    ids=["a mail server", "SOCKS", "TLS", "one letter", "four letters"],
)
def test_what_is_no_proxy_is_known_by_its_first_bytes(beginning: bytes) -> None:
    """It waits for more of us, and has no end of a head to send."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(beginning)
        peer.hold()

    reason = failed_by_proxy(script)
    assert (reason.kind, reason.detail) == ("proxy", "the proxy's answer is none to a CONNECT")


def test_a_proxy_that_resets() -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.reset()

    assert failed_by_proxy(script).kind == "proxy"


@pytest.mark.parametrize("host", ["127.0.0.1", "nobody.invalid"])
def test_a_proxy_that_is_not_there(host: str, unused_port: int) -> None:
    url = f"http://me:{SECRET}@{host}:{unused_port}"
    assert failure("ws://phoenix.invalid/socket/websocket", proxy=url).kind == "proxy"


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "127.0.0.1:{}"])
def test_the_environment_names_a_proxy(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch, name: str, form: str
) -> None:
    with RawServer(tunnel(server.port)) as proxy:
        monkeypatch.setenv(name, form.format(proxy.port))
        close(connect("ws://phoenix.invalid/socket/websocket").await_connect())
        assert proxy.next_request().line.startswith("CONNECT phoenix.invalid:80 ")


def test_the_environments_proxy_for_tls(monkeypatch: pytest.MonkeyPatch, unused_port: int) -> None:
    with (
        tls_server(CA.issue_cert("phoenix.invalid")) as server,
        RawServer(tunnel(server.port)) as proxy,
    ):
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        uri = "wss://phoenix.invalid/socket/websocket"
        close(connect(uri, ssl_context=trusting()).await_connect())


@pytest.mark.parametrize(
    ("login", "sent"),
    [("token@", "token:"), ("me:@", "me:"), ("m%C3%A9:%E2%82%AC@", "mé:€"), ("", None)],
)
def test_who_a_proxy_is_told_of(server: PhoenixServer, login: str, sent: str | None) -> None:
    """In UTF-8 (RFC 7617 section 2.1), and with a colon where there is no password."""
    with RawServer(tunnel(server.port)) as proxy:
        url = f"http://{login}127.0.0.1:{proxy.port}"
        close(connect("ws://phoenix.invalid/socket/websocket", proxy=url).await_connect(PATIENCE))
        told = proxy.next_request().all("proxy-authorization")
        coded = [] if sent is None else [base64.b64encode(sent.encode()).decode()]
        assert told == [f"Basic {text}" for text in coded]


def test_who_a_proxy_of_socks_4_is_told_of(server: PhoenixServer) -> None:
    users = []

    def script(peer: Peer) -> None:
        request = b""
        while request.count(b"\0", 8) < 1:
            request += peer.sock.recv(1)
        users.append(request[8:-1])
        with sockets.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as inner:
            peer.send(b"\0\x5a" + bytes(6))
            pump(peer.sock, inner)

    with RawServer(script) as proxy:
        url = f"socks4://me@127.0.0.1:{proxy.port}"
        close(connect("ws://127.1.2.3/socket/websocket", proxy=url).await_connect(PATIENCE))
    assert users == [b"me"]


class OfVersion2:
    """A stream of which python-socks gets the methods that it asked for before version 3."""

    def __init__(self, stream: Any) -> None:
        self.write = self.write_all = stream.write_all
        self.read_exactly = self.read_exact = stream.read_exact


@pytest.mark.parametrize("version", [2, 3])
def test_through_a_proxy_of_socks_5(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    asked = []

    def script(peer: Peer) -> None:
        assert 2 in peer.read(peer.read(2)[1])
        peer.send(b"\5\2")
        asked.append(peer.read(3 + len("me") + len(SECRET)))
        peer.send(b"\1\0")
        asked.append(peer.read(7 + len("phoenix.invalid")))
        with sockets.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as inner:
            peer.send(b"\5\0\0\1" + bytes(6))
            pump(peer.sock, inner)

    if version == 2:
        from python_socks._connectors.socks5_sync import Socks5SyncConnector

        connects = Socks5SyncConnector.connect
        monkeypatch.setattr(
            Socks5SyncConnector,
            "connect",
            lambda self, stream, *to: connects(self, cast(Any, OfVersion2(stream)), *to),
        )
    with RawServer(script) as proxy:
        url = f"socks5h://me:{SECRET}@127.0.0.1:{proxy.port}"
        uri = "ws://phoenix.invalid:81/socket/websocket"
        close(connect(uri, proxy=url).await_connect(PATIENCE))
    login = bytes((1, 2)) + b"me" + bytes((len(SECRET),)) + SECRET.encode()
    assert asked == [login, b"\5\1\0\3\x0fphoenix.invalid\0\x51"]


def test_a_proxy_of_the_environment_without_a_port(
    server: PhoenixServer, addresses: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(tunnel(server.port)) as proxy:
        addresses(("127.0.0.1", proxy.port))
        monkeypatch.setenv("http_proxy", "HTTP://many.invalid")
        close(connect("ws://phoenix.invalid/socket/websocket").await_connect(PATIENCE))
        assert proxy.next_request().line.startswith("CONNECT phoenix.invalid:80 ")


@pytest.mark.parametrize(
    "url",
    [
        f"https://me:{SECRET}@127.0.0.1:9",
        f"http://me:{SECRET}@[::1",
        f"http://m%3Ae:{SECRET}@127.0.0.1:9",
        f"socks5h://me:{SECRET}%E2%82%AC@127.0.0.1:9",
        " ",
    ],
)
def test_a_proxy_of_the_environment_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("http_proxy", url)
    reason = failure("ws://phoenix.invalid/socket/websocket")
    assert reason.kind == "proxy"
    assert reason.detail.startswith(
        "the environment's proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) must "
    )
    assert not reason.retryable


def test_hosts_that_the_environment_exempts(
    server: PhoenixServer,
    addresses: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    unused_port: int,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("no_proxy", "many.invalid")
    addresses(("127.0.0.1", server.port))
    close(connect("ws://many.invalid/socket/websocket").await_connect())
    # Nobody reaches this machine itself through a proxy.
    close(connect(server.uri).await_connect())


def test_no_proxy_whatever_the_environment_says(
    server: PhoenixServer,
    addresses: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    unused_port: int,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port}")
    addresses(("127.0.0.1", server.port))
    uri = "ws://many.invalid/socket/websocket"
    close(connect(uri, proxy=False).await_connect())
    assert failure(uri).kind == "proxy"


# options that fail


def test_a_socket_option_that_the_system_refuses() -> None:
    with RawServer(serve) as server:
        reason = failure(server.uri, sockopt=[(sockets.SOL_SOCKET, 99_999, 1)])
        assert reason.kind == "io"
        assert "sockopt" in reason.detail
        assert server.accepted == 0


def test_a_socket_option_of_the_wrong_type() -> None:
    """Refused by `connect`, or by the attempt: but no crash."""
    with RawServer(serve) as server:
        options = [(sockets.SOL_SOCKET, sockets.SO_KEEPALIVE, "on")]
        with pytest.raises((ConfigurationError, ConnectFailedError)) as refused:
            connect(server.uri, sockopt=options).await_connect(PATIENCE)
        if isinstance(refused.value, ConnectFailedError):
            assert refused.value.reason.kind == "io"


def test_socket_options_are_set() -> None:
    with RawServer(serve) as server:
        option = (sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65536)
        socket = connect(server.uri, sockopt=[option]).await_connect()
        buffers = [size for size in receive_buffers(server.port) if size == 2 * 65536]
        assert len(buffers) == 1
        close(socket)


def receive_buffers(port: int) -> list[int]:
    """The sizes of the receive buffers of this process's connections to `port`, doubled."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to find the socket of another thread")
    sizes = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # No socket, or closed meanwhile.
            sock = sockets.socket(fileno=fd)
            try:
                if sock.getpeername()[1:] == (port,):
                    sizes.append(sock.getsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF))
            finally:
                sock.detach()
    return sizes


def test_no_descriptor_is_left_to_wait_with(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt fails like any other: its thread does not just vanish."""

    def none_left(*_: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(sockets, "socketpair", none_left)
        reason = failure(server.uri)
        assert reason.kind == "io"
        assert os.strerror(errno.EMFILE) in reason.detail
    eventually(lambda: not our_connections(), "the end of the connection")


@pytest.mark.parametrize("option", ["params", "auth_token"])
def test_a_callable_that_does_not_return_holds_up_no_stop(option: str) -> None:
    called, released = threading.Event(), threading.Event()

    def function() -> Any:
        called.set()
        released.wait(PATIENCE)
        return {} if option == "params" else "token"

    with RawServer(serve) as server:
        options: dict[str, Any] = {option: function, "close_timeout_msec": 100}
        with recording(server.uri, **options) as (ref, log):
            assert called.wait(PATIENCE)
            ref.stop(timeout=PATIENCE)
            assert log.take("terminate") == ("terminate", "normal")
            released.set()
        # What it then returns is no longer of use.
        eventually(lambda: not our_connections(), "the end of the connection")
        assert server.requests.empty()


def our_connections() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("Connection")]


@pytest.mark.parametrize("option", ["params", "auth_token"])
def test_a_callable_that_raises(option: str) -> None:
    def function() -> Any:
        raise LookupError(SECRET)

    with RawServer(serve) as server:
        reason = failure(server.uri, **{option: function})
        assert reason.kind == "io"
        assert option in reason.detail
        assert "LookupError" in reason.detail
        assert server.accepted == 0


@pytest.mark.parametrize("option", ["params", "auth_token"])
def test_a_callable_that_returns_something_else(option: str) -> None:
    with RawServer(serve) as server:
        reason = failure(server.uri, **{option: lambda: [SECRET]})
        assert reason.kind == "io"
        assert option in reason.detail
        assert "list" in reason.detail


def test_values_that_are_callables_are_evaluated_too(server: PhoenixServer) -> None:
    params = {"id": lambda: "7", "plain": "x"}
    socket = connect(server.uri, params=params).join("params:1").await_join("params:1")
    response = socket.joins["params:1"].response
    assert {"id": "7", "plain": "x"}.items() <= response["connect"].items()
    socket.disconnect().await_disconnect()


def test_callables_are_evaluated_at_each_attempt() -> None:
    numbers = itertools.count(1)

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.send(closing(1012))

    with RawServer(script) as server:
        options: dict[str, Any] = {"params": lambda: {"n": next(numbers)}}
        with recording(server.uri, reconnect_after_msec=[1], **options):
            lines = [server.next_request().line for _ in range(3)]
    assert [f"n={n}&" in line for n, line in enumerate(lines, 1)] == [True, True, True]


# what is sent


TOKENS = ["t", "tok", "\xff\xfe?>é~", "a b,c", "🏴‍☠️" * 40]


@pytest.mark.parametrize("token", TOKENS)
def test_the_auth_token_arrives(server: PhoenixServer, token: str) -> None:
    socket = connect(server.uri, auth_token=token).join("params:a").await_join("params:a")
    assert socket.joins["params:a"].response["info"]["auth_token"] == token
    close(socket)


def test_the_auth_token_on_a_mount_that_selects_no_subprotocol(server: PhoenixServer) -> None:
    """Note 46: nothing is selected, and nobody insists on it."""
    uri = server.uri.replace("/socket/", "/socket_noauth/")
    close(connect(uri, auth_token=lambda: "token").await_connect())


def test_params_headers_and_query_arrive(server: PhoenixServer) -> None:
    uri = f"{server.uri}?a=1"
    params = {"id": "7", "b": [1, 2], "c": {"d": "é &="}}
    socket = connect(uri, params=params, headers={"X-Tenant": "acme"})
    socket = socket.join("params:a", {"joined": True}).await_join("params:a")
    response = socket.joins["params:a"].response
    assert response["join"] == {"joined": True}
    assert response["socket_id"] == "user_socket:7"
    sent = response["connect"]
    assert sent == {"a": "1", "b": ["1", "2"], "c": {"d": "é &="}, "id": "7", "vsn": "2.0.0"}
    assert ["x-tenant", "acme"] in response["info"]["x_headers"]
    close(socket)


def request_of(**options: Any) -> tuple[Any, int]:
    """Return the request that a client with `options` sends, and the port it goes to."""
    with RawServer(serve) as server:
        close(connect(server.uri, **options).await_connect())
        return server.next_request(), server.port


def test_the_request() -> None:
    request, port = request_of()
    assert request.line == "GET /socket/websocket?vsn=2.0.0 HTTP/1.1"
    assert request.all("host") == [f"127.0.0.1:{port}"]
    assert request.all("upgrade") == ["websocket"]
    assert request.all("connection") == ["Upgrade"]
    assert request.all("sec-websocket-version") == ["13"]
    assert len(base64.b64decode(request.all("sec-websocket-key")[0])) == 16
    for name in ("origin", "cookie", "authorization", "sec-websocket-protocol"):
        assert request.all(name) == []


def test_every_request_has_a_key_of_its_own() -> None:
    keys = {request_of()[0].all("sec-websocket-key")[0] for _ in range(3)}
    assert len(keys) == 3


def test_the_origin_that_is_configured() -> None:
    assert request_of(origin="https://example.org")[0].all("origin") == ["https://example.org"]


def test_headers_go_out_as_they_are_given() -> None:
    pairs = [("Authorization", "Bearer é"), ("X-Two", "1"), ("X-Two", "2")]
    request, _ = request_of(headers=pairs)
    assert request.all("authorization") == ["Bearer é".encode().decode("latin-1")]
    assert request.all("x-two") == ["1", "2"]


def test_user_information_becomes_an_authorization() -> None:
    with RawServer(serve) as server:
        uri = server.uri.replace("://", "://us%40er:pa%3Ass@")
        close(connect(uri).await_connect())
        coded = base64.b64encode(b"us@er:pa:ss").decode()
        request = server.next_request()
        assert request.all("authorization") == [f"Basic {coded}"]
        assert request.all("host") == [f"127.0.0.1:{server.port}"]


@pytest.mark.skipif(not sockets.has_ipv6, reason="needs IPv6")
def test_an_address_of_ipv6() -> None:
    try:
        server = RawServer(serve, host="::1")
    except OSError:
        pytest.skip("this machine has no ::1")
    with server:
        close(connect(server.uri).await_connect())
        assert server.next_request().all("host") == [f"[::1]:{server.port}"]


COOKIES = [
    b"Set-Cookie: planted=1; Domain=.invalid",
    b"set-cookie: planted=1; domain=127.0.0.1",
    b" Set-Cookie: planted=1; Domain=.invalid",
    b"x-split: 1\nSet-Cookie: planted=1; Domain=.invalid",
]


@pytest.mark.parametrize("line", COOKIES)
def test_cookies_of_one_client_are_never_sent_by_another(line: bytes) -> None:
    def script(peer: Peer) -> None:
        request = peer.request()
        peer.send(switching(request, line.decode()))
        peer.serve()

    with RawServer(script) as server:
        for _ in range(2):
            with contextlib.suppress(ConnectFailedError):  # The odd ones may well be refused.
                close(connect(server.uri).await_connect())
            assert server.next_request().all("cookie") == []


def test_cookies_are_the_users_to_see() -> None:
    with RawServer(upgrading("Set-Cookie: a=1")) as server:
        socket = connect(server.uri).await_connect()
        assert socket.response_headers is not None
        assert socket.response_headers["set-cookie"] == "a=1"
        close(socket)


# the answer


def test_the_headers_of_the_answer() -> None:
    with RawServer(upgrading("X-Node: n1")) as server:
        socket = connect(server.uri).await_connect()
        headers = socket.response_headers
        assert headers is not None
        assert headers["x-node"] == "n1"
        with pytest.raises(TypeError):
            headers["x-node"] = "n2"  # type: ignore[index]
        close(socket)


def test_a_header_that_is_no_utf_8() -> None:
    """It may be Latin-1 (RFC 9110 section 5.5), and is no reason to stay away."""
    with RawServer(upgrading("X-Node: caf\xe9")) as server:
        socket = connect(server.uri).await_connect()
        assert socket.response_headers is not None
        assert socket.response_headers["x-node"] == "café"
        close(socket)


def test_frames_in_the_segment_of_the_101() -> None:
    first = broadcast("first", {"n": 1}) + broadcast("second")

    with RawServer(upgrading(then=first)) as server:
        socket = connect(server.uri).await_connect()
        assert socket.await_message("room", "first").payload == {"n": 1}
        assert socket.await_message("room", "second").payload == {}
        close(socket)


def test_half_a_frame_in_the_segment_of_the_101() -> None:
    whole = broadcast("first", {"n": 1})
    go_on = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade(then=whole[:7])
        peer.wait_for(go_on)
        peer.send(whole[7:])
        peer.serve()

    with RawServer(script) as server:
        socket = connect(server.uri).await_connect()
        go_on.set()
        assert socket.await_message("room", "first").payload == {"n": 1}
        close(socket)


def test_a_close_in_the_segment_of_the_101() -> None:
    with (
        RawServer(upgrading(then=closing(4001))) as server,
        recording(server.uri, reconnect_after_msec=[NEVER_MSEC]) as (_, log),
    ):
        assert log.take("connect") == ("connect",)
        assert log.take("disconnect")[1].code == 4001


def test_nothing_is_sent_before_the_101() -> None:
    """Bandit would drop it silently (note 42)."""
    silent: list[bool] = []

    def script(peer: Peer) -> None:
        request = peer.request()
        reached.set()
        peer.wait_for(asked)
        silent.append(peer.is_silent(0.2))
        peer.send(switching(request))
        peer.join()
        peer.serve()

    reached, asked = threading.Event(), threading.Event()
    with RawServer(script) as server, recording(server.uri) as (ref, log):
        assert reached.wait(PATIENCE)
        ref.proxy().do(lambda s: s.join("room")).get()
        # One sent by hand reaches the connection before it can do anything with it.
        connection = get_state(ref).connection
        assert connection is not None
        connection.tell(commands.JoinTopic("by hand"))
        asked.set()
        log.take("connect")
        log.take("join")
        assert silent == [True]


def test_a_push_before_the_101_is_refused() -> None:
    with hanging_upgrade(pytest.MonkeyPatch()) as phase:
        socket = connect(phase.uri).join("room")
        with pytest.raises(NotConnectedError):
            socket.push("room", "event")
        close(socket)


# what an await raises


def test_what_await_connect_raises() -> None:
    with RawServer(answering(head("403 Forbidden", "content-length: 0"))) as server:
        asked = connect(server.uri).assign(kept=1)
        with pytest.raises(ConnectFailedError) as failed:
            asked.await_connect()
    error = failed.value
    assert error.reason == ConnectFailed(
        "upgrade", error.reason.detail, status=403, headers={"content-length": "0"}
    )
    assert error.awaited == "the connection"
    assert error.socket.assigns == {"kept": 1}
    assert not error.socket.connected
    assert error.socket.channel_pid is None


def test_a_failed_attempt_is_followed_by_another() -> None:
    attempts = itertools.count(1)

    def script(peer: Peer) -> None:
        if next(attempts) < 3:
            peer.request()
            peer.send(head("503 Unavailable", "content-length: 0"))
        else:
            serve(peer)

    with RawServer(script) as server:
        with recording(server.uri, reconnect_after_msec=[1]) as (_, log):
            assert log.take("disconnect")[1].status == 503
            assert log.take("disconnect")[1].status == 503
            log.take("connect")
        assert server.accepted == 3


def test_a_thread_reconnects_when_it_awaits() -> None:
    attempts = itertools.count(1)

    def script(peer: Peer) -> None:
        if next(attempts) == 1:
            peer.request()
        else:
            serve(peer)

    with RawServer(script) as server:
        with pytest.raises(ConnectFailedError) as failed:
            connect(server.uri, reconnect_after_msec=[1]).await_connect()
        socket = failed.value.socket.reconnect().await_connect()
        assert socket.connected
        close(socket)


def test_the_key_is_answered_for() -> None:
    """The helper that the scripts answer with agrees with RFC 6455 section 1.3."""
    request = type("R", (), {"all": lambda self, _: ["dGhlIHNhbXBsZSBub25jZQ=="]})()
    assert accept(request) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
