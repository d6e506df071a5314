"""gql's transport for Phoenix: subscriptions are the messages, queries the pushes with replies."""

from __future__ import annotations

import asyncio
from typing import Any

from gql import Client, gql
from gql.transport.phoenix_channel_websockets import PhoenixChannelWebsocketsTransport

from benchmarks.peers import program
from benchmarks.peers.program import Fan, Found, Idle, Load, Window, unable

ECHO = gql("{ echo }")


def client(load: Load) -> Any:
    transport = PhoenixChannelWebsocketsTransport(url=f"{load.uri}/websocket?vsn=1.0.0")
    return Client(transport=transport, fetch_schema_from_transport=False, execute_timeout=None)


async def flood(session: Any, load: Load) -> Found:
    document, left = gql(f'subscription {{ messages(of: "{load.flood}") }}'), load.count
    with Window(load) as window:
        async for _ in session.subscribe(document):
            left -= 1
            if not left:
                break
    return window.rate(load.count)


async def inbound(load: Load) -> Found:
    if load.binary:
        return {"unable": "GraphQL's results are JSON"}
    async with client(load) as session:
        await flood(session, load.warm_up())
    async with client(load) as session:
        return await flood(session, load)


async def sequential(load: Load) -> Found:
    async with client(load) as session:

        async def one(number: int) -> Any:
            return await session.execute(ECHO)

        await program.awaited_one_by_one(load.warm_up(), one)
        return await program.awaited_one_by_one(load, one)


async def from_coroutines(load: Load) -> Found:
    async with client(load) as session:

        async def one(number: int) -> Any:
            return await session.execute(ECHO)

        await program.from_coroutines(load.warm_up(), one)
        return await program.from_coroutines(load, one)


async def idle(load: Load) -> Found:
    looked_at = Idle(load)
    kept = [client(load) for _ in range(load.clients)]
    await asyncio.gather(*(each.connect_async() for each in kept))
    await asyncio.sleep(looked_at.joined())
    return looked_at.found()


async def fan(load: Load) -> Found:
    done = asyncio.Event()
    fan = Fan(load, done.set)
    document = gql(f'subscription {{ messages(of: "{load.fan}") }}')

    async def listen(session: Any) -> None:
        async for message in session.subscribe(document):
            fan.arrived(message["at"])

    kept = [client(load) for _ in range(load.clients)]
    listening = [asyncio.create_task(listen(await each.connect_async())) for each in kept]
    await done.wait()
    assert len(listening) == load.clients
    return fan.found()


async def start(load: Load) -> Found:
    async with client(load):
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
