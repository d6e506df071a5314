"""`python -m examples.presence`: who comes and goes in a lobby, and what happens in a gap."""

from __future__ import annotations

import queue
import threading
from typing import Any

from examples.presence.client import Lobby
from slipstream_actor import Socket
from slipstream_actor.testing import Channel, PhoenixServer


class LobbyChannel(Channel):
    """Tracks whoever joins."""

    def join(self, params: Any) -> Any:
        """Track the user behind the answer, as Phoenix's guide does."""
        self.send(params)

    def handle_info(self, message: Any) -> None:
        """Everybody hears of the user, and the user of everybody."""
        self.track(message["user"], {"device": message["device"]})
        self.push("presence_state", self.presences())


class Watching(Lobby):
    """The client, which stays away until the demo lets it come back."""

    may_return = threading.Event()

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """The gap begins."""
        self.announce("-- alice is disconnected --")
        self.may_return.wait(10)
        return super().handle_disconnect(reason, socket)


class Lines(queue.Queue[str]):
    """What is announced to alice."""

    def show_until(self, last: str) -> None:
        """Print what comes, up to this line."""
        line = ""
        while line != last:
            line = self.get(timeout=10)
            print(line)


def ignore(line: str) -> None:
    """Bob does not look."""


def main() -> None:
    """Bob comes with a phone and a laptop, and goes while alice is away."""
    lines = Lines()
    with PhoenixServer({"lobby:*": LobbyChannel}) as server:
        options: dict[str, Any] = {"params": {"id": "alice"}, "reconnect_jitter_msec": 0}
        alice = Watching.start(server.uri, "alice", "desktop", lines.put, **options)
        lines.show_until("online: alice (desktop)")
        phone = Lobby.start(server.uri, "bob", "phone", ignore)
        lines.show_until("online: alice (desktop), bob (phone)")
        laptop = Lobby.start(server.uri, "bob", "laptop", ignore)
        lines.show_until("online: alice (desktop), bob (phone and laptop)")
        phone.stop()
        lines.show_until("online: alice (desktop), bob (laptop)")
        server.disconnect("alice")
        lines.show_until("-- alice is disconnected --")
        laptop.stop()
        server.wait_for_connections(0)
        Watching.may_return.set()
        lines.show_until("online: alice (desktop)")
        alice.stop()


if __name__ == "__main__":
    main()
