"""What a test answers by rules, while it waits elsewhere: requests, subscriptions, handles."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
from typing import Any

import pytest

from slipstream_actor import (
    ANY,
    AwaitTimeoutError,
    ChannelEnded,
    ClientActor,
    ClientEndedError,
    ClientHandle,
    ClosedByClient,
    ClosedByPeer,
    Disconnected,
    NotConnectedError,
    NotJoinedError,
    Reply,
    ReplyError,
    Socket,
    Stop,
    cast,
    connect,
    debug,
    get_state,
    request,
    subscribe,
    wait_until_joined,
)
from slipstream_actor.testing import (
    SocketTest,
    assert_push,
    override,
    push,
    serve,
    serve_joins,
)
from tests.support.clients import PATIENCE

URI = "ws://test.invalid/socket/websocket"
LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    def init(self, uri: str, **options: Any) -> Socket:
        self.replies: list[Reply] = []
        return connect(uri, **options)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(LOBBY, {"as": "me"})

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_reply(self, ref: str, reply: Reply, socket: Socket) -> None:
        self.replies.append(reply)

    def leave(self, again: bool) -> None:
        left = self.socket.leave(LOBBY)
        self.socket = left.join(LOBBY) if again else left

    def replied(self) -> list[Reply]:
        return self.replies


@pytest.fixture
def rooms(server: SocketTest) -> Any:
    ref = server.start(Rooms, URI, test_mode=True, rejoin_after_msec=[0])
    server.connect_and_assert_join(ref, LOBBY)
    wait_until_joined(ref, LOBBY, PATIENCE)
    return ref


def test_a_request_is_a_push_that_the_test_replies_to(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say", {"n": 1})
    pushed = server.assert_push(LOBBY, "say", {"n": 1})
    assert not asked.done
    server.reply(rooms, pushed, Reply("ok", {"id": 7}))
    assert asked.get() == Reply("ok", {"id": 7})
    server.reply(rooms, pushed, Reply("ok", {"id": 8}))
    assert rooms.proxy().replied().get(timeout=PATIENCE) == []  # Nor is it told to the client.


def test_a_request_that_nobody_replies_to_times_out(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say", timeout=0.05)

    async def wait() -> Reply:
        return await asked

    with pytest.raises(AwaitTimeoutError, match="it was sent"):
        asyncio.run(wait())
    server.reply(rooms, server.assert_push(LOBBY, "say"))
    assert rooms.proxy().replied().get(timeout=PATIENCE) == []


def test_a_request_over_a_connection_that_is_closed_fails(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say")
    server.assert_push(LOBBY, "say")
    server.disconnect(rooms, ClosedByPeer(1012))
    with pytest.raises(NotConnectedError) as failed:
        asked.get()
    assert failed.value.maybe_sent
    assert failed.value.reason == Disconnected(ClosedByPeer(1012))


def test_a_request_waits_behind_the_end_of_a_connection_that_its_client_has_not_seen(
    server: SocketTest, rooms: Any
) -> None:
    """As with a server: a connection that has ended sends nothing."""
    debug.suspend(rooms)
    server.disconnect(rooms)
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    server.refute_push(LOBBY, "say")
    debug.resume(rooms)
    server.connect_and_assert_join(rooms, LOBBY)
    server.reply(rooms, server.assert_push(LOBBY, "say"), Reply("ok", 1))
    assert asked.get() == Reply("ok", 1)


class Ending(Rooms):
    def handle_cast(self, message: Any, socket: Socket) -> Any:
        if message == "crash":
            raise LookupError("no such room")
        return Stop("normal", socket)


@pytest.mark.parametrize(
    "end", [lambda ref: cast(ref, "crash"), lambda ref: cast(ref, "stop"), lambda ref: ref.stop()]
)
def test_a_request_fails_when_its_client_ends(server: SocketTest, end: Any) -> None:
    ref = server.start(Ending, URI, test_mode=True)
    server.connect_and_assert_join(ref, LOBBY)
    wait_until_joined(ref, LOBBY, PATIENCE)
    asked = request(ref, LOBBY, "say", timeout=None)
    server.assert_push(LOBBY, "say")
    end(ref)
    assert asked.wait(PATIENCE)
    with pytest.raises(NotConnectedError) as failed:
        asked.get()
    assert failed.value.maybe_sent
    assert failed.value.reason == Disconnected(ClosedByClient())


def test_a_request_fails_when_its_connection_is_another_ones(
    server: SocketTest, rooms: Any
) -> None:
    asked = request(rooms, LOBBY, "say", timeout=None)
    server.assert_push(LOBBY, "say")
    server.accept_connect(rooms)
    assert asked.wait(PATIENCE)
    with pytest.raises(NotConnectedError) as failed:
        asked.get()
    assert failed.value.maybe_sent


@pytest.mark.parametrize("again", [False, True])
def test_a_request_on_a_topic_that_is_left_fails(
    server: SocketTest, rooms: Any, again: bool
) -> None:
    asked = request(rooms, LOBBY, "say")
    server.assert_push(LOBBY, "say")
    rooms.proxy().leave(again).get(timeout=PATIENCE)
    server.assert_leave(LOBBY)
    with pytest.raises(NotJoinedError) as failed:
        asked.get()
    assert failed.value.maybe_sent
    assert failed.value.reason == ChannelEnded("left")


def test_a_cancelled_request_is_not_replied_to(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say")
    assert asked.cancel()
    server.reply(rooms, server.assert_push(LOBBY, "say"))
    assert asked.cancel() is False
    assert rooms.proxy().replied().get(timeout=PATIENCE) == []


def test_a_subscription_is_fed(server: SocketTest, rooms: Any) -> None:
    with subscribe(rooms, LOBBY, "line") as lines:
        server.push(rooms, LOBBY, "other", {})
        server.push(rooms, LOBBY, "line", {"n": 1})
        assert next(lines).payload == {"n": 1}


# by rules


def test_pushes_are_replied_to_while_the_test_waits(server: SocketTest, rooms: Any) -> None:
    server.serve(LOBBY, "say", lambda payload: {"said": payload["n"]})
    assert request(rooms, LOBBY, "say", {"n": 1}).get() == Reply("ok", {"said": 1})
    assert server.assert_push(LOBBY, "say").payload == {"n": 1}


def test_what_waits_already_is_answered_too(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say")
    server.serve(LOBBY, "other")
    assert not asked.done
    server.serve(LOBBY, "say", Reply("error", {"reason": "no"}))
    assert asked.get() == Reply("error", {"reason": "no"})


def test_what_the_test_has_answered_is_not_answered_again(server: SocketTest, rooms: Any) -> None:
    rooms.proxy().socket.get().push(LOBBY, "say")
    server.reply(rooms, server.assert_push(LOBBY, "say"), Reply("ok", 1))
    server.serve(LOBBY, ANY, Reply("ok", 2))
    assert request(rooms, LOBBY, "ask").get() == Reply("ok", 2)  # Behind the other.
    assert rooms.proxy().replied().get(timeout=PATIENCE) == [Reply("ok", 1)]


def test_the_latest_rule_counts(server: SocketTest, rooms: Any) -> None:
    server.serve(answer=1)
    server.serve(LOBBY, "say", 2)
    assert request(rooms, LOBBY, "say").get() == Reply("ok", 2)
    assert request(rooms, LOBBY, "ask").get() == Reply("ok", 1)


def test_a_rule_may_leave_a_push_to_the_test(server: SocketTest, rooms: Any) -> None:
    server.serve(LOBBY, answer=lambda payload: None)
    asked = request(rooms, LOBBY, "say")
    server.reply(rooms, server.assert_push(LOBBY, "say"), Reply("ok", 3))
    assert asked.get() == Reply("ok", 3)


def test_a_rule_may_be_one_clients(server: SocketTest, rooms: Any) -> None:
    other = server.start(Rooms, URI, test_mode=True, name="other")
    server.connect_and_assert_join("other", LOBBY)
    server.serve(LOBBY, "say", 1, client=rooms)
    server.serve(LOBBY, "say", 2, client="other")
    assert request(rooms, LOBBY, "say").get().response == 1
    assert request(other, LOBBY, "say").get().response == 2


def test_what_an_answer_raises_is_told_twice() -> None:
    server = SocketTest()
    ref = server.start(Rooms, URI, test_mode=True)
    server.serve_joins()
    server.accept_connect(ref)
    server.serve(LOBBY, "say", lambda payload: payload["missing"])
    reply = request(ref, LOBBY, "say").get()
    with pytest.raises(ReplyError, match="KeyError"):
        reply.unwrap()
    with pytest.raises(AssertionError, match="KeyError") as failed:
        server.close()
    assert isinstance(failed.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (pytest.fail, pytest.fail.Exception),
        (pytest.skip, pytest.skip.Exception),
        (sys.exit, SystemExit),
    ],
)
def test_an_answer_may_end_the_test(end: Any, kind: type[BaseException]) -> None:
    server = SocketTest()

    def answer(payload: Any) -> Any:
        return payload["n"] if "n" in payload else end("no number")

    server.serve_joins()
    server.serve(LOBBY, "say", answer)
    ref = server.start(Rooms, URI, test_mode=True)
    server.accept_connect(ref)
    assert "no number" in request(ref, LOBBY, "say").get().response["reason"]
    assert request(ref, LOBBY, "say", {"n": 1}).get() == Reply("ok", 1)
    with pytest.raises(kind, match="no number"):
        server.close()


async def answers(payload: Any) -> Any:
    return payload


async def generates(payload: Any) -> Any:
    yield payload


class Answers:
    async def __call__(self, payload: Any) -> Any:
        return payload


@pytest.mark.parametrize("answer", [answers, generates, Answers(), functools.partial(answers, 1)])
def test_a_coroutine_function_answers_nothing(server: SocketTest, answer: Any) -> None:
    for method in (server.serve, server.serve_joins):
        with pytest.raises(TypeError, match="no coroutine function"):
            method(answer=answer)


def test_an_answer_is_no_coroutine() -> None:
    server = SocketTest()
    server.serve_joins()
    server.serve(LOBBY, "say", lambda payload: answers(payload["n"]))
    ref = server.start(Rooms, URI, test_mode=True)
    server.accept_connect(ref)
    assert "coroutine" in request(ref, LOBBY, "say", {"n": 1}).get().response["reason"]
    with pytest.raises(AssertionError, match="coroutine"):
        server.close()


def test_joins_are_answered(server: SocketTest) -> None:
    ref = server.start(Rooms, URI, test_mode=True)
    server.serve_joins("rooms:*", Reply("error", {}))
    server.serve_joins(LOBBY, lambda params: {"hello": params["as"]})
    server.accept_connect(ref)
    wait_until_joined(ref, LOBBY, PATIENCE)
    assert ref.proxy().socket.get().joins[LOBBY].response == {"hello": "me"}
    server.assert_join(LOBBY, {"as": "me"}, Reply("error", {}))  # It has its answer already.
    assert request(ref, LOBBY, "say", timeout=PATIENCE).cancel()


# in a handle's place

handle = ClientHandle(Rooms, URI)


def view(text: str) -> Any:
    """What a web framework calls."""
    return handle.request(LOBBY, "say", {"text": text}).get().unwrap()


async def coroutine(text: str) -> Any:
    """What an asynchronous one calls."""
    return (await handle.request(LOBBY, "say", {"text": text})).unwrap()


def test_a_view_is_served(server: SocketTest) -> None:
    server.serve(LOBBY, "say", lambda payload: {"echo": payload["text"]})
    with server.override(handle) as client:
        assert view("hello") == {"echo": "hello"}
        assert asyncio.run(coroutine("there")) == {"echo": "there"}
        with handle.subscribe(LOBBY) as messages:
            server.push(client, LOBBY, "news", {"n": 1})
            assert next(messages).payload == {"n": 1}
        assert handle.status()["connected"]
        server.assert_push(LOBBY, "say", {"text": "hello"})
    assert handle.status()["state"] == "not started"


class Eager(ClientActor):
    """Joins one topic before it is connected, one when it is, and one behind that."""

    def init(self, uri: str, **options: Any) -> Socket:
        return connect(uri, **options).join("first")

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join("second")

    def handle_join(self, topic: str, response: Any, socket: Socket) -> Socket | None:
        return socket.join("third") if topic == "second" else None


@pytest.mark.parametrize("attempt", range(20))
def test_what_takes_a_handles_place_is_joined(server: SocketTest, attempt: int) -> None:
    eager = ClientHandle(Eager, URI)
    with server.override(eager):
        topics = eager.status()["topics"]
    assert topics == dict.fromkeys(["first", "second", "third"], "joined")


def test_a_join_that_is_left_to_the_test_is_not_waited_for(server: SocketTest) -> None:
    server.assert_timeout = PATIENCE
    server.serve_joins("second", lambda params: None)
    eager = ClientHandle(Eager, URI)
    with server.override(eager):
        assert eager.status()["topics"] == {"first": "joined", "second": "requested"}
        server.assert_join("second")
        eager.wait_until_joined("third", PATIENCE)


class Stuck(Rooms):
    def handle_connect(self, socket: Socket) -> Socket:
        release.wait(PATIENCE)
        return socket


release = threading.Event()


def test_a_client_that_stays_in_a_callback_is_not_waited_for_without_end(
    server: SocketTest,
) -> None:
    release.clear()
    server.assert_timeout = 0.05
    with server.override(ClientHandle(Stuck, URI)) as ref:
        release.set()
        assert get_state(ref, PATIENCE).socket.connected


class Crashing(Rooms):
    def handle_connect(self, socket: Socket) -> Socket:
        raise LookupError("no token")


def test_a_client_that_crashes_on_the_way_is_told_by_what_uses_it(server: SocketTest) -> None:
    crashing = ClientHandle(Crashing, URI)
    with server.override(crashing), pytest.raises(ClientEndedError, match="no token"):
        crashing.call("anything")


def test_the_functions_do_the_same() -> None:
    with SocketTest():
        serve_joins(LOBBY)
        serve(LOBBY, "say", {"id": 1})
        with override(handle, URI, reconnect_after_msec=[1]) as client:
            assert view("hello") == {"id": 1}
            push(client, LOBBY, "news", {})
        assert_push(LOBBY, "say")


def test_a_topic_that_is_refused_in_a_handles_place(server: SocketTest) -> None:
    server.serve_joins(LOBBY, Reply("error", {"reason": "no"}))
    with server.override(handle, rejoin_after_msec=[60_000]), pytest.raises(AwaitTimeoutError):
        handle.request(LOBBY, "say", timeout=0.1).get()


def test_a_class_takes_a_handles_place() -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(handle.override(Modest))
        ref = handle.ref
        assert ref.actor_class is Modest
    assert not ref.is_alive()


class Modest(Rooms):
    """A client that connects to nobody."""

    def init(self, uri: str, **options: Any) -> Socket:
        return super().init(uri, test_mode=True)
