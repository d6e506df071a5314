"""picows on uvloop, whose listener is called for each frame, and msgspec."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.peers import program
from benchmarks.peers.program import TOPIC, Fan, Found, Idle, Load, Window, unable

encode = msgspec.json.Encoder().encode
decode: Callable[[memoryview], Any] = msgspec.json.Decoder().decode


class Client(WSListener):
    """One connection, joined; replies reach who has pushed, messages `handle_message`."""

    def __init__(self) -> None:
        self._last_ref = 0
        self._join_ref = ""
        self._waiting: dict[str, Callable[[Any], object]] = {}
        self.expected = 0
        self.done = asyncio.Event()

    @classmethod
    async def joined(cls, load: Load, topic: str = TOPIC) -> Any:
        _, client = await ws_connect(cls, load.v2)
        await client.ask("phx_join", {}, topic)
        return client

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            _, ref, topic, event, payload = decode(frame.get_payload_as_memoryview())
            if event == "phx_reply":
                self._waiting.pop(ref)(payload)
            else:
                self.handle_message(topic, event, payload)
        elif frame.msg_type == WSMsgType.BINARY:
            data = frame.get_payload_as_bytes()
            event = 3 + data[1]
            payload = event + data[2]
            self.handle_message(
                data[3:event].decode(), data[event:payload].decode(), data[payload:]
            )

    def handle_message(self, topic: str, event: str, payload: Any) -> None:
        self.expected -= 1
        if not self.expected:
            self.done.set()

    def push(
        self, event: str, payload: Any, answered: Callable[[Any], object], topic: str = TOPIC
    ) -> None:
        self._last_ref += 1
        ref = str(self._last_ref)
        if event == "phx_join":
            self._join_ref = ref
        self._waiting[ref] = answered
        data = encode([self._join_ref, ref, topic, event, payload])
        self._transport.send(WSMsgType.TEXT, data)

    async def ask(self, event: str, payload: Any, topic: str = TOPIC) -> Any:
        answer = asyncio.get_running_loop().create_future()
        self.push(event, payload, answer.set_result, topic)
        return await answer

    async def flood(self, load: Load) -> Found:
        self.expected = load.count
        self.done.clear()
        with Window(load) as window:
            self.push("phx_join", {}, lambda answer: None, load.flood)
            await self.done.wait()
        return window.rate(load.count)

    async def pipelined(self, load: Load) -> Found:
        unsent, unanswered = load.count, load.count
        self.done.clear()

        def push() -> None:
            nonlocal unsent
            unsent -= 1
            self.push("echo", {"i": unsent}, answered)

        def answered(answer: Any) -> None:
            nonlocal unanswered
            unanswered -= 1
            if unsent:
                push()
            elif not unanswered:
                self.done.set()

        with Window(load) as window:
            for _ in range(load.in_flight):
                push()
            await self.done.wait()
        return window.rate(load.count)

    async def one_by_one(self, load: Load) -> Found:
        times: list[float] = []
        self.done.clear()

        def answered(answer: Any) -> None:
            times.append(time.perf_counter() - self._began)
            if len(times) < load.count:
                push()
            else:
                self.done.set()

        def push() -> None:
            self._began = time.perf_counter()
            self.push("echo", {"i": len(times)}, answered)

        with Window(load) as window:
            push()
            await self.done.wait()
        return window.round_trips(times)


async def inbound(load: Load) -> Found:
    client = await Client.joined(load)
    await client.flood(load.warm_up())
    return await client.flood(load)  # type: ignore[no-any-return]


async def sequential(load: Load) -> Found:
    client = await Client.joined(load)
    await client.one_by_one(load.warm_up())
    return await client.one_by_one(load)  # type: ignore[no-any-return]


async def pipelined(load: Load) -> Found:
    client = await Client.joined(load)
    await client.pipelined(load.warm_up())
    return await client.pipelined(load)  # type: ignore[no-any-return]


async def from_coroutines(load: Load) -> Found:
    client = await Client.joined(load)

    async def one(number: int) -> Any:
        return await client.ask("echo", {"i": number})

    await program.from_coroutines(load.warm_up(), one)
    return await program.from_coroutines(load, one)


async def idle(load: Load) -> Found:
    looked_at = Idle(load)
    clients = [Client.joined(load, f"idle:{number}") for number in range(load.clients)]
    kept = await asyncio.gather(*clients)
    await asyncio.sleep(looked_at.joined())
    assert len(kept) == load.clients
    return looked_at.found()


async def fan(load: Load) -> Found:
    done = asyncio.Event()
    fan = Fan(load, done.set)

    class Listening(Client):
        def handle_message(self, topic: str, event: str, payload: Any) -> None:
            fan.arrived(payload["at"])

    kept = [await Listening.joined(load, load.fan) for _ in range(load.clients)]
    await done.wait()
    assert len(kept) == load.clients
    return fan.found()


async def start(load: Load) -> Found:
    await Client.joined(load)
    return program.since_start(load)


if __name__ == "__main__":
    program.main(
        {
            "inbound": inbound,
            "sequential": sequential,
            "sequential_thread": unable("it is for one event loop"),
            "sequential_request": unable("it is for one event loop"),
            "pipelined": pipelined,
            "threads": unable("it is for one event loop"),
            "asyncio": from_coroutines,
            "idle": idle,
            "fan": fan,
            "start": start,
        },
        uvloop.run,
    )
