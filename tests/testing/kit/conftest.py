"""A test that is the server, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor.testing import PhoenixServer, SocketTest
from tests.support.clients import PATIENCE, Log
from tests.testing.kit.kit_client import (
    PARAMS,
    TOPIC,
    KitClient,
    have,
)


@pytest.fixture
def server() -> Iterator[SocketTest]:
    """Patient where it must wait, since machines are busy; what is refuted is known by then."""
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.05) as server:
        yield server


@pytest.fixture
def phoenix() -> Iterator[PhoenixServer]:
    """A real server, for clients that are not in test mode."""
    with PhoenixServer() as phoenix:
        yield phoenix


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def client(server: SocketTest, log: Log) -> Any:
    """A client that waits for its connection."""
    return server.start(KitClient, log, name="client")


@pytest.fixture
def joined(server: SocketTest, client: Any, log: Log) -> Any:
    """A client that has joined the lobby."""
    client.tell("before")
    server.accept_connect(client)
    have(client, "join", TOPIC, PARAMS)
    server.assert_join(TOPIC, PARAMS)
    log.take("join", TOPIC)
    return client
