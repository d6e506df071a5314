"""The page alone, on loopback: for whoever has its address, which holds a secret."""

from __future__ import annotations

import hmac
import os
import secrets
import socketserver
import sys
import threading
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.util import shift_path_info

from slipstream_actor.actors.forks import close_in_child
from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.dashboard.application import Dashboard
from slipstream_actor.dashboard.guard import Environ
from slipstream_actor.dashboard.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse

__all__ = ["LocalServer", "serve"]

logger: Logger = get_logger("slipstream_actor.dashboard")

LOOPBACK = "127.0.0.1"
BYTES = 16
# Seconds for a request to be read.
PATIENCE = 30.0


class Handler(WSGIRequestHandler):
    """Says nothing on standard error; the address has a secret in it."""

    timeout: ClassVar[float | None] = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind, and ask no name server what this host is called."""
        socketserver.TCPServer.server_bind(self)
        close_in_child(self.socket)
        self.server_name: str = LOOPBACK
        self.server_port: int = self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A request that has broken off is nobody's business."""
        logger.debug("a request has failed", exc_info=sys.exc_info())


class LocalServer:
    """What `serve` returns: it serves in threads until `close`, or the end of its `with` block."""

    def __init__(self, port: int, processes: Processes, *, allow_control: bool) -> None:
        self._token = secrets.token_urlsafe(BYTES)
        self._dashboard = Dashboard(
            lambda _: True, allow_control=allow_control, events=True, processes=processes
        )
        self._server = ThreadingServer((LOOPBACK, port), Handler)
        self._server.set_app(self._application)
        self.port: int = self._server.server_port
        self.url: str = f"http://{LOOPBACK}:{self.port}/{self._token}/"
        names = (LOOPBACK, "localhost")
        # A name of somebody else's that leads here is not one of them: DNS rebinding.
        self._hosts = {f"{name}:{self.port}" for name in names} | (
            set(names) if self.port == 80 else set()
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="slipstream_actor dashboard", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Serve no more. Idempotent."""
        if self._thread.is_alive():  # In a forked child nobody is there to be waited for.
            self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _application(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        given = shift_path_info(environ) or ""
        is_known = hmac.compare_digest(given.encode(), self._token.encode())
        if is_known and environ.get("HTTP_HOST") in self._hosts:
            return self._dashboard(environ, start_response)
        start_response(f"{HTTPStatus.FORBIDDEN.value} Forbidden", [("Content-Type", "text/plain")])
        return [b"Forbidden\n"]


def serve(
    port: int = 0,
    *,
    directory: str | None = None,
    here: bool = False,
    allow_control: bool = False,
) -> LocalServer:
    """Serve the page on loopback, to whoever has its address; return the server, with its `url`.

    It shows the processes that serve themselves in `directory`, by default that of
    `SLIPSTREAM_DEBUG_DIR`, and this one if it is to be `here`. Port 0 is a free one. Raises
    `OSError` where the port is taken, and for a `directory` that is none or cannot be read.
    """
    if directory:
        os.scandir(directory).close()
    return LocalServer(port, Processes(directory, here=here), allow_control=allow_control)
