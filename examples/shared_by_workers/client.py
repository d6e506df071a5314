"""The client: one of them runs, whatever the number of workers."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Socket, connect

LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """It joins no topic by itself: which are wanted stands in the cluster's store."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Connect."""
        return connect(uri, **options)
