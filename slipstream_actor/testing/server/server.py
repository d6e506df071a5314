"""An embedded Phoenix server: Phoenix 1.8.12 on Bandit, as far as a client can tell.

    with PhoenixServer({"rooms:*": RoomChannel}) as server:
        connect(server.uri)

From a shell, with the channels of the recorded conversations and the tutorial's `rooms:*`:

    python -m slipstream_actor.testing.server --port 4000
"""

from __future__ import annotations

import argparse
import signal
import socket
import ssl
import threading
import time
from dataclasses import replace
from types import TracebackType
from typing import Any

from slipstream_actor.testing.server.channel import Channel, ChannelSocket
from slipstream_actor.testing.server.channel_process import ChannelProcess
from slipstream_actor.testing.server.connection import Connection
from slipstream_actor.testing.server.endpoint import (
    ConnectRequest,
    Endpoint,
    Mount,
)
from slipstream_actor.testing.server.listener import Listener
from slipstream_actor.testing.server.presence import Presence
from slipstream_actor.testing.server.pubsub import Hub
from slipstream_actor.testing.server.recorded_app import RECORDED_CHANNELS, RECORDED_MOUNTS, connect
from slipstream_actor.testing.server.router import Channels, Router
from slipstream_actor.testing.server.shell_app import SHELL_CHANNELS
from slipstream_actor.testing.server.threads import Threads
from slipstream_actor.testing.server.times import require_timeout

GRACE = 1.0
"""Seconds that a stop gives to clients that do not read; then they are cut off."""


class PhoenixServer:
    """A server that listens from the moment it is made until `stop`.

    `channels` maps a topic pattern ("rooms:lobby", "rooms:*") to a `Channel` class: an exact
    pattern wins, then the longest prefix; None in the place of a class refuses what it matches.
    Without `channels` there are those of the recorded conversations. `port` 0 takes a free one;
    `ssl_context` makes it `wss` and is told to offer h2 as Bandit does (docs/protocol.md#note-43).
    `compress` grants permessage-deflate to clients that offer it, at every mount; else only that of
    "/socket_compressed" does (docs/protocol.md#note-48).
    A client that does not read is dropped, as `drop` does it, when more than 64 MiB wait for it in
    memory, or when nothing could be written for 30 seconds. Raises `OSError` when it cannot listen,
    `ValueError` for a port that there is not, and `TypeError` for wrong `channels` and for a `host`
    that is no text.
    """

    def __init__(
        self,
        channels: Channels | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        *,
        compress: bool = False,
    ) -> None:
        self.host = host
        self.port: int = port
        self.ssl_context = ssl_context
        if ssl_context is not None:
            ssl_context.set_alpn_protocols(["h2", "http/1.1"])
        self.router: Router = Router(RECORDED_CHANNELS if channels is None else channels)
        self.hub: Hub = Hub()
        self.presence: Presence = Presence(self.hub)
        self.endpoint: Endpoint = Endpoint(RECORDED_MOUNTS, self.connect)
        if compress:
            for path, mount in RECORDED_MOUNTS.items():
                self.mounts[path] = replace(mount, compress=True)
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._open: set[Connection] = set()
        self._processes: set[ChannelProcess] = set()
        self._connection_threads = Threads()
        self._channel_threads = Threads()
        self._listener: Listener | None = None
        self.start()

    @property
    def uri(self) -> str:
        """Where clients connect to, such as "ws://127.0.0.1:4000/socket/websocket"."""
        scheme = "ws" if self.ssl_context is None else "wss"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}/socket/websocket"

    @property
    def mounts(self) -> dict[str, Mount]:
        """The socket mounts, path to options; may be changed for the connections to come."""
        return self.endpoint.mounts

    @property
    def connections(self) -> int:
        """How many websockets are open."""
        return len(self._open)

    def connect(self, request: ConnectRequest) -> str | None:
        """Lets a client in or not: what `connect/3` and `id/1` do in Phoenix; to be overridden.

        Runs in the connection's thread. Returns the socket's id or None, raises `RefuseConnect`;
        whatever else it raises answers 500 (docs/protocol.md#note-38). The default takes the params
        of the recorded conversations: `id`, `reject`, `connect_delay`.
        """
        return connect(request)

    def start(self) -> None:
        """Listens again after a `stop`, on the same port; nothing when it is listening.

        Raises `OSError`.
        """
        if self._listener is None:
            self._listener = Listener(self.host, self.port, self._accepted)
            self.port = self._listener.port

    def broadcast(self, topic: str, event: str, payload: Any) -> None:
        """`Endpoint.broadcast`: to every subscriber of `topic`; bytes as a binary broadcast.

        Raises what cannot be encoded.
        """
        self.hub.broadcast(topic, event, payload)

    def disconnect(self, id: str) -> None:
        """Closes the sockets of that id with 1001: what a "disconnect" broadcast does
        (docs/protocol.md#note-32).

        The id is the socket's ("user_socket:u1"); the bare connect param ("u1") stands for it.
        """
        self.hub.broadcast(id, "disconnect", {})
        self.hub.broadcast(f"user_socket:{id}", "disconnect", {})

    def drop(self) -> None:
        """Ends every connection without a close frame, and goes on listening.

        See docs/protocol.md#note-33.
        """
        for connection in self._all_connections():
            connection.kill()

    def wait_for_connections(self, count: int, timeout: float = 5.0) -> None:
        """Returns when exactly `count` websockets are open.

        Raises `TimeoutError` after `timeout` seconds.
        """
        seconds = require_timeout(timeout)
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._open) == count, seconds):
                raise TimeoutError(f"{len(self._open)} connections instead of {count}")

    def stop(self) -> None:
        """Stops as on SIGTERM: closes with 1012 where a channel is joined, else 1000
        (docs/protocol.md#note-33).

        Returns when every thread has ended and every descriptor is free. A client that does not
        read is cut off after a second; a callback that does not return is given up after another.
        Does nothing when it has stopped.
        """
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        by = time.monotonic() + GRACE
        for connection in self._all_connections():
            connection.shut_down(by)
        self._connection_threads.join(by + GRACE)
        for process in self._processes.copy():
            process.kill()
        self._channel_threads.join(by + GRACE)

    def __enter__(self) -> PhoenixServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # For the connections.

    def start_channel(
        self,
        process: ChannelProcess,
        channel_class: type[Channel],
        socket: ChannelSocket,
        params: Any,
    ) -> None:
        """Runs `process` in a thread of its own."""

        def run() -> None:
            try:
                process.run(channel_class, socket, params)
            finally:
                self._processes.discard(process)

        self._processes.add(process)
        self._channel_threads.start(run, f"phoenix-channel {process.topic}")

    def opened(self, connection: Connection) -> None:
        """Counts a websocket in."""
        with self._changed:
            self._open.add(connection)
            self._changed.notify_all()

    def closed(self, connection: Connection) -> None:
        """Counts a websocket out."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def _accepted(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        try:
            connection = Connection(sock, address, self)
        except OSError:
            sock.close()
            return
        with self._changed:
            self._connections.add(connection)
        try:
            self._connection_threads.start(
                lambda: self._serve(connection), f"phoenix-connection {address[1]}"
            )
        except RuntimeError:
            # No more threads: this client is turned away, the listener lives on.
            self._connections.discard(connection)
            connection.abandon()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            with self._changed:
                self._connections.discard(connection)

    def _all_connections(self) -> list[Connection]:
        with self._changed:
            return list(self._connections)


def main(arguments: list[str] | None = None) -> None:
    """Runs a server until SIGINT or SIGTERM; prints its URI on a line once it listens."""
    parser = argparse.ArgumentParser(prog="python -m slipstream_actor.testing.server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--compress", action="store_true")
    options = parser.parse_args(arguments)
    stopping = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: stopping.set())
    where, compress = (options.host, options.port), options.compress
    try:
        server = PhoenixServer(SHELL_CHANNELS, *where, compress=compress)
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or error
        parser.exit(1, f"cannot listen at {options.host}:{options.port}: {text}\n")
    with server:
        print(server.uri, flush=True)
        # On Windows a wait without a timeout is deaf to signals.
        while not stopping.wait(3600):
            pass
