"""How a test names a client, and what a failure calls it."""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.forks import ended_error
from slipstream_actor.actors.names import resolve
from slipstream_actor.socket.socket import Socket

__all__ = ["living", "reference", "title"]


def reference(client: Any) -> Any:
    """Return the reference of a client; `ClientEndedError` for a name that nobody has."""
    return client.socket_pid if isinstance(client, Socket) else resolve(client)


def title(ref: Any) -> str:
    """Return what a failure calls a client: its class, and its name or a number."""
    return str(ref)


def living(client: Any) -> Any:
    """Return the reference of a living client; raise `ClientEndedError` for any other.

    One that runs `terminate` may still await: Pykka has it for dead, a test has not.
    """
    ref = reference(client)
    inbox = ref.actor_inbox
    if not ref.is_alive() and (inbox.ended.done or not inbox.ending):
        raise ended_error(f"{ref} is not alive", inbox)
    return ref
