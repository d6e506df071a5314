"""What integrations ask of the handles that they are given: at the call, and not at the first
request."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from pykka import ActorProxy, ActorRef

from slipstream_actor.configuration.arguments import kind_given
from slipstream_actor.supervision.handle import ClientHandle

__all__ = ["require_client", "require_handles", "require_named_handles"]


def require_handles(function: str, *handles: Any) -> None:
    """Raise `TypeError` unless each is a `ClientHandle`."""
    for handle in handles:
        if not isinstance(handle, ClientHandle):
            raise TypeError(f"{function} takes handles, not {kind_given(handle)}")


def require_named_handles(function: str, handles: Any) -> None:
    """Raise `TypeError` unless it is a mapping to handles."""
    if not isinstance(handles, Mapping):
        wrong = kind_given(handles)
        raise TypeError(f"{function} takes a mapping of names to handles, not {wrong}")
    require_handles(function, *handles.values())


def require_client(function: str, client: Any) -> None:
    """Raise `TypeError` unless it is a handle, or else a ref or a name."""
    if isinstance(client, (ActorRef, ActorProxy)):
        return
    if client is None or isinstance(client, type) or not isinstance(client, Hashable):
        require_handles(function, client)
