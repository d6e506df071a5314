"""The routes, with the test as Phoenix: it answers by rules, while a route waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from examples.fastapi_app.app import app, rooms
from examples.fastapi_app.client import LOBBY
from slipstream_actor import Reply
from slipstream_actor.testing import SocketTest


@pytest.fixture
def browser(socket_test: SocketTest) -> Iterator[TestClient]:
    with TestClient(app) as browser, socket_test.override(rooms):
        yield browser


def test_what_is_said_is_pushed(browser: TestClient, socket_test: SocketTest) -> None:
    socket_test.serve(LOBBY, "new:msg", {"length": 5})
    answer = browser.post("/messages", json={"body": "hello"})
    assert (answer.status_code, answer.json()) == (201, {"length": 5})
    socket_test.assert_push(LOBBY, "new:msg", {"body": "hello"})


def test_what_phoenix_refuses_is_a_conflict(browser: TestClient, socket_test: SocketTest) -> None:
    socket_test.serve(LOBBY, "new:msg", Reply("error", {"reason": "empty"}))
    assert browser.post("/messages", json={"body": ""}).status_code == 409


def test_what_is_said_is_heard_by_those_who_listen(
    browser: TestClient, socket_test: SocketTest
) -> None:
    with browser.websocket_connect("/live") as websocket:
        socket_test.push(rooms.ref, LOBBY, "new:msg", {"body": "hello"})
        assert websocket.receive_json()["payload"] == {"body": "hello"}


def test_without_phoenix_it_is_unavailable(browser: TestClient, socket_test: SocketTest) -> None:
    rooms.wait_until_joined(LOBBY)
    assert browser.get("/health").status_code == 200
    socket_test.disconnect(rooms.ref)
    answer = browser.post("/messages", json={"body": "hello"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert browser.get("/health").status_code == 503
