"""The proxy without a fault, seen by plain sockets on both sides; its life and its counts."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.testing.proxy.network import (
    QUICK,
    Network,
    assert_passes,
    assert_passes_both_ways,
    assert_reset,
    fill,
    read,
)
from tests.testing.server.raw_client import DEADLINE, Frame, RawClient


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


@pytest.mark.parametrize("upstream", [None, 5, b"ws://127.0.0.1:1"])
def test_an_upstream_is_text(upstream: Any) -> None:
    with pytest.raises(TypeError, match=f"^upstream must be a URI, not {upstream!r}$"):
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
        lambda: proxy.delay(float("inf")),
        lambda: proxy.wait_for_accepted(0, float("nan")),
        lambda: proxy.throttle(0),
        lambda: proxy.cut(after=-1),
        lambda: proxy.cut(after=float("nan")),
        lambda: proxy.cut(how="explode"),
        lambda: proxy.drop("sideways"),
        lambda: proxy.half_close("sideways"),
        lambda: proxy.wait_for_bytes(1, "both"),
    ]
    for call in calls:
        with pytest.raises(ValueError):
            call()


def test_what_are_no_seconds(network: Network) -> None:
    proxy: Any = network.proxy
    with pytest.raises(TypeError, match=r"^seconds must be seconds, not '1'$"):
        proxy.delay("1")
    with pytest.raises(TypeError, match=r"^timeout must be seconds, not '1'$"):
        proxy.wait_for_accepted(0, "1")


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


# Behind it, the embedded server


def test_a_message_that_is_cut_never_comes(server: PhoenixServer, proxy: FaultProxy) -> None:
    with RawClient(proxy.host, proxy.port) as client:
        assert client.upgrade().status == 101
        client.message("1", "1", "bench:room", "phx_join", {})
        assert client.receive().kind == "text"
        proxy.cut(after=10, direction="down")
        server.broadcast("bench:room", "long", {"pad": "x" * 1_000})
        assert client.receive() == Frame("eof", None)
