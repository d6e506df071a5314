"""`phxsocket`: a thread with an event loop for each connection, callbacks in it."""

from __future__ import annotations

import threading
import time
from typing import Any

import phxsocket

from benchmarks.peers import program
from benchmarks.peers.program import PATIENCE, TOPIC, Fan, Found, Idle, Load, Window, unable


def connected(load: Load) -> Any:
    client = phxsocket.Client(f"{load.uri}/websocket")
    client.connect()
    return client


def joined(load: Load, topic: str = TOPIC) -> Any:
    channel = connected(load).channel(topic)
    channel.join()
    return channel


def flood(load: Load) -> Found:
    done, left = threading.Event(), load.count

    def on_tick(payload: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    channel = connected(load).channel(load.flood)
    channel.on("tick", on_tick)
    with Window(load) as window:
        channel.join()
        assert done.wait(PATIENCE)
    return window.rate(load.count)


def inbound(load: Load) -> Found:
    if load.binary:
        return {"unable": "it speaks serializer V1, which has no binary frames"}
    flood(load.warm_up())
    return flood(load)


def sequential_once(channel: Any, load: Load) -> Found:
    """The callback of a reply makes the next push."""
    done, began = threading.Event(), 0.0
    times: list[float] = []

    def push() -> None:
        nonlocal began
        began = time.perf_counter()
        channel.push("echo", {"i": len(times)}, answered)

    def answered(answer: Any) -> None:
        times.append(time.perf_counter() - began)
        if len(times) < load.count:
            push()
        else:
            done.set()

    with Window(load) as window:
        push()
        assert done.wait(PATIENCE)
    return window.round_trips(times)


def sequential(load: Load) -> Found:
    channel = joined(load)
    sequential_once(channel, load.warm_up())
    return sequential_once(channel, load)


def pipelined_once(channel: Any, load: Load) -> Found:
    done = threading.Event()
    unsent = unanswered = load.count

    def push() -> None:
        nonlocal unsent
        unsent -= 1
        channel.push("echo", {"i": unsent}, answered)

    def answered(answer: Any) -> None:
        nonlocal unanswered
        unanswered -= 1
        if unsent > 0:
            push()
        elif not unanswered:
            done.set()

    with Window(load) as window:
        # The callbacks push too, in the other thread, and only as often as these do.
        first, unsent = load.in_flight, load.count - load.in_flight
        for number in range(first):
            channel.push("echo", {"i": number}, answered)
        assert done.wait(PATIENCE)
    return window.rate(load.count)


def pipelined(load: Load) -> Found:
    channel = joined(load)
    pipelined_once(channel, load.warm_up())
    return pipelined_once(channel, load)


def ask(channel: Any, number: int) -> Any:
    return channel.push("echo", {"i": number}, reply=True).wait_for_response()


def sequential_thread(load: Load) -> Found:
    channel = joined(load)
    program.one_by_one(load.warm_up(), lambda number: ask(channel, number))
    return program.one_by_one(load, lambda number: ask(channel, number))


def from_threads(load: Load) -> Found:
    channel = joined(load)
    program.from_threads(load.warm_up(), lambda number: ask(channel, number))
    return program.from_threads(load, lambda number: ask(channel, number))


def idle(load: Load) -> Found:
    looked_at = Idle(load)
    kept = [joined(load, f"idle:{number}") for number in range(load.clients)]
    time.sleep(looked_at.joined())
    assert len(kept) == load.clients
    return looked_at.found()


def fan(load: Load) -> Found:
    done = threading.Event()
    fan = Fan(load, done.set)
    for _ in range(load.clients):
        channel = connected(load).channel(load.fan)
        channel.on("tick", lambda payload: fan.arrived(payload["at"]))
        channel.join()
    assert done.wait(PATIENCE)
    return fan.found()


def start(load: Load) -> Found:
    joined(load)
    return program.since_start(load)


if __name__ == "__main__":
    program.main(
        {
            "inbound": inbound,
            "sequential": sequential,
            "sequential_thread": sequential_thread,
            # What it pushes with `reply=True` is its request.
            "sequential_request": sequential_thread,
            "pipelined": pipelined,
            "threads": from_threads,
            "asyncio": unable("it blocks"),
            "idle": idle,
            "fan": fan,
            "start": start,
        }
    )
