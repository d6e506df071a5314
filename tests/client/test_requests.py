"""Requests over a simulated server: the test is the server, and says when it does what."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    CancelledError,
    ClientActor,
    ClientEndedError,
    ClosedByPeer,
    ConnectFailed,
    JoinRefused,
    Message,
    NotConnectedError,
    NotJoinedError,
    Reply,
    SendBufferFullError,
    SerializerError,
    Socket,
    Supervisor,
    connect,
    request,
    telemetry,
    wait_until_joined,
)
from slipstream_actor.actors import expiry
from slipstream_actor.actors.expiry import call_at
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.client import asking
from slipstream_actor.client.pending_request import PendingRequest
from slipstream_actor.client.requests import MANY
from slipstream_actor.testing import SocketTest
from tests.support.clients import PATIENCE, eventually
from tests.support.interruptions import interrupted
from tests.support.threads import in_threads

URI = "ws://test.invalid/socket/websocket"
LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """Joins the lobby, and does as it is told."""

    def init(self, **options: Any) -> Socket:
        self.gate = threading.Event()
        self.busy = threading.Event()
        options = {"reconnect_after_msec": [60_000], "rejoin_after_msec": [60_000], **options}
        return connect(URI, test_mode=True, **options)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(LOBBY)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_info(self, message: Any, socket: Socket) -> Any:
        match message:
            case "hang":
                self.busy.set()
                self.gate.wait(PATIENCE)
            case ("join", topic):
                return socket.join(topic)
            case ("leave", topic):
                return socket.leave(topic)
            case ("ask", topic, answer):
                answer.append(request(self.actor_ref, topic, "ask").get())
            case BaseException():
                raise message
        return None


@pytest.fixture
def server() -> Any:
    with SocketTest(assert_timeout=PATIENCE, refute_timeout=0.05) as server:
        yield server


@pytest.fixture
def rooms(server: SocketTest) -> Any:
    return server.start(Rooms)


@pytest.fixture
def joined(server: SocketTest, rooms: Any) -> Any:
    server.connect_and_assert_join(rooms, LOBBY)
    wait_until_joined(rooms, LOBBY, PATIENCE)
    return rooms


def open_requests(ref: Any) -> int:
    return asking.open_requests(ref)


# what raises at the call, and what comes out of the future


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        ((1, "say"), {}, TypeError),
        ((LOBBY, None), {}, TypeError),
        ((LOBBY, "phx_leave"), {}, ValueError),
        ((LOBBY, "say", object()), {}, SerializerError),
        ((LOBBY, "say"), {"timeout": "5"}, TypeError),
        ((LOBBY, "say"), {"timeout": float("nan")}, ValueError),
    ],
)
@pytest.mark.parametrize("is_joined", [True, False])
def test_wrong_arguments_raise_at_the_call(
    server: SocketTest, rooms: Any, arguments: Any, options: Any, error: Any, is_joined: bool
) -> None:
    if is_joined:
        server.connect_and_assert_join(rooms, LOBBY)
        wait_until_joined(rooms, LOBBY, PATIENCE)
    with pytest.raises(error):
        _ = request(rooms, *arguments, **options)
    assert open_requests(rooms) == 0
    server.refute_push(client=rooms if is_joined else None)


def test_what_is_no_client_raises_at_the_call() -> None:
    supervisor = Supervisor.start([])
    with pytest.raises(TypeError, match="for a client"):
        _ = request(supervisor, LOBBY, "say")
    supervisor.stop()


def test_an_unknown_name_comes_out_of_the_future() -> None:
    asked = request("nobody", LOBBY, "say")
    with pytest.raises(ClientEndedError, match="nobody"):
        asked.get()


def test_a_client_that_has_ended_comes_out_of_the_future(rooms: Any) -> None:
    rooms.stop()
    with pytest.raises(ClientEndedError):
        request(rooms, LOBBY, "say").get()


def test_a_reply_of_any_status_is_a_result(server: SocketTest, joined: Any) -> None:
    asked = request(joined, LOBBY, "say")
    server.reply(joined, server.assert_push(LOBBY, "say"), Reply("odd", [1]))
    assert asked.get() == Reply("odd", [1])


@pytest.mark.parametrize("payload", [b"bytes", bytearray(b"bytes"), None, [1], {"a": 1}])
def test_payloads(server: SocketTest, joined: Any, payload: Any) -> None:
    request(joined, LOBBY, "say", payload).cancel()
    asked = request(joined, LOBBY, "say", payload)
    wanted = bytes(payload) if isinstance(payload, bytearray) else payload
    server.reply(joined, server.assert_push(LOBBY, "say", wanted))
    server.reply(joined, server.assert_push(LOBBY, "say", wanted))
    assert asked.get().ok


# what it waits for


def test_futures_are_made_of_it(server: SocketTest, joined: Any) -> None:
    asked = [request(joined, LOBBY, "say", {"n": n}) for n in (1, 2)]
    made = [
        asked[0].map(lambda reply: reply.response),
        asked[0].map(lambda reply: [reply.response]).filter(bool),
        asked[0].map(lambda reply: [reply.response, 1]).reduce(lambda a, b: a + b),
        asked[0].join(asked[1]).map(lambda replies: [reply.response for reply in replies]),
    ]
    for n in (5, 6):
        server.reply(joined, server.assert_push(LOBBY, "say"), Reply("ok", n))
    assert [future.get(timeout=PATIENCE) for future in made] == [5, [5], 6, [5, 6]]


def test_it_waits_for_the_connection_and_the_join(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say", {"n": 1}, timeout=PATIENCE)
    server.accept_connect(rooms)
    server.refute_push()
    server.assert_join(LOBBY)
    server.reply(rooms, server.assert_push(LOBBY, "say", {"n": 1}))
    assert asked.get().ok


def test_what_a_signal_handler_raises_in_one_that_waits_holds_up_no_other(
    server: SocketTest, rooms: Any
) -> None:
    due = call_at(time.monotonic() + PATIENCE, lambda: None)  # Its thread begins before.

    def ring() -> None:
        raise TimeoutError

    def ask() -> object:
        return request(rooms, LOBBY, "raised", timeout=1.0)

    # Also in the middle of what the standard library does for it.
    assert sum(1 for _ in interrupted(lambda: (ask, ring), within="")) > 50
    due.cancel()
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    server.connect_and_assert_join(rooms, LOBBY)
    server.reply(rooms, server.assert_push(LOBBY, "say"))
    assert asked.get().ok


def test_what_waits_is_as_it_was_at_the_call(server: SocketTest, rooms: Any) -> None:
    payload = {"words": ["hello"]}
    _ = request(rooms, LOBBY, "say", payload)
    payload["words"].append("!")
    server.connect_and_assert_join(rooms, LOBBY)
    assert server.assert_push(LOBBY, "say").payload == {"words": ["hello"]}


SHARED: dict[str, Callable[[bytearray], Any]] = {"bytearray": lambda b: b, "memoryview": memoryview}


@pytest.mark.parametrize("kind", SHARED)
def test_bytes_that_wait_are_as_they_were_at_the_call(
    server: SocketTest, rooms: Any, kind: str
) -> None:
    audio = bytearray(b"one")
    _ = request(rooms, LOBBY, "say", SHARED[kind](audio))
    audio[:] = b"two"
    server.connect_and_assert_join(rooms, LOBBY)
    assert server.assert_push(LOBBY, "say").payload == b"one"


def test_a_topic_that_nobody_wants_fails_at_once(joined: Any) -> None:
    with pytest.raises(NotJoinedError) as failed:
        request(joined, "rooms:other", "say", timeout=PATIENCE).get()
    assert not failed.value.maybe_sent


def test_before_the_connection_nobody_knows_what_will_be_wanted(
    server: SocketTest, rooms: Any
) -> None:
    asked = request(rooms, "rooms:other", "say", timeout=PATIENCE)
    assert not asked.done
    server.connect_and_assert_join(rooms, LOBBY)
    with pytest.raises(NotJoinedError):
        asked.get()


def test_a_topic_that_is_left_fails_with_why(server: SocketTest, joined: Any) -> None:
    joined.tell(("leave", LOBBY))
    server.assert_leave(LOBBY)
    eventually(lambda: joined.proxy().socket.get().join_status(LOBBY) == "closed")
    with pytest.raises(NotJoinedError) as failed:
        request(joined, LOBBY, "say", timeout=PATIENCE).get()
    assert failed.value.reason is not None


def test_it_waits_for_a_refused_join_that_is_tried_again(server: SocketTest) -> None:
    rooms = server.start(Rooms, rejoin_after_msec=[10])
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    server.connect_and_assert_join(rooms, LOBBY, reply=Reply("error", {"reason": "full"}))
    server.assert_join(LOBBY)
    server.reply(rooms, server.assert_push(LOBBY, "say"))
    assert asked.get().ok


def test_a_timeout_says_what_went_wrong_last(server: SocketTest, rooms: Any) -> None:
    server.connect_and_assert_join(rooms, LOBBY, reply=Reply("error", {"reason": "full"}))
    eventually(lambda: isinstance(rooms.proxy().socket.get().joins[LOBBY].reason, JoinRefused))
    with pytest.raises(AwaitTimeoutError, match="full"):
        request(rooms, LOBBY, "say", timeout=0.05).get()


def test_what_is_not_sent_waits_across_reconnects(server: SocketTest, joined: Any) -> None:
    server.disconnect(joined, ClosedByPeer(1012))
    eventually(lambda: not joined.proxy().socket.get().connected)
    asked = [request(joined, LOBBY, "say", {"n": n}, timeout=PATIENCE) for n in range(5)]
    server.connect_and_assert_join(joined, LOBBY)
    for n, future in enumerate(asked):
        pushed = server.assert_push(LOBBY, "say")
        assert pushed.payload == {"n": n}
        server.reply(joined, pushed)
        assert future.get().ok


def test_what_was_sent_fails_with_the_connection(server: SocketTest, joined: Any) -> None:
    asked = request(joined, LOBBY, "say")
    server.assert_push(LOBBY, "say")
    server.disconnect(joined, ClosedByPeer(1012))
    with pytest.raises(NotConnectedError) as failed:
        asked.get()
    assert failed.value.maybe_sent


def test_what_waits_fails_with_the_client(rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    rooms.tell(ValueError("no more"))
    with pytest.raises(ClientEndedError) as failed:
        asked.get()
    assert isinstance(failed.value.reason, ValueError)


# what is over is not sent


def test_what_is_cancelled_is_never_sent(server: SocketTest, rooms: Any) -> None:
    asked = request(rooms, LOBBY, "say")
    assert asked.cancel()
    assert not asked.cancel()
    with pytest.raises(CancelledError):
        asked.get()
    assert open_requests(rooms) == 0
    server.connect_and_assert_join(rooms, LOBBY)
    wait_until_joined(rooms, LOBBY, PATIENCE)
    server.refute_push()


def test_what_has_timed_out_is_never_sent(server: SocketTest, rooms: Any) -> None:
    done = threading.Event()
    asked = request(rooms, LOBBY, "say", timeout=0.02)
    asked.add_done_callback(lambda _: done.set())  # By its time, though nobody waits.
    assert done.wait(PATIENCE)
    server.connect_and_assert_join(rooms, LOBBY)
    wait_until_joined(rooms, LOBBY, PATIENCE)
    server.refute_push()


def test_of_topics_that_nobody_asks_any_more_nothing_is_kept(
    server: SocketTest, rooms: Any
) -> None:
    """Where nobody connects, no news of theirs comes."""
    waits = request(rooms, LOBBY, "say", timeout=PATIENCE)
    gone = []
    for number in range(1_000):
        asked = request(rooms, f"user:{number}", "say", timeout=PATIENCE)
        gone.append(weakref.ref(asked))
        asked.cancel()
    del asked
    gc.collect()
    assert sum(ref() is not None for ref in gone) <= 2 * MANY
    assert not waits.done


def test_a_cancelled_coroutine_cancels(server: SocketTest, rooms: Any) -> None:
    async def main() -> None:
        asked = request(rooms, LOBBY, "say")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asked, 0.01)
        with pytest.raises(CancelledError):
            asked.get()

    asyncio.run(main())
    server.connect_and_assert_join(rooms, LOBBY)
    server.refute_push()


def test_what_of_asyncio_takes_a_request(server: SocketTest, rooms: Any) -> None:
    """As it is, or by way of a future or a coroutine of asyncio's, as the guide says."""

    def ask() -> Any:
        return request(rooms, LOBBY, "say", timeout=PATIENCE)

    async def answered() -> Reply:
        reply: Reply = await ask()
        return reply

    async def main() -> list[Reply]:
        replies = [*await asyncio.gather(ask(), ask())]
        replies.append(await asyncio.wait_for(ask(), PATIENCE))
        replies.append(await asyncio.shield(ask()))
        replies += [await each for each in asyncio.as_completed([ask(), ask()])]
        done, _ = await asyncio.wait([asyncio.ensure_future(ask())])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(answered())
        return [*replies, done.pop().result(), task.result()]

    server.serve(LOBBY, "say", {"n": 1})
    server.connect_and_assert_join(rooms, LOBBY)
    assert asyncio.run(main()) == [Reply("ok", {"n": 1})] * 8


def test_asyncio_wait_takes_no_future_of_ours(rooms: Any) -> None:
    """It would wait for ever."""

    async def main(future: Any) -> None:
        await asyncio.wait([future], timeout=PATIENCE)

    for future in (request(rooms, LOBBY, "say"), rooms.proxy().handle_info("nothing", None)):
        with pytest.raises(TypeError, match="ensure_future"):
            asyncio.run(main(future))


# serializers of one's own


class Plain:
    """JSON as the standard library has it; of the event `odd` it encodes the first so often."""

    def __init__(self, odd: int = 0) -> None:
        self.odd = odd

    def encode(self, message: Message) -> Any:
        if message.event == "odd":
            self.odd -= 1
            if self.odd < 0:
                return None
        return json.dumps([*msgspec.structs.astuple(message)])

    def decode(self, data: str | bytes) -> Message:
        return Message(*json.loads(data))


@pytest.mark.parametrize(("event", "payload"), [("say", object()), ("odd", {})])
@pytest.mark.parametrize("is_joined", [True, False])
@pytest.mark.parametrize("timeout", [PATIENCE, None])
def test_what_it_cannot_encode_raises_at_the_call_and_counts_no_more(
    server: SocketTest, event: str, payload: Any, is_joined: bool, timeout: float | None
) -> None:
    rooms = server.start(Rooms, serializer=Plain(), max_requests=2)
    if is_joined:
        server.connect_and_assert_join(rooms, LOBBY)
        wait_until_joined(rooms, LOBBY, PATIENCE)
    for _ in range(3):
        with pytest.raises(SerializerError, match=f"'{event}' on 'rooms:lobby'"):
            _ = request(rooms, LOBBY, event, payload, timeout=timeout)
    assert open_requests(rooms) == 0


def test_what_it_cannot_encode_any_more_holds_up_no_other(server: SocketTest) -> None:
    rooms = server.start(Rooms, serializer=Plain(odd=1))
    odd = request(rooms, LOBBY, "odd", timeout=PATIENCE)
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    server.serve()
    server.connect_and_assert_join(rooms, LOBBY)
    assert asked.get().ok
    with pytest.raises(SerializerError, match="Plain returned NoneType"):
        odd.get()
    assert open_requests(rooms) == 0


# where there are no more threads


def refuse_threads(patch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    # That of the deadlines may be there already, for what others wait for.
    patch.setattr(expiry, "_clock", expiry.Clock())
    patch.setattr(threading.Thread, "start", no_thread)


@pytest.mark.parametrize("is_joined", [True, False])
def test_what_nobody_can_time_fails_and_counts_no_more(server: SocketTest, is_joined: bool) -> None:
    rooms = server.start(Rooms, max_requests=2)
    if is_joined:
        server.connect_and_assert_join(rooms, LOBBY)
        wait_until_joined(rooms, LOBBY, PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        refuse_threads(patch)
        for _ in range(3):
            asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
            assert asked.done
            with pytest.raises(NotConnectedError, match="not sent: can't start new thread") as told:
                asked.get()
            assert told.value.reason == ConnectFailed("io", "can't start new thread")
            assert not told.value.maybe_sent
        assert open_requests(rooms) == 0
        server.refute_push()
    assert not request(rooms, LOBBY, "say", timeout=PATIENCE).done


def test_what_is_given_back_and_nobody_can_time_fails(server: SocketTest, joined: Any) -> None:
    kept, _ = commands(joined)
    asked = request(joined, LOBBY, "say", timeout=PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        refuse_threads(patch)
        kept[0].request.give_back()
    with pytest.raises(NotConnectedError, match="can't start new thread"):
        asked.get()
    assert open_requests(joined) == 0


# how many, in which order, beside what


def test_there_are_at_most_max_requests(server: SocketTest) -> None:
    rooms = server.start(Rooms, max_requests=3)
    asked = [request(rooms, LOBBY, "say", timeout=PATIENCE) for _ in range(3)]
    with pytest.raises(SendBufferFullError, match="max_requests"):
        request(rooms, LOBBY, "say").get()
    asked[0].cancel()
    again = request(rooms, LOBBY, "say", timeout=PATIENCE)
    assert not again.done
    server.serve()
    server.connect_and_assert_join(rooms, LOBBY)
    assert all(future.get().ok for future in (*asked[1:], again))
    assert request(rooms, LOBBY, "say").get().ok


def test_they_are_sent_in_order_for_each_thread(server: SocketTest, rooms: Any) -> None:
    count, threads = 50, 4
    started = threading.Barrier(threads + 1)

    def ask(name: int) -> None:
        started.wait(PATIENCE)
        for n in range(count):
            _ = request(rooms, LOBBY, "say", {"of": name, "n": n}, timeout=PATIENCE)

    askers = [threading.Thread(target=ask, args=(name,)) for name in range(threads)]
    for asker in askers:
        asker.start()
    server.accept_connect(rooms)
    started.wait(PATIENCE)
    server.assert_join(LOBBY)
    last = dict.fromkeys(range(threads), -1)
    for _ in range(count * threads):
        payload = server.assert_push(LOBBY, "say").payload
        assert payload["n"] == last[payload["of"]] + 1
        last[payload["of"]] += 1
    for asker in askers:
        asker.join(PATIENCE)


def test_news_of_what_is_sent_already_is_none(server: SocketTest, rooms: Any) -> None:
    """Whoever has the turn may have sent what another one leaves word of."""
    asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
    requests = asking.requests_of(rooms)
    requests.flush("rooms:sent")
    assert requests._waiting.keys() == {LOBBY}
    asked.cancel()


def test_a_stuck_callback_does_not_delay_a_reply(server: SocketTest, joined: Any) -> None:
    actor = joined._actor_weakref()
    joined.tell("hang")
    assert actor.busy.wait(PATIENCE)
    server.serve(LOBBY, "say", 1)
    try:
        assert request(joined, LOBBY, "say", timeout=PATIENCE).get().response == 1
    finally:
        actor.gate.set()


def test_a_client_may_ask_in_its_own_callback(server: SocketTest, joined: Any) -> None:
    server.serve(LOBBY, "ask", 2)
    answers: list[Reply] = []
    joined.tell(("ask", LOBBY, answers))
    assert eventually(lambda: answers) == [Reply("ok", 2)]


def test_who_is_called_back_may_ask_again(server: SocketTest, joined: Any) -> None:
    server.serve(LOBBY, "say", 3)
    second: list[Any] = []
    first = request(joined, LOBBY, "say", timeout=PATIENCE)
    first.add_done_callback(lambda _: second.append(request(joined, LOBBY, "say", timeout=1.0)))
    assert eventually(lambda: second)[0].get().response == 3


def test_a_callback_that_waits_holds_up_nobody(server: SocketTest, rooms: Any) -> None:
    """It runs under no lock of ours, and in nobody's turn."""
    entered, gate = threading.Event(), threading.Event()

    def hang(_: Any) -> None:
        entered.set()
        gate.wait(PATIENCE)

    request(rooms, "rooms:other", "say", timeout=PATIENCE).add_done_callback(hang)
    server.connect_and_assert_join(rooms, LOBBY)
    try:
        assert entered.wait(PATIENCE)
        asked = request(rooms, LOBBY, "say", timeout=PATIENCE)
        assert not asked.done
        assert asked.cancel()
    finally:
        gate.set()


def test_callbacks_run_in_the_context_of_whoever_has_added_them(
    server: SocketTest, joined: Any
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    seen: list[str] = []
    asked = request(joined, LOBBY, "say", timeout=PATIENCE)

    def note(_: Any) -> None:
        seen.append(variable.get("nothing"))

    def unwanted(_: Any) -> None:
        seen.append("unwanted")

    context = contextvars.copy_context()
    context.run(variable.set, "mine")
    context.run(asked.add_done_callback, note)
    asked.add_done_callback(unwanted)
    asked.remove_done_callback(unwanted)
    server.reply(joined, server.assert_push(LOBBY, "say"))
    assert eventually(lambda: seen) == ["mine"]


def test_a_callback_that_is_removed_while_others_are_called_takes_none_of_them_along() -> None:
    """Several await one request, and the reply comes while one of them gives up."""
    asked = PendingRequest(LOBBY, "say", {}, None)
    looked, begun, removed = threading.Event(), threading.Event(), threading.Event()
    called: list[Any] = []

    class Unwanted:
        def __call__(self, _: Any) -> None:
            called.append(self)

        def __eq__(self, other: object) -> bool:
            if other is self:
                looked.set()
                assert begun.wait(PATIENCE)
            return other is self

        __hash__ = object.__hash__

    def first(_: Any) -> None:
        begun.set()
        assert removed.wait(PATIENCE)

    def remove() -> None:
        asked.remove_done_callback(unwanted)
        removed.set()

    def complete() -> None:
        assert looked.wait(PATIENCE)
        asked.set(Reply("ok", 1))

    unwanted = Unwanted()
    for callback in (first, unwanted, called.append):
        asked.add_done_callback(callback)
    in_threads(remove, complete)
    assert called == [asked]


# what comes back from a connection that has not sent it


def commands(joined: Any) -> tuple[list[Any], Any]:
    """Have the client's connection keep the pushes that it is told, and tell nobody."""
    kept: list[Any] = []
    connection = joined._actor_weakref()._slipstream.socket._link.connection
    around: Any = connection.tell

    def tell(command: Any) -> None:
        if hasattr(command, "request"):
            kept.append(command)
        else:
            around(command)

    connection.tell = tell
    return kept, connection


def test_what_is_given_back_waits_for_the_next_join(server: SocketTest, joined: Any) -> None:
    kept, _ = commands(joined)
    payload = {"words": ["hello"]}
    asked = [request(joined, LOBBY, "say", payload, timeout=PATIENCE) for _ in range(2)]
    payload["words"].append("!")
    later = request(joined, LOBBY, "say", {"words": ["later"]}, timeout=PATIENCE)
    for command in (kept[2], kept[0], kept[1]):
        command.request.give_back()
    assert open_requests(joined) == 3
    server.disconnect(joined)
    server.connect_and_assert_join(joined, LOBBY)
    for future, words in zip((*asked, later), (["hello"], ["hello"], ["later"]), strict=True):
        pushed = server.assert_push(LOBBY, "say")
        assert pushed.payload == {"words": words}
        server.reply(joined, pushed)
        assert future.get().ok
    server.refute_push()


@pytest.mark.parametrize("kind", SHARED)
def test_bytes_that_are_given_back_are_as_they_were_at_the_call(
    server: SocketTest, joined: Any, kind: str
) -> None:
    kept, _ = commands(joined)
    audio = bytearray(b"one")
    _ = request(joined, LOBBY, "say", SHARED[kind](audio), timeout=PATIENCE)
    audio[:] = b"two"
    kept[0].request.give_back()
    server.disconnect(joined)
    server.connect_and_assert_join(joined, LOBBY)
    assert server.assert_push(LOBBY, "say").payload == b"one"


@pytest.mark.parametrize("waits", [False, True])
def test_what_is_given_back_while_it_is_handed_over_is_not_lost(
    server: SocketTest, joined: Any, waits: bool
) -> None:
    """An inbox that has closed refuses what it is told, in the thread of whoever tells it."""
    if waits:
        server.disconnect(joined)
        eventually(lambda: not joined.proxy().socket.get().connected)
    asked: list[Any] = []

    def ask() -> None:
        asked.append(request(joined, LOBBY, "say", timeout=PATIENCE))

    if waits:
        ask()
        server.accept_connect(joined)
        eventually(lambda: joined._actor_weakref()._slipstream.socket.connected)
    connection = joined._actor_weakref()._slipstream.socket._link.connection
    around: Any = connection.tell
    refused: list[Any] = []

    def tell(command: Any) -> None:
        if hasattr(command, "request"):
            refused.append(command)
            command.request.give_back()
        else:
            around(command)

    connection.tell = tell
    if waits:
        server.assert_join(LOBBY)
    else:
        ask()
    eventually(lambda: refused)
    assert len(refused) == 1
    server.disconnect(joined)
    server.connect_and_assert_join(joined, LOBBY)
    server.reply(joined, server.assert_push(LOBBY, "say"))
    assert asked[0].get().ok
    server.refute_push()


def test_a_connection_that_hangs_does_not_outlast_the_timeout(
    server: SocketTest, joined: Any
) -> None:
    commands(joined)  # It never does anything with them.
    done = threading.Event()
    asked = request(joined, LOBBY, "say", timeout=0.05)
    asked.add_done_callback(lambda _: done.set())
    assert done.wait(PATIENCE)
    with pytest.raises(AwaitTimeoutError):
        asked.get()
    assert open_requests(joined) == 0


# what tells of it


def test_telemetry_tells_of_a_request(server: SocketTest, joined: Any) -> None:
    told: list[Any] = []
    event = ("slipstream", "client", "push")
    for kind in ("start", "stop"):
        telemetry.attach(
            f"test {kind}", (*event, kind), lambda name, _, metadata: told.append((name, metadata))
        )
    try:
        asked = request(joined, LOBBY, "say", {"n": 1})
        server.reply(joined, server.assert_push(LOBBY, "say"), Reply("error", 1))
        asked.get()
        request(joined, LOBBY, "more").cancel()
    finally:
        for kind in ("start", "stop"):
            telemetry.detach(f"test {kind}")
    names = [name[-1] for name, _ in told]
    assert names == ["start", "stop", "start", "stop"]
    assert told[0][1]["topic"] == LOBBY
    assert told[0][1]["event"] == "say"
    assert told[1][1]["outcome"] == "replied"
    assert told[1][1]["status"] == "error"
    assert told[1][1]["ref"] == told[0][1]["ref"]
    assert told[3][1]["outcome"] == "failed"
    assert isinstance(told[3][1]["reason"], CancelledError)


def test_in_the_connection_s_thread_nothing_that_is_made_of_it_is_waited_for(
    server: SocketTest, joined: Any
) -> None:
    found: list[BaseException] = []

    def wait() -> None:
        waiting.inbox = SelectorInbox()
        made: list[Callable[[Any], Any]] = [
            lambda f: f,
            lambda f: f.map(str),
            lambda f: f.filter(str),
            lambda f: f.join(f),
        ]
        for make in made:
            try:
                make(request(joined, LOBBY, "say", timeout=None)).get()
            except RuntimeError as error:
                found.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(PATIENCE)
    assert len(found) == 4
    for future in asking.requests_of(joined).pending():
        future.cancel()
