"""What `python -m slipstream_actor.testing.server` serves.

The channels of the recorded conversations, and the tutorial's room, so that the README's client and
script have somebody to talk to.
"""

from __future__ import annotations

from typing import Any

from slipstream_actor.testing.server.channel import Reply
from slipstream_actor.testing.server.recorded_app import RECORDED_CHANNELS, RoomChannel
from slipstream_actor.testing.server.router import Channels

# What the recorded room knows.
RECORDED = ("ping", "push to me", "quicksand")


class TutorialRoom(RoomChannel):
    """`rooms:*`: the tutorial's `Room`, what the recorded `rooms:lobby` does, and an echo."""

    name: str

    def join(self, params: Any) -> Any:
        """Welcomes whoever says a "name"; the others are nobody."""
        name = params.get("name") if isinstance(params, dict) else None
        self.name = str(name) if name is not None else "nobody"
        return {} if name is None else {"motd": f"welcome, {self.name}"}

    def handle_in(self, event: str, payload: Any) -> Reply:
        """Broadcasts a "new:msg" that has a "body", and replies with its length; replies to what
        nobody knows with what came."""
        if event == "crash":
            raise RuntimeError("as asked")
        if event in RECORDED:
            return super().handle_in(event, payload)
        if event != "new:msg":
            return "ok", payload
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
