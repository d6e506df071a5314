"""A client that has ended: whatever is asked of it says so in one kind of error, and why."""

from __future__ import annotations

import gc
import logging
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    Answer,
    ClientActor,
    ClientEndedError,
    ForkedError,
    SlipstreamError,
    Socket,
    Stop,
    Supervisor,
    call,
    cast,
    connect,
    get_state,
    monitor,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors import names
from tests.actors.test_monitor import take_down
from tests.support.clients import PATIENCE, eventually

URI = "ws://test.invalid/socket/websocket"
TOPIC = "room:1"


class Kitchen(ClientActor):
    """Never connects; ends by what it is told, or answers when it is let."""

    go_on: threading.Event
    size: int = 1

    def init(self, go_on: threading.Event | None = None) -> Socket:
        self.go_on = go_on or threading.Event()
        return connect(URI, test_mode=True).join(TOPIC)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if isinstance(message, Exception):
            raise message
        self.go_on.wait(PATIENCE)
        return Stop(message)

    def handle_call(self, message: Any, *_: Any) -> Any:
        return Answer(message)

    def simmer(self) -> str:
        return "done"


@pytest.fixture
def burnt() -> Any:
    """A client with a name that an exception has ended, and its proxy from before."""
    ref = Kitchen.start(name="pantry")
    proxy = ref.proxy()
    ref.tell(ValueError("burnt toast"))
    wait(ref, timeout=PATIENCE)
    return ref, proxy


ATTEMPTS: dict[str, Callable[[Any, Any], Any]] = {
    "proxy": lambda ref, _: ref.proxy(),
    "older proxy": lambda _, proxy: proxy.simmer().get(timeout=PATIENCE),
    "older proxy's attribute": lambda _, proxy: proxy.size.get(timeout=PATIENCE),
    "assignment by an older proxy": lambda _, proxy: setattr(proxy, "size", 2),
    "call": lambda ref, _: call(ref, 1),
    "call by name": lambda *_: call("pantry", 1),
    "ask": lambda ref, _: ref.ask(1, timeout=PATIENCE),
    "ask without waiting": lambda ref, _: ref.ask(1, block=False).get(timeout=PATIENCE),
    "tell": lambda ref, _: ref.tell(1),
    "get_state": lambda ref, _: get_state(ref),
    "get_state by name": lambda *_: get_state("pantry"),
    "wait by name": lambda *_: wait("pantry"),
    "wait_until_joined": lambda ref, _: wait_until_joined(ref, TOPIC),
    "wait_until_joined by name": lambda *_: wait_until_joined("pantry", TOPIC),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_whatever_is_asked_says_why(burnt: Any, attempt: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(ClientEndedError) as raised:
        attempt(*burnt)
    error = raised.value
    assert isinstance(error, SlipstreamError)
    assert isinstance(error, pykka.ActorDeadError)
    assert isinstance(error.reason, ValueError)
    assert error.__cause__ is error.reason
    assert "Kitchen 'pantry'" in str(error)
    assert str(error).endswith("it has ended, ValueError('burnt toast')")


def test_what_asks_for_nothing_raises_nothing(burnt: Any) -> None:
    ref, _ = burnt
    cast(ref, 1)
    cast("pantry", 1)
    assert ref.stop() is False
    assert wait(ref).args == ("burnt toast",)
    assert whereis("pantry") is None


QUESTIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "call": (lambda ref: call(ref, 1, timeout=None), "the answer of {} to a call"),
    "ask": (lambda ref: ref.ask(1), "the answer of {} to an ask"),
    "proxy": (lambda ref: ref.proxy().simmer().get(), "the answer of {} to simmer()"),
    "attribute": (lambda ref: ref.proxy().size.get(), "the attribute size of {}"),
    "get_state": (lambda ref: get_state(ref, timeout=None), "the state of {}"),
    "wait_until_joined": (
        lambda ref: wait_until_joined(ref, TOPIC, timeout=None),
        "{} joining 'room:1'",
    ),
}


@pytest.mark.parametrize(("ask", "question"), QUESTIONS.values(), ids=QUESTIONS)
def test_what_waits_is_told_why(ask: Callable[[Any], Any], question: str) -> None:
    go_on, outcomes = threading.Event(), []
    ref: Any = Kitchen.start(go_on)

    def ask_and_note() -> None:
        with pytest.raises(ClientEndedError) as raised:
            ask(ref)
        outcomes.append(raised.value)

    ref.tell(("shutdown", "holiday"))
    eventually(lambda: ref.actor_inbox.depth == 0, "the callback")
    asking = threading.Thread(target=ask_and_note)
    asking.start()
    eventually(lambda: ref.actor_inbox.depth == 1, "the question")
    go_on.set()
    asking.join(PATIENCE)
    [error] = outcomes
    reason = ("shutdown", "holiday")
    assert error.reason == reason
    assert str(error) == f"{question.format(ref)}: it has ended, {reason}"


def test_a_wait_that_the_client_has_heard_of_is_told_too() -> None:
    ref: Any = Kitchen.start()
    outcomes: list[str] = []

    def ask_and_note() -> None:
        with pytest.raises(ClientEndedError) as raised:
            wait_until_joined(ref, TOPIC, timeout=None)
        outcomes.append(str(raised.value))

    asking = threading.Thread(target=ask_and_note)
    asking.start()
    eventually(lambda: ref._actor_weakref()._slipstream.watchers, "the wait")
    ref.tell(ValueError("burnt toast"))
    asking.join(PATIENCE)
    assert outcomes == [f"{ref} joining 'room:1': it has ended, ValueError('burnt toast')"]


class Lingering(Kitchen):
    """Is still about to end."""

    def terminate(self, reason: Any, socket: Socket) -> None:
        self.go_on.wait(PATIENCE)


def test_one_that_is_about_to_end_says_why_already() -> None:
    go_on = threading.Event()
    ref = Lingering.start(go_on, name="pantry")
    ref.tell(ValueError("burnt toast"))
    eventually(lambda: not ref.is_alive(), "the beginning of the end")
    for target in (ref, "pantry"):
        with pytest.raises(ClientEndedError, match="burnt toast"):
            call(target, 1)
    go_on.set()
    wait(ref, timeout=PATIENCE)


# names


@pytest.fixture
def remembered() -> Iterator[None]:
    """What names remember is put back."""
    before = names._ended.copy()
    names._ended.clear()
    yield
    names._ended.clear()
    names._ended.update(before)


def ended(name: Any, reason: Any) -> None:
    ref: Any = Kitchen.start(name=name)
    ref.tell(reason)
    ref._actor_weakref().go_on.set()
    wait(ref, timeout=PATIENCE)


def test_an_unknown_name_says_so() -> None:
    ref = Kitchen.start(name="pantry")
    with pytest.raises(ClientEndedError) as raised:
        call("pantri", 1)
    assert str(raised.value) == "no client has the name 'pantri'; is it to be 'pantry'?"
    assert raised.value.reason == "noproc"
    with pytest.raises(ClientEndedError, match=r"no client has the name 'unheard of'\Z"):
        call("unheard of", 1)
    with pytest.raises(ClientEndedError, match=r": Kitchen\.start\(…\) returns the ref to give\Z"):
        call(Kitchen, 1)
    with pytest.raises(ClientEndedError, match=r"no client has the name \('pantry', 1\)\Z"):
        call(("pantry", 1), 1)
    ref.stop()


@pytest.mark.usefixtures("remembered")
def test_a_name_that_is_taken_again_has_forgotten() -> None:
    ended("pantry", ValueError("burnt toast"))
    again = Kitchen.start(name="pantry")
    assert call("pantry", 1) == 1
    assert not names._ended
    again.stop()
    with pytest.raises(ClientEndedError, match="it has ended, 'normal'"):
        call("pantry", 1)


@pytest.mark.usefixtures("remembered")
def test_so_many_names_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST_ENDED", 3)
    for name in ("a", "b", "c", "a", "d"):
        ended(name, "shutdown")
    assert list(names._ended) == ["c", "a", "d"]
    with pytest.raises(ClientEndedError, match="no client has the name 'b'"):
        call("b", 1)


class Mess(Exception):
    """Its constructor takes other arguments than those that it keeps."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} on the {where}")


@pytest.mark.usefixtures("remembered")
def test_a_name_keeps_no_client_alive(caplog: pytest.LogCaptureFixture) -> None:
    """As the traceback of what has ended it would."""
    caplog.set_level(logging.CRITICAL, "slipstream_actor")  # Its records keep tracebacks.
    ref = Kitchen.start(name="pantry")
    actor = weakref.ref(ref._actor_weakref())
    ref.tell(ValueError("burnt toast"))
    wait(ref, timeout=PATIENCE)
    del ref
    eventually(lambda: gc.collect() >= 0 and actor() is None, "the end of the actor")
    with pytest.raises(ClientEndedError, match="burnt toast"):
        call("pantry", 1)


@pytest.mark.usefixtures("remembered")
def test_a_reason_that_cannot_be_copied_is_a_text() -> None:
    ended("pantry", Mess("milk", "floor"))
    with pytest.raises(ClientEndedError, match="milk on the floor"):
        call("pantry", 1)


@pytest.mark.usefixtures("remembered")
def test_a_supervisors_name_remembers_too() -> None:
    Supervisor.start([], name="head cook").stop()
    with pytest.raises(ClientEndedError, match="Supervisor 'head cook' is not there: it has ended"):
        Supervisor.which_children("head cook")


# the family


def test_one_of_a_parent_is_one_that_has_ended() -> None:
    assert issubclass(ForkedError, ClientEndedError)
    assert ForkedError("a client").reason == "forked"


def test_its_reason_alone_is_enough() -> None:
    error = ClientEndedError(ValueError("burnt toast"))
    assert str(error) == "the client has ended: ValueError('burnt toast')"
    came = pickle.loads(pickle.dumps(error))
    assert (type(came), str(came)) == (ClientEndedError, str(error))


def test_a_monitor_of_nobody_hears_of_it() -> None:
    monitor("nobody at all").cancel()
    assert take_down("nobody at all").reason == "noproc"
