"""`python -m examples.token_refresh`: a server that lets each token in once."""

from __future__ import annotations

import itertools
import threading
from typing import Any

from examples.token_refresh.client import TOPIC, Account
from slipstream_actor import Socket, wait, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer, RefuseConnect
from slipstream_actor.testing.server.endpoint import ConnectRequest


class OneTimeServer(PhoenixServer):
    """Refuses what it has seen, and what is no token of today's."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        super().__init__({"accounts:*": Channel})

    def connect(self, request: ConnectRequest) -> str | None:
        """What `connect/3` does in Phoenix; the auth token is in its connect info."""
        token = request.info["auth_token"]
        if not token.startswith("token-") or token in self.used:
            raise RefuseConnect(403)
        self.used.add(token)
        return "alice"


class Demo(Account):
    """The client, and a flag for the demo to wait for."""

    disconnected = threading.Event()

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """Show why."""
        print(f"disconnected: {reason}")
        self.disconnected.set()
        return super().handle_disconnect(reason, socket)


def main() -> None:
    """Lose the connection, come back with another token; then with none that is any good."""
    numbers = itertools.count(1)

    def fetch() -> str:
        token = f"token-{next(numbers)}"
        print(f"fetched {token}")
        return token

    with OneTimeServer() as server:
        ref = Demo.start(server.uri, fetch, reconnect_jitter_msec=0)
        wait_until_joined(ref, TOPIC)
        server.disconnect("alice")
        Demo.disconnected.wait(10)
        wait_until_joined(ref, TOPIC)
        print("joined again")
        ref.stop()
        ref = Demo.start(server.uri, lambda: "stolen", reconnect_jitter_msec=0)
        print(wait(ref, 10))


if __name__ == "__main__":
    main()
