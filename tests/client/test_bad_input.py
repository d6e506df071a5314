"""Bad input does a client no harm: it raises at the call, and whoever asks is answered."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    ActorDeadError,
    ClientActor,
    Next,
    Socket,
    Supervisor,
    call,
    connect,
    get_state,
    reply,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors.calls import await_answer
from slipstream_actor.actors.envelopes import GetState, Request
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.process import current
from slipstream_actor.actors.question import Question
from slipstream_actor.client import client as client_module
from slipstream_actor.client.client import WatchJoin
from slipstream_actor.connection.connection import Connection
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually


class Patient(ClientActor):
    """Waits in `handle_cast` until it may go on, and ends for what it is told."""

    def init(self, uri: str | None = None) -> Socket:
        self.begun, self.go_on = threading.Event(), threading.Event()
        return self.socket if uri is None else connect(uri).join("bench:1")

    def handle_info(self, message: Any, socket: Socket) -> None:
        if isinstance(message, BaseException):
            raise message
        self.begun.set()
        assert self.go_on.wait(PATIENCE)


@pytest.fixture
def client() -> Iterator[Any]:
    ref: Any = Patient.start()
    yield ref
    ref.stop(timeout=PATIENCE)


class Background:
    """A call in a thread of its own, and how it has ended."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._outcome: Future[Any] = Future()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome.set(self._function())
        except Exception as error:
            self._outcome.fail(error)

    def outcome(self) -> Any:
        """Return or raise what the call did."""
        try:
            return self._outcome.get(timeout=PATIENCE)
        finally:
            self._thread.join(PATIENCE)


# timers


@pytest.mark.parametrize("method", ["send_after", "send_interval"])
@pytest.mark.parametrize(
    ("seconds", "error", "why"),
    [
        (math.nan, ValueError, "not NaN"),
        (math.inf, ValueError, "come to an end"),
        ("1", TypeError, "must be seconds, not str"),
        (None, TypeError, "must be seconds, not NoneType"),
        (True, TypeError, "must be seconds, not bool"),
    ],
)
def test_a_timer_is_due_at_a_time(
    client: Any, method: str, seconds: Any, error: type[Exception], why: str
) -> None:
    proxy = client.proxy()
    with pytest.raises(error, match=f"seconds.*{why}"):
        getattr(proxy, method)(seconds, "never").get(timeout=PATIENCE)
    actor = client._actor_weakref()
    with pytest.raises(error, match=f"seconds.*{why}"):
        getattr(actor, method)(seconds, "never")  # In another thread.
    assert get_state(client).mailbox == 0


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_an_interval_is_more_than_none(client: Any, seconds: float) -> None:
    with pytest.raises(ValueError, match="interval must be more than 0 seconds"):
        client.proxy().send_interval(seconds, "never").get(timeout=PATIENCE)


@pytest.mark.parametrize("start", [Patient.start, Supervisor.start])
@pytest.mark.parametrize("name", [["rooms"], ("rooms", [])], ids=["list", "in a tuple"])
def test_a_name_that_cannot_be_one_is_called_so(start: Any, name: Any) -> None:
    with pytest.raises(
        TypeError, match=r"^name must be hashable, as a text is, not a (list|tuple)$"
    ):
        start(name=name)
    assert start(name="rooms").stop(timeout=PATIENCE)
    assert whereis("rooms") is None


@pytest.mark.parametrize("from_", [None, "rooms", 3, Patient])
def test_who_is_no_caller_cannot_be_replied_to(from_: Any) -> None:
    told = "reply takes the from_ of a handle_call, not (a|the class) "
    with pytest.raises(TypeError, match=told):
        reply(from_, "answer")


def test_a_timer_in_the_past_is_due_at_once(client: Any) -> None:
    actor = client._actor_weakref()
    actor.send_after(-1, "now")
    assert actor.begun.wait(PATIENCE)
    actor.go_on.set()


@pytest.mark.parametrize("timeout", [math.nan, "1", True])
def test_an_idle_timeout_is_refused_where_it_is_written(timeout: Any) -> None:
    class Wrong(ClientActor):
        def init(self) -> Any:
            return Next(timeout=timeout)

    with pytest.raises((ValueError, TypeError), match="Next: timeout must be seconds or None"):
        Wrong.start()


# requests whose handling raises


def boom(*arguments: Any) -> None:
    raise LookupError("as asked")


@pytest.mark.parametrize("kind", [GetState, WatchJoin])
def test_what_the_handling_of_a_request_raises_goes_to_whoever_asked(
    client: Any, kind: type[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClientActor, "_note_joins", boom)
    monkeypatch.setattr(client_module, "state_of", boom)
    with pytest.raises(LookupError, match="as asked"):
        await_answer(kind("t", Future()), Question(client), PATIENCE)
    monkeypatch.undo()
    assert get_state(client).mailbox == 0


@pytest.mark.parametrize("topic", [["t"], {}, {1, 2}])
def test_a_topic_that_is_no_text_reaches_no_client(client: Any, topic: Any) -> None:
    with pytest.raises(TypeError, match="topic must be a str"):
        wait_until_joined(client, topic, timeout=None)
    with pytest.raises(TypeError, match="unhashable"):
        await_answer(WatchJoin(topic, Future()), Question(client), PATIENCE)
    assert client.is_alive()


class Unknown(Request):
    """What no actor knows."""


def test_an_unknown_request_is_answered(client: Any, server: PhoenixServer) -> None:
    socket = connect(server.uri).await_connect()
    supervisor = Supervisor.start([])
    for ref in (client, socket.channel_pid, supervisor):
        with pytest.raises(TypeError, match="does not understand Unknown"):
            await_answer(Unknown(None, Future()), Question(ref), PATIENCE)
    with pytest.raises(TypeError, match="does not understand Request"):
        call(socket.channel_pid, "hello")
    with pytest.raises(TypeError, match="does not understand WatchJoin"):
        wait_until_joined(socket.channel_pid, "t")
    assert socket.connected
    supervisor.stop()
    socket.disconnect().await_disconnect()


def test_a_connection_answers_also_when_the_snapshot_fails(
    server: PhoenixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = connect(server.uri).await_connect()
    monkeypatch.setattr(Connection, "_state", boom)
    with pytest.raises(LookupError, match="as asked"):
        get_state(socket.channel_pid)
    monkeypatch.undo()
    assert get_state(socket.channel_pid).status == "connected"
    socket.disconnect().await_disconnect()


class Plain(pykka.ThreadingActor):
    """An actor of Pykka's own."""


@pytest.mark.parametrize("ask", [get_state, lambda ref: call(ref, "hello"), None])
def test_who_answers_nobody_cannot_be_asked(ask: Callable[[Any], Any] | None) -> None:
    ask = ask or (lambda ref: wait_until_joined(ref, "t"))
    plain = Plain.start()
    thread = Background(current).outcome()
    for ref in (plain, thread, *([current()] if ask is get_state else [])):
        with pytest.raises(TypeError, match="cannot be asked"):
            ask(ref)
    plain.stop()


# who waits for a client that dies

ENDS: dict[str, Callable[[Any], Any]] = {
    "a crash": lambda ref: ref.tell(LookupError("burnt")),
    "an exit": lambda ref: ref.tell(SystemExit(1)),
    "a stop": lambda ref: ref.stop(block=False),
}
WAITS: dict[str, Callable[[Any], Any]] = {
    "wait_until_joined": lambda ref: wait_until_joined(ref, "never", timeout=None),
    "an infinite wait_until_joined": lambda ref: wait_until_joined(ref, "never", timeout=math.inf),
    "get_state": lambda ref: get_state(ref, timeout=None),
    "call": lambda ref: call(ref, "hello", timeout=None),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("waiting", WAITS)
def test_whoever_waits_in_the_mailbox_is_told_of_the_end(end: str, waiting: str) -> None:
    ref: Any = Patient.start()
    actor = ref._actor_weakref()
    ref.tell("wait")
    assert actor.begun.wait(PATIENCE)
    ENDS[end](ref)
    depth = ref.actor_inbox.depth
    late = Background(lambda: WAITS[waiting](ref))
    eventually(lambda: ref.actor_inbox.depth > depth, "the request")
    actor.go_on.set()
    if end == "a stop" or waiting == "get_state":
        # What came before a stop is answered as ever.
        wait(ref, PATIENCE)
    with pytest.raises(ActorDeadError):
        late.outcome()
    with pytest.raises(ActorDeadError):
        WAITS[waiting](ref)


@pytest.mark.parametrize("end", ENDS)
def test_whoever_watches_is_told_of_the_end(end: str) -> None:
    ref: Any = Patient.start()
    early = Background(lambda: wait_until_joined(ref, "never", timeout=None))
    actor = ref._actor_weakref()
    eventually(lambda: actor._slipstream.watchers, "the wait")
    ENDS[end](ref)
    with pytest.raises(ActorDeadError):
        early.outcome()


@pytest.mark.parametrize("kind", [GetState, WatchJoin])
def test_whoever_asks_is_answered_when_the_handling_exits(
    kind: type[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(*arguments: Any) -> None:
        raise SystemExit(3)

    ref: Any = Patient.start()
    monkeypatch.setattr(ClientActor, "_note_joins", leave)
    monkeypatch.setattr(client_module, "state_of", leave)
    answer: Future[Any] = Future()
    ref.tell(kind("t", answer))
    with pytest.raises(SystemExit):
        answer.get(timeout=PATIENCE)
    assert isinstance(wait(ref, PATIENCE), SystemExit)


def test_whoever_waits_is_told_though_the_end_itself_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref: Any = Patient.start()
    early = Background(lambda: wait_until_joined(ref, "never", timeout=None))
    actor = ref._actor_weakref()
    eventually(lambda: actor._slipstream.watchers, "the wait")
    monkeypatch.setattr(ClientActor, "_close_connection", boom)
    ref.stop(timeout=PATIENCE)
    with pytest.raises(ActorDeadError):
        early.outcome()
    assert wait(ref, PATIENCE) == "normal"
