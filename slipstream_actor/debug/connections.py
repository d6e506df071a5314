"""One connection as plain data: looked at from outside, while it runs."""

from __future__ import annotations

from typing import Any

from slipstream_actor.actors.shared import steadily
from slipstream_actor.configuration.uris import redact
from slipstream_actor.connection.connection import Connection
from slipstream_actor.debug.plain import (
    Plain,
    items_of,
    label,
    list_of,
    mailbox_of,
)
from slipstream_actor.debug.rates import COUNTED, rates_of
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.protocol.joins import JOINED, Waiting
from slipstream_actor.telemetry.redaction import name
from slipstream_actor.wire.websocket import Transport

__all__ = ["connection_part"]


def connection_part(ref: Any, owner: Any, now: float) -> Plain | None:
    """Return the part of the connection `ref`, which is its `owner`'s; `None` when it is gone."""
    actor = ref._actor_weakref()
    if not isinstance(actor, Connection):
        return None
    protocol, transport, flow = actor._protocol, actor._transport, actor.flow
    return {
        "id": ref.actor_urn,
        "label": label(ref),
        "owner": None if owner is None else label(owner),
        "status": actor._status,
        "uri": redact(actor._config.uri),
        "topics": [
            {"topic": name(topic), "join_ref": channel.join_ref, "status": channel.state.value}
            for topic, channel in items_of(protocol.channels)
        ],
        "topic_count": len(protocol.channels),
        "joined_count": steadily(lambda: joined_in(protocol), 0),
        "refs": refs_of(protocol, now),
        "ref_count": len(protocol.refs),
        "counters": counters_of(transport, actor._dropped),
        "rates": rates_of(ref, counted(transport), now),
        "heartbeat": heartbeat_of(protocol, now),
        "mailbox": mailbox_of(actor.actor_inbox),
        "reading_paused": actor._paused,
        "undelivered": flow.undelivered,
        "memory": {
            "undelivered_bytes": flow.undelivered_bytes,
            "send_buffer_bytes": actor._room.bytes,
            "max_undelivered_bytes": actor._config.max_undelivered_bytes,
            "max_send_buffer_bytes": actor._config.max_send_buffer_bytes,
        },
    }


def joined_in(protocol: Protocol) -> int:
    """Return how many topics are joined."""
    return sum(channel.state is JOINED for channel in protocol.channels.values())


def counted(transport: Transport | None) -> tuple[int, ...]:
    """Return what a connection has counted since it opened."""
    return tuple(0 if transport is None else getattr(transport, name) for name in COUNTED)


def counters_of(transport: Transport | None, dropped: int) -> Plain:
    counters: Plain = dict(zip(COUNTED, counted(transport), strict=True))
    counters["dropped"] = dropped
    return counters


def heartbeat_of(protocol: Protocol, now: float) -> Plain:
    """Return the last round trips in seconds, the newest last, and how long one is on its way."""
    beating = protocol.heartbeats.unanswered
    return {
        "rtt": protocol.heartbeat_rtt,
        "round_trips": list_of(lambda: protocol.heartbeats.round_trips),
        "waiting_for": None if beating is None else max(0.0, now - beating.since),
    }


def refs_of(protocol: Protocol, now: float) -> list[Plain]:
    """Return the refs that something waits for, those that wait longest first.

    `due_in`: seconds until its time is over, where it has one; `age`: for how long it has waited,
    a request since it was asked, all else since it was sent.
    """
    parts = []
    for ref, waiting in items_of(protocol.refs):
        due = due_at(protocol, ref)
        request = protocol.requests.open.get(ref)
        parts.append(
            {
                "ref": ref,
                "kind": waiting.kind if request is None else "request",
                "topic": name(waiting.channel.topic),
                "event": name(waiting.event),
                "due_in": None if due is None else due - now,
                "age": age_of(ref, waiting, request, now),
            }
        )
    return parts


def age_of(ref: str, waiting: Waiting, request: Any, now: float) -> float | None:
    """Return for how many seconds a ref has waited; `None` of one that is settled meanwhile."""
    timeout, deadline = getattr(request, "timeout", None), getattr(request, "deadline", None)
    if timeout is not None and deadline is not None:
        return max(0.0, float(timeout - (deadline - now)))
    since = waiting.channel.pushes.get(ref, waiting.since)
    return None if since is None else max(0.0, now - since)


def due_at(protocol: Protocol, ref: str) -> float | None:
    """Return when the time of a ref is over, on the monotonic clock."""
    if getattr(protocol.requests.open.get(ref), "deadline", 0.0) is None:
        return None  # It has for ever.
    for of in (protocol.requests.deadlines, *protocol._deadlines):
        if (at := of._at.get(ref)) is not None:
            return at
    return None
