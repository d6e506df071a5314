"""The accepted socket of one client: non-blocking, TCP or TLS.

One thread owns a socket: it alone reads, writes and waits, so that of TLS is never used from two
threads at once. `waker.wake` is all that others may call.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl

from slipstream_actor.testing.server.wakeup import Selector, Waker

CHUNK = 65_536
BUDGET = 262_144


class NonBlockingSocket:
    """One accepted connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._secure = False
        self._unread = False
        self._recv_needs_write = self._send_needs_read = False
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waker: Waker = Waker()
        self._selector = Selector()
        self._selector.register(self.waker, selectors.EVENT_READ)
        self._interest = 0

    def secure(self, context: ssl.SSLContext) -> None:
        """Makes it a TLS socket; `handshake` is to be called until it says True."""
        self._watch(0)
        self._socket = context.wrap_socket(
            self._socket, server_side=True, do_handshake_on_connect=False
        )
        self._secure = True

    def handshake(self) -> bool:
        """One step of the TLS handshake: whether it is done.

        Raises `OSError`; between the steps, `wait`.
        """
        assert isinstance(self._socket, ssl.SSLSocket)
        self._recv_needs_write = False
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self._recv_needs_write = True
            return False
        return True

    @property
    def alpn(self) -> str | None:
        """The protocol that ALPN has chosen, if any."""
        assert isinstance(self._socket, ssl.SSLSocket)
        return self._socket.selected_alpn_protocol()

    def wait(
        self, *, read: bool = False, write: bool = False, timeout: float | None = None
    ) -> None:
        """Sleeps until the socket is ready as asked, it is woken, or `timeout` seconds are over.

        `waker.arm` comes first.
        """
        wanted = 0
        if read or (write and self._send_needs_read):
            wanted |= selectors.EVENT_READ
        if write or (read and self._recv_needs_write):
            wanted |= selectors.EVENT_WRITE
        self._watch(wanted)
        if read and self._unread:
            timeout = 0
        ready = self._selector.select(timeout)
        self.waker.disarm()
        if any(key.fileobj is self.waker for key, _ in ready):
            self.waker.drain()

    def _watch(self, wanted: int) -> None:
        if wanted == self._interest:
            return
        if self._interest:
            self._selector.unregister(self._socket)
        if wanted:
            self._selector.register(self._socket, wanted)
        self._interest = wanted

    def receive(self) -> bytes | None:
        """What has come, about 256 KiB at most; b"" at the end, None when nothing is there.

        Raises `OSError`.
        """
        chunks: list[bytes] = []
        size = 0
        self._unread = False
        while True:
            chunk = self._receive_once()
            if not chunk:
                return b"".join(chunks) if chunks else chunk
            chunks.append(chunk)
            size += len(chunk)
            if not self._secure:
                return chunk
            if size >= BUDGET:
                # TLS may hold more than the kernel: a selector would not tell.
                self._unread = True
                return b"".join(chunks)

    def _receive_once(self) -> bytes | None:
        self._recv_needs_write = False
        try:
            return self._socket.recv(CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except ssl.SSLWantWriteError:
            self._recv_needs_write = True
            return None
        except ssl.SSLEOFError:
            return b""

    def send(self, data: memoryview) -> int:
        """Writes as much of `data` as the kernel takes, and returns how much that was.

        The rest must be sent again as it is. Raises `OSError`.
        """
        self._send_needs_read = False
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLWantReadError:
            self._send_needs_read = True
            return 0

    def finish(self) -> None:
        """Sends the FIN, and the close_notify before it; what still comes can be received."""
        with contextlib.suppress(OSError, ValueError):
            if isinstance(self._socket, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLError):
                    self._socket.unwrap()
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Frees every descriptor.

        The client sees the end of the stream, if `finish` has not told it already.
        """
        self._selector.close()
        self._socket.close()
        self.waker.close()
