"""How a client says that it stands: to whoever waits for it, and asks `get_state`."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    Answer,
    AwaitTimeoutError,
    ChildSpec,
    ClientActor,
    SlipstreamError,
    Socket,
    Supervisor,
    call,
    connect,
    get_state,
    new_socket,
    wait,
    wait_until_joined,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.protocol.events import ChannelConnectFailed
from slipstream_actor.protocol.reasons import ConnectFailed
from slipstream_actor.testing import PhoenixServer
from tests.support.clients import PATIENCE, eventually
from tests.support.threads import looks_into_threads

URI = "ws://test.invalid/socket/websocket"
TOPIC = "room:1"
CONNECTING = f"it is connecting to {URI}"


class Kitchen(ClientActor):
    """Simmers until it is let go on."""

    go_on: threading.Event
    size: int = 1

    def init(self, go_on: threading.Event | None = None, uri: str = URI, **options: Any) -> Socket:
        self.go_on = go_on or threading.Event()
        options.setdefault("test_mode", uri == URI)
        return connect(uri, **options).join(TOPIC)

    def handle_call(self, message: Any, *_: Any) -> Any:
        return Answer(message)

    def simmer(self) -> None:
        self.go_on.wait(PATIENCE)


@pytest.fixture
def simmering() -> Iterator[Any]:
    """A client with a name that is in the middle of `simmer`."""
    go_on = threading.Event()
    ref: Any = Kitchen.start(go_on, name="pantry")
    ref.proxy().simmer()
    eventually(lambda: ref.actor_inbox.depth == 0, "the method")
    yield ref
    go_on.set()
    ref.stop(timeout=PATIENCE)


def masked(error: BaseException) -> str:
    return re.sub(r"\d+\.\d s", "N s", str(error))


PANTRY = "Kitchen 'pantry'"
WAITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "call": (lambda ref: call(ref, 1, timeout=0.01), f"the answer of {PANTRY} to a call"),
    "ask": (lambda ref: ref.ask(1, timeout=0.01), f"the answer of {PANTRY} to an ask"),
    "proxy": (
        lambda ref: ref.proxy().simmer().get(timeout=0.01),
        f"the answer of {PANTRY} to simmer()",
    ),
    "attribute": (
        lambda ref: ref.proxy().size.get(timeout=0.01),
        f"the attribute size of {PANTRY}",
    ),
    "map": (
        lambda ref: ref.proxy().simmer().map(str).get(timeout=0.01),
        f"the answer of {PANTRY} to simmer()",
    ),
    "get_state": (lambda ref: get_state(ref, timeout=0.01), f"the state of {PANTRY}"),
    "stop": (lambda ref: ref.stop(timeout=0.01), f"the end of {PANTRY}"),
    "wait": (lambda ref: wait(ref, timeout=0.01), f"the end of {PANTRY}"),
}


@looks_into_threads
@pytest.mark.parametrize(("ask", "awaited"), WAITS.values(), ids=WAITS)
def test_a_timeout_names_client_question_and_callback(
    simmering: Any, ask: Callable[[Any], Any], awaited: str
) -> None:
    with pytest.raises(AwaitTimeoutError) as raised:
        ask(simmering)
    error = raised.value
    for kind in (SlipstreamError, TimeoutError, pykka.Timeout):
        assert isinstance(error, kind)
    assert (error.awaited, error.timeout) == (awaited, 0.01)
    stands = f"it is in simmer for N s; {CONNECTING}"
    assert masked(error) == f"awaited {awaited} for 0.01 s: {stands}"


def test_it_is_caught_as_what_pykka_and_python_call_it(simmering: Any) -> None:
    for kind in (pykka.Timeout, TimeoutError):
        with pytest.raises(kind):
            simmering.proxy().simmer().get(timeout=0.01)
        with pytest.raises(kind):
            new_socket().connect(URI, test_mode=True).await_connect(timeout=0)


@looks_into_threads
def test_a_wait_for_a_join_says_how_that_stands(simmering: Any) -> None:
    with pytest.raises(AwaitTimeoutError) as raised:
        wait_until_joined(simmering, TOPIC, timeout=0.01)
    assert masked(raised.value) == (
        f"awaited {PANTRY} joining '{TOPIC}' for 0.01 s: it is in simmer for N s; {CONNECTING};"
        f" '{TOPIC}' is requested"
    )


@looks_into_threads
def test_a_client_that_does_not_come_out_of_init() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Kitchen):
        def init(self, *args: Any, **options: Any) -> Socket:
            begun.set()
            go_on.wait(PATIENCE)
            return super().init()

    starting = threading.Thread(target=lambda: Slow.start(name="pantry").stop())
    starting.start()
    assert begun.wait(PATIENCE)
    with pytest.raises(AwaitTimeoutError) as raised:
        get_state("pantry", timeout=0.01)
    go_on.set()
    starting.join(PATIENCE)
    assert masked(raised.value).endswith("for 0.01 s: it is in init for N s")


class Odd:
    """An `assigns` value, or a topic, whose `repr` is a user's."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_how_it_stands_is_never_an_error_of_its_own(
    simmering: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(ClientActor, "_standing", explode)
    with pytest.raises(AwaitTimeoutError, match=r"to a call for 0.01 s\Z"):
        call(simmering, Odd(), timeout=0.01)


def test_a_timeout_that_a_callback_raises_is_the_callbacks() -> None:
    """It is no timeout of whoever calls."""

    class Impatient(Kitchen):
        def handle_call(self, message: Any, *_: Any) -> Any:
            raise message

    for error in (AwaitTimeoutError("the oven", 0.5), pykka.Timeout("0.5 seconds")):
        ref = Impatient.start()
        with pytest.raises(type(error)) as raised:
            call(ref, error, timeout=PATIENCE)
        assert raised.value is error
        wait(ref, timeout=PATIENCE)


def test_a_plain_future_that_nobody_sets() -> None:
    with pytest.raises(AwaitTimeoutError, match=r"awaited a result for 0.01 s\Z"):
        Future[Any]().get(timeout=0.01)


def test_a_future_that_asks_one_of_pykkas() -> None:
    asking: Future[Any] = Future()
    asking.set(pykka.ThreadingFuture())
    with pytest.raises(AwaitTimeoutError, match=r"awaited a result for 0.01 s\Z"):
        asking.get(timeout=0.01)


# get_state


def test_the_state_has_the_attempts() -> None:
    ref = Kitchen.start(reconnect_after_msec=[60_000], reconnect_jitter_msec=0)
    before = get_state(ref)
    assert (before.attempt, before.next_attempt) == (0, None)
    assert (before.callback, before.busy_for) == (None, None)
    ref.tell(ChannelConnectFailed(ConnectFailed("refused", "nobody listens")))
    waiting = get_state(ref)
    assert waiting.attempt == 1
    assert waiting.next_attempt is not None
    assert 59 < waiting.next_attempt <= 60
    ref.stop()


@looks_into_threads
def test_the_state_has_what_ran_when_it_was_asked(simmering: Any) -> None:
    states: list[Any] = []
    asking = threading.Thread(target=lambda: states.append(get_state(simmering, timeout=PATIENCE)))
    asking.start()
    eventually(lambda: simmering.actor_inbox.depth == 1, "the question")
    simmering._actor_weakref().go_on.set()
    asking.join(PATIENCE)
    [state] = states
    assert state.callback == "simmer"
    assert state.busy_for is not None
    assert 0 <= state.busy_for < PATIENCE


def test_the_state_of_a_socket_is_its_own() -> None:
    socket = connect(URI, test_mode=True)
    with pytest.raises(TypeError, match="get_state is for a client, by its ref or its name"):
        get_state(socket)


# names


def test_a_ref_is_called_as_its_owner_calls_it() -> None:
    ref = Kitchen.start(name="pantry")
    assert (str(ref), repr(ref)) == (PANTRY, f"<ActorRef for {PANTRY}>")
    one, other = Kitchen.start(), Kitchen.start()
    assert re.fullmatch(r"Kitchen-\d+", str(one))
    assert str(one) != str(other)
    for each in (ref, one, other):
        assert str(each) in {thread.name for thread in threading.enumerate()}
        assert str(each._actor_weakref()) == str(each)
        each.stop()


def test_a_name_of_any_size_is_shown_in_bounds() -> None:
    ref = Kitchen.start(name="x" * 100_000)
    assert len(str(ref)) < 300
    ref.stop()


def test_a_connection_is_called_by_its_owner(server: PhoenixServer) -> None:
    ref = Kitchen.start(uri=server.uri, name="pantry")
    connection = eventually(lambda: get_state(ref).connection, "the connection")
    assert str(connection) == f"connection of {PANTRY}"
    assert str(connection) in {thread.name for thread in threading.enumerate()}
    ref.stop()
    with connect(server.uri) as socket:
        online = socket.await_connect()
        assert str(online.channel_pid) == f"connection of thread {threading.current_thread().name}"


def test_the_children_of_a_supervisor_are_told_apart() -> None:
    children = [Kitchen, ChildSpec(Kitchen, id=1, name="pantry"), ChildSpec(Kitchen, id="cellar")]
    supervisor = Supervisor.start(children, name="head cook")
    assert str(supervisor) == "Supervisor 'head cook'"
    plain, named, identified = Supervisor.which_children(supervisor)
    assert re.fullmatch(r"Kitchen-\d+", str(plain.ref))
    assert str(named.ref) == PANTRY
    assert re.fullmatch(r"Kitchen-\d+ \(child 'cellar'\)", str(identified.ref))
    assert "Kitchen 'pantry'" in repr(named)
    supervisor.stop()


# what is misunderstood


def test_a_client_is_started_and_not_made() -> None:
    kind: Any = Kitchen
    for make in (kind, lambda: kind("uri", name="pantry")):
        with pytest.raises(TypeError, match=r"Kitchen\(…\) makes no client: Kitchen\.start\(…\)"):
            make()


@pytest.mark.parametrize("name", ["init", "handle_message", "handle_info", "terminate"])
def test_no_callback_is_a_coroutine(name: str) -> None:
    async def later(*_: Any) -> Any: ...

    async def each_later(*_: Any) -> Any:
        yield

    def one_by_one(*_: Any) -> Any:
        yield

    declared = f"Odd.{name} is declared async def: callbacks run in the client's own thread"
    for method in (later, each_later, staticmethod(later), classmethod(later)):
        with pytest.raises(TypeError, match=declared):
            type("Odd", (ClientActor,), {name: method})
        with pytest.raises(TypeError, match=declared):
            type("Odd", (type("Mixin", (), {name: method}), ClientActor), {})
    with pytest.raises(TypeError, match=rf"Odd\.{name} has a yield"):
        type("Odd", (ClientActor,), {name: one_by_one})


def test_what_is_no_callback_may_be_one() -> None:
    async def later(*_: Any) -> Any: ...

    type("Fine", (ClientActor,), {"later": later})
