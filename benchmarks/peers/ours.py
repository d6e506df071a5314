"""The library, through its public interface alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pykka

from benchmarks.peers import program
from benchmarks.peers.program import PATIENCE, TOPIC, Fan, Found, Idle, Load, Window
from slipstream_actor import (
    Answer,
    ClientActor,
    From,
    Ref,
    Reply,
    Socket,
    call,
    connect,
    request,
    wait_until_joined,
)


class Rooms(ClientActor):
    """A client in one topic."""

    def init(self, uri: str, topic: str) -> Socket:
        self.topic = topic
        return connect(uri)

    def handle_connect(self, socket: Socket) -> Socket:
        return socket.join(self.topic)


class Busy(Rooms):
    """Does the tasks of a callback."""

    def init(self, uri: str, topic: str) -> Socket:
        self.expected = self.unsent = self.unanswered = 0
        return super().init(uri, topic)

    def handle_info(self, message: tuple[str, Load, threading.Event], socket: Socket) -> Any:
        method, load, self.done = message
        return getattr(self, method)(load, socket)

    def handle_call(self, message: Callable[[Socket], Any], from_: From, socket: Socket) -> Answer:
        return Answer(message(socket), socket)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.expected -= 1
        if not self.expected:
            self.done.set()

    def handle_reply(self, ref: Ref, answer: Reply, socket: Socket) -> None:
        self.unanswered -= 1
        if self.unsent:
            socket.push(TOPIC, "echo", {"i": self.unsent})
            self.unsent -= 1
        elif not self.unanswered:
            self.done.set()

    def flood(self, load: Load, socket: Socket) -> Socket:
        self.expected = load.count
        return socket.join(load.flood)

    def keep_in_flight(self, load: Load, socket: Socket) -> None:
        self.unanswered, self.unsent = load.count, load.count - load.in_flight
        for number in range(load.in_flight):
            socket.push(TOPIC, "echo", {"i": number})

    def echo(self, number: int) -> Any:
        """Push, and hold up whoever else asks until the reply has come."""
        return self.socket.await_reply(self.socket.push(TOPIC, "echo", {"i": number})).unwrap()


def started(load: Load) -> pykka.ActorRef[Busy]:
    """A client that has joined."""
    ref = Busy.start(load.v2, TOPIC)
    wait_until_joined(ref, TOPIC)
    return ref


def done_in_callbacks(load: Load, method: str) -> Found:
    """From a message to the client until its last callback."""
    ref = started(load)
    for part in (load.warm_up(), load):
        done = threading.Event()
        with Window(part) as window:
            ref.tell((method, part, done))
            assert done.wait(PATIENCE)
    return window.rate(load.count)


def inbound(load: Load) -> Found:
    return done_in_callbacks(load, "flood")


def pipelined(load: Load) -> Found:
    return done_in_callbacks(load, "keep_in_flight")


def ask(socket: Socket, number: int) -> None:
    socket.await_reply(socket.push(TOPIC, "echo", {"i": number}))


def sequential(load: Load) -> Found:
    """In a callback."""
    ref = started(load)

    def run(socket: Socket) -> Found:
        program.one_by_one(load.warm_up(), partial(ask, socket))
        return program.one_by_one(load, partial(ask, socket))

    found: Found = call(ref, run, timeout=PATIENCE)
    return found


def sequential_thread(load: Load) -> Found:
    """By a plain thread, with a socket of its own."""
    socket = connect(load.v2).await_connect().join(TOPIC).await_join(TOPIC)
    program.one_by_one(load.warm_up(), partial(ask, socket))
    return program.one_by_one(load, partial(ask, socket))


def requester(load: Load) -> Callable[[int], Reply]:
    ref = started(load)
    return lambda number: request(ref, TOPIC, "echo", {"i": number}).get()


def sequential_request(load: Load) -> Found:
    one = requester(load)
    program.one_by_one(load.warm_up(), one)
    return program.one_by_one(load, one)


def from_threads(load: Load) -> Found:
    one = requester(load)
    program.from_threads(load.warm_up(), one)
    return program.from_threads(load, one)


def from_threads_by_proxy(load: Load) -> Found:
    ref = started(load)
    proxy = ref.proxy()

    def one(number: int) -> Any:
        return proxy.echo(number).get()

    program.from_threads(load.warm_up(), one)
    return program.from_threads(load, one)


async def from_coroutines(load: Load) -> Found:
    ref = started(load)

    async def one(number: int) -> Reply:
        return await request(ref, TOPIC, "echo", {"i": number})

    await program.from_coroutines(load.warm_up(), one)
    return await program.from_coroutines(load, one)


def idle(load: Load) -> Found:
    looked_at = Idle(load)
    refs = [Rooms.start(load.v2, f"idle:{number}") for number in range(load.clients)]
    for number, ref in enumerate(refs):
        wait_until_joined(ref, f"idle:{number}", timeout=PATIENCE)
    time.sleep(looked_at.joined())
    return looked_at.found()


def fan(load: Load) -> Found:
    done = threading.Event()
    fan = Fan(load, done.set)

    class Listening(Rooms):
        def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
            fan.arrived(payload["at"])

    for _ in range(load.clients):
        Listening.start(load.v2, load.fan)
    assert done.wait(PATIENCE)
    return fan.found()


def start(load: Load) -> Found:
    ref = Rooms.start(load.v2, TOPIC)
    wait_until_joined(ref, TOPIC)
    return program.since_start(load)


if __name__ == "__main__":
    program.main(
        {
            "inbound": inbound,
            "sequential": sequential,
            "sequential_thread": sequential_thread,
            "sequential_request": sequential_request,
            "sequential_main": sequential_request,
            "pipelined": pipelined,
            "threads": from_threads,
            "threads_proxy": from_threads_by_proxy,
            "asyncio": from_coroutines,
            "idle": idle,
            "fan": fan,
            "start": start,
        }
    )
