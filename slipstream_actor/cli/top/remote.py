"""The processes that a mounted dashboard tells of, over HTTP: asked in a thread of its own."""

from __future__ import annotations

import base64
import http.client
import os
import queue
import selectors
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.output import plain
from slipstream_actor.cli.top.reports import Process, dashboard_from

__all__ = ["Address", "RemoteProcesses", "address_of", "fetch", "is_address"]

ROUTE = "report.json"
SCHEMES = ("http", "https")
# Bytes of an answer, and seconds for one.
LONGEST, PATIENCE = 256 << 20, 10.0
MOMENT = 0.2
# Seconds that a process is shown for that is not told of any more: behind a web server with several
# workers each request comes to another one.
REMEMBERED = 30.0
REFUSED = (401, 403)


class Address(NamedTuple):
    """Where a dashboard is, and what it is to be told to let us in."""

    scheme: str
    host: str
    port: int | None
    path: str
    headers: dict[str, str]
    context: ssl.SSLContext | None = None

    @property
    def where(self) -> str:
        """The address without what may be a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{plain(host)}{port}"

    def connection(self, patience: float) -> http.client.HTTPConnection:
        """Return a connection that is not open yet. Raises `InvalidURL`."""
        # Without a port the end of an IPv6 address would be taken for one.
        if self.scheme == "https":
            port = http.client.HTTPS_PORT if self.port is None else self.port
            return http.client.HTTPSConnection(
                self.host, port, timeout=patience, context=self.context
            )
        port = http.client.HTTP_PORT if self.port is None else self.port
        return http.client.HTTPConnection(self.host, port, timeout=patience)


def is_address(text: str) -> bool:
    """Whether it is a URL of a dashboard, and no path."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def address_of(
    url: str, headers: Sequence[tuple[str, str]], context: ssl.SSLContext | None
) -> Address:
    """Return what a URL says; it is that of the page, or of its `report.json`. Raises `Failure`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Failure(Exit.USAGE, "the URL is none") from None
    if not parts.hostname:
        raise Failure(Exit.USAGE, "the URL names no host")
    path = parts.path or "/"
    if not path.endswith(".json"):
        path = f"{path.rstrip('/')}/{ROUTE}"
    if parts.query:
        path += f"?{parts.query}"
    named = {"Accept": "application/json", **credentials(parts), **dict(headers)}
    if any("\r" in value or "\n" in value for pair in named.items() for value in pair):
        raise Failure(Exit.USAGE, "--header has a line's end in it")
    address = Address(parts.scheme.lower(), parts.hostname, port, path, named, context)
    try:
        address.connection(PATIENCE)
    except http.client.InvalidURL:
        raise Failure(Exit.USAGE, "the URL's host is none") from None
    return address


def credentials(parts: SplitResult) -> dict[str, str]:
    """Return the header for a URL's user and password."""
    if parts.username is None:
        return {}
    both = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(both.encode()).decode()}"}


def fetch(address: Address, patience: float = PATIENCE) -> list[Process]:
    """Return the processes that the dashboard tells of. Raises `Failure`; follows no redirection:
    what lets us in is for this address alone."""
    connection = address.connection(patience)
    where = address.where
    try:
        connection.request("GET", address.path, headers=address.headers)
        with connection.getresponse() as answer:
            status = answer.status
            body = answer.read(LONGEST) if status == 200 else b""
    except socket.gaierror as error:
        raise Failure(Exit.RESOLVE, f"{where}: {error.strerror}") from None
    except ssl.SSLError as error:
        raise Failure(Exit.TLS, f"{where}: {error.reason or 'TLS failed'}") from None
    except TimeoutError:
        raise Failure(Exit.NO_REPLY, f"{where}: no answer in {patience:g} s") from None
    except OSError as error:
        raise Failure(Exit.CONNECT, f"{where}: {error.strerror or error}") from None
    except (http.client.HTTPException, UnicodeError, ValueError) as error:
        raise Failure(Exit.OTHER, f"{where}: no HTTP: {type(error).__name__}") from None
    finally:
        connection.close()
    return understood(where, status, body)


def understood(where: str, status: int, body: bytes) -> list[Process]:
    """Return the processes that an answer tells of. Raises `Failure`."""
    if status in REFUSED:
        hint = "--token or --header, or a user and a password in the URL, may let you in"
        raise Failure(Exit.OTHER, f"{where}: refused with {status}; {hint}")
    if status != 200:
        raise Failure(Exit.OTHER, f"{where}: answered with {status}: is the dashboard there?")
    try:
        return dashboard_from(body)
    except ValueError:
        raise Failure(Exit.OTHER, f"{where}: this is no dashboard's {ROUTE}") from None


Told = list[Process] | Failure


class RemoteProcesses:
    """The processes that a dashboard tells of; of one that is not told of any more, as it was."""

    def __init__(self, address: Address, selector: selectors.BaseSelector, interval: float) -> None:
        self.where: str = address.where
        self._address = address
        self._interval = interval
        # Of each process when it was told of last.
        self._known: dict[str, tuple[float, Process]] = {}
        self._answers = 0
        self._trouble: Failure | None = None
        self._failed_at: float | None = None
        self._told: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._over = threading.Event()
        self._reading, self._writing = os.pipe()
        self._selector = selector
        selector.register(self._reading, selectors.EVENT_READ, self)
        self._thread = threading.Thread(target=self._run, name="slipstream-top", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # Nobody reads any more, once this has been closed.
        with suppress(BrokenPipeError), open(self._writing, "wb", buffering=0) as told:
            while not self._over.is_set():
                self._told.put(self._ask())
                told.write(b".")
                self._over.wait(self._interval)

    def _ask(self) -> Told:
        try:
            return fetch(self._address)
        except Failure as failure:
            return failure
        except Exception as error:  # Whoever waits for an answer would wait for ever.
            return Failure(Exit.OTHER, f"{self.where}: not asked: {type(error).__name__}")

    def turn(self, now: float) -> None:
        """Nothing: the thread asks."""

    def take(self, ready: object, now: float) -> bool:
        """Take in what was told. Raises `Failure` when the dashboard has never answered."""
        if ready is not self:
            return False
        os.read(self._reading, 1)
        told = self._told.get()
        if isinstance(told, Failure):
            if not self._answers:
                raise told
            self._trouble = told
            self._failed_at = now if self._failed_at is None else self._failed_at
            return True
        self._answers += 1
        self._trouble = self._failed_at = None
        self._known.update({process.key: (now, process) for process in told})
        return True

    def processes(self, now: float) -> list[Process]:
        """Return what is known of each, and for how long nothing was told of it."""
        self._known = {
            key: known
            for key, known in self._known.items()
            if self._failed_at is not None or now - known[0] < REMEMBERED
        }
        return [self._as_known(process, now) for _, process in self._known.values()]

    def _as_known(self, process: Process, now: float) -> Process:
        if self._failed_at is None or self._trouble is None:
            return process
        silent = max(now - self._failed_at, process.silent_for or 0.0)
        return Process(process.key, process.pid, process.report, silent, self._trouble.text)

    def answered(self, times: int) -> bool:
        """Whether it has answered so often."""
        return self._answers >= times

    def check(self) -> None:
        """Raise `Failure` when it has not answered."""
        if not self._answers:
            raise Failure(Exit.NO_REPLY, f"{self.where}: no answer in time")

    def close(self) -> None:
        """Ask no more; what is asked now is not waited for, but for a moment."""
        self._over.set()
        self._thread.join(MOMENT)
        self._selector.unregister(self._reading)
        os.close(self._reading)
