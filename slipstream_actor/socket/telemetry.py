"""Where a client's telemetry comes from: connects, joins, pushes and callbacks.

A call site asks `"join" in CLIENT` first, so that what nobody wants costs one look-up. What is
under way is remembered by its times alone, in the socket or in the ledger: metadata that held
sockets, held by sockets, has grown without bound elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from slipstream_actor.protocol.events import ChannelConnected, TopicJoinClosed, TopicJoinFailed
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, Disconnected
from slipstream_actor.socket import state as changes
from slipstream_actor.socket.state import CONNECTION_ENDS
from slipstream_actor.telemetry import dispatch as telemetry
from slipstream_actor.telemetry.dispatch import (
    EventName,
    SpanContext,
    end_measurements,
    failure,
    start_measurements,
)

if TYPE_CHECKING:
    from slipstream_actor.actors.ledger import Ledger
    from slipstream_actor.socket.socket import Socket
    from slipstream_actor.socket.state import Join

__all__ = [
    "CLIENT",
    "Begun",
    "abandon",
    "apply_event",
    "begin_connect",
    "begin_join",
    "callback",
    "conclude",
    "observed_push",
    "push_ended",
    "reconnecting",
]

# The events that somebody wants: "connect", "join", "push", "reconnect", and callbacks' names.
CLIENT = telemetry.followed(("slipstream", "client"))

CONNECT = ("slipstream", "client", "connect")
JOIN = ("slipstream", "client", "join")
PUSH = ("slipstream", "client", "push")
RECONNECT = ("slipstream", "client", "reconnect")


class Begun(msgspec.Struct, eq=False):
    """A span that is under way, whatever it may be of; it ends once.

    `details` are what its end is to tell of its start.
    """

    prefix: EventName
    started: float
    start_time: datetime
    context: SpanContext
    details: dict[str, Any]
    ended: bool = False

    def metadata(self) -> dict[str, Any]:
        """Return what all events of the span tell."""
        return {
            "telemetry_span_context": self.context,
            "start_time": self.start_time,
            **self.details,
        }

    def stop(self, *, seconds: float | None = None, **metadata: Any) -> None:
        """End it well, after so many seconds if they are not to be measured here."""
        self._end("stop", metadata, seconds)

    def fail(self, reason: Any, **metadata: Any) -> None:
        """End it for a reason, or with an exception."""
        told = {"kind": "error", "reason": reason, "stacktrace": None}
        if isinstance(reason, BaseException):
            told = failure(reason)
        self._end("exception", {**metadata, **told})

    def _end(self, how: str, metadata: dict[str, Any], seconds: float | None = None) -> None:
        if not self.ended:
            self.ended = True
            measurements = end_measurements(self.started)
            if seconds is not None:
                measurements["duration"] = seconds
            telemetry.execute((*self.prefix, how), measurements, {**self.metadata(), **metadata})


def begin(prefix: EventName, details: dict[str, Any], **metadata: Any) -> Begun:
    """Begin a span: all its events tell the `details`, its start the rest too."""
    measurements = start_measurements()
    begun = Begun(prefix, measurements["monotonic_time"], datetime.now(UTC), SpanContext(), details)
    telemetry.execute((*prefix, "start"), measurements, {**begun.metadata(), **metadata})
    return begun


# connections and joins


def begin_connect(socket: Socket) -> Socket:
    """Return the socket with an attempt to connect begun; what went before it is over."""
    if socket._begun:
        socket = conclude(socket)
    if None in socket._begun:
        socket = ended_connect(socket, ClosedByClient())
    if "connect" not in CLIENT:
        return socket
    begun = begin(CONNECT, {}, configuration=socket.channel_config, socket=socket)
    return with_begun(socket, None, begun)


def begin_join(socket: Socket, join: Join) -> Socket:
    """Return the socket with a join begun, unless it is one that was recorded, and is now sent."""
    topic = join.topic
    if topic in socket._begun:
        if socket.joins.get(topic) is join:
            return socket
        socket = ended_join(socket, topic, ChannelEnded("left"))
    if "join" not in CLIENT:
        return socket
    begun = begin(JOIN, {"topic": topic, "params": join.params}, socket=socket)
    return with_begun(socket, topic, begun)


def apply_event(socket: Socket, event: Any) -> Socket:
    """Return the socket as `event` leaves it, and end what the event concludes."""
    socket = changes.apply_event(socket, event)
    return conclude(socket, event) if socket._begun else socket


def conclude(socket: Socket, event: Any = None) -> Socket:
    """Return the socket without the spans that are over, by `event` or by our own doing."""
    if None in socket._begun:
        if type(event) is ChannelConnected:
            socket = ended_connect(socket)
        elif type(event) in CONNECTION_ENDS:
            socket = ended_connect(socket, event.reason)
    for topic in tuple(socket._begun):
        if topic is None:
            continue
        status = socket.join_status(topic)
        if status == "joined":
            socket = ended_join(socket, topic)
        elif status != "requested":
            socket = ended_join(socket, topic, why(event))
    return socket


def why(event: Any) -> Any:
    """Return the reason that `event` ends a join for."""
    if type(event) in CONNECTION_ENDS:
        return Disconnected(event.reason)
    if type(event) in (TopicJoinFailed, TopicJoinClosed):
        return event.reason
    return ChannelEnded("left")


def ended_connect(socket: Socket, reason: Any = None) -> Socket:
    """Return the socket without its attempt to connect, which has succeeded or failed."""
    begun = socket._begun[None]
    now: dict[str, Any] = {"configuration": socket.channel_config, "socket": socket}
    if reason is None:
        begun.stop(**now, response_headers=socket.response_headers)
    else:
        begun.fail(reason, **now)
    return with_begun(socket, None)


def ended_join(socket: Socket, topic: str, reason: Any = None) -> Socket:
    """Return the socket without a join that is under way: it has succeeded or failed."""
    begun = socket._begun[topic]
    if reason is None:
        begun.stop(socket=socket, response=socket.joins[topic].response)
    else:
        begun.fail(reason, socket=socket)
    return with_begun(socket, topic)


def with_begun(socket: Socket, key: str | None, begun: Begun | None = None) -> Socket:
    """Return the socket with `key` under way, or no more."""
    others = {k: b for k, b in socket._begun.items() if k != key}
    if begun is not None:
        others[key] = begun
    return replace(socket, _begun=MappingProxyType(others))


def abandon(socket: Socket) -> None:
    """Its owner ends, and with it all that the socket has under way."""
    for key in tuple(socket._begun):
        if key is None:
            socket = ended_connect(socket, ClosedByClient())
        else:
            socket = ended_join(socket, key, Disconnected(ClosedByClient()))


def reconnecting(socket: Socket, attempt: int, delay: float) -> None:
    """An attempt to connect is scheduled, in `delay` seconds."""
    if "reconnect" in CLIENT:
        measurements = {"attempt": attempt, "delay": delay, **start_measurements()}
        metadata = {"configuration": socket.channel_config, "socket": socket}
        telemetry.execute(RECONNECT, measurements, metadata)


# pushes


@contextmanager
def observed_push(
    socket: Socket, topic: str, event: str, payload: Any, ref: str, *, awaited: bool
) -> Iterator[None]:
    """Tell of a push, which the block makes; an awaited one ends with `push_ended`."""
    ledger: Ledger = socket.socket_pid.actor_inbox.ledger
    begun = begin(
        PUSH, {"topic": topic, "event": event, "ref": ref}, socket=socket, payload=payload
    )
    if awaited:
        ledger.begun[ref] = begun
    try:
        yield
    except BaseException as error:
        ledger.begun.pop(ref, None)
        begun.fail(error)
        raise
    if not awaited:
        begun.stop(outcome="sent", status=None, response=None, reason=None)


def push_ended(ledger: Ledger, ref: str, outcome: Any) -> None:
    """A push has an outcome: a `Reply`, or the reason that it has failed for."""
    begun = ledger.begun.pop(ref, None) if ledger.begun else None
    if begun is None:
        return
    if isinstance(outcome, Reply):
        told = {"outcome": "replied", "status": outcome.status, "response": outcome.response}
        begun.stop(**told, reason=None)
    else:
        begun.stop(outcome="failed", status=None, response=None, reason=outcome)


# callbacks


def observed(client: Any, name: str, told_as: str) -> Callable[..., Any]:
    """Return the client's method `name`, telling of each call as that of the callback `told_as`;
    what it raises passes through."""
    function = getattr(client, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        metadata = {
            "client": type(client),
            "callback": name,
            "arguments": arguments,
            "socket": None if name == "init" else arguments[-1],
            "start_time": datetime.now(UTC),
        }
        with telemetry.span(("slipstream", "client", told_as), metadata) as span:
            result = function(*arguments, **keywords)
            span.metadata["return"] = result
        return result

    return call


def callback(client: Any, name: str, told_as: str | None = None) -> Callable[..., Any]:
    """Return the client's method `name`, observed if somebody wants to be told of it.

    It is `told_as` a callback, which has the same name if it is one.
    """
    told_as = told_as or name
    return observed(client, name, told_as) if told_as in CLIENT else getattr(client, name)
