"""Where the telemetry of callbacks comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from slipstream_actor.socket.telemetry import CLIENT
from slipstream_actor.telemetry.spans import span

__all__ = ["callback"]


def observed(client: Any, name: str, told_as: str) -> Callable[..., Any]:
    """Return the client's method `name`, telling of each call as that of the callback `told_as`;
    what it raises passes through."""
    function = getattr(client, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        metadata = {
            "client": type(client),
            "callback": name,
            "arguments": arguments,
            "socket": None if name == "init" else arguments[-1],
            "start_time": datetime.now(UTC),
        }
        with span(("slipstream", "client", told_as), metadata) as told:
            result = function(*arguments, **keywords)
            told.metadata["return"] = result
        return result

    return call


def callback(client: Any, name: str, told_as: str | None = None) -> Callable[..., Any]:
    """Return the client's method `name`, observed if somebody wants to be told of it.

    It is `told_as` a callback, which has the same name if it is one.
    """
    told_as = told_as or name
    return observed(client, name, told_as) if told_as in CLIENT else getattr(client, name)
