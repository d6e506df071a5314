"""One direction of a connection through the proxy: what was read, and when it may go on."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable

from slipstream_actor.testing.proxy.faults import Direction, Faults, How, Rule

BUFFER = 262_144
"""Bytes that were read and wait to go on; when they are so many, the sender has to wait."""

CHUNK = 65_536
TICK = 0.02
"""Seconds between two writes in a throttled direction, as far as whole bytes allow."""


class Forwarder:
    """Reads from `source`, keeps, and writes to `sink`; either may be missing at first.

    It never waits, and closes nothing: `end_request` says how its connection is to end.
    """

    def __init__(
        self, direction: Direction, faults: Faults, count: Callable[[Direction, int], None]
    ) -> None:
        self.direction = direction
        self.cut = faults.rules[direction].cut
        self.source: socket.socket | None = None
        self.sink: socket.socket | None = None
        self.ended: bool = False
        """Nothing more comes from the source."""
        self.finished: bool = False
        """The sink was told that nothing more comes, or hears no more."""
        self.broken: bool = False
        """The sink did not take what was written to it."""
        self.end_request: How | None = None
        self._faults = faults
        self._count = count
        # What was read when; at last the end that follows it.
        self._queue: deque[tuple[float, memoryview | How]] = deque()
        self._size = 0
        self._closing = False
        self._free_at = 0.0

    @property
    def rule(self) -> Rule:
        """The direction's faults, as they are now."""
        return self._faults.rules[self.direction]

    @property
    def wants_to_read(self) -> bool:
        """Whether there is room for more."""
        return not self.ended and self._size < BUFFER

    def receive(self, now: float) -> None:
        """Reads once, what there is. The end of the stream goes on as the last of it."""
        assert self.source is not None
        try:
            data = self.source.recv(min(CHUNK, BUFFER - self._size))
        except BlockingIOError:
            return
        except OSError:
            self.ended = True
            self.end("reset", now)
            return
        if not data:
            self.ended = True
            self.end("close", now)
        elif not (self._closing or self.rule.dropping):
            self._queue.append((now, memoryview(data)))
            self._size += len(data)

    def end(self, how: How, now: float) -> None:
        """Lets a FIN or an RST follow what was read; what is read later goes nowhere."""
        if how == "reset" or not self._closing:
            self._closing = True
            self._queue.append((now, how))

    def next_at(self) -> float | None:
        """When the next of what waits may go on; None when it is not time that it waits for."""
        if not self._queue or self.sink is None or self.rule.stalled or self.end_request:
            return None
        at = self._queue[0][0] + self.rule.delay
        return at if self.rule.rate is None else max(at, self._free_at)

    def flush(self, now: float) -> None:
        """Writes what may go on by now, as far as the sink takes it."""
        self._check_cut()
        while (at := self.next_at()) is not None and at <= now:
            what = self._queue[0][1]
            if isinstance(what, memoryview):
                if not self._send(what, now):
                    return
            elif what == "reset":
                self.end_request = "reset"
            else:
                self._queue.popleft()
                self._hang_up()

    def finish(self) -> None:
        """Sends the FIN at once; what waits, and all that still comes, goes nowhere."""
        self._closing = True
        self._queue.clear()
        self._size = 0
        self._hang_up()

    def _hang_up(self) -> None:
        self.finished = True
        if self.sink is not None:
            with contextlib.suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)

    def _send(self, data: memoryview, now: float) -> bool:
        assert self.sink is not None
        try:
            sent = self.sink.send(data[: self._allowed(len(data))])
        except BlockingIOError:
            return False
        except OSError:
            self.broken = True
            self.finish()
            return False
        if self.rule.rate is not None:
            self._free_at = now + sent / self.rule.rate
        self._size -= sent
        read_at, _ = self._queue.popleft()
        if sent < len(data):
            self._queue.appendleft((read_at, data[sent:]))
        if self.cut is not None:
            self.cut = self.cut._replace(after=self.cut.after - sent)
            self._check_cut()
        self._count(self.direction, sent)
        return True

    def _allowed(self, size: int) -> int:
        if self.rule.rate is not None:
            size = min(size, max(1, int(self.rule.rate * TICK)))
        return size if self.cut is None else min(size, self.cut.after)

    def _check_cut(self) -> None:
        if self.cut is not None and self.cut.after == 0:
            self.end_request, self.cut = self.cut.how, None
