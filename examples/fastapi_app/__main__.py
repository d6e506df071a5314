"""`make demo EXAMPLE=fastapi_app`: an embedded server, the application, and what a browser sees."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from examples.fastapi_app.client import LOBBY, Rooms
from slipstream_actor import ClientHandle
from slipstream_actor.contrib.starlette import lifespan
from slipstream_actor.testing import PhoenixServer
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS


async def serve(rooms: ClientHandle[Rooms]) -> None:
    """Do what the routes do, ten at once, within the lifespan of an application."""
    running: AbstractAsyncContextManager[Any] = lifespan(rooms)(None)
    async with running:
        with rooms.subscribe(LOBBY, "new:msg") as heard:
            asked = [rooms.request(LOBBY, "new:msg", {"body": f"number {n}"}) for n in range(10)]
            replies = await asyncio.gather(*asked)
            print(sum(reply.ok for reply in replies), "replies")
            message = await anext(heard)
            print("heard:", message.payload["body"])
        print("connected:", rooms.status()["connected"])
    print("after the lifespan:", rooms.status()["state"])


def main() -> None:
    """Play it."""
    with PhoenixServer(SHELL_CHANNELS) as server:
        asyncio.run(serve(ClientHandle(Rooms, server.uri)))


if __name__ == "__main__":
    main()
