"""Every exception that the library raises.

    SlipstreamError
    ├── ConfigurationError (ValueError)   an option of `connect`
    ├── NotConfiguredError                `reconnect` of a socket that never connected
    ├── NeverJoinedError                  `rejoin` of a topic that was never joined
    ├── NotConnectedError                 the operation needs a connection
    ├── NotJoinedError                    the operation needs a joined topic
    ├── SendBufferFullError               `push` found no room in time
    ├── SerializerError                   a message that cannot be encoded or decoded
    ├── ReplyError                        `Reply.unwrap` of a status other than "ok"
    ├── ConnectFailedError                `await_connect`
    ├── JoinFailedError                   `await_join`
    ├── AwaitTimeoutError (TimeoutError)  `await_*`, `call`, `wait…` ran out of time
    ├── NotOwnerError                     `await_*` in a thread that does not own the socket
    ├── CallbackReturnError               a callback's return value
    ├── StartError                        `init` returned `Stop`
    ├── AlreadyStartedError               the name is taken
    └── ForkedError (ActorDeadError)      a client or socket of this process' parent; in `forks`

A dead actor is Pykka's `ActorDeadError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipstream_actor.message import Reply
    from slipstream_actor.socket import Socket

__all__ = [
    "AlreadyStartedError",
    "AwaitTimeoutError",
    "CallbackReturnError",
    "ConfigurationError",
    "ConnectFailedError",
    "JoinFailedError",
    "NeverJoinedError",
    "NotConfiguredError",
    "NotConnectedError",
    "NotJoinedError",
    "NotOwnerError",
    "ReplyError",
    "SendBufferFullError",
    "SerializerError",
    "SlipstreamError",
    "StartError",
]


class SlipstreamError(Exception):
    """The root of every exception of this library."""


class ConfigurationError(SlipstreamError, ValueError):
    """An option of `connect` is wrong; raised by `connect`, at once.

    Names the `option`, the value's type and the rule; never the value, which may be a secret.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


class NotConfiguredError(SlipstreamError):
    """Raised by `socket.reconnect()` when the socket never had a configuration."""


class NeverJoinedError(SlipstreamError):
    """Raised by `socket.rejoin(topic)` and awaits when `topic` was never joined."""


class NotConnectedError(SlipstreamError):
    """The operation needs a connection. Raised by `push`, and by awaits that a disconnect ended.

    `reason` says why there is none, where that is known.
    """

    def __init__(self, message: str, *, reason: Any = None, socket: Socket | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.socket = socket


class NotJoinedError(SlipstreamError):
    """The operation needs a joined topic. Raised by `push`, and by `await_reply` if its join ends.

    `reason` says why, where that is known.
    """

    def __init__(self, message: str, *, reason: Any = None, socket: Socket | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.socket = socket


class SendBufferFullError(SlipstreamError):
    """Raised by `push`: the send buffer had no room within `send_timeout` seconds."""


class SerializerError(SlipstreamError, ValueError):
    """A message that cannot be encoded (raised by `push` and `join`) or decoded (counted)."""


class ReplyError(SlipstreamError):
    """Raised by `Reply.unwrap()` for a status other than `"ok"`; holds the `reply`."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the reply has the status {reply.status!r}: {reply.response!r}")
        self.reply = reply

    @property
    def status(self) -> str:
        """The reply's status."""
        return self.reply.status

    @property
    def response(self) -> Any:
        """The reply's response."""
        return self.reply.response


class ConnectFailedError(SlipstreamError):
    """Raised by `await_connect`: the attempt failed for `reason`."""

    def __init__(self, reason: Any, *, socket: Socket, awaited: str = "the connection") -> None:
        super().__init__(f"awaited {awaited}: {reason!r}")
        self.reason = reason
        self.socket = socket
        self.awaited = awaited


class JoinFailedError(SlipstreamError):
    """Raised by `await_join`: the join of `topic` failed for `reason`."""

    def __init__(self, topic: str, reason: Any, *, socket: Socket) -> None:
        super().__init__(f"awaited the join of {topic!r}: {reason!r}")
        self.topic = topic
        self.reason = reason
        self.socket = socket
        self.awaited = f"the join of {topic!r}"


class AwaitTimeoutError(SlipstreamError, TimeoutError):
    """What was `awaited` did not come within `timeout` seconds. `socket` is as it was."""

    def __init__(
        self, awaited: str, timeout: float | None, *, socket: Socket | None = None, hint: str = ""
    ) -> None:
        super().__init__(f"awaited {awaited} for {timeout} s{hint}")
        self.awaited = awaited
        self.timeout = timeout
        self.socket = socket


class NotOwnerError(SlipstreamError):
    """Raised by `await_*`, `reconnect` and `rejoin` in a thread that does not own the socket.

    Events go to the actor or thread that made the socket, so no other could ever receive them.
    """


class CallbackReturnError(SlipstreamError):
    """A callback returned what it may not; raised in the actor, after the callback."""


class StartError(SlipstreamError):
    """Raised by `ClientActor.start`: `init` returned `Stop(reason)`, or there was no thread."""

    def __init__(self, reason: Any) -> None:
        super().__init__(f"not started: {reason!r}")
        self.reason = reason


class AlreadyStartedError(SlipstreamError):
    """Raised by `ClientActor.start`: `name` belongs to the living actor `ref`."""

    def __init__(self, name: Any, ref: Any) -> None:
        super().__init__(f"the name {name!r} is taken by {ref}")
        self.name = name
        self.ref = ref
