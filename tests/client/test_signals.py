"""A signal handler raises in the middle of what a client is asked: a soft time limit, an alarm.

What it raises is what its program waits for, and no error of a payload or of params.
"""

from __future__ import annotations

import copy
import functools
import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from slipstream_actor import ClientHandle, SerializerError, connect, request, wait_until_joined
from slipstream_actor.supervision import life
from slipstream_actor.testing import SocketTest
from tests.client.test_requests import LOBBY, URI, Rooms
from tests.support.clients import PATIENCE, eventually
from tests.support.interruptions import PACKAGE, interrupted

# Where payloads and params are encoded, and where they are copied.
ENCODING, COPYING = f"{PACKAGE}/protocol/serializer.py", copy.__file__


class SoftLimit(Exception):
    """As Celery raises it."""


def ring(_number: int, _frame: object) -> None:
    raise SoftLimit


class Bell:
    """What is called as a handler, and has a method that is."""

    def __call__(self, _number: int, _frame: object) -> None:
        raise SoftLimit

    def ring(self, _number: int, _frame: object) -> None:
        raise SoftLimit


class Json:
    """A `json_parser` of the user's."""

    def dumps(self, value: Any) -> str:
        return json.dumps(value)

    def loads(self, text: str | bytes) -> Any:
        return json.loads(text)


@pytest.fixture
def server() -> Iterator[SocketTest]:
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.0) as server:
        yield server


def joined(server: SocketTest, **options: Any) -> Any:
    ref = server.start(Rooms, **options)
    server.connect_and_assert_join(ref, LOBBY)
    wait_until_joined(ref, LOBBY, PATIENCE)
    return ref


def assert_raised(ask: Callable[[], Any], within: str, handler: Any = ring) -> None:
    """Assert that `ask` raises what the handler does, at whichever moment that is called."""
    rung: list[bool] = []
    raised: list[Any] = []

    def act() -> None:
        rung.append(True)
        signal.raise_signal(signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for result in interrupted(lambda: (ask, act), within):
            if rung:
                raised.append(type(result))
            rung.clear()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(raised) > 3
    assert set(raised) == {SoftLimit}


@pytest.mark.parametrize("options", [{}, {"json_parser": Json()}], ids=["ours", "theirs"])
def test_while_a_request_is_encoded(server: SocketTest, options: Any) -> None:
    rooms = joined(server, **options)
    assert_raised(lambda: request(rooms, LOBBY, "say", {"n": 1}), ENCODING)


@pytest.mark.parametrize(
    "handler",
    [Bell(), Bell().ring, functools.partial(ring)],
    ids=["object", "method", "partial"],
)
def test_whatever_the_handler_is(server: SocketTest, handler: Any) -> None:
    rooms = joined(server)
    assert_raised(lambda: request(rooms, LOBBY, "say", {"n": 1}), ENCODING, handler)


def test_while_what_a_request_waits_with_is_copied(server: SocketTest) -> None:
    rooms = server.start(Rooms)
    assert_raised(lambda: request(rooms, LOBBY, "say", {"words": ["hello"]}), COPYING)


def test_while_what_waits_for_the_next_client_is_copied(
    server: SocketTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "FIRST_DELAY", PATIENCE)
    handle: ClientHandle[Rooms] = ClientHandle(Rooms)
    handle.ref.stop()
    eventually(lambda: handle.status()["state"] == "restarting")
    assert_raised(lambda: handle.request(LOBBY, "say", {"words": ["hello"]}), COPYING)
    handle.stop()


def test_while_a_threads_join_and_push_are_encoded(server: SocketTest) -> None:
    server.serve_joins(LOBBY)
    with connect(URI, test_mode=True).join(LOBBY) as opened:
        server.accept_connect(opened)
        socket = opened.await_join(LOBBY, PATIENCE)
        assert_raised(lambda: socket.join("rooms:other", {"n": 1}), ENCODING)
        assert_raised(lambda: socket.push(LOBBY, "say", {"n": 1}), ENCODING)


def test_while_a_push_that_is_kept_is_copied(server: SocketTest) -> None:
    with connect(URI, test_mode=True).join(LOBBY) as socket:
        assert_raised(lambda: socket.push(LOBBY, "say", {"words": ["a"]}, buffer=True), COPYING)


def test_what_the_payload_raises_itself_is_an_error_of_it(server: SocketTest) -> None:
    rooms = joined(server)
    before = signal.signal(signal.SIGALRM, ring)
    with pytest.raises(SerializerError):
        _ = request(rooms, LOBBY, "say", {"n": object()})
    signal.signal(signal.SIGALRM, before)
