"""One connection through the proxy: a client, a server, and a forwarder for each direction."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from slipstream_actor.testing.proxy.faults import Direction, Faults, How
from slipstream_actor.testing.proxy.forwarder import Forwarder

LINGER = 1.0
"""Seconds that a connection that was closed is still read from: with bytes unread, the kernel
would send an RST in place of the FIN."""

RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
CONNECTING = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR}


class Upstream(NamedTuple):
    """Where the server listens."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


class ProxiedConnection:
    """One accepted connection and its counterpart. It never waits.

    `settle` brings it up to date; then `interests` and `next_at` say what it waits for, until it
    is `over`.
    """

    def __init__(
        self, client: socket.socket, faults: Faults, count: Callable[[Direction, int], None]
    ) -> None:
        _prepare(client)
        self.client = client
        self.server: socket.socket | None = None
        self.over: bool = False
        self.up: Forwarder = Forwarder("up", faults, count)
        self.down: Forwarder = Forwarder("down", faults, count)
        self.up.source = self.down.sink = client
        self._connecting = False
        self._linger_until: float | None = None

    @property
    def forwarders(self) -> tuple[Forwarder, Forwarder]:
        """Up and down."""
        return self.up, self.down

    @property
    def closing(self) -> bool:
        """Whether both sides were told that it ends."""
        return self._linger_until is not None

    def connect(self, upstream: Upstream) -> None:
        """Begins to connect to the server; where that fails, the client gets an RST."""
        try:
            self.server = socket.socket(upstream.family, socket.SOCK_STREAM)
            _prepare(self.server)
            self._connecting = self.server.connect_ex(upstream.address) in CONNECTING
        except OSError:
            self._connecting = False
        if not self._connecting:
            self.reset()

    def ready(self, sock: object, events: int, now: float) -> None:
        """Takes in what the selector has found."""
        if sock is self.server and self._connecting:
            self._connected()
        elif events & selectors.EVENT_READ:
            (self.up if sock is self.client else self.down).receive(now)

    def settle(self, now: float) -> None:
        """Passes on what may go on by now, and ends what is at its end."""
        for forwarder, back in ((self.up, self.down), (self.down, self.up), (self.up, self.down)):
            forwarder.flush(now)
            if forwarder.broken:
                # As the kernel of a host that has closed the connection answers.
                forwarder.broken = False
                back.end("reset", now)
        for forwarder in self.forwarders:
            if forwarder.end_request is not None:
                self._end(forwarder, forwarder.end_request, now)
        if self._linger_until is not None and now >= self._linger_until:
            self.over = True
        elif self.server is None:
            self.over |= self.up.ended
        elif all(forwarder.ended and forwarder.finished for forwarder in self.forwarders):
            self.over = True

    def interests(self, now: float) -> Iterator[tuple[socket.socket, int]]:
        """What the selector shall look for in each of the sockets."""
        yield self.client, _mask(self.up, self.down, now)
        if self.server is not None:
            waiting = selectors.EVENT_WRITE
            yield self.server, waiting if self._connecting else _mask(self.down, self.up, now)

    def next_at(self, now: float) -> float | None:
        """When to settle it again, though nothing was found; None when never."""
        times = [self._linger_until, *(forwarder.next_at() for forwarder in self.forwarders)]
        # What was due and is still there waits for its sink.
        return min((at for at in times if at is not None and at > now), default=None)

    def reset(self) -> None:
        """Lets both sides have an RST when it is closed, which is now."""
        self.over = True
        for sock in (self.client, self.server):
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    def close(self) -> None:
        """Frees both descriptors."""
        self.client.close()
        if self.server is not None:
            self.server.close()

    def _connected(self) -> None:
        assert self.server is not None
        self._connecting = False
        if self.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.reset()
            return
        self.up.sink = self.down.source = self.server
        if self.up.finished:
            self.up.finish()

    def _end(self, forwarder: Forwarder, how: How, now: float) -> None:
        forwarder.end_request = None
        if how == "reset":
            self.reset()
        elif how == "half_close":
            forwarder.finish()
        else:
            self._linger_until = now + LINGER
            for each in self.forwarders:
                each.finish()


def _mask(inward: Forwarder, outward: Forwarder, now: float) -> int:
    at = outward.next_at()
    mask = selectors.EVENT_READ if inward.source is not None and inward.wants_to_read else 0
    return mask | (selectors.EVENT_WRITE if at is not None and at <= now else 0)


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
