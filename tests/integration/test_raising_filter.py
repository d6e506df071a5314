"""A filter of the program's that raises in every thread of the library's, as the usual one does
that asks a web framework for the current request: it ends nobody, and keeps no end from happening.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    ChildSpec,
    ClientActor,
    ConnectionCrashed,
    NotConnectedError,
    Socket,
    Stop,
    Supervisor,
    connect,
    request,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.connection.connection import Connection
from slipstream_actor.protocol.commands import CollectGarbage
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, Recorder, eventually, recording

TOPIC = "bench:room"


def of_a_request(_: logging.LogRecord) -> bool:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("Working outside of request context.")
    return True


@pytest.fixture(params=[logging.WARNING, logging.INFO, logging.DEBUG], autouse=True)
def root(request: pytest.FixtureRequest) -> Iterator[None]:
    """The root logger at a level, Pykka's below it, with a handler that has the filter."""
    handler, root = logging.StreamHandler(), logging.getLogger()
    handler.addFilter(of_a_request)
    level = root.level
    root.addHandler(handler)
    root.setLevel(request.param)
    yield
    root.setLevel(level)
    root.removeHandler(handler)


class Named(Recorder):
    """Raises for what it is told, and has the name "kitchen"."""

    def init(self, *args: Any, **options: Any) -> Socket:
        return super().init(*args, **options).join(TOPIC)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if isinstance(message, Stop):
            return message
        raise message

    def fail(self) -> None:
        raise LookupError("no such dish")


def test_a_lost_connection_is_connected_again(server: PhoenixServer) -> None:
    with recording(server.uri, Named, reconnect_after_msec=[10]) as (client, log):
        log.take("join")
        server.drop()
        log.take("disconnect")
        log.take("join")
        assert client.is_alive()


@pytest.mark.parametrize(
    ("told", "reason"),
    [(ValueError("x"), ValueError), (SystemExit(3), SystemExit), (Stop("why", None), str)],
)
def test_a_client_that_crashes_closes_its_connection(
    told: Any, reason: type, server: PhoenixServer
) -> None:
    with recording(server.uri, Named) as (client, log):
        log.take("join")
        asked = request(client, TOPIC, "never", {}, timeout=PATIENCE)
        client.tell(told)
        assert isinstance(log.take("terminate")[1], reason)
        with pytest.raises(NotConnectedError):
            asked.get(timeout=PATIENCE)
        eventually(lambda: not server.connections, "the end of the connection")


def test_a_client_whose_init_raises_is_none(server: PhoenixServer) -> None:
    class Failing(ClientActor):
        def init(self, uri: str) -> Socket:
            connect(uri)
            raise LookupError("no such dish")

    with pytest.raises(LookupError, match="dish"):
        Failing.start(server.uri, name="kitchen")
    assert whereis("kitchen") is None


def test_a_stop_ends_a_client_normally(server: PhoenixServer) -> None:
    with recording(server.uri, Named) as (client, log):
        log.take("join")
        client.stop(timeout=PATIENCE)
        assert log.take("terminate")[1] == "normal"
        assert wait(client, timeout=PATIENCE) == "normal"


def test_what_a_method_raises_goes_to_its_caller(server: PhoenixServer) -> None:
    with recording(server.uri, Named) as (client, log):
        log.take("join")
        with pytest.raises(LookupError, match="dish"):
            client.proxy().fail().get(timeout=PATIENCE)
        assert client.proxy().do(lambda socket: socket.joined(TOPIC)).get(timeout=PATIENCE)


def test_a_connection_that_crashes_tells_its_client(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise ZeroDivisionError

    with recording(server.uri, Named, reconnect_after_msec=[10]) as (client, log):
        log.take("join")
        monkeypatch.setitem(Connection._handlers, CollectGarbage, crash)
        client.proxy().do(lambda socket: socket.collect_garbage()).get(timeout=PATIENCE)
        assert isinstance(log.take("disconnect")[1], ConnectionCrashed)
        log.take("join")


def test_a_supervisor_starts_a_crashed_child_again(server: PhoenixServer) -> None:
    class Child(ClientActor):
        def init(self, uri: str) -> Socket:
            return connect(uri).join(TOPIC)

        def handle_info(self, message: Any, socket: Socket) -> Any:
            raise message

    supervisor = Supervisor.start([ChildSpec(Child, server.uri, name="kitchen")])
    try:
        first = whereis("kitchen")
        assert first is not None
        wait_until_joined(first, TOPIC, timeout=PATIENCE)
        first.tell(ValueError("x"))
        again = eventually(lambda: (ref := whereis("kitchen")) is not first and ref)
        wait_until_joined(again, TOPIC, timeout=PATIENCE)
    finally:
        supervisor.stop(timeout=PATIENCE)
