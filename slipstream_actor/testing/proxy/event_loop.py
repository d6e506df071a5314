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

from slipstream_actor.testing.proxy.faults import Direction, Faults
from slipstream_actor.testing.proxy.link import Link, Upstream
from slipstream_actor.testing.proxy.pipe import Pipe
from slipstream_actor.testing.server.listener import BACKLOG, RETRY, bind, listen
from slipstream_actor.testing.server.stream import Bell, Selector


class Counter(Protocol):
    """Is told what happens, in the relay's thread."""

    def opened(self) -> None:
        """A connection was accepted."""

    def closed(self) -> None:
        """A connection has ended."""

    def passed(self, direction: Direction, size: int) -> None:
        """So many bytes were passed on."""


class Relay:
    """Listens and passes on in a thread of its own, from its making until `close`.

    All but `call`, `close` and `port` belongs to that thread: others change it by `call` alone.
    Raises `OSError` when it cannot listen.
    """

    def __init__(self, host: str, port: int, upstream: Upstream, counter: Counter) -> None:
        self.faults: Faults = Faults()
        self.links: set[Link] = set()
        self._host = host
        self._upstream = upstream
        self._counter = counter
        self._listener = listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._retry_at: float | None = None
        self._selector = Selector()
        self._masks: dict[socket.socket | Bell, int] = {}
        self._times: dict[Link, float] = {}
        self._bell = Bell()
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[[], None], concurrent.futures.Future[None]]] = deque()
        self._closing = self._closed = False
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], None]) -> None:
        """Runs `function` in the relay's thread, and returns when everything obeys it.

        Connections that wait to be accepted are accepted before, and what was sent is passed on.
        Does nothing when it is closed.
        """
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        with self._lock:
            if self._closed:
                return
            self._calls.append((function, done))
        self._bell.ring()
        done.result()

    def close(self) -> None:
        """Ends every connection; returns when the port is free and the thread has ended."""
        self._closing = True
        self._bell.ring()
        self._thread.join()

    # In the relay's thread.

    def pipes(self, directions: Collection[Direction]) -> Iterator[Pipe]:
        """Those of the open connections."""
        return (pipe for link in self.links for pipe in link.pipes if pipe.direction in directions)

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
        for pipe in self.pipes(("up", "down")):
            pipe.cut = None
        if self._refusing:
            self._listener.listen(BACKLOG)
            self._refusing = False

    def _run(self) -> None:
        try:
            self._watch(self._bell, selectors.EVENT_READ, None)
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
        self._bell.arm()
        # What was sent before a call is passed on before it: only calls that are there by now.
        calls = len(self._calls)
        found = self._selector.select(0.0 if calls or self._closing else self._patience(now))
        self._bell.disarm()
        now = time.monotonic()
        touched = {link for link, due in self._times.items() if due <= now}
        for key, events in found:
            if isinstance(key.data, Link):
                key.data.ready(key.fileobj, events, now)
                touched.add(key.data)
            elif key.fileobj is self._bell:
                self._bell.silence()
            else:
                self._accept(now)
        for link in touched:
            self._settle(link, now)
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
        for link in tuple(self.links):
            self._settle(link, now)
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
            self._counter.opened()
            link = Link(client, self.faults, self._counter.passed)
            self.links.add(link)
            self._settle(link, now)

    def _settle(self, link: Link, now: float) -> None:
        link.settle(now)
        if link.server is None and not (link.over or link.closing or self.faults.cut_off):
            link.connect(self._upstream)
        if link.over:
            self._drop(link)
            return
        for sock, mask in link.interests(now):
            self._watch(sock, mask, link)
        if (at := link.next_at(now)) is not None:
            self._times[link] = at
        else:
            self._times.pop(link, None)

    def _drop(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
            self._times.pop(link, None)
            for sock in (link.client, link.server):
                if sock is not None:
                    self._watch(sock, 0, None)
            link.close()
            self._counter.closed()

    def _watch(self, sock: socket.socket | Bell, mask: int, link: Link | None) -> None:
        before = self._masks.get(sock, 0)
        if mask == before:
            return
        if not mask:
            self._selector.unregister(sock)
            del self._masks[sock]
            return
        # A selector takes no empty mask; and of what it does not know it cannot tell a hang-up.
        change = self._selector.modify if before else self._selector.register
        change(sock, mask, link)
        self._masks[sock] = mask

    def _free(self) -> None:
        for link in tuple(self.links):
            self._drop(link)
        self._selector.close()
        self._listener.close()
        with self._lock:
            self._closed = True
        self._bell.close()
        for _, done in self._calls:
            done.set_result(None)
