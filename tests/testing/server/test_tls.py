"""The embedded server over TLS."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator

import pytest
import trustme

from slipstream_actor.testing import PhoenixServer
from tests.testing.server.raw_client import DEADLINE, Frame, RawClient

CA = trustme.CA()


def client_context(*alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.fixture
def server() -> Iterator[PhoenixServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    with PhoenixServer(ssl_context=context) as server:
        yield server


def connect(server: PhoenixServer) -> RawClient:
    client = RawClient(server.host, server.port, client_context())
    assert client.upgrade().status == 101
    client.message("1", "1", "bench:a", "phx_join", {})
    assert client.receive().kind == "text"
    return client


def test_uri(server: PhoenixServer) -> None:
    assert server.uri == f"wss://127.0.0.1:{server.port}/socket/websocket"


def test_conversation(server: PhoenixServer) -> None:
    with connect(server) as client:
        client.message("1", "2", "bench:a", "echo", {"a": 1})
        assert client.receive().value[4] == {"response": {"a": 1}, "status": "ok"}
        client.close()
        assert client.receive() == Frame("close", 1000)
        assert client.receive() == Frame("eof", None)


def test_big_messages_both_ways(server: PhoenixServer) -> None:
    with connect(server) as client:
        pad = "x" * 3_000_000
        client.message("1", "2", "bench:a", "echo", {"pad": pad})
        assert client.receive().value[4]["response"] == {"pad": pad}


def test_a_flood_while_the_client_talks(server: PhoenixServer) -> None:
    """Both directions at once: one thread must own the TLS socket, else the stream breaks."""
    with connect(server) as client:
        client.message("1", "2", "bench:a", "flood", {"n": 20_000, "size": 100})
        for n in range(500):
            client.message("1", f"e{n}", "bench:a", "sink", {"n": n})
        client.message("1", "sunk", "bench:a", "sunk", {})
        ticks = 0
        while (frame := client.receive()).value[1] != "sunk":
            ticks += frame.value[3] == "tick"
        assert ticks == 20_000
        assert frame.value[4]["response"] == {"count": 500}


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_who_offers_no_h2_is_served(server: PhoenixServer, alpn: tuple[str, ...]) -> None:
    with RawClient(server.host, server.port, client_context(*alpn)) as client:
        assert client.upgrade().status == 101


def test_who_offers_h2_gets_it(server: PhoenixServer) -> None:
    """In whatever order: the server prefers it, and then understands no upgrade.

    See docs/protocol.md#note-43.
    """
    with RawClient(server.host, server.port, client_context("http/1.1", "h2")) as client:
        client.send(client.request("/socket/websocket?vsn=2.0.0"))
        assert client.receive() == Frame("eof", None)


def test_silent_and_plain_clients_hold_up_nobody(server: PhoenixServer) -> None:
    silent = socket.create_connection((server.host, server.port), timeout=DEADLINE)
    with silent, RawClient(server.host, server.port) as plain, connect(server) as client:
        assert client.silent()
        plain.send(plain.request("/socket/websocket?vsn=2.0.0"))
        with pytest.raises(EOFError):
            plain.response()
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 6


def test_stop_closes_with_a_code(server: PhoenixServer) -> None:
    with connect(server) as client:
        server.stop()
        assert client.receive() == Frame("close", 1012)
        assert client.receive() == Frame("eof", None)


def test_the_scheme_shows_in_the_connect_info(server: PhoenixServer) -> None:
    with connect(server) as client:
        client.message("2", "2", "params:a", "phx_join", {})
        info = client.receive().value[4]["response"]["info"]
        assert info["uri"].startswith("https://127.0.0.1"), json.dumps(info)
