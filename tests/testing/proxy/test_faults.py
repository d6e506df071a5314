"""Each fault of the proxy, seen by plain sockets on both of its sides."""

from __future__ import annotations

import socket
import threading
import time
from typing import Literal

import pytest

from slipstream_actor.testing.proxy.event_loop import EventLoop
from slipstream_actor.testing.proxy.forwarder import BUFFER
from tests.support.clients import eventually
from tests.testing.proxy.network import (
    QUICK,
    QUIET,
    Network,
    assert_passes,
    assert_passes_both_ways,
    assert_reset,
    fill,
    is_silent,
    read,
)


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
    [connection] = network.proxy._loop.open_connections  # type: ignore[union-attr]
    assert connection.up._size == BUFFER
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
    # Throttled too they would take ten seconds.
    assert_passes(client, server, bytes(100_000))
    assert time.monotonic() - begun < QUICK
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
    turn = EventLoop._turn

    def counting(loop: EventLoop) -> None:
        turns.append(None)
        turn(loop)

    monkeypatch.setattr(EventLoop, "_turn", counting)

    def sleeps() -> bool:
        turns.clear()
        # A call, so that a turn is counted: the thread sleeps in the one before.
        assert network.proxy.connections > 0
        threading.Event().wait(QUIET)
        return 0 < len(turns) < 10

    # On a busy machine the kernel still moves what was sent before.
    eventually(sleeps, "sleep")
