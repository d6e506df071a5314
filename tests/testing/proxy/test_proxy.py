"""Each fault of the proxy, seen by plain sockets on both of its sides."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal

import pytest

from slipstream_actor.testing import FaultProxy, PhoenixServer
from slipstream_actor.testing.proxy.pipe import BUFFER
from slipstream_actor.testing.proxy.relay import Relay
from tests.testing.server.raw import DEADLINE, Frame, RawClient

QUIET = 0.1
"""Seconds for what must not come."""

QUICK = 1.0
"""Seconds that what is not held up stays far below."""


class Network:
    """A server's listening socket, a proxy before it, and the sockets on both sides."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.settimeout(DEADLINE)
        port = self.listener.getsockname()[1]
        self.proxy = stack.enter_context(FaultProxy(f"tcp://127.0.0.1:{port}"))

    def connect(self) -> socket.socket:
        """Return a client's socket."""
        address = (self.proxy.host, self.proxy.port)
        return self.stack.enter_context(socket.create_connection(address, timeout=DEADLINE))

    def accept(self) -> socket.socket:
        """Return the server's socket of the next connection that reaches it."""
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE)
        return self.stack.enter_context(sock)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return the client's and the server's socket of a new connection."""
        return self.connect(), self.accept()

    def assert_is_reset_at_once(self) -> None:
        """Assert that a new connection gets an RST, which may be there before `connect` returns."""
        with pytest.raises(ConnectionResetError):
            self.connect().recv(1)

    def reaches_the_server(self) -> bool:
        """Whether a connection comes within a moment."""
        self.listener.settimeout(QUIET)
        try:
            self.accept()
        except TimeoutError:
            return False
        finally:
            self.listener.settimeout(DEADLINE)
        return True


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        yield Network(stack)


def read(sock: socket.socket, count: int) -> bytes:
    """Return `count` bytes, or what came before a FIN."""
    data = bytearray()
    while len(data) < count and (chunk := sock.recv(count - len(data))):
        data += chunk
    return bytes(data)


def is_silent(sock: socket.socket) -> bool:
    """Whether nothing comes within a moment, no end either."""
    sock.settimeout(QUIET)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(DEADLINE)
    return False


def assert_reset(sock: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def assert_passes(one: socket.socket, other: socket.socket, data: bytes = b"passes") -> None:
    one.sendall(data)
    assert read(other, len(data)) == data


def assert_passes_both_ways(one: socket.socket, other: socket.socket) -> None:
    assert_passes(one, other)
    assert_passes(other, one)


def fill(sock: socket.socket) -> int:
    """Send until there is no room for a while; return how much it was."""
    sent = 0
    sock.settimeout(0.5)
    try:
        while True:
            sent += sock.send(bytes(65_536))
    except TimeoutError:
        return sent
    finally:
        sock.settimeout(DEADLINE)


# Life


@pytest.mark.parametrize(
    ("upstream", "uri"),
    [
        ("ws://127.0.0.1:1/socket/websocket?a=b", "ws://127.0.0.1:{}/socket/websocket?a=b"),
        ("wss://127.0.0.1/socket", "wss://127.0.0.1:{}/socket"),
        ("ws://name:word@[::1]:80", "ws://name:word@127.0.0.1:{}"),
    ],
)
def test_its_uri_is_the_upstreams_with_its_own_host_and_port(upstream: str, uri: str) -> None:
    with FaultProxy(upstream) as proxy:
        assert proxy.uri == uri.format(proxy.port)
        assert proxy.upstream == upstream


@pytest.mark.parametrize("upstream", ["", "127.0.0.1:4000", "tcp://127.0.0.1", "ws://:4000"])
def test_an_upstream_has_a_host_and_a_port(upstream: str) -> None:
    with pytest.raises(ValueError, match="host and a port"):
        FaultProxy(upstream)


def test_it_listens_where_it_is_told_to() -> None:
    with FaultProxy("ws://127.0.0.1:1", host="::1") as proxy:
        assert proxy.uri == f"ws://[::1]:{proxy.port}"
        proxy.silence()
        socket.create_connection(("::1", proxy.port), timeout=DEADLINE).close()
        with pytest.raises(OSError):
            FaultProxy("ws://127.0.0.1:1", host="::1", port=proxy.port)


def test_it_passes_everything_on(network: Network) -> None:
    client, server = network.pair()
    assert_passes_both_ways(client, server)
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    assert_passes(server, client)
    assert network.proxy.connections == 1
    server.close()
    assert client.recv(1) == b""
    network.proxy.wait_for_connections(0)


def test_it_passes_a_reset_on(network: Network) -> None:
    client, server = network.pair()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    server.close()
    assert_reset(client)
    network.proxy.wait_for_connections(0)


def test_who_sends_to_one_that_is_gone_gets_a_reset(network: Network) -> None:
    client, server = network.pair()
    server.close()
    assert client.recv(1) == b""
    with pytest.raises(ConnectionError):  # noqa: PT012 - the first go to the kernel
        while True:
            client.sendall(b"x")
    network.proxy.wait_for_connections(0)


def test_a_reset_that_comes_after_a_delayed_fin(network: Network) -> None:
    client, server = network.pair()
    network.proxy.delay(60, "down")
    server.close()
    for _ in range(3):
        client.sendall(b"x")
        assert network.proxy.connections == 1
    network.proxy.heal()
    network.proxy.wait_for_connections(0)


def test_much_passes_both_ways_at_once(network: Network) -> None:
    client, server = network.pair()
    data = bytes(range(256)) * 40_000
    senders = [threading.Thread(target=sock.sendall, args=(data,)) for sock in (client, server)]
    got: queue.Queue[bytes] = queue.Queue()
    readers = [
        threading.Thread(target=lambda sock=sock: got.put(read(sock, len(data))))
        for sock in (client, server)
    ]
    for thread in (*senders, *readers):
        thread.start()
    for thread in (*senders, *readers):
        thread.join(DEADLINE)
    assert got.get(timeout=DEADLINE) == data
    assert got.get(timeout=DEADLINE) == data
    assert network.proxy.bytes_up == network.proxy.bytes_down == len(data)


def test_who_does_not_read_holds_up_the_sender(network: Network) -> None:
    client, server = network.pair()
    sent = fill(client)
    taken = network.proxy.bytes_up
    assert sent > taken
    assert len(read(server, sent)) == sent
    assert_passes_both_ways(client, server)


def test_without_a_server_a_client_gets_a_reset(network: Network) -> None:
    network.listener.close()
    network.assert_is_reset_at_once()
    network.proxy.wait_for_connections(0)


def test_stop_ends_everything_and_start_listens_on_the_same_port(network: Network) -> None:
    proxy, port = network.proxy, network.proxy.port
    client, server = network.pair()
    proxy.silence()
    silent = network.connect()
    proxy.wait_for_connections(2)
    begun = time.monotonic()
    proxy.stop()
    proxy.stop()
    assert time.monotonic() - begun < QUICK
    assert client.recv(1) == server.recv(1) == silent.recv(1) == b""
    assert proxy.connections == 0
    with pytest.raises(ConnectionRefusedError):
        network.connect()
    proxy.start()
    proxy.start()
    assert proxy.port == port
    assert_passes_both_ways(*network.pair())
    assert proxy.accepted == 3


@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
def test_stop_in_the_middle_of_a_fault(network: Network, fault: str) -> None:
    network.pair()
    with getattr(network.proxy, fault)():
        network.proxy.stop()
    network.proxy.start()
    assert_passes_both_ways(*network.pair())


def test_faults_of_a_stopped_proxy_do_nothing(network: Network) -> None:
    proxy = network.proxy
    proxy.stop()
    proxy.reset()
    with proxy.refuse(), proxy.black_hole(), proxy.cut():
        pass
    proxy.heal()


def test_it_counts(network: Network) -> None:
    proxy = network.proxy
    client, server = network.pair()
    assert_passes(client, server, b"12345")
    assert_passes(server, client, b"123")
    proxy.wait_for_bytes(5, "up")
    proxy.wait_for_bytes(3, "down")
    assert (proxy.bytes_up, proxy.bytes_down) == (5, 3)
    network.pair()
    proxy.wait_for_accepted(2)
    proxy.wait_for_connections(2)
    client.close()
    server.close()
    proxy.wait_for_connections(1)
    assert (proxy.accepted, proxy.connections) == (2, 1)


def test_waiting_in_vain(network: Network) -> None:
    proxy = network.proxy
    waits: list[Callable[[], None]] = [
        lambda: proxy.wait_for_connections(1, timeout=0.01),
        lambda: proxy.wait_for_accepted(1, timeout=0.01),
        lambda: proxy.wait_for_bytes(1, "up", timeout=0.01),
    ]
    for wait in waits:
        with pytest.raises(TimeoutError, match="0 open, 0 accepted, 0 bytes up, 0 down"):
            wait()


def test_what_makes_no_sense(network: Network) -> None:
    proxy: Any = network.proxy
    calls: list[Callable[[], object]] = [
        lambda: proxy.delay(-1),
        lambda: proxy.delay(float("nan")),
        lambda: proxy.throttle(0),
        lambda: proxy.cut(after=-1),
        lambda: proxy.cut(how="explode"),
        lambda: proxy.drop("sideways"),
        lambda: proxy.half_close("sideways"),
        lambda: proxy.wait_for_bytes(1, "both"),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_a_hundred_clients_at_once(network: Network) -> None:
    proxy = network.proxy
    for round_number in (1, 2):
        clients = [network.connect() for _ in range(100)]
        servers = [network.accept() for _ in range(100)]
        proxy.wait_for_connections(100)
        for number, client in enumerate(clients):
            client.sendall(bytes([number]))
        assert sorted(read(server, 1)[0] for server in servers) == list(range(100))
        proxy.reset()
        proxy.wait_for_connections(0)
        for sock in (*clients, *servers):
            assert_reset(sock)
        assert proxy.accepted == 100 * round_number


# Faults


def test_refuse(network: Network) -> None:
    client, server = network.pair()
    with network.proxy.refuse():
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError):
                network.connect()
        assert_passes_both_ways(client, server)
        with socket.socket() as thief, pytest.raises(OSError):
            thief.bind((network.proxy.host, network.proxy.port))
    assert_passes_both_ways(*network.pair())


def test_refusing_twice_is_refusing(network: Network) -> None:
    network.proxy.refuse()
    network.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        network.connect()
    network.proxy.heal()
    network.proxy.heal()
    assert_passes_both_ways(*network.pair())


def test_silence(network: Network) -> None:
    before = network.pair()
    network.proxy.silence()
    client = network.connect()
    client.sendall(b"hello")
    assert is_silent(client)
    assert not network.reaches_the_server()
    assert_passes_both_ways(*before)
    network.proxy.heal()
    server = network.accept()
    assert read(server, 5) == b"hello"
    assert_passes_both_ways(client, server)


def test_who_leaves_a_silent_proxy_is_forgotten(network: Network) -> None:
    with network.proxy.silence():
        network.connect().close()
        network.proxy.wait_for_accepted(1)
        network.proxy.wait_for_connections(0)
    assert not network.reaches_the_server()


def test_black_hole(network: Network) -> None:
    client, server = network.pair()
    with network.proxy.black_hole():
        client.sendall(b"up")
        server.sendall(b"down")
        client.shutdown(socket.SHUT_WR)
        late = network.connect()
        assert is_silent(client)
        assert is_silent(server)
        assert not network.reaches_the_server()
        assert network.proxy.connections == 2
    assert read(server, 10) == b"up"
    assert read(client, 4) == b"down"
    assert_passes_both_ways(late, network.accept())


def test_a_black_hole_fills_up(network: Network) -> None:
    client, server = network.pair()
    with network.proxy.black_hole("up"):
        assert_passes(server, client)
        sent = fill(client)
        assert network.proxy.bytes_up == 0
    assert len(read(server, sent)) == sent


def test_what_is_under_way_falls_into_a_black_hole(network: Network) -> None:
    client, server = network.pair()
    network.proxy.delay(60)
    client.sendall(b"x")
    network.proxy.black_hole()
    network.proxy.delay(0)
    assert is_silent(server)
    network.proxy.heal()
    assert read(server, 1) == b"x"


def test_what_was_sent_before_a_fault_passes(network: Network) -> None:
    client, server = network.pair()
    for _ in range(100):
        client.sendall(b"x")
        with network.proxy.black_hole():
            assert read(server, 1) == b"x"


def test_a_black_hole_in_one_direction(network: Network) -> None:
    before = network.pair()
    network.proxy.black_hole("down")
    for client, server in (before, network.pair()):
        assert_passes(client, server)
        server.sendall(b"x")
        server.close()
        assert is_silent(client)


def test_delay(network: Network) -> None:
    client, server = network.pair()
    network.proxy.delay(0.2, "up")
    network.proxy.delay(0.4, "down")
    for sock, other, delay in ((client, server, 0.2), (server, client, 0.4)):
        begun = time.monotonic()
        assert_passes(sock, other, b"first")
        assert delay <= time.monotonic() - begun < delay + QUICK
    begun = time.monotonic()
    client.sendall(b"second")
    client.close()
    assert read(server, 10) == b"second"
    assert server.recv(1) == b""
    assert time.monotonic() - begun >= 0.2


def test_what_is_delayed_keeps_its_order_and_is_let_go(network: Network) -> None:
    client, server = network.pair()
    network.proxy.delay(60)
    client.sendall(b"one")
    assert is_silent(server)
    network.proxy.delay(30)
    client.sendall(b"two")
    assert is_silent(server)
    network.proxy.heal()
    client.sendall(b"three")
    assert read(server, 11) == b"onetwothree"


def test_a_delay_bounds_what_it_holds(network: Network) -> None:
    client, server = network.pair()
    network.proxy.delay(60, "up")
    sent = fill(client)
    [link] = network.proxy._relay.links  # type: ignore[union-attr]
    assert link.up._size == BUFFER
    network.proxy.heal()
    assert len(read(server, sent)) == sent


def test_throttle(network: Network) -> None:
    client, server = network.pair()
    network.proxy.throttle(10_000, "down")
    begun = time.monotonic()
    server.sendall(bytes(5_000))
    read(client, 5_000)
    assert 0.4 < time.monotonic() - begun < 0.5 + QUICK
    begun = time.monotonic()
    assert_passes(client, server, bytes(5_000))
    assert time.monotonic() - begun < 0.4
    network.proxy.throttle(100, "down")
    server.sendall(b"12345")
    assert network.proxy.connections == 1
    server.sendall(b"67890")
    assert read(client, 10) == b"1234567890"
    network.proxy.throttle(1, "down")
    server.sendall(b"slow")
    assert client.recv(4) == b"s"
    network.proxy.throttle(None, "down")
    assert read(client, 3) == b"low"


def test_drop_both_ways(network: Network) -> None:
    client, server = network.pair()
    with network.proxy.drop():
        client.sendall(bytes(10 * BUFFER))
        server.sendall(bytes(10 * BUFFER))
        assert is_silent(client)
        assert is_silent(server)
        late, late_server = network.pair()
        late.sendall(b"lost")
        assert is_silent(late_server)
        late.close()
        assert late_server.recv(1) == b""
    assert_passes_both_ways(client, server)
    assert network.proxy.bytes_up == network.proxy.bytes_down == len(b"passes")


def test_drop_in_one_direction(network: Network) -> None:
    client, server = network.pair()
    network.proxy.drop("up")
    client.sendall(b"lost")
    assert is_silent(server)
    assert_passes(server, client)


def test_reset(network: Network) -> None:
    network.proxy.silence()
    silent = network.connect()
    network.proxy.heal()
    network.accept()
    client, server = network.pair()
    network.proxy.reset()
    for sock in (client, server, silent):
        assert_reset(sock)
    assert network.proxy.connections == 0
    assert_passes_both_ways(*network.pair())


def test_reset_takes_those_that_wait_to_be_accepted(network: Network) -> None:
    for _ in range(50):
        client = network.connect()
        network.proxy.reset()
        assert_reset(client)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_cut(
    network: Network,
    how: Literal["close", "reset"],
    direction: Literal["up", "down"],
    when: str,
) -> None:
    if when == "before":
        network.proxy.cut(5, direction, how)
        client, server = network.pair()
    else:
        client, server = network.pair()
        assert_passes_both_ways(client, server)
        network.proxy.cut(5, direction, how)
    sender, receiver = (client, server) if direction == "up" else (server, client)
    assert_passes(receiver, sender, b"the other way does not count")
    sender.sendall(b"123")
    assert read(receiver, 3) == b"123"
    sender.sendall(b"45678")
    assert read(receiver, 2) == b"45"
    for sock in (client, server):
        if how == "reset":
            assert_reset(sock)
        else:
            assert sock.recv(1) == b""
            sock.close()
    network.proxy.wait_for_connections(0)


def test_cut_at_once(network: Network) -> None:
    client, server = network.pair()
    with network.proxy.cut(how="reset"):
        for sock in (client, server):
            assert_reset(sock)
        network.assert_is_reset_at_once()
    with network.proxy.cut(direction="up", how="close"):
        late = network.connect()
        assert late.recv(1) == b""
    assert not network.reaches_the_server()
    assert_passes_both_ways(*network.pair())


def test_heal_forgets_a_cut(network: Network) -> None:
    pair = network.pair()
    network.proxy.cut(3, "both")
    network.proxy.heal()
    assert_passes_both_ways(*pair)


def test_a_connection_that_was_closed_is_read_from_for_a_while(network: Network) -> None:
    client, _ = network.pair()
    client.sendall(b"unread")
    network.proxy.cut()
    # To a socket that is closed only the first would go.
    client.sendall(b"too late")
    client.sendall(b"too late")
    assert client.recv(1) == b""
    # Neither side closes its own.
    network.proxy.wait_for_connections(0)


def test_a_cut_that_half_closes(network: Network) -> None:
    network.proxy.cut(3, "down", "half_close")
    client, server = network.pair()
    server.sendall(b"12345")
    assert read(client, 5) == b"123"
    assert_passes(client, server)
    server.sendall(b"swallowed")
    client.close()
    assert server.recv(1) == b""
    server.close()
    network.proxy.wait_for_connections(0)


def test_a_cut_that_half_closes_at_once(network: Network) -> None:
    network.proxy.cut(0, "up", "half_close")
    client, server = network.pair()
    assert server.recv(1) == b""
    assert_passes(server, client)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_half_close(network: Network, direction: Literal["up", "down"]) -> None:
    client, server = network.pair()
    sender, receiver = (client, server) if direction == "up" else (server, client)
    network.proxy.delay(0.1, direction)
    sender.sendall(b"under way")
    network.proxy.half_close(direction)
    assert read(receiver, 20) == b"under way"
    sender.sendall(b"swallowed")
    assert_passes(receiver, sender)
    assert network.proxy.connections == 1
    receiver.close()
    assert sender.recv(1) == b""
    sender.close()
    network.proxy.wait_for_connections(0)


def test_heal_ends_them_all_at_once(network: Network) -> None:
    client, server = network.pair()
    proxy = network.proxy
    proxy.delay(60)
    proxy.throttle(1)
    proxy.cut(1_000, "both")
    proxy.drop("up")
    proxy.black_hole()
    proxy.refuse()
    proxy.heal()
    assert_passes_both_ways(client, server)
    assert_passes_both_ways(*network.pair())


@pytest.mark.parametrize(
    "fault", ["nobody reads", "heal", "refuse", "silence", "black_hole", "drop", "delay"]
)
def test_it_sleeps_while_nothing_happens(
    network: Network, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = network.pair()
    half_open = network.pair()
    network.proxy.half_close("down")
    half_open[1].close()
    assert client.recv(1) == half_open[0].recv(1) == b""
    if fault == "nobody reads":
        fill(client)
    else:
        getattr(network.proxy, fault)(*([60] if fault == "delay" else []))
        client.sendall(b"x")
    server.sendall(b"x")
    half_open[0].close()
    turns: list[None] = []
    turn = Relay._turn

    def counting(relay: Relay) -> None:
        turns.append(None)
        turn(relay)

    monkeypatch.setattr(Relay, "_turn", counting)
    # A call, so that a turn is counted: the thread sleeps in the one before.
    assert network.proxy.connections > 0
    threading.Event().wait(QUIET)
    assert 0 < len(turns) < 10


# Behind it, the embedded server


def test_a_message_that_is_cut_never_comes(server: PhoenixServer, proxy: FaultProxy) -> None:
    with RawClient(proxy.host, proxy.port) as client:
        assert client.upgrade().status == 101
        client.message("1", "1", "bench:room", "phx_join", {})
        assert client.receive().kind == "text"
        proxy.cut(after=10, direction="down")
        server.broadcast("bench:room", "long", {"pad": "x" * 1_000})
        assert client.receive() == Frame("eof", None)
