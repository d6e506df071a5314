"""A synchronous Phoenix Channels client on Pykka actors, shaped like Elixir's Slipstream."""

from pykka import ActorDeadError

from slipstream_actor import commands, events, telemetry
from slipstream_actor.changes import Join
from slipstream_actor.client import ClientActor
from slipstream_actor.configuration import Configuration
from slipstream_actor.connection import Connection
from slipstream_actor.debug import ClientState, ConnectionState, SupervisorState, get_state
from slipstream_actor.errors import (
    AlreadyStartedError,
    AwaitTimeoutError,
    CallbackReturnError,
    ConfigurationError,
    ConnectFailedError,
    JoinFailedError,
    NeverJoinedError,
    NotConfiguredError,
    NotConnectedError,
    NotJoinedError,
    NotOwnerError,
    ReplyError,
    SendBufferFullError,
    SerializerError,
    SlipstreamError,
    StartError,
)
from slipstream_actor.events import (
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
from slipstream_actor.forks import ForkedError
from slipstream_actor.handlers import on
from slipstream_actor.mail import Timer
from slipstream_actor.matching import ANY
from slipstream_actor.message import Message, Ref, Reply
from slipstream_actor.monitor import Down, monitor
from slipstream_actor.options import Options
from slipstream_actor.presence import Presence
from slipstream_actor.process import From, call, cast, reply, whereis
from slipstream_actor.reasons import (
    BufferExpired,
    BufferOverflow,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ConnectFailed,
    ConnectionCrashed,
    Disconnected,
    HeartbeatTimeout,
    JoinRefused,
    JoinTimeout,
    ParamsFailed,
    PushTimeout,
    TransportFailed,
)
from slipstream_actor.returns import Answer, Ignore, Next, Stop
from slipstream_actor.serializer import V1Serializer, V2Serializer
from slipstream_actor.socket import Socket, connect, new_socket
from slipstream_actor.supervisor import Child, ChildSpec, Supervisor
from slipstream_actor.waiting import wait, wait_until_joined

__all__ = [
    "ANY",
    "ActorDeadError",
    "AlreadyStartedError",
    "Answer",
    "AwaitTimeoutError",
    "BufferExpired",
    "BufferOverflow",
    "CallbackReturnError",
    "ChannelClosed",
    "ChannelConnectFailed",
    "ChannelConnected",
    "ChannelCrashed",
    "ChannelEnded",
    "Child",
    "ChildSpec",
    "ClientActor",
    "ClientState",
    "ClosedByClient",
    "ClosedByPeer",
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
    "HeartbeatTimeout",
    "Ignore",
    "Join",
    "JoinFailedError",
    "JoinRefused",
    "JoinTimeout",
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
    "Stop",
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
    "monitor",
    "new_socket",
    "on",
    "reply",
    "telemetry",
    "wait",
    "wait_until_joined",
    "whereis",
]
