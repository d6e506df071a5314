"""Where a client's telemetry comes from: connects, joins, and pushes.

A call site asks `"join" in CLIENT` first, so that what nobody wants costs one look-up. What is
under way is remembered by its times alone, in the socket or in the ledger: metadata that held
sockets, held by sockets, has grown without bound elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from slipstream_actor.actors.ledger import Ledger
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.events import ChannelConnected, TopicJoinClosed, TopicJoinFailed
from slipstream_actor.protocol.message import Reply
from slipstream_actor.protocol.reasons import ChannelEnded, ClosedByClient, Disconnected
from slipstream_actor.socket import apply_event as changes
from slipstream_actor.socket.apply_event import CONNECTION_ENDS
from slipstream_actor.socket.log import say_applied
from slipstream_actor.socket.records import Join
from slipstream_actor.socket.state import S, SocketState
from slipstream_actor.telemetry import dispatch as telemetry
from slipstream_actor.telemetry.dispatch import (
    start_measurements,
)
from slipstream_actor.telemetry.spans import OpenSpan, open_span

__all__ = [
    "CLIENT",
    "abandon",
    "apply_event",
    "begin_connect",
    "begin_join",
    "conclude",
    "observed_push",
    "push_ended",
    "reconnecting",
]

# The events that somebody wants: "connect", "join", "push", "reconnect", and callbacks' names.
CLIENT = telemetry.wanted_events(("slipstream", "client"))

CONNECT = ("slipstream", "client", "connect")
JOIN = ("slipstream", "client", "join")
PUSH = ("slipstream", "client", "push")
RECONNECT = ("slipstream", "client", "reconnect")


# connections and joins


def begin_connect(socket: S) -> S:
    """Return the socket with an attempt to connect begun; what went before it is over."""
    if socket._open_spans:
        socket = conclude(socket)
    if None in socket._open_spans:
        socket = ended_connect(socket, ClosedByClient())
    if "connect" not in CLIENT:
        return socket
    begun = open_span(CONNECT, {}, configuration=socket.channel_config, socket=socket)
    return with_span(socket, None, begun)


def begin_join(socket: S, join: Join) -> S:
    """Return the socket with a join begun, unless it is one that was recorded, and is now sent."""
    topic = join.topic
    if topic in socket._open_spans:
        if socket.joins.get(topic) is join:
            return socket
        socket = ended_join(socket, topic, ChannelEnded("left"))
    if "join" not in CLIENT:
        return socket
    begun = open_span(JOIN, {"topic": topic, "params": join.params}, socket=socket)
    return with_span(socket, topic, begun)


def apply_event(socket: S, event: Any) -> S:
    """Return the socket as `event` leaves it, and end what the event concludes."""
    before, socket = socket, changes.apply_event(socket, event)
    if socket is not before:
        say_applied(before, socket, event)
    return conclude(socket, event) if socket._open_spans else socket


def conclude(socket: S, event: Any = None) -> S:
    """Return the socket without the spans that are over, by `event` or by our own doing."""
    if None in socket._open_spans:
        if type(event) is ChannelConnected:
            socket = ended_connect(socket)
        elif type(event) in CONNECTION_ENDS:
            socket = ended_connect(socket, event.reason)
    for topic in tuple(socket._open_spans):
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


def ended_connect(socket: S, reason: Any = None) -> S:
    """Return the socket without its attempt to connect, which has succeeded or failed."""
    begun = socket._open_spans[None]
    now: dict[str, Any] = {"configuration": socket.channel_config, "socket": socket}
    if reason is None:
        begun.stop(**now, response_headers=socket.response_headers)
    else:
        begun.fail(reason, **now)
    return with_span(socket, None)


def ended_join(socket: S, topic: str, reason: Any = None) -> S:
    """Return the socket without a join that is under way: it has succeeded or failed."""
    begun = socket._open_spans[topic]
    if reason is None:
        begun.stop(socket=socket, response=socket.joins[topic].response)
    else:
        begun.fail(reason, socket=socket)
    return with_span(socket, topic)


def with_span(socket: S, key: str | None, begun: OpenSpan | None = None) -> S:
    """Return the socket with `key` under way, or no more."""
    others = {k: b for k, b in socket._open_spans.items() if k != key}
    if begun is not None:
        others[key] = begun
    return replace(socket, _open_spans=MappingProxyType(others))


def abandon(socket: SocketState) -> None:
    """Its owner ends, and with it all that the socket has under way."""
    for key in tuple(socket._open_spans):
        if key is None:
            socket = ended_connect(socket, ClosedByClient())
        else:
            socket = ended_join(socket, key, Disconnected(ClosedByClient()))


def reconnecting(socket: SocketState, attempt: int, delay: float) -> None:
    """An attempt to connect is scheduled, in `delay` seconds."""
    if "reconnect" in CLIENT:
        measurements = {"attempt": attempt, "delay": delay, **start_measurements()}
        metadata = {"configuration": socket.channel_config, "socket": socket}
        telemetry.execute(RECONNECT, measurements, metadata)


# pushes


@contextmanager
def observed_push(
    socket: SocketState, topic: str, event: str, payload: Any, ref: str, *, awaited: bool
) -> Iterator[None]:
    """Tell of a push, which the block makes; an awaited one ends with `push_ended`."""
    ledger: Ledger = socket.socket_pid.actor_inbox.ledger
    begun = open_span(
        PUSH, {"topic": topic, "event": event, "ref": ref}, socket=socket, payload=payload
    )
    if awaited:
        ledger.open_spans[ref] = begun
    try:
        yield
    except BaseException as error:
        ledger.open_spans.pop(ref, None)
        begun.fail(error)
        raise
    if not awaited:
        begun.stop(outcome="sent", status=None, response=None, reason=None)


def push_ended(ledger: Ledger, ref: str, outcome: Any) -> None:
    """A push has an outcome: a `Reply`, or the reason that it has failed for."""
    begun = ledger.open_spans.pop(ref, None) if ledger.open_spans else None
    if begun is not None:
        stop_with(begun, outcome)


def stop_with(begun: OpenSpan, outcome: Any) -> None:
    """End a push's span with a `Reply`, or the reason that there is none."""
    if isinstance(outcome, Reply):
        told = {"outcome": "replied", "status": outcome.status, "response": outcome.response}
        begun.stop(**told, reason=None)
    else:
        begun.stop(outcome="failed", status=None, response=None, reason=outcome)


def begin_request(socket: SocketState | None, request: Any) -> OpenSpan:
    """Tell of a push that somebody makes by `request`; it ends with `request_ended`."""
    details = {"topic": request.topic, "event": request.event, "ref": request.push_ref}
    return open_span(PUSH, details, socket=socket, payload=request.payload)


def request_ended(begun: OpenSpan, future: Any) -> None:
    """Its future is done: with a `Reply`, or an error, of which a reason is told if it has one."""
    try:
        outcome = future._result()
    except SlipstreamError as error:
        reason = getattr(error, "reason", None)
        outcome = error if reason is None else reason
    stop_with(begun, outcome)
