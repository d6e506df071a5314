"""An embedded Phoenix in a process of its own, which can be away at first, and be killed."""

from __future__ import annotations

import sys
from types import TracebackType

from tests.support.programs import Program
from tests.web.server import free_port

__all__ = ["Phoenix"]

# `rooms:*` replies to what is pushed with what has come: when its body is "slow" after half a
# second, when that is empty with an error. The event "crash" ends the channel without a reply,
# "silent" has none. On the line "crash" it pushes what an application's client cannot handle.
SOURCE = """
import sys
from slipstream_actor.testing import Channel, PhoenixServer

slow = []

class Room(Channel):
    def handle_in(self, event, payload):
        if event == "crash":
            raise RuntimeError("as asked")
        if event == "silent":
            return None
        body = payload.get("body")
        if body == "slow":
            slow.append(payload)
            self.send_after(0.5, (self.socket_ref(), payload))
            return None
        return ("ok", payload) if body else ("error", {"reason": "empty"})

    def handle_info(self, message):
        ref, payload = message
        self.reply(ref, "ok", payload)

with PhoenixServer({"rooms:*": Room}, port=int(sys.argv[1])) as server:
    print("up", flush=True)
    for line in sys.stdin:
        if line == "crash\\n":
            server.broadcast("rooms:lobby", "new:msg", {})
        print(len(slow) if line == "slow\\n" else server.connections, flush=True)
"""
DEADLINE = 120.0


class Phoenix:
    """A Phoenix on a port of its own: `start`, `kill`, `start` again. Ends with its context."""

    def __init__(self) -> None:
        self.port: int = free_port()
        self.uri: str = f"ws://127.0.0.1:{self.port}/socket/websocket"
        self._program: Program | None = None

    def __enter__(self) -> Phoenix:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._program is not None:
            self._program.__exit__(kind, error, trace)

    def start(self) -> Phoenix:
        """Have it listen."""
        program = Program(SOURCE, str(self.port), python=[sys.executable], deadline=DEADLINE)
        self._program = program.__enter__()
        assert program.line() == "up"
        return self

    def kill(self) -> None:
        """End it as a power cut does."""
        program, self._program = self._program, None
        assert program is not None
        program.__exit__(None, None, None)

    @property
    def connections(self) -> int:
        """How many websockets are open."""
        return self._ask("connections")

    @property
    def slow(self) -> int:
        """How many "slow" have been pushed."""
        return self._ask("slow")

    def crash_clients(self) -> None:
        """Push a "new:msg" without a body to `rooms:lobby`."""
        self._ask("crash")

    def _ask(self, line: str) -> int:
        assert self._program is not None
        self._program.say(line)
        return int(self._program.line())
