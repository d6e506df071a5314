"""How a test names a client, and what a failure calls it."""

from __future__ import annotations

from typing import Any

from pykka import ActorDeadError

from slipstream_actor.actors.names import name_of, resolve
from slipstream_actor.socket.socket import Socket

__all__ = ["living", "reference", "title"]


def reference(client: Any) -> Any:
    """Return the reference of a client; `ActorDeadError` for a name that nobody has."""
    return client.socket_pid if isinstance(client, Socket) else resolve(client)


def title(ref: Any) -> str:
    """Return what a failure calls a client: its class, its name if it has one, and its URN."""
    name = name_of(ref)
    if name is None:
        return str(ref)
    return f"{ref.actor_class.__name__} {name!r} ({ref.actor_urn})"


def living(client: Any) -> Any:
    """Return the reference of a living client; raise `ActorDeadError` for any other.

    One that runs `terminate` may still await: Pykka has it for dead, a test has not.
    """
    ref = reference(client)
    inbox = ref.actor_inbox
    if not ref.is_alive() and (inbox.ended.done or not inbox.ending):
        raise ActorDeadError(f"{ref} is not alive")
    return ref
