"""What users test their clients with.

The test as the server (`accept_connect`, `assert_push`, … and `SocketTest`), an embedded Phoenix
(`PhoenixServer`), and a proxy that does what networks do (`FaultProxy`).

Everything is imported when it is asked for: the embedded server (`PhoenixServer`, `Channel` and
what belongs to them) needs `wsproto`, which the extra `slipstream_actor[testing]` brings, and the
rest of this package needs no extra.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipstream_actor.testing.channel import Channel, ChannelSocket, RefuseJoin
    from slipstream_actor.testing.contexts import phoenix_proxy, phoenix_server, socket_test
    from slipstream_actor.testing.endpoint import ConnectRequest, Mount, RefuseConnect
    from slipstream_actor.testing.functions import (
        accept_connect,
        assert_disconnect,
        assert_join,
        assert_leave,
        assert_push,
        connect_and_assert_join,
        disconnect,
        push,
        refuse_connect,
        refute_disconnect,
        refute_join,
        refute_leave,
        refute_push,
        reply,
    )
    from slipstream_actor.testing.kit import SocketTest
    from slipstream_actor.testing.leaks import no_leaked_clients
    from slipstream_actor.testing.proxy import FaultProxy
    from slipstream_actor.testing.requests import (
        DisconnectRequest,
        JoinRequest,
        LeaveRequest,
        PushRequest,
    )
    from slipstream_actor.testing.server import PhoenixServer

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
    "phoenix_proxy",
    "phoenix_server",
    "push",
    "refuse_connect",
    "refute_disconnect",
    "refute_join",
    "refute_leave",
    "refute_push",
    "reply",
    "socket_test",
]

_MODULES = {
    "Channel": "channel",
    "ChannelSocket": "channel",
    "ConnectRequest": "endpoint",
    "DisconnectRequest": "requests",
    "FaultProxy": "proxy",
    "JoinRequest": "requests",
    "LeaveRequest": "requests",
    "Mount": "endpoint",
    "PhoenixServer": "server",
    "PushRequest": "requests",
    "RefuseConnect": "endpoint",
    "RefuseJoin": "channel",
    "SocketTest": "kit",
    "accept_connect": "functions",
    "assert_disconnect": "functions",
    "assert_join": "functions",
    "assert_leave": "functions",
    "assert_push": "functions",
    "connect_and_assert_join": "functions",
    "disconnect": "functions",
    "no_leaked_clients": "leaks",
    "phoenix_proxy": "contexts",
    "phoenix_server": "contexts",
    "push": "functions",
    "refuse_connect": "functions",
    "refute_disconnect": "functions",
    "refute_join": "functions",
    "refute_leave": "functions",
    "refute_push": "functions",
    "reply": "functions",
    "socket_test": "contexts",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
