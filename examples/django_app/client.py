"""The client: it joins the lobby, and keeps what is said there."""

from __future__ import annotations

from typing import Any

from slipstream_actor import ClientActor, Socket, connect, on

LOBBY = "rooms:lobby"


class Rooms(ClientActor):
    """One of them runs in each process of the web server, started by the first view that asks."""

    def init(self, uri: str, **options: Any) -> Socket:
        """Connect, join, and remember nothing yet."""
        return connect(uri, **options).join(LOBBY, {"name": "web"}).assign(last=None)

    @on(LOBBY, "new:msg")
    def said(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """Remember what was said last, by whomever. A model could keep it here as well."""
        return socket.assign(last=payload["body"])

    def last(self) -> str | None:
        """What was said last, as far as this process has heard."""
        last: str | None = self.socket.assigns["last"]
        return last
