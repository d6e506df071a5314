"""The listening socket and its thread."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

from slipstream_actor.testing.server.wakeup import Selector, Waker

BACKLOG = 512
RETRY = 0.1
HIGHEST_PORT = 65_535


class Listener:
    """Accepts connections in a thread of its own and gives each to `accepted(sock, address)`."""

    def __init__(
        self, host: str, port: int, accepted: Callable[[socket.socket, tuple[Any, ...]], None]
    ) -> None:
        self._socket = listen(host, port)
        self._accepted = accepted
        self._waker = Waker()
        self._closing = False
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="phoenix-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening; returns when the port is free and the thread has ended."""
        self._closing = True
        self._waker.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        with Selector() as selector, self._socket:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while True:
                self._waker.arm()
                if self._closing:
                    break
                selector.select()
                self._waker.disarm()
                self._accept(selector)
        self._waker.close()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            sock, address = self._socket.accept()
        except BlockingIOError:
            return
        except ConnectionError:
            # The client was gone before it was accepted.
            return
        except OSError:
            # No descriptors left: the socket stays readable, and trying again at once would only
            # burn the processor.
            selector.unregister(self._socket)
            selector.select(RETRY)
            selector.register(self._socket, selectors.EVENT_READ)
            return
        self._accepted(sock, address)


def listen(host: str, port: int) -> socket.socket:
    """Returns a non-blocking socket that listens. Raises what `bind` does."""
    sock = bind(host, port)
    try:
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def bind(host: str, port: int) -> socket.socket:
    """Returns a non-blocking socket that holds the port, and refuses.

    Raises `OSError`, whose `filename` is the address, so that its text has it, `ValueError` for a
    port that there is not, and `TypeError` for a host that is no text.
    """
    if not isinstance(host, str):
        raise TypeError(f"host must be a str, not {host!r}")
    if not 0 <= int(port) <= HIGHEST_PORT:  # The system would take another.
        raise ValueError(f"port must be from 0 to {HIGHEST_PORT}, not {port}")
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, error.strerror, where) from None
    except UnicodeError as error:  # No name of a host.
        raise socket.gaierror(socket.EAI_NONAME, str(error), where) from None
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            # Elsewhere the option means that two servers may share the port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, where) from None
    except BaseException:
        with contextlib.suppress(OSError):
            sock.close()
        raise
    return sock
