"""The processes behind local sockets: each is asked over a connection of its own, and none waits
for another one."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import struct

from slipstream_actor.cli.exits import Exit, Failure
from slipstream_actor.cli.output import plain
from slipstream_actor.cli.top.reports import Process, Report, report_from
from slipstream_actor.debug.sockets import sockets_in

__all__ = ["LocalProcesses", "is_directory"]

REQUEST = b'{"request": "report"}\n'
# Bytes of an answer, and of one read.
LONGEST, READ = 256 << 20, 1 << 18
# Seconds in which an answer is not late.
SOON = 1.0


class Gone(Exception):
    """Nobody listens there: the process has ended."""


class Talk:
    """What one process is asked, again and again; nothing more until it has answered."""

    def __init__(self, path: str, selector: selectors.BaseSelector) -> None:
        self.path: str = path
        self.answers: int = 0
        self.report: Report | None = None
        self.trouble: str | None = None
        self.pid: int | None = None
        # When it was asked what it has not answered, and when it is to be asked again.
        self.asked_at: float | None = None
        self.due: float = float("-inf")
        self._selector = selector
        self._sock: socket.socket | None = None
        self._came = bytearray()

    def ask(self, now: float, interval: float) -> None:
        """Ask, if it is time. Raises `Gone`."""
        if now < self.due or (self._sock is not None and self.asked_at is not None):
            return
        self.due = now + interval
        if self.asked_at is None:
            self.asked_at = now
        try:
            sock = self._sock or self._connect()
            # An empty buffer takes it as a whole.
            sock.send(REQUEST)
        except (FileNotFoundError, ConnectionRefusedError):
            self.close()
            raise Gone from None
        except BlockingIOError:  # As many wait for it already as may.
            self._hang_up()
        except OSError as error:
            self._hang_up()
            self.trouble = error.strerror or str(error)
        else:
            self.trouble = None

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock, self._came = sock, bytearray()
        sock.setblocking(False)
        sock.connect(self.path)
        self.pid = peer_of(sock)
        self._selector.register(sock, selectors.EVENT_READ, self)
        return sock

    def read(self, now: float, interval: float) -> None:
        """Take in what has come of an answer."""
        assert self._sock is not None
        try:
            data = self._sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._came += data
        if not data or len(self._came) > LONGEST:
            # It has ended, or serves too many already: that is seen when it is asked again.
            self._hang_up()
            return
        line, end, rest = self._came.partition(b"\n")
        if not end:
            return
        self._came, self.asked_at, self.due = rest, None, now + interval
        self.answers += 1
        try:
            self.report = report_from(bytes(line))
        except ValueError:
            self.report, self.trouble = None, "answers with no report"

    def process(self, now: float) -> Process:
        """Return what is known."""
        late = None if self.asked_at is None else now - self.asked_at
        silent = late if late is not None and late >= SOON else None
        pid = self.pid if self.report is None else self.report.pid
        return Process(self.path, pid, self.report, silent, self.trouble)

    def _hang_up(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
            sock.close()

    def close(self) -> None:
        """Ask nothing more."""
        self._hang_up()


class LocalProcesses:
    """The processes that serve themselves in a directory, or the one behind a socket."""

    def __init__(self, path: str, selector: selectors.BaseSelector, interval: float) -> None:
        self.where: str = plain(path)
        self._path = path
        self._selector = selector
        self._interval = interval
        self._talks: dict[str, Talk] = {}
        self._looked_at = float("-inf")
        self._is_directory = is_directory(path)

    def turn(self, now: float) -> None:
        """Ask whoever is to be asked. Raises `Failure` when the one that was named is gone."""
        if now >= self._looked_at + self._interval:
            self._looked_at = now
            self._look()
        for path, talk in list(self._talks.items()):
            try:
                talk.ask(now, self._interval)
            except Gone:
                del self._talks[path]
                if not self._is_directory:
                    raise Failure(Exit.CONNECT, f"{path}: nobody listens there") from None

    def _look(self) -> None:
        paths = set(sockets_in(self._path)) if self._is_directory else {self._path}
        for path in self._talks.keys() - paths:
            self._talks.pop(path).close()
        for path in sorted(paths - self._talks.keys()):
            self._talks[path] = Talk(path, self._selector)

    def take(self, ready: object, now: float) -> bool:
        """Take in what has come, if it is of one of these."""
        if not isinstance(ready, Talk):
            return False
        ready.read(now, self._interval)
        return True

    def processes(self, now: float) -> list[Process]:
        """Return what is known of each."""
        return [talk.process(now) for talk in self._talks.values()]

    def answered(self, times: int) -> bool:
        """Whether each has answered so often."""
        return all(talk.answers >= times for talk in self._talks.values())

    def check(self) -> None:
        """Raise `Failure` when the one that was named has not answered."""
        if self._is_directory:
            return
        for talk in self._talks.values():
            if not talk.answers:
                text = talk.trouble or "no answer in time"
                raise Failure(Exit.NO_REPLY, f"{talk.path}: {text}")

    def close(self) -> None:
        """Ask nobody any more."""
        for talk in self._talks.values():
            talk.close()


def is_directory(path: str) -> bool:
    """Whether it is a directory, and no socket. Raises `Failure` where it is neither."""
    if not hasattr(socket, "AF_UNIX"):
        raise Failure(Exit.USAGE, "there are no local sockets on this system: name a URL")
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
            return True
    except OSError as error:
        raise Failure(Exit.USAGE, f"{path}: {error.strerror}") from None
    if not stat.S_ISSOCK(mode):
        raise Failure(Exit.USAGE, f"{path}: neither a directory nor a local socket")
    return False


def peer_of(sock: socket.socket) -> int | None:
    """Return the process that listens at the other end, where the system tells (Linux)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
    except OSError:
        return None
    pid: int = struct.unpack("3i", credentials)[0]
    return pid or None
