"""The context managers behind the fixtures."""

from __future__ import annotations

import pytest

from slipstream_actor import connect
from slipstream_actor.testing import (
    Channel,
    FaultProxy,
    PhoenixServer,
    SocketTest,
    phoenix_proxy,
    phoenix_server,
    socket_test,
)
from slipstream_actor.testing.kit.kit import current_test


class Room(Channel):
    """A channel."""


def greet(uri: str) -> None:
    socket = connect(uri).join("rooms:1").await_join("rooms:1")
    socket.disconnect().await_disconnect()


def test_the_test_as_the_server() -> None:
    with socket_test(refute_timeout=0.5) as server:
        assert isinstance(server, SocketTest)
        assert current_test() is server
        assert server.refute_timeout == 0.5
    assert current_test() is not server


def test_an_embedded_server() -> None:
    with phoenix_server({"rooms:*": Room}) as server:
        assert isinstance(server, PhoenixServer)
        greet(server.uri)


@pytest.mark.parametrize("upstream", ["channels", "server", "uri"])
def test_a_proxy(upstream: str) -> None:
    with phoenix_server({"rooms:*": Room}) as server:
        before = {"channels": {"rooms:*": Room}, "server": server, "uri": server.uri}[upstream]
        with phoenix_proxy(before) as proxy:  # type: ignore[arg-type]
            assert isinstance(proxy, FaultProxy)
            greet(proxy.uri)
            assert proxy.accepted == 1


def test_a_proxy_before_the_recorded_channels() -> None:
    with phoenix_proxy() as proxy:
        socket = connect(proxy.uri).join("test:good").await_join("test:good")
        socket.disconnect().await_disconnect()
