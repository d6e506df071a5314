"""The application: `gunicorn --workers 4 'examples.shared_by_workers.app:create_app()'`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from examples.shared_by_workers.client import LOBBY, Rooms
from slipstream_actor import ClientHandle
from slipstream_actor.contrib.ray import Shards

Application: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
PHOENIX = os.environ.get("PHOENIX_URI", "ws://localhost:4000/socket/websocket")


def shared_rooms() -> Shards[Rooms]:
    """The one client, made by the first worker that comes; the others attach to it."""
    import ray

    ray.init(address="auto", log_to_driver=False)
    rooms = Shards(Rooms, PHOENIX, name="rooms", shards=1)
    rooms.join(LOBBY)
    return rooms


def create_app(rooms: Shards[Any] | ClientHandle[Any] | None = None) -> Application:
    """Make the application; in each worker, after the fork, since Ray cannot be shared by them."""
    shared = rooms if rooms is not None else shared_rooms()

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        reply = shared.request(LOBBY, "new:msg", {"body": body}, timeout=10.0).get()
        start("201 Created" if reply.ok else "409 Conflict", [("Content-Type", "text/plain")])
        return [json.dumps(reply.response).encode(), b"\n"]

    return application
