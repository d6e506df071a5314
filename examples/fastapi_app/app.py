"""The application: what the browser asks for, the client asks Phoenix for."""

from __future__ import annotations

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket
from pydantic import BaseModel

from examples.fastapi_app.client import LOBBY, Rooms
from slipstream_actor import ClientHandle
from slipstream_actor.contrib.starlette import (
    answer_errors,
    forward,
    health_endpoint,
    lifespan,
    provide,
)

rooms = ClientHandle(
    Rooms, os.environ.get("PHOENIX_URI", "ws://localhost:4000/socket/websocket"), name="rooms"
)
app = FastAPI(lifespan=lifespan(rooms))
answer_errors(app)
# For the load balancer: 503 while the client is not connected.
app.add_route("/health", health_endpoint({"rooms": rooms}))

RoomsClient = Annotated[ClientHandle[Rooms], Depends(provide(rooms))]


class Message(BaseModel):
    """What the browser sends."""

    body: str


@app.post("/messages", status_code=201)
async def say(message: Message, client: RoomsClient) -> Any:
    """Say something in the lobby, and answer with Phoenix's reply."""
    reply = await client.request(LOBBY, "new:msg", {"body": message.body}, timeout=2.0)
    return reply.unwrap()


@app.websocket("/live")
async def live(websocket: WebSocket, client: RoomsClient) -> None:
    """What is said in the lobby, for as long as the browser listens."""
    with client.subscribe(LOBBY, "new:msg", overflow="drop_oldest") as heard:
        await websocket.accept()
        await forward(heard, websocket)
