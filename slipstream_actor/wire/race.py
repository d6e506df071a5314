"""Happy Eyeballs (RFC 8305 section 5): the first of a host's addresses that answers is the one.

They are tried one after the other, but the next one does not wait for the last one's end: it
begins after `STAGGER` seconds, or as soon as one has failed.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable

from slipstream_actor.actors.forks import close_in_child
from slipstream_actor.protocol.reasons import ConnectFailedKind
from slipstream_actor.wire.addresses import Address
from slipstream_actor.wire.waiter import AttemptFailed, Route, Waiter, text

__all__ = ["Race"]

STAGGER = 0.25
# Of so many addresses it is said what happened.
MOST_TOLD = 4
IN_PROGRESS = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR}
# This machine has no way there: that says nothing of the server.
NO_WAY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENETUNREACH}


class Race:
    """One TCP connection to `host`, by the first of its `addresses` that answers.

    `prepare` sets a socket's options, and raises `AttemptFailed`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        addresses: Iterable[Address],
        prepare: Callable[[socket.socket], None],
        waiter: Waiter,
    ) -> None:
        self._host = host
        self._port = port
        self._to_come = deque(addresses)
        self._prepare = prepare
        self._waiter = waiter
        self._next_at = float("-inf")
        self._running: dict[socket.socket, Address] = {}
        self._failed: list[tuple[Address, OSError | AttemptFailed]] = []

    def run(self) -> socket.socket:
        """Return the socket that has connected first; all others are closed. Raises
        `AttemptFailed`."""
        try:
            while True:
                if self._to_come and time.monotonic() >= self._next_at:
                    self._next_at = time.monotonic() + STAGGER
                    self._begin(self._to_come.popleft())
                if self._running:
                    # Also when the answer is there already: a close or a stop may be too.
                    self._wait()
                    if (won := self._first_answer()) is not None:
                        self._waiter.route = Route(self._host, self._port, self._running.pop(won))
                        return won
                elif not self._to_come:
                    raise self._failure()
        finally:
            for sock in self._running:
                sock.close()

    def _begin(self, address: Address) -> None:
        """Begin to connect to one address."""
        family, kind, proto, at = address
        try:
            sock = socket.socket(family, kind, proto)
        except OSError as error:
            self._fail(address, error)
            return
        close_in_child(sock)
        self._running[sock] = address
        try:
            self._prepare(sock)
            code = sock.connect_ex(at)
        except AttemptFailed as failed:
            if not failed.reason.retryable:
                raise
            self._end(sock, failed)
        except OSError as error:
            self._end(sock, error)
        else:
            if code not in IN_PROGRESS and code:
                self._end(sock, OSError(code, os.strerror(code)))

    def _first_answer(self) -> socket.socket | None:
        """Return the first socket that is connected; end those that have failed."""
        for sock in list(self._running):
            try:
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                sock.getpeername()
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    self._end(sock, error)
            else:
                return sock
        return None

    def _wait(self) -> None:
        """Wait for an answer, or for the next one's turn."""
        at_most = max(0.0, self._next_at - time.monotonic()) if self._to_come else None
        try:
            self._waiter.any_writable(list(self._running), "TCP", at_most)
        except AttemptFailed as failed:
            if not self._failed:
                raise
            detail = f"{failed} ({self._told()})"
            raise AttemptFailed(failed.reason.kind, detail) from failed

    def _end(self, sock: socket.socket, error: OSError | AttemptFailed) -> None:
        self._fail(self._running.pop(sock), error)
        sock.close()

    def _fail(self, address: Address, error: OSError | AttemptFailed) -> None:
        self._failed.append((address, error))
        self._next_at = float("-inf")

    def _failure(self) -> AttemptFailed:
        """Return what to say when every address has failed."""
        errors = [error for _, error in self._failed]
        if not errors:
            return AttemptFailed("resolve", f"{self._host} has no address")
        ours = [error for error in errors if isinstance(error, AttemptFailed)]
        if ours:
            return ours[-1]
        theirs = [error for error in errors if isinstance(error, OSError)]
        kinds = {kind_of(error) for error in theirs if error.errno not in NO_WAY} or {"io"}
        kind: ConnectFailedKind = "timeout" if "timeout" in kinds else "io"
        if len(kinds) == 1:
            [kind] = kinds
        return AttemptFailed(kind, f"{self._host}:{self._port}: {self._told()}")

    def _told(self) -> str:
        """Return what happened at which address, or at all of them."""
        told = [(str(address[3][0]), text(error)) for address, error in self._failed]
        if len({what for _, what in told}) == 1 and not self._running and not self._to_come:
            return told[0][1]
        lines = [f"{where}: {what}" for where, what in told[:MOST_TOLD]]
        if len(told) > MOST_TOLD:
            lines.append(f"{len(told) - MOST_TOLD} more")
        return ", ".join(lines)


def kind_of(error: OSError) -> ConnectFailedKind:
    """Return which kind of failure a TCP error is."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "timeout" if isinstance(error, TimeoutError) else "io"
