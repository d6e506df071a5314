"""What users test their clients with.

The embedded server (`PhoenixServer`, `Channel` and what belongs to them) is imported only when one
of its names is asked for: it needs `wsproto`, which the extra `slipstream_actor[testing]` brings,
and the rest of this package needs no extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipstream_actor.testing.channel import Channel, ChannelSocket, RefuseJoin
    from slipstream_actor.testing.endpoint import Mount, RefuseConnect
    from slipstream_actor.testing.server import PhoenixServer

__all__ = [
    "Channel",
    "ChannelSocket",
    "Mount",
    "PhoenixServer",
    "RefuseConnect",
    "RefuseJoin",
]

_SERVER_NAMES = {
    "Channel": "channel",
    "ChannelSocket": "channel",
    "Mount": "endpoint",
    "PhoenixServer": "server",
    "RefuseConnect": "endpoint",
    "RefuseJoin": "channel",
}


def __getattr__(name: str) -> Any:
    module = _SERVER_NAMES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
