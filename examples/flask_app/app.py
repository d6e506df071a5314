"""The application: what the browser asks for, the client asks Phoenix for."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, request
from flask.typing import ResponseReturnValue

from examples.flask_app.client import LOBBY, Rooms
from slipstream_actor.contrib.flask import Slipstream

slipstream = Slipstream()
pages = Blueprint("pages", __name__)


def create_app(**config: Any) -> Flask:
    """Make the application; `FLASK_SLIPSTREAM_URI` in the environment says where Phoenix is."""
    app = Flask(__name__)
    app.config.from_mapping(
        SLIPSTREAM_CLIENT=Rooms, SLIPSTREAM_URI="ws://localhost:4000/socket/websocket"
    )
    app.config.from_prefixed_env()
    app.config.update(config)
    slipstream.init_app(app)
    app.register_blueprint(pages)
    return app


@pages.post("/messages")
def say() -> ResponseReturnValue:
    """Say something in the lobby, and answer with Phoenix's reply."""
    reply = slipstream.request(LOBBY, "new:msg", {"body": request.json["body"]}, timeout=2.0)
    return reply.get().unwrap(), 201


@pages.get("/messages/last")
def last() -> ResponseReturnValue:
    """What was said last."""
    return {"body": slipstream.invoke(Rooms.last).get(timeout=2.0)}


@pages.get("/health")
def health() -> ResponseReturnValue:
    """For the load balancer: 503 while the client is not connected."""
    return slipstream.health()
