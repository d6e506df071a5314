"""Types of requests, invocations, subscriptions, futures and handles."""

import concurrent.futures
from typing import Any, assert_type

from slipstream_actor import (
    ClientActor,
    ClientHandle,
    Future,
    HandleStatus,
    MessageReceived,
    Reply,
    Socket,
    Subscription,
    connect,
    invoke,
    request,
    run,
    subscribe,
)


class Rooms(ClientActor):
    def init(self, uri: str) -> Socket:
        return connect(uri)

    def say(self, text: str, *, loud: bool = False) -> str:
        return text

    def later(self) -> Future[int]:
        return Future()


def took(_: object) -> None:
    """A future that nobody awaits is reported."""


rooms = ClientHandle(Rooms, "ws://…")


def from_threads() -> None:
    assert_type(rooms, ClientHandle[Rooms])
    took(assert_type(request(rooms, "rooms:lobby", "say", b"bytes", timeout=1.0), Future[Reply]))
    assert_type(request("name", "rooms:lobby", "say").get(timeout=2), Reply)
    took(assert_type(rooms.request("rooms:lobby", "say"), Future[Reply]))
    took(assert_type(invoke(rooms, Rooms.say, "x"), Future[str]))
    took(assert_type(invoke(rooms.ref, Rooms.say, "x", loud=True), Future[str]))
    took(assert_type(invoke("name", Rooms.later), Future[int]))
    took(assert_type(rooms.invoke(Rooms.say, text="x"), Future[str]))
    assert_type(rooms.invoke(Rooms.later).get(), int)
    assert_type(rooms.request("t", "e").as_concurrent(), concurrent.futures.Future[Reply])
    assert_type(rooms.request("t", "e").cancel(), bool)
    assert_type(rooms.status(), HandleStatus)
    assert_type(rooms.status()["topics"], dict[str, str])
    assert_type(rooms.proxy().actor_ref.is_alive(), bool)
    assert_type(run(rooms), int)
    with subscribe(rooms, "rooms:lobby", overflow="drop_oldest") as messages:
        assert_type(messages, Subscription)
        for message in messages:
            assert_type(message, MessageReceived)
    with rooms.override(Rooms) as other:
        assert_type(other, ClientHandle[Rooms])


async def from_coroutines() -> None:
    assert_type(await rooms.request("t", "e"), Reply)
    assert_type(await invoke(rooms, Rooms.say, "x"), str)
    assert_type(await rooms.invoke(Rooms.later), int)
    async for message in rooms.subscribe():
        assert_type(message, MessageReceived)
        payload: Any = message.payload
        assert_type(payload, Any)
