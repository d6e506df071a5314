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
        require_channels(channels)
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


def require_channels(channels: Any) -> None:
    """Raise `TypeError` for what is no mapping of topic patterns to `Channel` classes."""
    if not isinstance(channels, Mapping):
        example = channels.__name__ if is_channel(channels) else "Room"
        raise TypeError(
            "channels must be a mapping of topic patterns to Channel classes, such as"
            f" {{'rooms:*': {example}}}, not {described(channels)}"
        )
    for pattern, kind in channels.items():
        if not isinstance(pattern, str):
            raise TypeError(f"a topic pattern must be a str, not {described(pattern)}")
        if kind is not None and not is_channel(kind):
            raise TypeError(f"channels[{pattern!r}] must be a Channel class, not {described(kind)}")


def is_channel(kind: Any) -> bool:
    """Whether it is a class of channels."""
    return isinstance(kind, type) and issubclass(kind, Channel)


def described(value: Any) -> str:
    """What a wrong value is called."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return f"a {type(value).__name__}"
