"""The proxy's thread: one selector for the listening socket and for every connection."""

from __future__ import annotations

import concurrent.futures
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

from slipstream_actor.testing.proxy.connection import ProxiedConnection, Upstream
from slipstream_actor.testing.proxy.faults import Direction, Faults
from slipstream_actor.testing.proxy.forwarder import Forwarder
from slipstream_actor.testing.server.listener import BACKLOG, RETRY, bind, listen
from slipstream_actor.testing.server.wakeup import Selector, Waker


class Observer(Protocol):
    """Is told what happens, in the loop's thread."""

    def opened(self) -> None:
        """A connection was accepted."""

    def closed(self) -> None:
        """A connection has ended."""

    def passed(self, direction: Direction, size: int) -> None:
        """So many bytes were passed on."""


class EventLoop:
    """Listens and passes on in a thread of its own, from its making until `close`.

    All but `call`, `close` and `port` belongs to that thread: others change it by `call` alone.
    Raises `OSError` when it cannot listen.
    """

    def __init__(self, host: str, port: int, upstream: Upstream, observer: Observer) -> None:
        self.faults: Faults = Faults()
        self.open_connections: set[ProxiedConnection] = set()
        self._host = host
        self._upstream = upstream
        self._observer = observer
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._retry_at: float | None = None
        self._selector = Selector()
        self._masks: dict[socket.socket | Waker, int] = {}
        self._times: dict[ProxiedConnection, float] = {}
        self._waker = Waker()
        # Reentrant: garbage may be collected, or a signal handled, while it is held.
        self._lock = threading.RLock()
        self._calls: deque[tuple[Callable[[], None], concurrent.futures.Future[None]]] = deque()
        self._closing = self._closed = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        """Runs `function` in the loop's thread, and returns when everything obeys it.

        Connections that wait to be accepted are accepted before, and what was sent is passed on.
        Does nothing when it is closed.
        """
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if self._closed:
                return
            self._calls.append((function, done))
        self._waker.wake()
        done.result()

    def close(self) -> None:
        """Ends every connection; returns when the port is free and the thread has ended."""
        self._closing = True
        self._waker.wake()
        self._thread.join()

    # In the loop's thread.

    def forwarders(self, directions: Collection[Direction]) -> Iterator[Forwarder]:
        """Those of the open connections."""
        return (
            forwarder
            for connection in self.open_connections
            for forwarder in connection.forwarders
            if forwarder.direction in directions
        )

    def refuse(self) -> None:
        """Stops listening, and keeps the port. Raises `OSError`."""
        if not self._refusing:
            self._refusing = True
            self._watch(self._listener, 0, None)
            self._listener.close()
            # Bound and no more: the kernel refuses, and gives the port to no one who asks for any.
            self._listener = bind(self._host, self.port)

    def heal(self) -> None:
        """Forgets every fault, and listens again. Raises `OSError`."""
        self.faults.heal()
        for forwarder in self.forwarders(("up", "down")):
            forwarder.cut = None
        if self._refusing:
            self._listener.listen(BACKLOG)
            self._refusing = False

    def _run(self) -> None:
        try:
            self._watch(self._waker, selectors.EVENT_READ, None)
            while not self._closing:
                self._turn()
        finally:
            self._free()

    def _turn(self) -> None:
        now = time.monotonic()
        if self._retry_at is not None and now >= self._retry_at:
            self._retry_at = None
        listening = not self._refusing and self._retry_at is None
        self._watch(self._listener, selectors.EVENT_READ if listening else 0, None)
        self._waker.arm()
        # What was sent before a call is passed on before it: only calls that are there by now.
        calls = len(self._calls)
        found = self._selector.select(0.0 if calls or self._closing else self._patience(now))
        self._waker.disarm()
        now = time.monotonic()
        touched = {connection for connection, due in self._times.items() if due <= now}
        for key, events in found:
            if isinstance(key.data, ProxiedConnection):
                key.data.ready(key.fileobj, events, now)
                touched.add(key.data)
            elif key.fileobj is self._waker:
                self._waker.drain()
            else:
                self._accept(now)
        for connection in touched:
            self._settle(connection, now)
        for _ in range(calls):
            self._answer(*self._calls.popleft())

    def _patience(self, now: float) -> float | None:
        times = [*self._times.values(), *([] if self._retry_at is None else [self._retry_at])]
        return max(0.0, min(times) - now) if times else None

    def _answer(self, function: Callable[[], None], done: concurrent.futures.Future[None]) -> None:
        failure = None
        try:
            function()
        except Exception as error:
            failure = error
        now = time.monotonic()
        for connection in tuple(self.open_connections):
            self._settle(connection, now)
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)

    def _accept(self, now: float) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                # The client was gone before it was accepted.
                continue
            except OSError:
                # No descriptors left: trying again at once would only burn the processor.
                self._retry_at = now + RETRY
                return
            self._observer.opened()
            connection = ProxiedConnection(client, self.faults, self._observer.passed)
            self.open_connections.add(connection)
            self._settle(connection, now)

    def _settle(self, connection: ProxiedConnection, now: float) -> None:
        connection.settle(now)
        if connection.server is None and not (
            connection.over or connection.closing or self.faults.cut_off
        ):
            connection.connect(self._upstream)
        if connection.over:
            self._drop(connection)
            return
        for sock, mask in connection.interests(now):
            self._watch(sock, mask, connection)
        if (at := connection.next_at(now)) is not None:
            self._times[connection] = at
        else:
            self._times.pop(connection, None)

    def _drop(self, connection: ProxiedConnection) -> None:
        if connection in self.open_connections:
            self.open_connections.remove(connection)
            self._times.pop(connection, None)
            for sock in (connection.client, connection.server):
                if sock is not None:
                    self._watch(sock, 0, None)
            connection.close()
            self._observer.closed()

    def _watch(
        self, sock: socket.socket | Waker, mask: int, connection: ProxiedConnection | None
    ) -> None:
        before = self._masks.get(sock, 0)
        if mask == before:
            return
        if not mask:
            self._selector.unregister(sock)
            del self._masks[sock]
            return
        # A selector takes no empty mask; and of what it does not know it cannot tell a hang-up.
        change = self._selector.modify if before else self._selector.register
        change(sock, mask, connection)
        self._masks[sock] = mask

    def _free(self) -> None:
        for connection in tuple(self.open_connections):
            self._drop(connection)
        self._selector.close()
        self._listener.close()
        with self._lock:
            self._closed = True
        self._waker.close()
        for _, done in self._calls:
            done.set_result(None)
