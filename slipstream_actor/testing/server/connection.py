"""One accepted connection and the thread that owns it: HTTP until the upgrade, then the websocket.

As the process of a real connection does, it handles the frames that have come and the messages of
its channels one after the other; while the kernel takes no more bytes, or a join runs, it does
nothing else. Only `post`, `wake`, `kill` and `shut_down` are called from other threads.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from slipstream_actor.testing.server.channel_process import ChannelEnded
from slipstream_actor.testing.server.codec import Codec
from slipstream_actor.testing.server.endpoint import Endpoint, Peer, Unwinding, Upgrade
from slipstream_actor.testing.server.http import BadRequest, Request, head, parse_head
from slipstream_actor.testing.server.nonblocking_socket import BUDGET, NonBlockingSocket
from slipstream_actor.testing.server.pubsub import Broadcast
from slipstream_actor.testing.server.session import Application, Session
from slipstream_actor.testing.server.websocket import CloseSocket, Ping, Pong, WebSocket

logger: logging.Logger = logging.getLogger("slipstream_actor.testing")

HANDSHAKE_TIMEOUT = 10.0
REQUEST_TIMEOUT = 60.0
SEND_TIMEOUT = 30.0
# What may wait in memory for a client that does not read; the kernel holds some more.
MAX_MAIL_BYTES = 64 * 1024 * 1024
LINGER = 1.0

_DISCONNECT = object()


class Server(Application, Protocol):
    """What a connection needs of its server."""

    endpoint: Endpoint
    ssl_context: ssl.SSLContext | None

    def opened(self, connection: Connection) -> None:
        """A websocket is open."""

    def closed(self, connection: Connection) -> None:
        """It is no longer."""


class _Dropped(Unwinding):
    """The connection ends without a word."""


class _ShutDown(Unwinding):
    """The server stops."""


class Connection:
    """A connection; `run` is its thread's whole life."""

    codec: Codec

    def __init__(self, sock: socket.socket, address: tuple[Any, ...], server: Server) -> None:
        self._server = server
        self._socket = NonBlockingSocket(sock)
        self._peer = Peer(address, server.ssl_context is not None, self._sleep)
        self._inbox: deque[Any] = deque()
        # The bytes of the frames that were ever put in there, by anybody, and taken, by the thread.
        self._mailed = self._taken = 0
        self._mail_lock = threading.Lock()
        self._output = bytearray()
        self._killed = False
        self._shut_down_by: float | None = None
        self._over = False
        self._websocket: WebSocket

    # From any thread.

    def post(self, message: str | bytes | ChannelEnded | threading.Event | object) -> None:
        """Puts a message into the inbox; one to a connection that is over goes nowhere.

        A client that does not read what it is sent is dropped: a process of Phoenix would have
        its mailbox grow until the write times out.
        """
        if isinstance(message, str | bytes) and not self._admit(sys.getsizeof(message)):
            return
        self._inbox.append(message)
        self._socket.waker.wake()
        if self._over:
            self._release_waiters()

    def _admit(self, size: int) -> bool:
        """Counts a frame in, if there is room for it."""
        with self._mail_lock:
            waiting = self._mailed - self._taken
            if waiting and waiting + size > MAX_MAIL_BYTES:
                if not self._killed:
                    logger.warning("a client that does not read is dropped: %d bytes wait", waiting)
                    self.kill()
            else:
                self._mailed += size
            return not self._killed

    def wake(self) -> None:
        """Makes it look at what it waits for."""
        self._socket.waker.wake()

    def kill(self) -> None:
        """Ends it without a close frame, whatever it is doing (docs/protocol.md#note-33)."""
        self._killed = True
        self._socket.waker.wake()

    def shut_down(self, by: float) -> None:
        """Ends it as SIGTERM does (docs/protocol.md#note-33), by the time `by` at the latest."""
        self._shut_down_by = by
        self._socket.waker.wake()

    def on_broadcast(self, broadcast: Broadcast) -> None:
        """A broadcast to the socket's id: "disconnect" is all that it knows.

        See docs/protocol.md#note-32.
        """
        if broadcast.event == "disconnect":
            self.post(_DISCONNECT)

    # The thread.

    def run(self) -> None:
        """Serves the connection to its end, and frees what it holds."""
        try:
            self._serve()
        except (_Dropped, _ShutDown, OSError):
            pass
        except Exception:
            logger.exception("a connection of the embedded server crashed")
        finally:
            self._over = True
            self._release_waiters()
            self._socket.close()

    def abandon(self) -> None:
        """Frees what it holds, instead of `run`: there is no thread for it."""
        self._socket.close()

    def _release_waiters(self) -> None:
        """Lets go of who waits for what will not be sent; by any thread, once it is over."""
        with contextlib.suppress(IndexError):
            while True:
                message = self._inbox.popleft()
                if isinstance(message, threading.Event):
                    message.set()

    def _serve(self) -> None:
        if self._server.ssl_context is not None:
            self._handshake(self._server.ssl_context)
        upgrade = self._negotiate()
        if upgrade is not None:
            self._serve_socket(upgrade)

    def _handshake(self, context: ssl.SSLContext) -> None:
        deadline = time.monotonic() + HANDSHAKE_TIMEOUT
        self._socket.secure(context)
        while not self._socket.handshake():
            self._wait(read=True, until=deadline)
            if time.monotonic() >= deadline:
                raise _Dropped
        if self._socket.alpn == "h2":
            # Bandit would speak HTTP/2 now; a client that offered it and does not sees the end of
            # the stream (docs/protocol.md#note-43).
            raise _Dropped

    def _negotiate(self) -> Upgrade | None:
        """Answers requests until one of them is an upgrade; None when the connection is to end."""
        buffer = b""
        try:
            while True:
                request, buffer = self._read_request(buffer)
                answer = self._server.endpoint.answer(request, self._peer)
                if isinstance(answer, Upgrade):
                    # Bytes that came behind the request are lost, as in Bandit
                    # (docs/protocol.md#note-42).
                    return answer
                self._output += answer.encode(request)
                self._flush()
                if not request.keep_alive:
                    break
                buffer = self._skip_body(request, buffer)
        except BadRequest as refusal:
            self._output += head(refusal.status, [("connection", "close")])
            self._flush()
        self._finish()
        return None

    def _read_request(self, buffer: bytes) -> tuple[Request, bytes]:
        deadline = time.monotonic() + REQUEST_TIMEOUT
        while (parsed := parse_head(buffer)) is None:
            buffer += self._read(deadline)
        return parsed

    def _skip_body(self, request: Request, buffer: bytes) -> bytes:
        deadline = time.monotonic() + REQUEST_TIMEOUT
        missing = request.body_length
        while len(buffer) < missing:
            missing -= len(buffer)
            buffer = self._read(deadline)
        return buffer[missing:]

    def _read(self, deadline: float) -> bytes:
        while (data := self._socket.receive()) is None:
            self._wait(read=True, until=deadline)
            if time.monotonic() >= deadline:
                raise _Dropped
        if not data:
            raise _Dropped
        return data

    def _serve_socket(self, upgrade: Upgrade) -> None:
        self.codec = upgrade.codec
        self._websocket = WebSocket(upgrade.mount.max_frame_size, upgrade.compression)
        session = Session(upgrade, self, self._server)
        # All of it before the 101: a client that has connected is one that the server knows of.
        if upgrade.socket_id is not None:
            self._server.hub.subscribe(upgrade.socket_id, self)
        self._server.opened(self)
        self._output += upgrade.response
        close_code = None
        try:
            close_code = self._converse_until_closed(session, upgrade.mount.timeout)
        finally:
            self._over = True
            self._release_waiters()
            if upgrade.socket_id is not None:
                self._server.hub.unsubscribe(upgrade.socket_id, self)
            session.end(at_once=self._shut_down_by is not None)
            self._server.closed(self)
        if close_code is not None:
            self._output += self._websocket.close(close_code)
            self._flush()
            self._finish()

    def _converse_until_closed(self, session: Session, idle_timeout: float) -> int:
        """→ the code to close with. Raises when there is nobody left to tell it."""
        try:
            self._converse(session, idle_timeout)
        except CloseSocket as close:
            return close.code
        except _ShutDown:
            return 1012 if session.topics else 1000
        except OSError:
            raise
        except Exception:
            logger.exception("a socket of the embedded server crashed")
            return 1011

    def _converse(self, session: Session, idle_timeout: float) -> NoReturn:
        idle_by = time.monotonic() + idle_timeout
        while True:
            self._take_messages(session)
            self._flush()
            self._wait(self._has_messages, read=True, until=idle_by)
            data = self._socket.receive()
            if data is not None:
                self._take_data(session, data)
                idle_by = time.monotonic() + idle_timeout
            elif time.monotonic() >= idle_by:
                raise CloseSocket(1002)

    def _has_messages(self) -> bool:
        return bool(self._inbox)

    def _take_messages(self, session: Session) -> None:
        while self._inbox and len(self._output) < BUDGET:
            message = self._inbox.popleft()
            if isinstance(message, str | bytes):
                self._taken += sys.getsizeof(message)
                self.write(message)
            elif isinstance(message, ChannelEnded):
                session.ended(message)
            elif isinstance(message, threading.Event):
                try:
                    self._flush()
                finally:
                    message.set()
            else:
                raise CloseSocket(1001)

    def _take_data(self, session: Session, data: bytes) -> None:
        if not data:
            raise _Dropped
        for frame in self._websocket.receive(data):
            if isinstance(frame, Ping):
                self._output += self._websocket.encode(frame.response())
            elif not isinstance(frame, Pong):
                session.receive(frame)

    def write(self, frame: str | bytes) -> None:
        """Adds a frame to the output, before all that waits in the inbox."""
        self._output += self._websocket.encode(frame)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Sleeps until `ready()`, with the output sent that there is."""
        self._flush()
        while not ready():
            self._wait(ready)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._wait(until=until)

    def _flush(self) -> None:
        """Waits until the kernel has all output; as in Bandit, nothing else happens meanwhile."""
        data = memoryview(bytes(self._output))
        self._output.clear()
        deadline = time.monotonic() + SEND_TIMEOUT
        while data:
            sent = self._socket.send(data)
            data = data[sent:]
            if not sent:
                until = min(deadline, self._shut_down_by or deadline)
                if time.monotonic() >= until:
                    raise _Dropped
                self._wait(write=True, until=until, heed_shut_down=False)

    def _wait(
        self,
        ready: Callable[[], bool] | None = None,
        *,
        read: bool = False,
        write: bool = False,
        until: float | None = None,
        heed_shut_down: bool = True,
    ) -> None:
        """One sleep, until anything happens at all. Raises when the connection is to end."""
        self._socket.waker.arm()
        self._raise_if_ending(heed_shut_down)
        if ready is not None and ready():
            self._socket.waker.disarm()
            return
        timeout = None if until is None else max(0.0, until - time.monotonic())
        self._socket.wait(read=read, write=write, timeout=timeout)
        self._raise_if_ending(heed_shut_down)

    def _raise_if_ending(self, heed_shut_down: bool) -> None:
        if self._killed:
            raise _Dropped
        if heed_shut_down and self._shut_down_by is not None:
            raise _ShutDown

    def _finish(self) -> None:
        self._socket.finish()
        self._linger()

    def _linger(self) -> None:
        """Reads what the client still sends, for a moment.

        Closing over unread bytes would reset the connection, and the close frame that explains the
        end might never be read (docs/protocol.md#note-36).
        """
        until = time.monotonic() + LINGER
        while time.monotonic() < until:
            data = self._socket.receive()
            if data == b"":
                return
            if data is None:
                self._wait(read=True, until=until)
