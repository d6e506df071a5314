"""How an attempt to connect waits: in the mailbox, with one deadline; a close or a stop ends it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from slipstream_actor.actors.envelopes import TAKE
from slipstream_actor.actors.selector_inbox import SelectorInbox, SocketReady, WaitFailed
from slipstream_actor.protocol.commands import CloseConnection
from slipstream_actor.protocol.reasons import ConnectFailed, ConnectFailedKind

__all__ = [
    "AttemptFailed",
    "Cancelled",
    "DeadlineWaiter",
    "InboxWaiter",
    "Route",
    "Waiter",
    "start_thread",
    "text",
]

T = TypeVar("T")
# Where an error of TLS was raised, which says nothing to anybody.
IN_PYTHONS_SOURCE = re.compile(r" \(_ssl\.c:\d+\)")


class AttemptFailed(Exception):
    """An attempt to connect has failed, for `reason`."""

    def __init__(self, kind: ConnectFailedKind, detail: str, **answer: Any) -> None:
        super().__init__(detail)
        self.reason: ConnectFailed = ConnectFailed(kind, detail, **answer)


class Cancelled(Exception):
    """`CloseConnection` came while connecting."""


class Route(NamedTuple):
    """The address that an attempt goes to; `host` is what it is an address of."""

    host: str
    port: int
    address: tuple[Any, ...]


class Waiter(Protocol):
    """How to wait during an attempt. Raises `AttemptFailed("timeout", …)` at its deadline.

    `route` is the address that has answered the attempt, once one has.
    """

    route: Route | None

    def left(self, phase: str) -> float:
        """Return the seconds until the deadline."""

    def ready(
        self,
        sock: socket.socket,
        phase: str,
        *,
        read: bool = False,
        write: bool = False,
        at_most: float | None = None,
    ) -> bool:
        """Wait for `sock`; `False` when `at_most` seconds passed first."""

    def any_writable(
        self, socks: Sequence[socket.socket], phase: str, at_most: float | None = None
    ) -> bool:
        """Wait for any of `socks`; `False` when `at_most` seconds passed first."""

    def elsewhere(self, phase: str, function: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Run what cannot be done without blocking in a thread, and wait for its result."""


class ThreadJob:
    """A function that runs in a thread of its own; its result comes as this very message."""

    def __init__(
        self, inbox: SelectorInbox, function: Callable[[], Any], discard: Callable[[Any], object]
    ) -> None:
        self._inbox = inbox
        self._function = function
        self._discard = discard
        # Of the library's own threads alone: no signal handler, and no garbage, comes here.
        self._lock = threading.Lock()
        self._abandoned = False
        self.value: Any = None
        self.error: Exception | None = None
        start_thread(self._run)

    def _run(self) -> None:
        try:
            value = self._function()
        except Exception as error:
            self.error = error
        else:
            with self._lock:
                self.value = value
                if self._abandoned:
                    self._discard(value)
        self._inbox.tell(self)

    def abandon(self) -> None:
        """Nobody waits any more: what has come, or comes yet, is discarded."""
        with self._lock:
            self._abandoned = True
            if self.value is not None:
                self._discard(self.value)


class DeadlineWaiter:
    """A `Waiter` with one deadline for all that it waits for; how, `_ready` says."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self.route: Route | None = None

    def left(self, phase: str) -> float:
        """Return the seconds until the deadline; `AttemptFailed` when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise AttemptFailed("timeout", f"{phase} took more than {self._seconds:g} s")
        return left

    def ready(
        self,
        sock: socket.socket,
        phase: str,
        *,
        read: bool = False,
        write: bool = False,
        at_most: float | None = None,
    ) -> bool:
        """Wait for `sock`; `False` when `at_most` seconds passed first."""
        return self._ready((sock,), phase, at_most, read=read, write=write)

    def any_writable(
        self, socks: Sequence[socket.socket], phase: str, at_most: float | None = None
    ) -> bool:
        """Wait for any of `socks`; `False` when `at_most` seconds passed first."""
        return self._ready(socks, phase, at_most, read=False, write=True)

    def _ready(
        self,
        socks: Sequence[socket.socket],
        phase: str,
        at_most: float | None,
        *,
        read: bool,
        write: bool,
    ) -> bool:
        """Wait for any of `socks`; `False` when `at_most` seconds passed first."""
        raise NotImplementedError


class InboxWaiter(DeadlineWaiter):
    """Waits in the mailbox while connecting, until one deadline; a close or a stop ends it.

    `meanwhile` are the messages that are handled in between, by type.
    """

    def __init__(
        self,
        inbox: SelectorInbox,
        seconds: float,
        meanwhile: Mapping[type, Callable[[Any], None]] | None = None,
    ) -> None:
        super().__init__(seconds)
        self._inbox = inbox
        self._meanwhile = meanwhile or {}

    def _ready(
        self,
        socks: Sequence[socket.socket],
        phase: str,
        at_most: float | None,
        *,
        read: bool,
        write: bool,
    ) -> bool:
        left = self.left(phase)
        self._inbox.attach(*socks)
        self._inbox.watch(read=read, write=write)
        try:
            self._receive(SocketReady, left if at_most is None else min(left, at_most))
        except TimeoutError:
            self.left(phase)
            return False
        finally:
            self._inbox.detach()
        return True

    def elsewhere(self, phase: str, function: Callable[[], T], discard: Callable[[T], object]) -> T:
        """Run `function` in a thread and return its result; abandon it at the deadline."""
        left = self.left(phase)
        job = ThreadJob(self._inbox, function, discard)
        try:
            self._receive(ThreadJob, left)
        except BaseException as error:
            job.abandon()
            if isinstance(error, TimeoutError):
                self.left(phase)
            raise
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    def _receive(self, kind: type, timeout: float) -> None:
        def match(message: Any, _: Any) -> int:
            wanted = type(message) in (kind, CloseConnection, WaitFailed, *self._meanwhile)
            return TAKE if wanted else 0

        until = time.monotonic() + timeout
        while True:
            message = self._inbox.receive(match, max(0.0, until - time.monotonic()))
            if type(message) is CloseConnection:
                raise Cancelled
            if type(message) is WaitFailed:
                raise AttemptFailed("io", f"cannot wait: {message.error.strerror}")
            if type(message) is kind:
                return
            self._meanwhile[type(message)](message)
            if time.monotonic() >= until:
                # However many of those come.
                raise TimeoutError


def start_thread(function: Callable[[], object]) -> None:
    """Run in a thread what cannot be done without blocking; `AttemptFailed` where there is none."""
    try:
        threading.Thread(target=function, name="slipstream-lookup", daemon=True).start()
    except RuntimeError as error:  # The system has no more threads.
        raise AttemptFailed("io", str(error)) from error


def text(error: Exception) -> str:
    """Return what an error says, without its number and its place."""
    # One of `ssl` that OpenSSL has not raised shows its arguments as a tuple.
    said = str(error) if len(error.args) > 1 else "".join(map(str, error.args))
    told = getattr(error, "strerror", None) or said or type(error).__name__
    return IN_PYTHONS_SOURCE.sub("", told)
