"""Who may wait for a socket's events: the actor or thread that made it."""

from __future__ import annotations

from slipstream_actor.actors.forks import require_here
from slipstream_actor.actors.process import current
from slipstream_actor.socket.errors import NotOwnerError
from slipstream_actor.socket.state import SocketState

__all__ = ["require_owner"]


def require_owner(socket: SocketState, method: str) -> None:
    """Raise `NotOwnerError` in a thread that events of `socket` cannot reach."""
    require_here(socket.socket_pid)
    here = current()
    if here is not socket.socket_pid:
        raise NotOwnerError(
            f"{method}: the socket belongs to {socket.socket_pid!r} and its events go there;"
            f" this is {here!r}"
        )
