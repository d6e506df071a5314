"""`phoenix-channels-python-client`: messages to coroutines. It has nothing that pushes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from phoenix_channels_python_client import PhoenixChannelsProtocolVersion, PHXChannelsClient

from benchmarks.peers import program
from benchmarks.peers.program import TOPIC, Fan, Found, Idle, Load, Window, unable

NO_PUSH = unable("it cannot push")


def client(load: Load) -> Any:
    """Beyond its queue's size it drops messages; with serializer V2 it drops all broadcasts."""
    return PHXChannelsClient(
        f"{load.uri}/websocket",
        "key",
        protocol_version=PhoenixChannelsProtocolVersion.V1,
        max_topic_queue_size=2 * max(1000, load.count),
    )


async def flood(load: Load) -> Found:
    done, left = asyncio.Event(), load.count

    async def on_message(message: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    async with client(load) as connected:
        with Window(load) as window:
            await connected.subscribe_to_topic(load.flood, on_message)
            await done.wait()
        return window.rate(load.count)


async def inbound(load: Load) -> Found:
    if load.binary:
        return {"unable": "it takes no binary frames"}
    await flood(load.warm_up())
    return await flood(load)


async def idle(load: Load) -> Found:
    looked_at = Idle(load)
    async with AsyncExitStack() as kept:

        async def join(number: int) -> None:
            connected = await kept.enter_async_context(client(load))
            await connected.subscribe_to_topic(f"idle:{number}")

        await asyncio.gather(*map(join, range(load.clients)))
        await asyncio.sleep(looked_at.joined())
        return looked_at.found()


async def fan(load: Load) -> Found:
    done = asyncio.Event()
    fan = Fan(load, done.set)

    async def on_message(message: Any) -> None:
        fan.arrived(message.payload["at"])

    async with AsyncExitStack() as kept:
        for _ in range(load.clients):
            connected = await kept.enter_async_context(client(load))
            await connected.subscribe_to_topic(load.fan, on_message)
        await done.wait()
    return fan.found()


async def start(load: Load) -> Found:
    async with client(load) as connected:
        await connected.subscribe_to_topic(TOPIC)
        return program.since_start(load)


if __name__ == "__main__":
    program.main(
        {
            "inbound": inbound,
            "sequential": NO_PUSH,
            "sequential_thread": NO_PUSH,
            "sequential_request": NO_PUSH,
            "pipelined": NO_PUSH,
            "threads": NO_PUSH,
            "asyncio": NO_PUSH,
            "idle": idle,
            "fan": fan,
            "start": start,
        }
    )
