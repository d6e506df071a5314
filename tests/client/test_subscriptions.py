"""Subscriptions: bounded, by patterns, for threads and coroutines, until somebody ends them."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from slipstream_actor import (
    ANY,
    ClientActor,
    ClientEndedError,
    MessageReceived,
    Socket,
    Stop,
    Supervisor,
    connect,
    get_state,
    request,
    subscribe,
    wait_until_joined,
)
from slipstream_actor.client.subscriptions import Subscription
from slipstream_actor.protocol.commands import ResumeReading
from slipstream_actor.testing import PhoenixServer, SocketTest
from tests.support.clients import PATIENCE, eventually
from tests.support.interruptions import interrupted

URI = "ws://test.invalid/socket/websocket"
LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    def init(self) -> Socket:
        return connect(URI, test_mode=True, reconnect_after_msec=[60_000])

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def handle_info(self, message: Any, socket: Socket) -> Any:
        if isinstance(message, BaseException):
            raise message
        return Stop(message, socket)


@pytest.fixture
def server() -> Iterator[SocketTest]:
    with SocketTest(assert_timeout=PATIENCE) as server:
        yield server


@pytest.fixture
def rooms(server: SocketTest) -> Any:
    return server.start(Rooms)


class Reader:
    """What a connection's inbox is to a subscription."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.closed = False

    def tell(self, command: Any) -> None:
        self.told.append(type(command))


class InterruptedReader(Reader):
    """The first that tells it something is interrupted by a signal handler."""

    interrupted = False

    def tell(self, command: Any) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt
        super().tell(command)


def message(n: int, topic: str = LOBBY, event: str = "line") -> MessageReceived:
    return MessageReceived(topic, event, {"n": n})


def numbers(messages: Any) -> list[int]:
    return [m.payload["n"] for m in messages]


def taken(subscription: Subscription, count: int) -> list[int]:
    return [next(subscription).payload["n"] for _ in range(count)]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"size": 0}, ValueError),
        ({"size": 1.5}, TypeError),
        ({"size": True}, TypeError),
        ({"overflow": "drop"}, ValueError),
        ({"topic": None}, TypeError),
        ({"event": {"n": 1}}, TypeError),
    ],
)
def test_wrong_arguments(rooms: Any, options: Any, error: Any) -> None:
    with pytest.raises(error):
        subscribe(rooms, **options)


def test_only_a_client_has_messages() -> None:
    supervisor = Supervisor.start([])
    with pytest.raises(TypeError):
        subscribe(supervisor)
    supervisor.stop()
    with pytest.raises(ClientEndedError):
        subscribe("nobody")


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ((), [0, 1, 2, 3]),
        ((LOBBY,), [0, 1, 2]),
        ((ANY, "line"), [0, 1, 3]),
        ((re.compile("rooms:.*"), ANY, {"n": 1}), [1]),
        ((ANY, ANY, lambda payload: payload["n"] > 1), [2, 3]),
    ],
)
def test_patterns(pattern: Any, wanted: list[int]) -> None:
    topic, event, payload = (*pattern, ANY, ANY, ANY)[:3]
    subscription = Subscription(topic, event, payload, size=10, overflow="wait")
    events = [message(0), message(1), message(2, event="news"), message(3, topic="rooms:other")]
    subscription.take(events)
    subscription.end()
    assert numbers(subscription) == wanted


def test_it_holds_beside_the_callbacks_and_across_reconnects(
    server: SocketTest, rooms: Any
) -> None:
    with subscribe(rooms, LOBBY) as messages:  # Before the first connect.
        for n in range(2):
            server.accept_connect(rooms)
            server.push(rooms, LOBBY, "line", {"n": n})
            server.push(rooms, "rooms:other", "line", {"n": -1})
            server.disconnect(rooms)
        assert taken(messages, 2) == [0, 1]
    server.accept_connect(rooms)
    server.push(rooms, LOBBY, "line", {"n": 2})
    assert list(messages) == []


def test_a_full_one_has_the_connection_wait_until_half_is_taken() -> None:
    subscription = Subscription(ANY, ANY, ANY, size=4, overflow="wait")
    reader = Reader()
    subscription.take([message(n) for n in range(3)])
    assert not subscription._pauses(reader)
    subscription.take([message(3), message(4)])
    assert subscription._pauses(reader)
    assert not subscription._pauses(reader, urgent=True)
    assert taken(subscription, 2) == [0, 1]
    assert reader.told == []
    assert taken(subscription, 1) == [2]
    assert reader.told == [ResumeReading]
    subscription.take([message(n) for n in range(5, 11)])
    assert subscription._pauses(reader, urgent=True)
    assert subscription.dropped == 0


def test_each_connection_that_waits_reads_again() -> None:
    """One of a client that ends, and that of the next."""
    subscription = Subscription(ANY, ANY, ANY, size=4, overflow="wait")
    subscription.take([message(n) for n in range(4)])
    readers = Reader(), Reader()
    assert [subscription._pauses(reader) for reader in readers] == [True, True]
    assert taken(subscription, 2) == [0, 1]
    assert [reader.told for reader in readers] == [[ResumeReading], [ResumeReading]]
    assert taken(subscription, 2) == [2, 3]
    assert [reader.told for reader in readers] == [[ResumeReading], [ResumeReading]]


def test_a_connection_that_has_ended_is_not_kept() -> None:
    subscription = Subscription(ANY, ANY, ANY, size=1, overflow="wait")
    subscription.take([message(0)])
    for _ in range(3):
        reader = Reader()
        assert subscription._pauses(reader)
        reader.closed = True
    last = Reader()
    assert subscription._pauses(last)
    assert subscription._paused == {last}


def test_who_is_interrupted_while_it_tells_a_connection_tells_it_next_time() -> None:
    subscription = Subscription(ANY, ANY, ANY, size=1, overflow="wait")
    subscription.take([message(0)])
    reader = InterruptedReader()
    assert subscription._pauses(reader)
    with pytest.raises(KeyboardInterrupt):
        next(subscription)
    assert reader.told == []
    assert subscription._take()[0] == message(0)
    assert reader.told == [ResumeReading]


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def test_who_is_interrupted_has_taken_nothing() -> None:
    """A signal handler raises in the middle of it: the next one has the same message."""
    made: list[tuple[Subscription, Reader]] = []

    def prepare() -> tuple[Any, Any]:
        subscription, reader = Subscription(ANY, ANY, ANY, size=3, overflow="wait"), Reader()
        subscription.take([message(n) for n in range(3)])
        assert subscription._pauses(reader)
        made.append((subscription, reader))
        return lambda: taken(subscription, 1), raise_interrupt

    for result in interrupted(prepare):
        subscription, reader = made[-1]
        first = [] if isinstance(result, KeyboardInterrupt) else result
        rest = [subscription._take()[0] for _ in range(3 - len(first))]
        assert first + numbers(filter(None, rest)) == [0, 1, 2]
        assert reader.told == [ResumeReading]
    assert len(made) > 3


def test_who_is_interrupted_waits_no_more() -> None:
    """Else the next message would wake nobody who waits."""
    made: list[Subscription] = []

    def prepare() -> tuple[Any, Any]:
        made.append(Subscription(ANY, ANY, ANY, size=3, overflow="wait"))
        return made[-1]._take, raise_interrupt

    for result in interrupted(prepare):
        assert len(made[-1]._waiting) == (0 if isinstance(result, KeyboardInterrupt) else 1)
    assert len(made) > 3


def test_one_that_drops_keeps_the_latest() -> None:
    subscription = Subscription(ANY, ANY, ANY, size=3, overflow="drop_oldest")
    reader = Reader()
    subscription.take([message(n) for n in range(5)])
    assert not subscription._pauses(reader)
    assert subscription.dropped == 2
    assert taken(subscription, 3) == [2, 3, 4]
    assert reader.told == []


@pytest.mark.parametrize("how", ["close", "end"])
def test_a_full_one_that_ends_has_the_connection_read(how: str) -> None:
    subscription = Subscription(ANY, ANY, ANY, size=2, overflow="wait")
    reader = Reader()
    subscription.take([message(n) for n in range(3)])
    assert subscription._pauses(reader)
    getattr(subscription, how)()
    assert reader.told == [ResumeReading]
    assert not subscription._pauses(reader)
    assert numbers(subscription) == ([] if how == "close" else [0, 1, 2])
    subscription.take([message(9)])
    assert numbers(subscription) == []


def test_each_message_goes_to_one_of_several(server: SocketTest, rooms: Any) -> None:
    count = 100
    messages = subscribe(rooms, LOBBY)
    found: list[list[int]] = [[], []]

    def iterate(into: list[int]) -> None:
        into.extend(m.payload["n"] for m in messages)

    threads = [threading.Thread(target=iterate, args=(into,)) for into in found]
    for thread in threads:
        thread.start()
    server.accept_connect(rooms)
    for n in range(count):
        server.push(rooms, LOBBY, "line", {"n": n})
    eventually(lambda: sum(map(len, found)) == count)
    messages.close()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert sorted(found[0] + found[1]) == list(range(count))


def test_coroutines_iterate(server: SocketTest, rooms: Any) -> None:
    async def main() -> list[int]:
        with subscribe(rooms, LOBBY) as messages:
            found: list[int] = []

            async def iterate() -> None:
                async for m in messages:
                    found.append(m.payload["n"])  # noqa: PERF401 - it is looked at meanwhile

            tasks = [asyncio.create_task(iterate()) for _ in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()  # What would have woken it wakes another.
            server.accept_connect(rooms)
            for n in range(3):
                server.push(rooms, LOBBY, "line", {"n": n})
            while len(found) < 3:
                await asyncio.sleep(0.001)
            messages.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            return found

    assert sorted(asyncio.run(asyncio.wait_for(main(), PATIENCE))) == [0, 1, 2]


def test_who_gives_up_passes_on_what_woke_it() -> None:
    subscription = Subscription(ANY, ANY, ANY, size=2, overflow="wait")
    first, second = subscription._take()[1], subscription._take()[1]
    assert first is not None
    assert second is not None
    subscription.take([message(0)])
    assert first.done
    assert not second.done
    subscription._forget(first)
    assert second.done
    assert taken(subscription, 1) == [0]


@pytest.mark.parametrize("reason", ["normal", "shutdown", ("shutdown", 1)])
def test_it_stops_behind_what_waits_when_the_client_ends_normally(
    server: SocketTest, rooms: Any, reason: Any
) -> None:
    messages = subscribe(rooms, LOBBY)
    server.accept_connect(rooms)
    server.push(rooms, LOBBY, "line", {"n": 1})
    rooms.tell(reason)
    assert numbers(messages) == [1]


def test_it_raises_when_the_client_crashes(server: SocketTest, rooms: Any) -> None:
    messages = subscribe(rooms, LOBBY)
    server.accept_connect(rooms)
    server.push(rooms, LOBBY, "line", {"n": 1})
    rooms.tell(ValueError("no more"))
    assert taken(messages, 1) == [1]
    for _ in range(2):
        with pytest.raises(ClientEndedError) as failed:
            next(messages)
        assert isinstance(failed.value.reason, ValueError)


class Unequal:
    def __eq__(self, _: object) -> bool:
        raise ValueError("not to be compared")

    __hash__ = None  # type: ignore[assignment]


# Patterns that raise, for each message or for one that lacks what they look for.
RAISING = [
    ((ANY, ANY, lambda payload: payload["age"] > 18), KeyError),
    ((ANY, ANY, {"n": Unequal()}), ValueError),
    ((lambda topic: topic.nothing,), AttributeError),
    ((ANY, ANY, lambda payload: next(k for k in payload if k == "age")), RuntimeError),
]


@pytest.mark.parametrize(("pattern", "error"), RAISING)
def test_what_a_pattern_raises_ends_it_alone(
    server: SocketTest, rooms: Any, pattern: Any, error: Any
) -> None:
    failing, other = subscribe(rooms, *pattern), subscribe(rooms)
    server.accept_connect(rooms)
    for n in range(2):
        server.push(rooms, LOBBY, "line", {"n": n})
    assert taken(other, 2) == [0, 1]
    assert [listener() for listener in rooms.actor_inbox.subscriptions] == [other]
    for _ in range(2):
        with pytest.raises(error):
            next(failing)
        with pytest.raises(error):
            asyncio.run(failing.__anext__())


def test_an_error_comes_behind_what_was_taken_and_ends_who_waits() -> None:
    failing = Subscription(ANY, ANY, lambda payload: payload["n"], size=1, overflow="wait")
    waiter = failing._take()[1]
    assert waiter is not None
    failing.take([message(1), MessageReceived(LOBBY, "line", {}), message(2)])
    assert waiter.done
    assert not failing.full()
    assert taken(failing, 1) == [1]
    with pytest.raises(KeyError):
        next(failing)
    failing.close()


def test_a_full_one_whose_pattern_raises_has_the_connection_read() -> None:
    failing = Subscription(ANY, ANY, lambda payload: payload["n"] + 1, size=1, overflow="wait")
    reader = Reader()
    failing.take([message(1)])
    assert failing._pauses(reader)
    failing.take([MessageReceived(LOBBY, "line", {})])
    assert reader.told == [ResumeReading]


def test_what_a_pattern_raises_does_not_end_the_connection() -> None:
    class Bench(ClientActor):
        def init(self, uri: str) -> Socket:
            return connect(uri).join("bench:a")

    with PhoenixServer() as phoenix:
        client = Bench.start(phoenix.uri)
        wait_until_joined(client, "bench:a")
        before = get_state(client).connection
        failing = subscribe(client, payload=lambda payload: payload["age"] > 18)
        for _ in range(2):
            assert request(client, "bench:a", "broadcast", {"n": 1}).get(timeout=PATIENCE).ok
        with pytest.raises(KeyError):
            next(failing)
        assert get_state(client).connection is before
        client.stop()


def test_one_that_nobody_holds_is_closed(rooms: Any) -> None:
    dropped, kept = subscribe(rooms), subscribe(rooms)
    gone = weakref.ref(dropped)
    del dropped
    eventually(lambda: bool(gc.collect()) or gone() is None)
    assert [listener() for listener in rooms.actor_inbox.subscriptions] == [kept]


@pytest.mark.parametrize("done", ["subscribe", "close"])
@pytest.mark.parametrize("meanwhile", ["subscribe", "close", "drop"])
def test_what_comes_in_the_middle_of_it_is_not_lost(rooms: Any, done: str, meanwhile: str) -> None:
    """A signal handler, or garbage that is collected: no lock keeps them out."""
    held: list[Subscription] = []

    def prepare() -> tuple[Any, Any]:
        held[:] = [subscribe(rooms), subscribe(rooms)]
        acts = {
            "subscribe": lambda: held.append(subscribe(rooms)),
            "close": lambda: held.pop().close(),
            "drop": held.pop,
        }
        return held.pop(0).close if done == "close" else acts[done], acts[meanwhile]

    for _ in interrupted(prepare):
        listeners = rooms.actor_inbox.subscriptions
        assert sorted(id(listener()) for listener in listeners) == sorted(map(id, held))


class Bench(ClientActor):
    def init(self, uri: str) -> Socket:
        return connect(uri).join("bench:a")

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        pass

    def shout(self) -> None:
        self.socket.push("bench:a", "broadcast")


def test_what_came_before_a_reply_is_there_before_it() -> None:
    with PhoenixServer() as phoenix:
        client = Bench.start(phoenix.uri)
        wait_until_joined(client, "bench:a")
        messages = subscribe(client, event="shout")
        waiting = []
        for n in range(20):
            reply = request(client, "bench:a", "broadcast", {"n": n})
            reply.add_done_callback(lambda _: waiting.append(len(messages._items)))
            assert reply.get(timeout=PATIENCE).ok
        eventually(lambda: len(waiting) == 20)
        assert waiting == [*range(1, 21)]
        client.stop()


def test_a_full_one_that_nobody_holds_has_the_connection_read() -> None:
    with PhoenixServer() as phoenix:
        client = Bench.start(phoenix.uri)
        wait_until_joined(client, "bench:a")
        full = subscribe(client, event="shout", size=1)
        gone, paused = weakref.ref(full), full._paused
        client.proxy().shout().get(timeout=PATIENCE)
        eventually(lambda: paused)
        del full
        eventually(lambda: bool(gc.collect()) or gone() is None)
        for n in range(5):
            assert request(client, "bench:a", "broadcast", {"n": n}).get(timeout=PATIENCE).ok
        client.stop()


def test_it_is_closed_from_another_thread(rooms: Any) -> None:
    messages = subscribe(rooms)
    iterating = threading.Thread(target=lambda: list(messages))
    iterating.start()
    eventually(lambda: messages._waiting)
    messages.close()
    iterating.join(PATIENCE)
    assert not iterating.is_alive()
    messages.close()
    assert rooms.actor_inbox.subscriptions == ()
    assert "closed" in repr(messages)
