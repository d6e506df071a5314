"""The client: it joins the lobby, whose messages the application asks for and passes on."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Socket, connect

LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """One of them runs in each process of the web server, started by the first request."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Connect and join; what comes is for those who have subscribed."""
        return connect(uri, **options).join(LOBBY, {"name": "web"})

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        """Nothing to do here."""
