"""The network as a queue each way, and what `Transport` is to a connection, over it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from typing import Any

from slipstream_actor.protocol.reasons import ClosedByPeer
from tests.support.simulated_server import Closing

__all__ = ["SimulatedTransport", "Wire"]


class Wire:
    """A connection as the network has it: what is on its way, up to the server and down."""

    def __init__(self) -> None:
        self.up: deque[Any] = deque()
        self.down: deque[Any] = deque()
        self.arrived: deque[Any] = deque()
        self.written: list[Any] = []  # every message that went up, for the test to look through
        self.blocked = False  # The server does not read, and the kernel's buffers are full.
        self.lost = False  # Nothing arrives any more, either way, and nobody is told.
        self.broken = False  # The server has gone: writing fails.

    def deliver(self, count: int) -> None:
        """Let what the server has sent arrive."""
        while count and self.down and not self.lost:
            self.arrived.append(self.down.popleft())
            count -= 1


class SimulatedTransport:
    """What `Transport` is to a connection, over a `Wire`."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.sock = self
        self.headers: dict[str, str] = {}
        self.read_again = self.mid_frame = self.close_sent = self.freed = False
        self.awaits_input = False
        self.ended: ClosedByPeer | None = None
        self.write_error: str | None = None
        self.bytes_in = self.bytes_out = self.frames_in = self.frames_out = 0
        self.grown = 0  # by so much has what came grown, inflated
        self.extensions: tuple[str, ...] = ()
        self._output: deque[str] = deque()

    @property
    def bytes_taken(self) -> int:
        return self.bytes_in + self.grown

    @property
    def pending_bytes(self) -> int:
        return sum(map(len, self._output))

    @property
    def wants_write(self) -> bool:
        return bool(self._output)

    def receive(self) -> list[bytes]:
        received: list[bytes] = []
        while self.wire.arrived and self.ended is None:
            item = self.wire.arrived.popleft()
            if isinstance(item, Closing):
                self._output.clear()
                if item.code is not None:
                    self.send_close(item.code)
                self.ended = ClosedByPeer(item.code or 1006)
            else:
                received.append(item)
                self.bytes_in += len(item)
        return received

    def send(self, messages: Iterable[str | bytes]) -> None:
        if not self.close_sent and self.write_error is None:
            self._output.extend(str(message) for message in messages)
            self.flush()

    def queue(self, payloads: Iterable[tuple[int, bytes]]) -> bool:
        if self.close_sent or self.write_error is not None:
            return False
        self._output.extend(payload.decode() for _, payload in payloads)
        return True

    def send_urgent(self, _: int, payload: bytes) -> int:
        if self.close_sent or self.write_error is not None:
            return self.bytes_out
        self._output.appendleft(payload.decode())
        mark = self.bytes_out + len(payload)
        self.flush()
        return mark

    def send_close(self, code: int) -> None:
        if not self.close_sent and self.write_error is None:
            self._output.append(f"close {code}")
            self.close_sent = True
            self.flush()

    def flush(self) -> None:
        if self.wire.broken and self._output:
            self.write_error = "broken pipe"
            self._output.clear()
        while self._output and not self.wire.blocked:
            message = self._output.popleft()
            self.bytes_out += len(message)
            self.wire.up.append(message)
            if not message.startswith("close "):
                self.wire.written.append(json.loads(message))

    def release(self) -> None:
        pass

    def release_output(self) -> None:
        pass

    def free(self) -> None:
        self.freed = True
