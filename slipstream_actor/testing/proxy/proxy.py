"""A TCP proxy that does to a connection what networks do.

    with PhoenixServer() as server, FaultProxy(server.uri) as proxy:
        connect(proxy.uri)
        proxy.delay(0.1)
        proxy.reset()
        with proxy.refuse():
            ...

It needs the standard library alone and looks into nothing, so that TLS passes untouched.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from slipstream_actor.testing.proxy.connection import Upstream
from slipstream_actor.testing.proxy.event_loop import EventLoop
from slipstream_actor.testing.proxy.faults import Cut, Direction, Directions, How, each_direction
from slipstream_actor.testing.server.times import require_delay, require_timeout

PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}

Healing: TypeAlias = contextlib.AbstractContextManager[object]


class FaultProxy:
    """Stands between clients and a server, from the moment it is made until `stop`.

    `upstream` is the server's URI ("ws://127.0.0.1:4000/socket/websocket", "tcp://db:5432"); the
    proxy listens on `host` and `port`, of which 0 takes a free one. At first it passes everything
    on. Raises `ValueError` for a URI without a host and a port, and for a port that there is not,
    `OSError` when it cannot listen.

    A fault takes hold before its method returns, of every connection whose `connect` has returned
    and of those to come, unless it says otherwise; it lasts until `heal`. Faults of different
    kinds add up, the same one called again replaces what it was. "up" is from the client to the
    server, "down" the way back. Each method may be called from any thread, and does nothing when
    the proxy is stopped. A fault that lasts is a context manager too, which heals at its end.

    Of each direction of each connection at most 256 KiB are held; then the proxy stops reading,
    and the sender finds out by TCP's own means.
    """

    def __init__(self, upstream: str, host: str = "127.0.0.1", port: int = 0) -> None:
        if not isinstance(upstream, str):
            raise TypeError(f"upstream must be a URI, not {upstream!r}")
        self._parts = urlsplit(upstream)
        if not self._parts.hostname or not self._upstream_port:
            raise ValueError("the upstream must be a URI with a host and a port")
        self.upstream = upstream
        self.host = host
        self.port: int = port
        self._changed = threading.Condition()
        self._accepted = 0
        self._open = 0
        self._passed: dict[Direction, int] = {"up": 0, "down": 0}
        self._loop: EventLoop | None = None
        self.start()

    @property
    def uri(self) -> str:
        """The upstream's URI, with the proxy's host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login, at, _ = self._parts.netloc.rpartition("@")
        return self._parts._replace(netloc=f"{login}{at}{host}:{self.port}").geturl()

    @property
    def connections(self) -> int:
        """How many connections are open, as far as the proxy can tell."""
        self._catch_up()
        return self._open

    @property
    def accepted(self) -> int:
        """How many connections were accepted since the proxy was made."""
        self._catch_up()
        return self._accepted

    @property
    def bytes_up(self) -> int:
        """How many bytes were passed on to the server since the proxy was made."""
        self._catch_up()
        return self._passed["up"]

    @property
    def bytes_down(self) -> int:
        """How many bytes were passed on to clients since the proxy was made."""
        self._catch_up()
        return self._passed["down"]

    def start(self) -> None:
        """Listens again after a `stop`, on the same port and without a fault.

        Does nothing when it is started. Raises `OSError`.
        """
        if self._loop is None:
            family, _, _, _, address = socket.getaddrinfo(
                self._parts.hostname, self._upstream_port, type=socket.SOCK_STREAM
            )[0]
            self._loop = EventLoop(self.host, self.port, Upstream(family, address), self)
            self.port = self._loop.port

    def stop(self) -> None:
        """Stops listening and ends every connection.

        Returns when the thread has ended and every descriptor is free, which takes no time that
        depends on a peer. Does nothing when it is stopped.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # Faults.

    def refuse(self) -> Healing:
        """Stops listening: who connects gets ECONNREFUSED. Open connections go on.

        The port stays the proxy's. Raises `OSError` if another has taken it nevertheless.
        """
        return self._apply(lambda loop: loop.refuse())

    def silence(self) -> Healing:
        """Accepts connections and says nothing: they reach the server when the proxy is healed.

        One that hangs up before is forgotten. Open connections go on.
        """

        def apply(loop: EventLoop) -> None:
            loop.faults.silent = True

        return self._apply(apply)

    def black_hole(self, direction: Directions = "both") -> Healing:
        """Lets nothing pass, no FIN and no RST either, and lets the connections stand.

        Nothing is lost: what is sent meanwhile waits, with the kernel when the proxy's buffers are
        full, and passes when the proxy is healed, as TCP sends again after an outage. While both
        directions are closed no new connection reaches the server, as with `silence`.
        """
        return self._change(direction, stalled=True)

    def drop(self, direction: Directions = "both") -> Healing:
        """Swallows the bytes that come from now on, and lets the connections stand.

        A FIN or an RST of a peer still passes.
        """
        return self._change(direction, dropping=True)

    def delay(self, seconds: float, direction: Directions = "both") -> Healing:
        """Holds everything for so long, ends of connections too; the order stays.

        The other way has its own: a round trip takes twice as long with "both". It holds for what
        is under way as well. 0 turns it off. Raises `ValueError` when it is less.
        """
        if not require_delay("seconds", seconds) >= 0:
            raise ValueError("a delay is at least 0 seconds")
        return self._change(direction, delay=seconds)

    def throttle(self, bytes_per_second: float | None, direction: Directions = "both") -> Healing:
        """Passes on no more than so many bytes per second, for each connection and direction.

        None turns it off. Raises `ValueError` for a rate that is not above 0.
        """
        if bytes_per_second is not None and not bytes_per_second > 0:
            raise ValueError("a rate is above 0 bytes per second")
        return self._change(direction, rate=bytes_per_second)

    def cut(self, after: int = 0, direction: Directions = "down", how: How = "close") -> Healing:
        """Cuts each connection when `after` bytes have passed: one to come, from its beginning;
        one that is open, from now on.

        `how` is "close" (a FIN to both sides; what they still send is swallowed for a second),
        "reset" (an RST to both; it may overtake bytes on the way), or "half_close" (as the method
        of this name; of what came no more is passed on). With "both", each direction counts for
        itself. 0 cuts at once, and a new connection before it reaches the server. Raises
        `ValueError`.
        """
        if not after >= 0:
            raise ValueError("a cut is after at least 0 bytes")
        if how not in ("close", "reset", "half_close"):
            raise ValueError('how is "close", "reset" or "half_close"')
        names, cut = each_direction(direction), Cut(after, how)

        def apply(loop: EventLoop) -> None:
            for forwarder in loop.forwarders(names):
                forwarder.cut = cut
            for name in names:
                loop.faults.change(name, cut=cut)

        return self._apply(apply)

    def reset(self) -> None:
        """Ends every open connection with an RST to both sides, once."""

        def apply(loop: EventLoop) -> None:
            for connection in loop.open_connections:
                connection.reset()

        self._apply(apply)

    def half_close(self, direction: Directions = "down") -> None:
        """Sends a FIN in that direction on every open connection, once; the other one goes on.

        The FIN comes after the bytes that are under way; what its sender sends later is swallowed.
        """
        names = each_direction(direction)

        def apply(loop: EventLoop) -> None:
            for forwarder in loop.forwarders(names):
                forwarder.end("close", time.monotonic())

        self._apply(apply)

    def heal(self) -> None:
        """Goes back to passing everything on: listens, and lets go what was held back.

        What was cut, reset, half closed or dropped stays so. Raises `OSError` when it refused and
        cannot listen any more.
        """
        self._apply(lambda loop: loop.heal())

    # Waiting.

    def wait_for_connections(self, count: int, timeout: float = 5.0) -> None:
        """Returns when exactly `count` connections are open.

        Raises `TimeoutError` after `timeout` seconds.
        """
        self._wait(lambda: self._open == count, timeout, f"{count} open connections")

    def wait_for_accepted(self, count: int, timeout: float = 5.0) -> None:
        """Returns when at least `count` connections were accepted since the proxy was made.

        Raises `TimeoutError` after `timeout` seconds.
        """
        self._wait(lambda: self._accepted >= count, timeout, f"{count} accepted connections")

    def wait_for_bytes(self, count: int, direction: Direction, timeout: float = 5.0) -> None:
        """Returns when at least `count` bytes were passed on that way since the proxy was made.

        Raises `TimeoutError` after `timeout` seconds, `ValueError`.
        """
        [name] = each_direction(direction)
        self._wait(lambda: self._passed[name] >= count, timeout, f"{count} bytes {name}")

    # For the loop.

    def opened(self) -> None:
        """Counts a connection in."""
        with self._changed:
            self._accepted += 1
            self._open += 1
            self._changed.notify_all()

    def closed(self) -> None:
        """Counts a connection out."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def passed(self, direction: Direction, size: int) -> None:
        """Counts bytes that were passed on."""
        with self._changed:
            self._passed[direction] += size
            self._changed.notify_all()

    @property
    def _upstream_port(self) -> int | None:
        return self._parts.port or PORTS.get(self._parts.scheme)

    def _catch_up(self) -> None:
        # What a peer has seen is counted when the loop is done with it.
        self._apply(lambda loop: None)

    def _apply(self, change: Callable[[EventLoop], None]) -> Healing:
        loop = self._loop
        if loop is not None:
            loop.call(lambda: change(loop))
        healing = contextlib.ExitStack()
        healing.callback(self.heal)
        return healing

    def _change(self, direction: Directions, **changes: Any) -> Healing:
        names = each_direction(direction)

        def apply(loop: EventLoop) -> None:
            for name in names:
                loop.faults.change(name, **changes)

        return self._apply(apply)

    def _wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        seconds = require_timeout(timeout)
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(
                    f"not {what}: {self._open} open, {self._accepted} accepted,"
                    f" {self._passed['up']} bytes up, {self._passed['down']} down"
                )
