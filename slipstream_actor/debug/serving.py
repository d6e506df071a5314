"""`serve`: a local socket that tells of this process, to its owner alone."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import socket
import sys
import threading
from types import TracebackType
from typing import Any

from slipstream_actor.actors.forks import (
    close_in_child,
    current_epoch,
    end_if_copied,
    is_forked,
)
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.debug.peer import Peer
from slipstream_actor.debug.sockets import identity, listening, remove

__all__ = ["DebugServer", "serve"]

logger: Logger = get_logger("slipstream_actor.debug")

MOST_PEERS = 16
# Seconds before it is tried again, when the system has no more descriptors or threads.
PAUSE = 0.2


class DebugServer:
    """What `serve` returns: it serves until `close`, the end of its `with` block, or the exit."""

    def __init__(self, path: str, *, allow_control: bool) -> None:
        self.path: str = path
        self.epoch: int = current_epoch()
        self._allow_control = allow_control
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._peers: dict[Peer, threading.Thread] = {}
        self._sock = listening(path)
        self._identity = identity(path)
        self._thread = threading.Thread(
            target=self._accept, name="slipstream_actor debug", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:  # The system has no more threads.
            remove(path, self._identity)
            self._sock.close()
            raise OSError(errno.EAGAIN, str(error), path) from error
        self._finalizer = at_exit(self.close)

    def __enter__(self) -> DebugServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<DebugServer at {self.path}>"

    def close(self) -> None:
        """Serve no more, and remove the socket. Idempotent; of nobody in a fork's child."""
        if is_forked(self):
            return
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
            peers = dict(self._peers)
        atexit.unregister(self.close)
        if self._finalizer is not None:
            self._finalizer.cancel()
        remove(self.path, self._identity)
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # Ends `accept`.
        for peer in peers:
            peer.close()
        for thread in (self._thread, *peers.values()):
            if thread is not threading.current_thread():
                thread.join(timeout=1.0)
        self._sock.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                sock, _ = self._sock.accept()
            except OSError:
                end_if_copied(self)
                self._closed.wait(PAUSE)
                continue
            close_in_child(sock)
            try:
                self._admit(sock)
            except RuntimeError:  # The system has no more threads.
                sock.close()

    def _admit(self, sock: socket.socket) -> None:
        peer = Peer(sock, self._allow_control, self._gone)
        with self._lock:
            if self._closed.is_set() or len(self._peers) >= MOST_PEERS:
                sock.close()
                return
            thread = threading.Thread(
                target=peer.run, name="slipstream_actor debug peer", daemon=True
            )
            thread.start()
            self._peers[peer] = thread

    def _gone(self, peer: Peer) -> None:
        end_if_copied(self)
        with self._lock:
            self._peers.pop(peer, None)


def at_exit(function: Any) -> Any:
    """Have `function` called at the exit; the children of `multiprocessing` leave another way, and
    what is returned is for them."""
    atexit.register(function)
    util: Any = sys.modules.get("multiprocessing.util")
    return None if util is None else util.Finalize(None, function, exitpriority=0)


def serve(path: str | os.PathLike[str], *, allow_control: bool = False) -> DebugServer:
    """Open a local socket at `path` that tells of this process; return what ends it (`close`).

    It is for the owner of the process alone (mode 0600). A request is a line of JSON, and so is an
    answer: `{"request": "report"}` has `{"ok": true, "result": …}`, see `report`;
    `{"request": "trace", "client": …}` has a `{"line": …}` for each message, see `trace`, until
    `"on": false`, or the peer goes; `events` and `messages` have what the dashboard shows. With
    `allow_control` also `disconnect`, `reconnect`, `suspend` and `resume`; without it nothing is
    changed. It ends at the exit, and no fork's child serves it. Raises `OSError`: where somebody
    listens, or the directory is not there, or there are no local sockets.
    """
    return DebugServer(os.path.abspath(os.fspath(path)), allow_control=allow_control)
