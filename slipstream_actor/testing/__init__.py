"""What users test their clients with.

Everything is imported when it is asked for: the embedded server (`PhoenixServer`, `Channel` and
what belongs to them) needs `wsproto`, which the extra `slipstream_actor[testing]` brings, and the
rest of this package, such as `FaultProxy`, needs no extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipstream_actor.testing.channel import Channel, ChannelSocket, RefuseJoin
    from slipstream_actor.testing.endpoint import Mount, RefuseConnect
    from slipstream_actor.testing.proxy import FaultProxy
    from slipstream_actor.testing.server import PhoenixServer

__all__ = [
    "Channel",
    "ChannelSocket",
    "FaultProxy",
    "Mount",
    "PhoenixServer",
    "RefuseConnect",
    "RefuseJoin",
]

_MODULES = {
    "Channel": "channel",
    "ChannelSocket": "channel",
    "FaultProxy": "proxy",
    "Mount": "endpoint",
    "PhoenixServer": "server",
    "RefuseConnect": "endpoint",
    "RefuseJoin": "channel",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
