"""The application and its tasks: `celery --app examples.celery_app.tasks worker`."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from examples.celery_app.client import LOBBY, Rooms
from slipstream_actor import AwaitTimeoutError, ClientHandle, NotConnectedError
from slipstream_actor.contrib.celery import stop_with_worker

app = Celery(
    "shop",
    broker=os.environ.get("BROKER_URL", "redis://localhost"),
    backend=os.environ.get("RESULT_URL"),
)
rooms = stop_with_worker(
    ClientHandle(Rooms, os.environ.get("PHOENIX_URI", "ws://localhost:4000/socket/websocket"))
)


@app.task(  # type: ignore[untyped-decorator]
    autoretry_for=(AwaitTimeoutError, NotConnectedError), retry_backoff=True, max_retries=5
)
def say(body: str) -> Any:
    """Say something in the lobby, and return Phoenix's reply."""
    return rooms.request(LOBBY, "new:msg", {"body": body}, timeout=2.0).get().unwrap()


@app.task  # type: ignore[untyped-decorator]
def count(body: str) -> None:
    """Tell the lobby how long something was that has been said there."""
    rooms.request(LOBBY, "counted", {"length": len(body)}, timeout=2.0).get().unwrap()
