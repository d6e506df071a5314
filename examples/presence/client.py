"""A client that knows who else is there, and tells who comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream_actor import ClientActor, Presence, Socket, connect

TOPIC = "lobby:main"


class Lobby(ClientActor):
    """Is in a lobby as `user`, with a `device`; tells `announce`, a function, what happens."""

    def init(
        self, uri: str, user: str, device: str, announce: Callable[[str], object], **options: Any
    ) -> Socket:
        """Have the topic's presence tracked, and join it."""
        self.announce = announce
        socket = connect(uri, **options).track_presence(TOPIC)
        return socket.join(TOPIC, {"user": user, "device": device})

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> None:
        """Somebody has come, or has one device more: `current` is what was there before."""
        if current is None:
            self.announce(f"{key} is here")
        else:
            self.announce(f"{key} is here with a {new['metas'][0]['device']} too")

    def handle_presence_leave(
        self, topic: str, key: str, current: Any, left: Any, socket: Socket
    ) -> None:
        """Somebody has gone, or has one device less: `current` is what is there still."""
        if not current["metas"]:
            self.announce(f"{key} has gone")
        else:
            self.announce(f"{key} has put the {left['metas'][0]['device']} away")

    def handle_presence_sync(self, topic: str, socket: Socket) -> None:
        """The list is up to date: after the joins and leaves of one message, and once for each."""
        self.announce("online: " + ", ".join(self.online()))

    def online(self) -> list[str]:
        """Return who is there, and with what: `ref.proxy().online()` from any thread."""
        return Presence.list(self.socket.presences(TOPIC), by=shown)


def shown(user: str, presence: Any) -> str:
    """Return a user and the devices, one for each connection."""
    return f"{user} ({' and '.join(meta['device'] for meta in presence['metas'])})"
