"""A program that starts come what may."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from examples.graceful_startup.client import NAME, TOPIC, price, ready, start
from slipstream_actor import Reply, whereis
from slipstream_actor.testing import SocketTest
from tests.support.clients import eventually

URI = {"PRICES_URI": "ws://test.invalid/socket/websocket"}


@contextmanager
def program(environ: dict[str, str]) -> Iterator[None]:
    supervisor = start(environ, test_mode=True)
    try:
        yield
    finally:
        supervisor.stop(timeout=10)


def test_without_configuration_it_starts_without_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with program({}):
        assert whereis(NAME) is None
        assert not ready()
        assert price("coffee") is None
    assert "no PRICES_URI" in caplog.text


def test_with_a_wrong_configuration_too(caplog: pytest.LogCaptureFixture) -> None:
    with program({"PRICES_URI": "http://test.invalid"}):
        assert whereis(NAME) is None
    assert "must begin with ws:// in the place of http://" in caplog.text


def test_while_the_service_is_down_it_is_not_ready(
    socket_test: SocketTest, caplog: pytest.LogCaptureFixture
) -> None:
    with program(URI):
        client: Any = whereis(NAME)
        for _ in range(3):
            socket_test.refuse_connect(client)
        assert not ready()
        assert price("coffee") is None
        socket_test.connect_and_assert_join(client, TOPIC, reply=Reply("ok", {"coffee": 2.5}))
        assert ready(5)
        assert price("coffee") == 2.5
        assert price("tea") is None
    assert caplog.text.count("no prices for the moment") == 1


def test_what_has_been_known_is_still_known_while_it_is_away(
    socket_test: SocketTest, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), program(URI):
        client: Any = whereis(NAME)
        socket_test.connect_and_assert_join(client, TOPIC, reply=Reply("ok", {"coffee": 2.5}))
        socket_test.disconnect(client)
        assert not ready()
        assert price("coffee") == 2.5
        socket_test.connect_and_assert_join(client, TOPIC, reply=Reply("ok", {"coffee": 3.0}))
        assert ready(5)
        assert price("coffee") == 3.0


def test_a_client_that_ends_is_started_again() -> None:
    with program(URI):
        first: Any = whereis(NAME)
        first.stop()
        second = eventually(lambda: whereis(NAME), "another client")
        assert second is not first
