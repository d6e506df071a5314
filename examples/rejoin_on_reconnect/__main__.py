"""`python -m examples.rejoin_on_reconnect`: two logs, and a gap that loses nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from examples.rejoin_on_reconnect.client import Follower
from slipstream_actor import Socket, wait_until_joined
from slipstream_actor.testing import Channel, PhoenixServer

LOGS: dict[str, list[str]] = {"logs:web": ["started"], "logs:mail": ["started"]}


class LogChannel(Channel):
    """Sends the entries that the client has not had."""

    def join(self, params: Any) -> Any:
        """Have what is new sent behind the answer."""
        self.send(params["after"])

    def handle_info(self, message: Any) -> None:
        """Send the entries after a number."""
        for number, line in enumerate(LOGS[self.topic][message:], message + 1):
            self.push("entry", {"number": number, "line": line})


class Demo(Follower):
    """The client, what it shows, and what the demo waits for."""

    disconnected = threading.Event()
    entries = threading.Semaphore(0)

    def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
        """The first join, and the one behind the gap."""
        print(f"joined {topic} after {self.last(topic)}")

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """The gap begins."""
        print(f"disconnected: {reason}")
        self.disconnected.set()
        return super().handle_disconnect(reason, socket)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
        """One entry more."""
        print(f"{topic} {payload['number']}: {payload['line']}")
        socket = super().handle_message(topic, event, payload, socket)
        self.entries.release()
        return socket


def arrived(entries: Iterable[Any]) -> None:
    """Wait until as many entries have come."""
    for _ in entries:
        Demo.entries.acquire(timeout=10)


def main() -> None:
    """Follow both logs, stop the server, write to both, and start it again."""
    with PhoenixServer({"logs:*": LogChannel}) as server:
        ref = Demo.start(server.uri, reconnect_jitter_msec=0)
        for topic in LOGS:
            ref.proxy().follow(topic).get()
            wait_until_joined(ref, topic)
        arrived(LOGS)
        server.stop()
        Demo.disconnected.wait(10)
        for log in LOGS.values():
            log.append("written during the gap")
        server.start()
        arrived(LOGS)
        ref.stop()


if __name__ == "__main__":
    main()
