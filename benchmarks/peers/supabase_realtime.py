"""`realtime`, Supabase's client: broadcasts to `on_broadcast`, replies to a push's `receive`."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from realtime import AsyncRealtimeClient

from benchmarks.peers import program
from benchmarks.peers.program import Fan, Found, Idle, Load, Window, unable

# What it does not know of a server that is not Supabase's.
logging.getLogger("realtime").setLevel(logging.CRITICAL)


async def joined(load: Load, topic: str = "bench") -> Any:
    """A channel that has joined, whose topic has "realtime:" before it."""
    client = AsyncRealtimeClient(load.uri, "token")
    return await client.channel(topic).subscribe()


async def flood(load: Load) -> Found:
    done, left = asyncio.Event(), load.count

    def on_tick(payload: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client = AsyncRealtimeClient(load.uri, "token")
    await client.connect()
    with Window(load) as window:
        await client.channel(load.flood).on_broadcast("tick", on_tick).subscribe()
        await done.wait()
    return window.rate(load.count)


async def ask(channel: Any, number: int) -> Any:
    answer = asyncio.get_running_loop().create_future()
    push = await channel.push("echo", {"i": number})
    push.receive("ok", answer.set_result)
    return await answer


async def inbound(load: Load) -> Found:
    if load.binary:
        return {"unable": "it speaks serializer V1, which has no binary frames"}
    await flood(load.warm_up())
    return await flood(load)


async def sequential(load: Load) -> Found:
    channel = await joined(load)
    await program.awaited_one_by_one(load.warm_up(), lambda number: ask(channel, number))
    return await program.awaited_one_by_one(load, lambda number: ask(channel, number))


async def from_coroutines(load: Load) -> Found:
    channel = await joined(load)
    await program.from_coroutines(load.warm_up(), lambda number: ask(channel, number))
    return await program.from_coroutines(load, lambda number: ask(channel, number))


async def idle(load: Load) -> Found:
    looked_at = Idle(load)
    kept = await asyncio.gather(*(joined(load, f"idle:{n}") for n in range(load.clients)))
    await asyncio.sleep(looked_at.joined())
    assert len(kept) == load.clients
    return looked_at.found()


async def fan(load: Load) -> Found:
    done = asyncio.Event()
    fan = Fan(load, done.set)
    kept = []
    for _ in range(load.clients):
        client = AsyncRealtimeClient(load.uri, "token")
        channel = client.channel(load.fan)
        channel.on_broadcast("tick", lambda payload: fan.arrived(payload["payload"]["at"]))
        kept.append(await channel.subscribe())
    await done.wait()
    return fan.found()


async def start(load: Load) -> Found:
    await joined(load)
    return program.since_start(load)


if __name__ == "__main__":
    program.main(
        {
            "inbound": inbound,
            "sequential": sequential,
            "sequential_thread": unable("it is for one event loop"),
            "sequential_request": unable("it is for one event loop"),
            # Coroutines are its way to have many in flight.
            "pipelined": from_coroutines,
            "threads": unable("it is for one event loop"),
            "asyncio": from_coroutines,
            "idle": idle,
            "fan": fan,
            "start": start,
        }
    )
