"""What is current where a message is sent is current where it is handled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pykka._envelope import Envelope

from slipstream_actor import Answer, ClientActor, Socket, call, cast
from slipstream_actor.actors import context
from tests.support.clients import PATIENCE

_here = threading.local()


def current() -> Any:
    return getattr(_here, "value", None)


@contextmanager
def being(value: Any) -> Iterator[None]:
    before, _here.value = current(), value
    try:
        yield
    finally:
        _here.value = before


class Values:
    """Carries a value of this test's own."""

    def capture(self) -> Any:
        return current()

    def resume(self, captured: Any) -> Any:
        return being(captured)


@pytest.fixture
def carried() -> Iterator[None]:
    context.install(Values())
    yield
    context.install(None)


class Looking(ClientActor):
    """Answers with what is current in its callbacks."""

    def init(self, **options: Any) -> Socket:
        self.seen = [current()]
        self.seen_all = threading.Event()
        return self.socket

    def look(self) -> Any:
        return current()

    def fail(self) -> None:
        raise LookupError

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(current())

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.seen.append(current())
        self.send_after(0, "later")

    def handle_info(self, message: Any, socket: Socket) -> None:
        self.seen.append(current())
        self.seen_all.set()


@pytest.fixture
def client() -> Iterator[Any]:
    with being("starting"):
        ref = Looking.start()
    yield ref
    ref.stop()


@pytest.mark.usefixtures("carried")
def test_it_is_taken_along_with_every_message(client: Any) -> None:
    assert client.proxy().seen.get()[0] == "starting"
    for value in ("one", None, "two"):
        with being(value):
            assert client.proxy().look().get(timeout=PATIENCE) == value
            assert call(client, "look") == value
            assert client.ask("look") == value


@pytest.mark.usefixtures("carried")
def test_a_timer_begins_anew(client: Any) -> None:
    with being("casting"):
        cast(client, "look")
    assert client.proxy().seen_all.get().wait(PATIENCE)
    assert client.proxy().seen.get() == ["starting", "casting", None]


@pytest.mark.usefixtures("carried")
def test_an_exception_leaves_nothing_current(client: Any) -> None:
    with being("failing"), pytest.raises(LookupError):
        client.proxy().fail().get(timeout=PATIENCE)
    assert client.proxy().look().get(timeout=PATIENCE) is None


def test_without_a_carrier_nothing_is(client: Any) -> None:
    with being("calling"):
        assert client.proxy().look().get(timeout=PATIENCE) is None
    envelope: Envelope[Any] = Envelope("message")
    assert context.with_context(envelope) is envelope
    assert context.capture() is None
    with context.resumed("anything"):
        assert current() is None


def test_what_was_sent_before_the_carrier_was_taken_away_is_handled(client: Any) -> None:
    context.install(Values())
    with being("sending"):
        envelope = context.with_context(Envelope("message"))
    context.install(None)
    with context.resumed(envelope):
        assert current() is None
    assert (envelope.message, envelope.reply_to) == ("message", None)
