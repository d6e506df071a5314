"""What `python -m slipstream_actor.testing.server` serves.

The channels of the recorded conversations, and the tutorial's room, so that the README's client and
script have somebody to talk to.
"""

from __future__ import annotations

from typing import Any

from slipstream_actor.testing.server.channel import Reply
from slipstream_actor.testing.server.recorded_app import RECORDED_CHANNELS, RoomChannel
from slipstream_actor.testing.server.router import Channels


class TutorialRoom(RoomChannel):
    """`rooms:*`: the tutorial's `Room`, and what the recorded `rooms:lobby` does."""

    name: str

    def join(self, params: Any) -> Any:
        """Welcomes whoever says a "name"; the others are nobody."""
        name = params.get("name") if isinstance(params, dict) else None
        self.name = str(name) if name is not None else "nobody"
        return {} if name is None else {"motd": f"welcome, {self.name}"}

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Broadcasts a "new:msg" that has a "body", and replies with its length."""
        if event == "crash":
            raise RuntimeError("as asked")
        if event != "new:msg":
            return super().handle_in(event, payload)
        body = payload.get("body") if isinstance(payload, dict) else None
        if not body:
            return "error", {"reason": "empty"}
        self.broadcast("new:msg", {"from": self.name, "body": body})
        return "ok", {"length": len(body) if isinstance(body, str) else 0}


SHELL_CHANNELS: Channels = {
    **RECORDED_CHANNELS,
    "rooms:*": TutorialRoom,
    "rooms:lobby": TutorialRoom,
    # Recorded: nobody is there.
    "rooms:other": None,
}
