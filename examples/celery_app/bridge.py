"""The process that listens: `python -m examples.celery_app.bridge`."""

from __future__ import annotations

import sys

from examples.celery_app.client import LOBBY
from examples.celery_app.tasks import app, count, rooms
from slipstream_actor.contrib.celery import Bridge, Route

bridge = Bridge(
    rooms,
    [Route(count, LOBBY, "new:msg", arguments=lambda message: [message.payload["body"]])],
    app=app,
)

if __name__ == "__main__":
    sys.exit(bridge.run())
