"""The client against the embedded server, with the fault proxy between them."""

from __future__ import annotations

import ssl
from typing import Any

import trustme

from slipstream_actor import (
    ClosedByPeer,
    ConnectFailed,
    HeartbeatTimeout,
    Socket,
    TransportFailed,
    wait_until_joined,
)
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import Log, Recorder, recording


class Joining(Recorder):
    """Joins its topic whenever it is connected."""

    def handle_connect(self, socket: Socket) -> Any:
        return super().handle_connect(socket.join("bench:room"))


def joined(log: Log) -> None:
    log.take("join", "bench:room")


def test_a_client_joins_through_it(proxy: FaultProxy) -> None:
    with recording(proxy.uri, Joining) as (ref, log):
        joined(log)
        wait_until_joined(ref, "bench:room")
        assert proxy.connections == 1
        assert proxy.bytes_up > 0
        assert proxy.bytes_down > 0


def test_tls_passes_untouched() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with PhoenixServer(ssl_context=context) as server, FaultProxy(server.uri) as proxy:
        assert proxy.uri.startswith("wss://127.0.0.1:")
        with recording(proxy.uri, Joining, ssl_context=trusting) as (_, log):
            joined(log)


def test_a_reset_is_a_disconnect_and_the_client_comes_back(proxy: FaultProxy) -> None:
    with recording(proxy.uri, Joining) as (_, log):
        joined(log)
        proxy.reset()
        _, reason = log.take("disconnect")
        assert isinstance(reason, TransportFailed | ClosedByPeer)
        joined(log)
        assert proxy.accepted == 2


def test_in_a_black_hole_a_heartbeat_times_out(proxy: FaultProxy) -> None:
    with recording(proxy.uri, Joining, heartbeat_interval_msec=200) as (_, log):
        joined(log)
        with proxy.black_hole():
            log.take("disconnect", HeartbeatTimeout())
        joined(log)


def test_a_client_that_is_refused_comes_back_when_it_is_healed(proxy: FaultProxy) -> None:
    with recording(proxy.uri, Joining) as (_, log):
        joined(log)
        with proxy.refuse():
            proxy.reset()
            while not isinstance(reason := log.take("disconnect")[1], ConnectFailed):
                assert isinstance(reason, TransportFailed | ClosedByPeer)
            assert reason.kind == "refused"
        joined(log)


def test_an_upgrade_that_is_cut(proxy: FaultProxy) -> None:
    proxy.cut(after=20, direction="down", how="reset")
    with recording(proxy.uri, Joining) as (_, log):
        assert log.take("disconnect")[1].kind in ("io", "upgrade")
        proxy.heal()
        joined(log)
