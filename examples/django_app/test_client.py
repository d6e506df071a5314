"""The views, with the test as Phoenix: the kit answers while a view waits."""

from __future__ import annotations

import os
from collections.abc import Iterator

import django
import pytest
from django.test import Client

from slipstream_actor import Reply, get_state
from slipstream_actor.testing import SocketTest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "examples.django_app.settings")
django.setup()

from slipstream_actor.contrib.django import clients  # noqa: E402 - behind the setup

LOBBY = "rooms:lobby"


@pytest.fixture
def phoenix(socket_test: SocketTest) -> Iterator[SocketTest]:
    """A client in test mode in the place of the project's own."""
    with socket_test.override(clients["rooms"]):
        yield socket_test


@pytest.mark.parametrize("address", ["/messages", "/messages/async"])
def test_it_says_so(phoenix: SocketTest, address: str) -> None:
    phoenix.serve(LOBBY, "new:msg", lambda payload: {"length": len(payload["body"])})
    answer = Client().post(address, {"body": "hello"}, content_type="application/json")
    assert (answer.status_code, answer.json()) == (201, {"length": 5})
    phoenix.assert_push(LOBBY, "new:msg", {"body": "hello"})


def test_what_phoenix_refuses_is_a_conflict(phoenix: SocketTest) -> None:
    phoenix.serve(LOBBY, "new:msg", Reply("error", {"reason": "quiet"}))
    answer = Client().post("/messages", {"body": "hello"}, content_type="application/json")
    assert (answer.status_code, answer.json()) == (409, {"error": "ReplyError"})


def test_what_was_said_last(phoenix: SocketTest) -> None:
    browser = Client()
    assert browser.get("/messages/last").json() == {"body": None}
    phoenix.push(clients["rooms"].ref, LOBBY, "new:msg", {"body": "hello"})
    assert browser.get("/messages/last").json() == {"body": "hello"}


def test_the_health_view(phoenix: SocketTest) -> None:
    browser = Client()
    assert browser.get("/health").status_code == 200
    phoenix.disconnect(clients["rooms"].ref)
    get_state(clients["rooms"].ref)  # Answered when it has heard of that.
    answer = browser.get("/health")
    assert answer.status_code == 503
    assert answer.json()["clients"]["rooms"]["connected"] is False
