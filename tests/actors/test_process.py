"""Who is who: references, names, and the plain thread as a process; and waiting from outside."""

from __future__ import annotations

import queue
import threading
from collections.abc import Hashable, Iterator
from typing import Any

import pykka
import pytest

from slipstream_actor import (
    ActorDeadError,
    AlreadyStartedError,
    Answer,
    AwaitTimeoutError,
    ClientActor,
    Down,
    From,
    Next,
    Socket,
    Stop,
    TopicJoinSucceeded,
    TopicLeft,
    call,
    cast,
    connect,
    get_state,
    invoke,
    monitor,
    new_socket,
    reply,
    request,
    subscribe,
    wait,
    wait_until_joined,
    whereis,
)
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.names import register, resolve, unregister
from slipstream_actor.actors.process import ThreadRef, current
from slipstream_actor.debug import get_status
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.testing import PhoenixServer
from tests.actors.test_future import failed
from tests.actors.test_monitor import take_down
from tests.client.test_client import InThread, Line
from tests.support.clients import PATIENCE, eventually, recording

TOPIC = "rooms:lobby"


class Plain(pykka.ThreadingActor):
    """An actor to have a reference of."""

    use_daemon_thread = True


@pytest.fixture
def refs() -> Iterator[list[pykka.ActorRef[Any]]]:
    """Three living actors."""
    started = [Plain.start() for _ in range(3)]
    yield started
    for ref in started:
        ref.stop()


class Client(ClientActor):
    """Answers what it is asked, and ends when it is told."""

    def init(self) -> Socket:
        """Wait for events by hand."""
        return connect("ws://test.invalid/socket/websocket", test_mode=True)

    def handle_call(self, message: Any, from_: From, socket: Socket) -> Any:
        """Answer, or have it answered by the actor that is named."""
        if isinstance(message, tuple):
            name, question = message
            return Answer(call(name, question))
        return Answer([message])

    def handle_info(self, message: Any, socket: Socket) -> Any:
        """End."""
        return Stop(message)

    def me(self) -> Any:
        """Return who this is to the library."""
        return current()

    def watchers(self) -> int:
        """Return how many wait for a join."""
        return sum(len(futures) for futures in self._slipstream.watchers.values())


@pytest.fixture
def client() -> Iterator[Any]:
    ref = Client.start()
    yield ref
    ref.stop()


# who am I


def test_a_thread_is_one_process() -> None:
    here = current()
    assert isinstance(here, ThreadRef)
    assert current() is here
    assert here.is_alive()
    assert repr(here) == f"<ThreadRef {threading.current_thread().name}>"
    assert InThread(current).outcome() is not here


def test_an_actor_is_its_reference(client: Any) -> None:
    assert client.proxy().me().get(timeout=PATIENCE) is client


def test_a_socket_belongs_to_who_made_it(client: Any) -> None:
    assert new_socket().socket_pid is current()
    assert client.proxy().socket.get(timeout=PATIENCE).socket_pid is client


def test_a_thread_takes_messages_while_it_lives() -> None:
    leave = threading.Event()
    made: list[ThreadRef] = []

    def live() -> None:
        made.append(current())
        ready.set()
        leave.wait(PATIENCE)

    ready = threading.Event()
    thread = threading.Thread(target=live)
    thread.start()
    assert ready.wait(PATIENCE)
    [ref] = made
    ref.tell("a message")
    assert ref.actor_inbox.depth == 1
    leave.set()
    thread.join()
    assert not ref.is_alive()
    with pytest.raises(ActorDeadError, match="ThreadRef"):
        ref.tell("too late")


def test_a_thread_that_ends_closes_what_it_owns() -> None:
    class Dead(Line):
        def tell(self, command: Any) -> None:
            raise ActorDeadError("as if it had just ended")

    lines = [Line(), Dead(), Line(), Line()]
    lines[2].alive = False

    def own() -> None:
        for line in lines:
            current().own(line)

    assert InThread(own).outcome() is None
    for line in (lines[0], lines[3]):
        line.told(CloseConnection)
    assert lines[2].commands.empty()  # It was dead when the next one came, and is forgotten.


# names


@pytest.mark.parametrize("name", ["a text", 7, ("a", 1), frozenset({1}), Client])
def test_any_hashable_is_a_name(refs: list[pykka.ActorRef[Any]], name: Hashable) -> None:
    assert whereis(name) is None
    register(name, refs[0])
    assert whereis(name) is refs[0]
    assert resolve(name) is refs[0]
    unregister(name, refs[0])
    assert whereis(name) is None


def test_a_name_has_one_holder(refs: list[pykka.ActorRef[Any]]) -> None:
    register("one", refs[0])
    with pytest.raises(AlreadyStartedError) as raised:
        register("one", refs[1])
    assert (raised.value.name, raised.value.ref) == ("one", refs[0])
    unregister("one", refs[1])  # Not the holder: without effect.
    assert whereis("one") is refs[0]
    unregister("one", refs[0])
    register("one", refs[1])
    assert whereis("one") is refs[1]
    unregister("one", refs[1])


def test_the_name_of_a_dead_actor_is_free(refs: list[pykka.ActorRef[Any]]) -> None:
    register("one", refs[0])
    refs[0].stop()
    assert whereis("one") is None
    register("one", refs[1])
    unregister("one", refs[0])  # The late farewell of the former holder.
    assert whereis("one") is refs[1]
    unregister("one", refs[1])


def test_of_many_that_want_a_name_one_gets_it() -> None:
    def start() -> Any:
        barrier.wait(PATIENCE)
        return Client.start(name="the one")

    for _ in range(20):
        barrier = threading.Barrier(8)
        outcomes = [thread.outcome() for thread in [InThread(start) for _ in range(8)]]
        losers = [outcome for outcome in outcomes if isinstance(outcome, AlreadyStartedError)]
        [winner] = [outcome for outcome in outcomes if outcome not in losers]
        assert len(losers) == 7
        assert all(loser.ref is winner for loser in losers)
        winner.stop()


def test_what_a_target_may_be(refs: list[pykka.ActorRef[Any]], client: Any) -> None:
    assert resolve(refs[0]) is refs[0]
    assert resolve(client.proxy()) is client
    assert resolve(current()) is current()
    for unknown in ("nobody", None, 7):
        with pytest.raises(ActorDeadError, match=f"no client has the name {unknown!r}"):
            resolve(unknown)


class Introspective(Client):
    """Hands itself to functions that take a client."""

    def give(self, function: Any, *arguments: Any) -> Any:
        return function(self, *arguments)


def test_an_actor_is_a_target_like_its_ref() -> None:
    ref = Introspective.start(name="itself")
    give = ref.proxy().give
    assert give(resolve).get(timeout=PATIENCE) is ref
    for function, arguments in [(call, ["x"]), (wait, []), (wait_until_joined, [TOPIC])]:
        with pytest.raises(RuntimeError, match="Introspective 'itself' would wait for itself"):
            give(function, *arguments).get(timeout=PATIENCE)
    give(cast, "told").get(timeout=PATIENCE)
    assert isinstance(wait(ref, PATIENCE), NotImplementedError)  # Of its `handle_cast`.


class Odd:
    """Equals only itself."""


# What is handed over by mistake.
NO_TARGETS = [[1], {}, Future(), new_socket()]
ASKING: list[Any] = [
    resolve,
    wait,
    monitor,
    get_status,
    lambda target: call(target, "x"),
    lambda target: cast(target, "x"),
    lambda target: wait_until_joined(target, TOPIC),
    lambda target: request(target, TOPIC, "event"),
    lambda target: invoke(target, Introspective.give, cast),
    subscribe,
]


@pytest.mark.parametrize("target", NO_TARGETS, ids=lambda target: type(target).__name__)
@pytest.mark.parametrize("ask", ASKING)
def test_what_is_no_target_is_told_what_is_one(target: Any, ask: Any) -> None:
    with pytest.raises(TypeError) as raised:
        ask(target)
    text = (
        f"a {type(target).__name__} is no client: give its ref, as start returns it, a proxy, a"
        " ClientHandle, or the name that it was started with"
    )
    if isinstance(target, Socket):
        text += "; the ref of a socket's client is socket.socket_pid"
    assert str(raised.value) == text


def test_an_object_that_equals_only_itself_may_be_a_name() -> None:
    name = Odd()
    ref = Client.start(name=name)
    assert resolve(name) is ref
    ref.stop(timeout=PATIENCE)
    with pytest.raises(ActorDeadError, match="has ended"):
        resolve(name)
    with pytest.raises(ActorDeadError, match="no client has the name"):
        resolve(Odd())
    cast(Odd(), "to nobody")
    monitor(nobody := Odd())
    assert take_down(nobody) == Down(nobody, "noproc")


@pytest.mark.parametrize("name", [[1], {}, new_socket()])
def test_what_cannot_be_a_name_is_nobodys(name: Any) -> None:
    with pytest.raises(TypeError, match="is no client: give its ref"):
        whereis(name)


# calls


def test_one_client_calls_another(client: Any) -> None:
    other = Client.start(name="other")
    assert call(client, ("other", "question")) == ["question"]
    other.stop()


def test_a_reply_may_come_before_somebody_waits() -> None:
    class Eager(Client):
        def handle_call(self, message: Any, from_: From, socket: Socket) -> Any:
            reply(from_, "at once")
            return Next()

    ref = Eager.start()
    assert call(ref, "m") == "at once"
    assert ref.ask("m", timeout=PATIENCE) == "at once"
    ref.stop()


def test_a_client_that_calls_itself_does_not_wait_for_itself() -> None:
    ref = Client.start(name="narcissus")
    with pytest.raises(RuntimeError, match=r"call: .*Client.* would wait for itself"):
        call(ref, ("narcissus", "m"), timeout=PATIENCE)
    ref.stop()


@pytest.mark.parametrize("ask", [lambda ref: call(ref, "m"), lambda ref: ref.tell("m")])
def test_the_dead_say_what_they_died_of(client: Any, ask: Any) -> None:
    client.tell(boom := ValueError("boom"))
    assert wait(client, PATIENCE) is boom
    with pytest.raises(ActorDeadError, match=r"it has ended, ValueError\('boom'\)") as raised:
        ask(client)
    assert raised.value.__cause__ is boom


def test_who_is_not_heard_is_told_why() -> None:
    class Slow(Client):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            message.wait(PATIENCE)
            return Stop("shutdown")

    ref: Any = Slow.start()
    go_on = threading.Event()
    ref.tell(go_on)
    waiting = [InThread(call, ref, "m"), InThread(ref.ask, "m")]
    eventually(lambda: ref.actor_inbox.depth == 2, "both questions")
    go_on.set()
    for error in (each.outcome() for each in waiting):
        assert isinstance(error, ActorDeadError)
        assert f"the answer of {ref} to " in str(error)
        assert str(error).endswith("it has ended, 'shutdown'")


def test_cast_tells_nothing_of_the_dead(client: Any) -> None:
    client.stop()
    cast(client, "m")
    cast("nobody", "m")


# waiting for a future


class Waiting(ClientActor):
    """Waits for what it is told to wait for, a client to start or a future."""

    def init(self, waits: threading.Event) -> None:
        self.waits = waits

    def handle_info(self, message: Any, socket: Socket) -> Any:
        self.waits.set()
        return message()


def test_a_plain_thread_waits_for_a_future() -> None:
    future: Future[Any] = Future()
    waiting = InThread(future.get)
    future.set(5)
    assert waiting.outcome() == 5
    with pytest.raises(KeyError):
        failed(KeyError()).get()


def test_an_actor_waits_for_a_future() -> None:
    answers: queue.Queue[Any] = queue.Queue()
    waits = threading.Event()
    ref = Waiting.start(waits)
    future: Future[Any] = Future()
    ref.tell(lambda: answers.put(future.get()))
    assert waits.wait(PATIENCE)
    ref.tell(lambda: None)  # No message wakes it.
    future.set(5)
    assert answers.get(timeout=PATIENCE) == 5
    with pytest.raises(KeyError):
        ref.proxy().handle_info(lambda: failed(KeyError()).get(), None).get()
    ref.stop()
    assert not future._callbacks


def test_a_stop_ends_the_wait_for_a_future() -> None:
    waits = threading.Event()
    ref: Any = Waiting.start(waits)
    future: Future[Any] = Future()
    ref.tell(future.get)
    assert waits.wait(PATIENCE)
    ref.stop(timeout=PATIENCE)
    assert wait(ref) == "normal"
    assert not future._callbacks
    # Afterwards nothing interrupts.
    assert ref.actor_inbox.interrupt is None


def test_a_client_that_is_stopped_does_not_wait_for_one_that_it_starts() -> None:
    """And takes it along: nobody would have its ref."""
    waits, begins, goes_on = threading.Event(), threading.Event(), threading.Event()

    class Slow(ClientActor):
        def init(self) -> None:
            begins.set()
            assert goes_on.wait(PATIENCE)

    ref = Waiting.start(waits)
    ref.tell(lambda: Slow.start(name="slow"))
    assert begins.wait(PATIENCE)
    slow = whereis("slow")
    ref.stop(timeout=PATIENCE)
    assert wait(ref) == "normal"
    goes_on.set()
    assert wait(slow, PATIENCE) == "shutdown"


# waiting


def test_wait_returns_the_reason_to_everyone(client: Any) -> None:
    waiting = [InThread(wait, client) for _ in range(3)]
    client.tell(("shutdown", "enough"))
    assert [waiter.outcome() for waiter in waiting] == [("shutdown", "enough")] * 3
    assert wait(client) == ("shutdown", "enough")


def test_wait_has_a_timeout(client: Any) -> None:
    with pytest.raises(AwaitTimeoutError, match="awaited the end of Client") as raised:
        wait(client, timeout=0.01)
    assert raised.value.timeout == 0.01
    assert client.is_alive()


def test_wait_by_name() -> None:
    ref = Client.start(name="waited for")
    waiting = InThread(wait, "waited for", PATIENCE)
    with pytest.raises(AwaitTimeoutError):
        wait("waited for", timeout=0.01)
    ref.tell("shutdown")
    assert waiting.outcome() == "shutdown"
    with pytest.raises(
        ActorDeadError, match="Client 'waited for' is not there: it has ended, 'shutdown'"
    ):
        wait("waited for")


def test_wait_returns_an_exception_and_does_not_raise_it() -> None:
    class Failing(Client):
        def handle_info(self, message: Any, socket: Socket) -> Any:
            raise message

    ref = Failing.start()
    error = ValueError("boom")
    ref.tell(error)
    assert wait(ref, timeout=PATIENCE) is error


def test_wait_until_joined_returns_when_it_is(client: Any) -> None:
    waiting = [InThread(wait_until_joined, client, TOPIC, PATIENCE) for _ in range(3)]
    client.tell(TopicJoinSucceeded("another"))
    client.tell(TopicJoinSucceeded(TOPIC))
    assert [waiter.outcome() for waiter in waiting] == [None] * 3
    wait_until_joined(client, TOPIC, timeout=PATIENCE)  # And at once when it was before.
    assert client.proxy().watchers().get(timeout=PATIENCE) == 0


def test_wait_until_joined_is_about_now(client: Any) -> None:
    client.tell(TopicJoinSucceeded(TOPIC))
    client.tell(TopicLeft(TOPIC))
    with pytest.raises(AwaitTimeoutError, match=f"joining '{TOPIC}'") as raised:
        wait_until_joined(client, TOPIC, timeout=0.01)
    assert raised.value.timeout == 0.01


def test_wait_until_joined_says_how_it_stands(server: PhoenixServer) -> None:
    def stands(ref: Any, topic: str) -> str:
        with pytest.raises(AwaitTimeoutError) as raised:
            wait_until_joined(ref, topic, timeout=0.01)
        return str(raised.value).partition("0.01 s: ")[2]

    with recording(server.uri, rejoin_after_msec=[60_000]) as (ref, log):
        here = f"it is connected to {server.uri}; "
        assert stands(ref, TOPIC).endswith(f"'{TOPIC}' was never asked for")
        log.take("connect")
        ref.proxy().do(lambda s: s.join("test:bad").join("bench:1", {"delay": 60_000})).get()
        log.take("topic_close")
        get_state(ref)
        closed = stands(ref, "test:bad").partition("; it is asked for again in ")
        assert closed[0] == f"{here}'test:bad' is closed: the server refused it: fields bad"
        assert closed[2].endswith(" s")
        assert stands(ref, "bench:1") == f"{here}'bench:1' is requested"
        ref.proxy().do(lambda s: s.disconnect()).get()
        log.take("disconnect")
        assert stands(ref, "bench:1") == (
            f"it is not connected to {server.uri}, and does not try to;"
            " 'bench:1' is closed: disconnected: closed by this client"
        )


def test_who_has_given_up_is_forgotten(client: Any) -> None:
    for _ in range(30):
        with pytest.raises(AwaitTimeoutError):
            wait_until_joined(client, TOPIC, timeout=0.001)
    assert client.proxy().watchers().get(timeout=PATIENCE) <= 2


def test_wait_until_joined_of_a_client_that_ends(client: Any) -> None:
    waiting = InThread(wait_until_joined, client, TOPIC, PATIENCE)
    client.tell("shutdown")
    assert isinstance(waiting.outcome(), ActorDeadError)
    with pytest.raises(ActorDeadError):
        wait_until_joined(client, TOPIC)
