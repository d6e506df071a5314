"""The client: it joins the topics, and is the same in the bridge and in the workers."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Socket, connect

LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """One of them runs in the bridge, and one in each process of a worker that has a use for it."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Connect and join."""
        return connect(uri, **options).join(LOBBY)
