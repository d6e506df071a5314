"""The views, with the test as Phoenix: it answers by rules, while a view waits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from examples.flask_app.app import create_app, slipstream
from examples.flask_app.client import LOBBY, Rooms
from slipstream_actor import Reply
from slipstream_actor.testing import SocketTest

URI = "ws://test.invalid/socket/websocket"


@pytest.fixture
def browser(socket_test: SocketTest) -> Iterator[FlaskClient]:
    app = create_app(SLIPSTREAM_URI=URI)
    with app.app_context(), socket_test.override(slipstream.client):
        yield app.test_client()


def test_what_is_said_is_pushed(browser: FlaskClient, socket_test: SocketTest) -> None:
    socket_test.serve(LOBBY, "new:msg", {"length": 5})
    answer = browser.post("/messages", json={"body": "hello"})
    assert (answer.status_code, answer.json) == (201, {"length": 5})
    socket_test.assert_push(LOBBY, "new:msg", {"body": "hello"})


def test_what_phoenix_refuses_is_a_conflict(browser: FlaskClient, socket_test: SocketTest) -> None:
    socket_test.serve(LOBBY, "new:msg", Reply("error", {"reason": "empty"}))
    assert browser.post("/messages", json={"body": ""}).status_code == 409


def test_what_others_say_is_shown(browser: FlaskClient, socket_test: SocketTest) -> None:
    assert browser.get("/messages/last").json == {"body": None}
    socket_test.push(slipstream.ref, LOBBY, "new:msg", {"body": "anybody here?"})
    assert browser.get("/messages/last").json == {"body": "anybody here?"}


def test_without_phoenix_it_is_unavailable(browser: FlaskClient, socket_test: SocketTest) -> None:
    assert browser.get("/health").status_code == 200
    socket_test.disconnect(slipstream.ref)
    slipstream.invoke(Rooms.last).get()  # It has noticed by then.
    assert browser.get("/health").status_code == 503
    answer = browser.post("/messages", json={"body": "hello"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
