"""The end of a plain thread's socket, and of all that descends from it."""

from __future__ import annotations

import time
from typing import Any

import pykka

from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.selector_inbox import SelectorInbox
from slipstream_actor.configuration.arguments import require_seconds
from slipstream_actor.errors import AwaitTimeoutError
from slipstream_actor.socket.connecting import ask_to_close
from slipstream_actor.socket.errors import NotOwnerError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.state import SocketState

__all__ = ["close", "leave_block", "require_plain_thread"]


def require_plain_thread(socket: SocketState, method: str) -> None:
    """Raise `NotOwnerError` for a client's socket, and in a thread that does not own this one."""
    require_owner(socket, method)
    if not isinstance(socket.socket_pid, ThreadRef):
        raise NotOwnerError(
            f"{method}: is for plain threads, and waits; in a callback return socket.disconnect()"
        )


def close(socket: SocketState, timeout: float | None) -> None:
    """See `Socket.close`."""
    require_plain_thread(socket, "close")
    require_seconds("timeout", timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    connections = socket._lineage.end() if socket._lineage is not None else []
    for connection in connections:
        ask_to_close(connection)
    for connection in connections:
        wait_for_end(connection, deadline, timeout)
        socket.socket_pid.actor_inbox.discard(connection)


def wait_for_end(connection: Any, deadline: float | None, timeout: float | None) -> None:
    """Wait until a connection has ended; each of its steps has a deadline of its own.

    A callable of the user's has none: without a `deadline` it is left to itself, and its connection
    ends when it returns.
    """
    if deadline is None and is_held_up(connection.actor_inbox):
        return
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    try:
        connection.actor_inbox.ended.get(timeout=left)
    except pykka.Timeout:
        raise AwaitTimeoutError(f"the end of {connection}", timeout) from None


def is_held_up(inbox: SelectorInbox) -> bool:
    """Wait as long as a close takes while a callable of the user's runs; whether it still does."""
    seconds = inbox.evaluates_for
    if seconds is None or inbox.ended.wait(seconds):
        return False
    return inbox.evaluates_for is not None


def leave_block(socket: SocketState, error: BaseException | None) -> None:
    """Close at the end of a block; what the block has raised is never replaced."""
    try:
        close(socket, None)
    except Exception:
        if error is None:
            raise
