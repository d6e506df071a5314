"""A look into a running connection: what `get_state` returns of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from slipstream_actor.actors.pressure import Inflow
from slipstream_actor.protocol.channels import Protocol
from slipstream_actor.wire.websocket import Transport

__all__ = ["ConnectionState", "Counters", "TopicState", "state_of"]


class TopicState(msgspec.Struct, frozen=True):
    """One topic of a connection: its join's ref and `"joining"`, `"joined"` or `"leaving"`."""

    join_ref: str
    status: str


class Counters(msgspec.Struct, frozen=True):
    """What a connection has counted since it opened. `dropped`: messages that were nobody's."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_pending: int = 0
    dropped: int = 0


class ConnectionState(msgspec.Struct, frozen=True):
    """A connection's state.

    `status` is `"connecting"`, `"connected"` or `"closing"`; `topics` are its joins; `refs` maps
    each ref that something waits for to its event; `heartbeat_rtt` is in seconds, `None` before the
    first heartbeat was answered; `mailbox` is how many commands wait. `undelivered` counts the
    messages that the owner has not taken, `undelivered_bytes` are the bytes that they came in
    (inflated), and `max_undelivered_bytes` the option that bounds them; `paused` says whether
    reading waits for the owner. `send_buffer_bytes` are accepted and not sent. `extensions` are
    those of the websocket that are in force, with their parameters.
    """

    status: str
    uri: str
    topics: Mapping[str, TopicState]
    refs: Mapping[str, str]
    counters: Counters
    heartbeat_rtt: float | None
    mailbox: int
    undelivered: int = 0
    undelivered_bytes: int = 0
    max_undelivered_bytes: int = 0
    paused: bool = False
    send_buffer_bytes: int = 0
    extensions: tuple[str, ...] = ()


def state_of(
    protocol: Protocol, transport: Transport | None, flow: Inflow, *, dropped: int, **others: Any
) -> ConnectionState:
    """Return the state of a connection of these parts; `others` are fields as they are."""
    return ConnectionState(
        topics=topics_of(protocol),
        refs=refs_of(protocol),
        counters=counters_of(transport, dropped),
        heartbeat_rtt=protocol.heartbeat_rtt,
        undelivered=flow.undelivered,
        undelivered_bytes=flow.undelivered_bytes,
        extensions=() if transport is None else transport.extensions,
        **others,
    )


def counters_of(transport: Transport | None, dropped: int) -> Counters:
    """Return what a connection has counted; before it is open there is no transport."""
    if transport is None:
        return Counters(dropped=dropped)
    return Counters(
        frames_in=transport.frames_in,
        frames_out=transport.frames_out,
        bytes_in=transport.bytes_in,
        bytes_out=transport.bytes_out,
        bytes_pending=transport.pending_bytes,
        dropped=dropped,
    )


def topics_of(protocol: Protocol) -> dict[str, TopicState]:
    """Return the joins of a connection."""
    return {
        topic: TopicState(channel.join_ref, channel.state.value)
        for topic, channel in protocol.channels.items()
    }


def refs_of(protocol: Protocol) -> dict[str, str]:
    """Return each ref that something waits for, with its event."""
    awaited = {ref: waiting.event for ref, waiting in protocol.refs.items()}
    if protocol.heartbeats.unanswered is not None:
        awaited[protocol.heartbeats.unanswered.ref] = "heartbeat"
    return awaited
