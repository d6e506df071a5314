"""A synchronous Phoenix Channels client on Pykka actors, shaped like Elixir's Slipstream."""

import os as _os
import threading as _threading
import typing as _typing
from importlib import import_module as _import_module

from pykka import ActorDeadError

from slipstream_actor import telemetry
from slipstream_actor.actors.calls import From, call, cast, reply
from slipstream_actor.actors.envelopes import Timer
from slipstream_actor.actors.forks import ForkedError
from slipstream_actor.actors.forks import reset_in_child as _reset_in_child
from slipstream_actor.actors.future import Future
from slipstream_actor.actors.monitor import Down, monitor
from slipstream_actor.actors.names import whereis
from slipstream_actor.client.asking import invoke, request
from slipstream_actor.client.client import ClientActor
from slipstream_actor.client.handlers import on
from slipstream_actor.client.returns import (
    Answer,
    CallbackResult,
    CallResult,
    Ignore,
    InitResult,
    Next,
    Stop,
)
from slipstream_actor.client.state import ClientState
from slipstream_actor.client.waiting import wait, wait_until_joined
from slipstream_actor.configuration.configuration import Configuration
from slipstream_actor.configuration.options import Options
from slipstream_actor.connection.connection import Connection
from slipstream_actor.connection.state import ConnectionState
from slipstream_actor.errors import (
    AlreadyStartedError,
    AwaitTimeoutError,
    CallbackReturnError,
    CancelledError,
    ClientEndedError,
    ConfigurationError,
    SerializerError,
    SlipstreamError,
    StartError,
    StartIgnored,
)
from slipstream_actor.protocol import commands, events
from slipstream_actor.protocol import reasons as reasons
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Message, Ref, Reply, ReplyError
from slipstream_actor.protocol.presence import Presence
from slipstream_actor.protocol.reasons import (
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ClosedByServer,
    ConnectFailed,
    ConnectionCrashed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    LeftByClient,
    ParamsFailed,
    PushTimeout,
    TransportFailed,
)
from slipstream_actor.protocol.serializer import V1Serializer, V2Serializer
from slipstream_actor.socket.errors import (
    ConnectFailedError,
    JoinFailedError,
    NeverJoinedError,
    NotConfiguredError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
    SendBufferFullError,
)
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.socket import Socket, connect, new_socket
from slipstream_actor.supervision.first_use import VARIABLE as _VARIABLE
from slipstream_actor.supervision.first_use import when_started as _when_started

if _typing.TYPE_CHECKING:
    from slipstream_actor.client.subscriptions import Subscription, subscribe
    from slipstream_actor.debug.state import get_state
    from slipstream_actor.supervision.handle import ClientHandle
    from slipstream_actor.supervision.service import run
    from slipstream_actor.supervision.state import SupervisorState
    from slipstream_actor.supervision.status import HandleStatus
    from slipstream_actor.supervision.supervisor import Child, ChildSpec, Supervisor

__all__ = [
    "ANY",
    "ActorDeadError",
    "AlreadyStartedError",
    "Answer",
    "AwaitTimeoutError",
    "BufferExpired",
    "BufferOverflow",
    "CallResult",
    "CallbackResult",
    "CallbackReturnError",
    "CancelledError",
    "ChannelClosed",
    "ChannelConnectFailed",
    "ChannelConnected",
    "ChannelCrashed",
    "ChannelEnded",
    "Child",
    "ChildSpec",
    "ClientActor",
    "ClientEndedError",
    "ClientHandle",
    "ClientState",
    "ClosedByClient",
    "ClosedByPeer",
    "ClosedByServer",
    "Configuration",
    "ConfigurationError",
    "ConnectFailed",
    "ConnectFailedError",
    "Connection",
    "ConnectionCrashed",
    "ConnectionState",
    "Disconnected",
    "Down",
    "ForkedError",
    "From",
    "Future",
    "HandleStatus",
    "HeartbeatTimeout",
    "Ignore",
    "InitResult",
    "Join",
    "JoinFailedError",
    "JoinRefused",
    "JoinTimeout",
    "LeftByClient",
    "Message",
    "MessageReceived",
    "NeverJoinedError",
    "Next",
    "NotConfiguredError",
    "NotConnectedError",
    "NotJoinedError",
    "NotOwnerError",
    "Options",
    "ParamsFailed",
    "Presence",
    "PushFailed",
    "PushTimeout",
    "Ref",
    "Reply",
    "ReplyError",
    "ReplyReceived",
    "SendBufferFullError",
    "SerializerError",
    "SlipstreamError",
    "Socket",
    "StartError",
    "StartIgnored",
    "Stop",
    "Subscription",
    "Supervisor",
    "SupervisorState",
    "Timer",
    "TopicJoinClosed",
    "TopicJoinFailed",
    "TopicJoinSucceeded",
    "TopicLeft",
    "TransportFailed",
    "V1Serializer",
    "V2Serializer",
    "call",
    "cast",
    "commands",
    "connect",
    "events",
    "get_state",
    "invoke",
    "monitor",
    "new_socket",
    "on",
    "reply",
    "request",
    "run",
    "subscribe",
    "telemetry",
    "wait",
    "wait_until_joined",
    "whereis",
]

__version__: str

# What many programs do without, and where it is: imported when it is asked for.
_MODULES = {
    "Child": "supervision.supervisor",
    "ChildSpec": "supervision.supervisor",
    "ClientHandle": "supervision.handle",
    "HandleStatus": "supervision.status",
    "Subscription": "client.subscriptions",
    "Supervisor": "supervision.supervisor",
    "SupervisorState": "supervision.state",
    "debug": "debug",
    "get_state": "debug.state",
    "run": "supervision.service",
    "subscribe": "client.subscriptions",
}

# Threads that import a package and a module of it at the same time find one of them half made.
_lock = _threading.RLock()


def _import(name: str) -> _typing.Any:
    with _lock:
        return _import_module(f"{__name__}.{name}")


def _begin_anew() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it
    _lock = _threading.RLock()


_reset_in_child(_begin_anew)

# For a type checker it would make every name one that the package has.
if not _typing.TYPE_CHECKING:

    def __getattr__(name):
        if name == "__version__":
            return _import_module("slipstream_actor.debug.version").installed_version()
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = _import(_MODULES[name])
        value = module if name == "debug" else getattr(module, name)
        return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def _serve_where_the_environment_says() -> None:
    """Serve a process in which a handle has started a client; `debug` is imported for no less."""
    if _os.environ.get(_VARIABLE):
        _import("debug.directory").serve_as_configured()


_when_started(_serve_where_the_environment_says)
