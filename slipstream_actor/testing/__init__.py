"""What users test their clients with: the test as the server, an embedded Phoenix, faults.

Open `kit/kit.py`, `server/server.py` or `proxy/proxy.py` first. The kit may use `debug` and below,
the server and the proxy nothing of the client, lest they share its bugs. Everything is imported
when it is asked for: the embedded server (`PhoenixServer`, `Channel` and what belongs to them)
needs `wsproto`, which the extra `slipstream_actor[testing]` brings; the rest needs no extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipstream_actor.testing.contexts import phoenix_proxy, phoenix_server, socket_test
    from slipstream_actor.testing.kit.functions import (
        accept_connect,
        assert_disconnect,
        assert_join,
        assert_leave,
        assert_push,
        connect_and_assert_join,
        disconnect,
        override,
        push,
        refuse_connect,
        refute_disconnect,
        refute_join,
        refute_leave,
        refute_push,
        reply,
        serve,
        serve_joins,
    )
    from slipstream_actor.testing.kit.kit import SocketTest
    from slipstream_actor.testing.kit.leaks import no_leaked_clients
    from slipstream_actor.testing.kit.requests import (
        DisconnectRequest,
        JoinRequest,
        LeaveRequest,
        PushRequest,
    )
    from slipstream_actor.testing.proxy.proxy import FaultProxy
    from slipstream_actor.testing.server.channel import Channel, ChannelSocket, RefuseJoin
    from slipstream_actor.testing.server.endpoint import ConnectRequest, Mount, RefuseConnect
    from slipstream_actor.testing.server.server import PhoenixServer

__all__ = [
    "Channel",
    "ChannelSocket",
    "ConnectRequest",
    "DisconnectRequest",
    "FaultProxy",
    "JoinRequest",
    "LeaveRequest",
    "Mount",
    "PhoenixServer",
    "PushRequest",
    "RefuseConnect",
    "RefuseJoin",
    "SocketTest",
    "accept_connect",
    "assert_disconnect",
    "assert_join",
    "assert_leave",
    "assert_push",
    "connect_and_assert_join",
    "disconnect",
    "no_leaked_clients",
    "override",
    "phoenix_proxy",
    "phoenix_server",
    "push",
    "refuse_connect",
    "refute_disconnect",
    "refute_join",
    "refute_leave",
    "refute_push",
    "reply",
    "serve",
    "serve_joins",
    "socket_test",
]

_MODULES = {
    "Channel": "server.channel",
    "ChannelSocket": "server.channel",
    "ConnectRequest": "server.endpoint",
    "DisconnectRequest": "kit.requests",
    "FaultProxy": "proxy.proxy",
    "JoinRequest": "kit.requests",
    "LeaveRequest": "kit.requests",
    "Mount": "server.endpoint",
    "PhoenixServer": "server.server",
    "PushRequest": "kit.requests",
    "RefuseConnect": "server.endpoint",
    "RefuseJoin": "server.channel",
    "SocketTest": "kit.kit",
    "accept_connect": "kit.functions",
    "assert_disconnect": "kit.functions",
    "assert_join": "kit.functions",
    "assert_leave": "kit.functions",
    "assert_push": "kit.functions",
    "connect_and_assert_join": "kit.functions",
    "disconnect": "kit.functions",
    "no_leaked_clients": "kit.leaks",
    "override": "kit.functions",
    "phoenix_proxy": "contexts",
    "phoenix_server": "contexts",
    "push": "kit.functions",
    "refuse_connect": "kit.functions",
    "refute_disconnect": "kit.functions",
    "refute_join": "kit.functions",
    "refute_leave": "kit.functions",
    "refute_push": "kit.functions",
    "reply": "kit.functions",
    "serve": "kit.functions",
    "serve_joins": "kit.functions",
    "socket_test": "contexts",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
