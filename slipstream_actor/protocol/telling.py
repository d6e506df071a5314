"""Reasons in words that say nothing of what a message held: for logs, errors and the `repr` of a
socket."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from slipstream_actor.errors import shown
from slipstream_actor.protocol.hints import hint
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    ConnectionCrashed,
    Disconnected,
    JoinRefused,
)

__all__ = ["described", "told", "told_response"]

MOST_FIELDS = 10


def told(reason: Any) -> str:
    """Return a reason as its `repr`, without the server's payloads: see `told_response`."""
    kind = type(reason)
    if kind in (Disconnected, ChannelEnded):
        return f"{kind.__name__}({told(reason.reason)})"
    if kind is JoinRefused:
        return f"JoinRefused({told_response(reason.response)})"
    if kind is ChannelCrashed:
        return f"ChannelCrashed({told_response(reason.payload)})"
    if kind is ConnectionCrashed:  # Its text may be a serializer's, of a message.
        return f"ConnectionCrashed({type(reason.error).__name__})"
    return shown(reason)


def described(reason: Any, path: str | None = None) -> str:
    """Return a reason as `told` has it, with its hint if there is one; `path` is the URI's."""
    known = hint(reason, path)
    return told(reason) if known is None else f"{told(reason)} ({known})"


def told_response(response: Any) -> str:
    """Return the `reason` of a response if it is a text, within bounds, else the names of its
    fields."""
    if not isinstance(response, Mapping):
        return "" if response is None else f"a {type(response).__name__}"
    reason = response.get("reason")
    if isinstance(reason, str):
        return f"reason={shown(reason)}"
    names = [shown(name) for name in itertools.islice(response, MOST_FIELDS)]
    if not names:
        return ""
    more = ", …" if len(response) > MOST_FIELDS else ""
    return f"fields {', '.join(names)}{more}"
