"""A client whose token expires: a new one is fetched when the server refuses the old one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from slipstream_actor import ClientActor, ConnectFailed, Socket, Stop, connect

TOPIC = "accounts:mine"
PATIENCE = 3
"""How many tokens may be refused in a row."""


class Token:
    """A token, fetched when it is needed and kept until it is refused.

    The connection's thread calls it, at each attempt; the client's thread discards it.
    """

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._kept: str | None = None

    def __call__(self) -> str:
        """Return the token; what `fetch` raises makes the attempt to connect fail."""
        with self._lock:
            if self._kept is None:
                self._kept = self._fetch()
            return self._kept

    def discard(self) -> None:
        """Have the next attempt fetch another one."""
        with self._lock:
            self._kept = None


class Account(ClientActor, restart="transient"):
    """Stays connected for longer than its token lives."""

    def init(self, uri: str, fetch: Callable[[], str], **options: Any) -> Socket:
        """Give `connect` the callable, not the token: it is evaluated at each attempt."""
        self.token = Token(fetch)
        return connect(uri, auth_token=self.token, **options).assign(refused=0)

    def handle_connect(self, socket: Socket) -> Socket:
        """The token was good."""
        return socket.assign(refused=0).join(TOPIC)

    def handle_disconnect(self, reason: Any, socket: Socket) -> Any:
        """Refused: discard the token and come back with another one, but not for ever."""
        match reason:
            case ConnectFailed(kind="upgrade", status=401 | 403):
                self.token.discard()
                refused = socket.assigns["refused"] + 1
                if refused == PATIENCE:
                    return Stop(("shutdown", "unauthorized"))
                socket = socket.assign(refused=refused)
        return super().handle_disconnect(reason, socket)
