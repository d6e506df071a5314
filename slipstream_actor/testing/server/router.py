"""Which channel a topic belongs to, as `channel "rooms:*", RoomChannel` says in Phoenix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipstream_actor.testing.server.channel import Channel

Channels = Mapping[str, type[Channel] | None]
"""Topic patterns and the classes of their channels; None where there is nobody."""


class Router:
    """Topic patterns: an exact one wins over a wildcard, a longer wildcard over a shorter one."""

    def __init__(self, channels: Channels) -> None:
        if any("*" in pattern[:-1] for pattern in channels):
            raise ValueError("a * stands at the end of a topic pattern and nowhere else")
        self._exact = {p: c for p, c in channels.items() if not p.endswith("*")}
        wildcards = [(p[:-1], c) for p, c in channels.items() if p.endswith("*")]
        self._wildcards = sorted(wildcards, key=lambda entry: -len(entry[0]))

    def match(self, topic: Any) -> type[Channel] | None:
        """The channel class for `topic`, None when there is none; a topic may be any JSON value."""
        if not isinstance(topic, str):
            return None
        if topic in self._exact:
            return self._exact[topic]
        matches = (c for prefix, c in self._wildcards if topic.startswith(prefix))
        return next(matches, None)
