"""`invoke`: a method of a client's own, typed, in its turn, in the caller's context."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from slipstream_actor import (
    CancelledError,
    ClientActor,
    ClientEndedError,
    Future,
    Socket,
    invoke,
    new_socket,
)
from tests.support.clients import PATIENCE

user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


class Rooms(ClientActor):
    """Does no more than what is invoked."""

    def init(self) -> Socket:
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.later: Future[str] = Future()
        return new_socket()

    def say(self, text: str, *, loud: bool = False) -> str:
        return text.upper() if loud else text

    def fail(self) -> None:
        raise ValueError("no")

    def promise(self) -> Future[str]:
        return self.later

    def who(self) -> str:
        return user.get()

    def become(self, name: str) -> None:
        user.set(name)

    def hang(self) -> str:
        self.entered.set()
        self.gate.wait(PATIENCE)
        return "done"

    def _private(self) -> None:
        pass


@pytest.fixture
def rooms() -> Any:
    ref = Rooms.start()
    yield ref
    actor: Any = ref._actor_weakref()
    if actor is not None:
        actor.gate.set()
    ref.stop()


def test_it_returns_what_the_method_returns(rooms: Any) -> None:
    assert invoke(rooms, Rooms.say, "hello").get(timeout=PATIENCE) == "hello"
    assert invoke(rooms, Rooms.say, "hello", loud=True).get(timeout=PATIENCE) == "HELLO"


def test_it_raises_what_the_method_raises(rooms: Any) -> None:
    with pytest.raises(ValueError, match="no"):
        invoke(rooms, Rooms.fail).get(timeout=PATIENCE)
    assert rooms.is_alive()


def test_a_future_is_followed(rooms: Any) -> None:
    asked = invoke(rooms, Rooms.promise)
    assert not asked.done
    invoke(rooms, Rooms.say, "behind it").get(timeout=PATIENCE)
    rooms._actor_weakref().later.set("kept")
    assert asked.get(timeout=PATIENCE) == "kept"


@pytest.mark.parametrize("method", ["say", None, Rooms._private, len])
def test_what_is_no_method_of_it_raises_at_the_call(rooms: Any, method: Any) -> None:
    with pytest.raises(TypeError):
        invoke(rooms, method)


def test_an_end_comes_out_of_the_future(rooms: Any) -> None:
    rooms.stop()
    with pytest.raises(ClientEndedError):
        invoke(rooms, Rooms.say, "hello").get()
    with pytest.raises(ClientEndedError):
        invoke("nobody", Rooms.say, "hello").get()


def test_it_runs_in_the_callers_context(rooms: Any) -> None:
    context = contextvars.copy_context()
    context.run(user.set, "alice")
    assert context.run(lambda: invoke(rooms, Rooms.who)).get(timeout=PATIENCE) == "alice"
    invoke(rooms, Rooms.become, "bob").get(timeout=PATIENCE)
    assert user.get() == "nobody"
    assert invoke(rooms, Rooms.who).get(timeout=PATIENCE) == "nobody"


def test_what_has_not_begun_can_be_cancelled(rooms: Any) -> None:
    runs = invoke(rooms, Rooms.hang)
    waits = invoke(rooms, Rooms.become, "nobody should")
    actor = rooms._actor_weakref()
    assert actor.entered.wait(PATIENCE)
    assert not runs.cancel()
    assert waits.cancel()
    assert not waits.cancel()
    actor.gate.set()
    assert runs.get(timeout=PATIENCE) == "done"
    with pytest.raises(CancelledError):
        waits.get()


def test_it_is_awaited(rooms: Any) -> None:
    async def main() -> str:
        return await invoke(rooms, Rooms.say, "hello")

    assert asyncio.run(main()) == "hello"


def test_waiting_in_the_client_itself_raises(rooms: Any) -> None:
    class Asks(Rooms):
        def ask(self) -> str:
            return invoke(self.actor_ref, Asks.say, "me").get(timeout=PATIENCE)

    ref = Asks.start()
    with pytest.raises(RuntimeError, match="its own answer"):
        invoke(ref, Asks.ask).get(timeout=PATIENCE)
    ref.stop()
