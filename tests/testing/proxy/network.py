"""A proxy between plain sockets, and what they see of each other."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest

from slipstream_actor.testing import FaultProxy
from tests.testing.server.raw_client import DEADLINE

QUIET = 0.1
"""Seconds for what must not come."""

QUICK = 5.0
"""Seconds that what is not held up stays far below."""


class Network:
    """A server's listening socket, a proxy before it, and the sockets on both sides."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.listener.settimeout(DEADLINE)
        port = self.listener.getsockname()[1]
        self.proxy = stack.enter_context(FaultProxy(f"tcp://127.0.0.1:{port}"))

    def connect(self) -> socket.socket:
        """Return a client's socket."""
        address = (self.proxy.host, self.proxy.port)
        return self.stack.enter_context(socket.create_connection(address, timeout=DEADLINE))

    def accept(self) -> socket.socket:
        """Return the server's socket of the next connection that reaches it."""
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE)
        return self.stack.enter_context(sock)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Return the client's and the server's socket of a new connection."""
        return self.connect(), self.accept()

    def assert_is_reset_at_once(self) -> None:
        """Assert that a new connection gets an RST, which may be there before `connect` returns."""
        with pytest.raises(ConnectionResetError):
            self.connect().recv(1)

    def reaches_the_server(self) -> bool:
        """Whether a connection comes within a moment."""
        self.listener.settimeout(QUIET)
        try:
            self.accept()
        except TimeoutError:
            return False
        finally:
            self.listener.settimeout(DEADLINE)
        return True


def read(sock: socket.socket, count: int) -> bytes:
    """Return `count` bytes, or what came before a FIN."""
    data = bytearray()
    while len(data) < count and (chunk := sock.recv(count - len(data))):
        data += chunk
    return bytes(data)


def is_silent(sock: socket.socket) -> bool:
    """Whether nothing comes within a moment, no end either."""
    sock.settimeout(QUIET)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(DEADLINE)
    return False


def assert_reset(sock: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


def assert_passes(one: socket.socket, other: socket.socket, data: bytes = b"passes") -> None:
    one.sendall(data)
    assert read(other, len(data)) == data


def assert_passes_both_ways(one: socket.socket, other: socket.socket) -> None:
    assert_passes(one, other)
    assert_passes(other, one)


def fill(sock: socket.socket) -> int:
    """Send until there is no room for a while; return how much it was."""
    sent = 0
    sock.settimeout(0.5)
    try:
        while True:
            sent += sock.send(bytes(65_536))
    except TimeoutError:
        return sent
    finally:
        sock.settimeout(DEADLINE)
