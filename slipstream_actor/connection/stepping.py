"""What a thread that drives a connection does for it; all else is left to the connection's own."""

from __future__ import annotations

import select
import time
from functools import partial
from types import BuiltinFunctionType
from typing import Any

import msgspec

from slipstream_actor.actors import context
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.selector_inbox import SocketReady
from slipstream_actor.connection.pushes import write_here
from slipstream_actor.connection.reading import receive
from slipstream_actor.connection.telemetry import CONNECTION
from slipstream_actor.protocol.commands import PushMessage, ResumeReading
from slipstream_actor.protocol.events import ReplyReceived
from slipstream_actor.protocol.serializer import encoder_of

__all__ = ["StepFailed", "be_driven", "be_driven_no_more"]


class StepFailed(msgspec.Struct, frozen=True):
    """A step has raised that another thread has done: the connection has crashed."""

    error: BaseException


def be_driven(connection: Any) -> None:
    """Let the owner of the connection, which is open now, drive it."""
    config, inbox, owner = connection._config, connection.actor_inbox, connection._owner.actor_inbox
    if not owner.drives:
        return
    plain = config.reply_timeout_msec is None and not config.buffer_pushes
    if plain and (encode := encoder_of(config.serializer)) is not None:
        inbox.write_here = partial(write_here, connection, encode)
    if isinstance(getattr(select, "poll", None), BuiltinFunctionType):  # Not gevent's, nor without.
        inbox.can_step = partial(can_step, connection)
        inbox.step = partial(step_here, connection)
    if owner.driven is None:
        owner.driven = inbox


def be_driven_no_more(connection: Any) -> None:
    """It ends: leave it to its own thread."""
    inbox, owner = connection.actor_inbox, connection._owner.actor_inbox
    inbox.write_here = inbox.step = None
    if owner.driven is inbox:
        owner.driven = None


def can_step(connection: Any) -> bool:
    """Whether its steps may be done elsewhere: nobody looks at them, and nobody is called back."""
    owner = connection._owner.actor_inbox
    return not (
        connection._status != "connected"
        or CONNECTION
        or context.installed
        or connection._protocol.requests
        or owner.subscriptions
        or owner.observer is not None
        or owner.deaf
    )


def step_here(connection: Any, ready: SocketReady | None) -> bool:
    """Write the pushes that wait, or do what the socket is `ready` for.

    Returns `False` when there is something that only the connection's thread does: a command, an
    end, a close. What a step raises ends the connection there.
    """
    if not can_step(connection):
        return False
    try:
        return write_what_waits(connection) if ready is None else read(connection, ready)
    except BaseException as error:
        connection.actor_inbox.tell(StepFailed(error))
        return False


def read(connection: Any, ready: SocketReady) -> bool:
    """Do what the socket is ready for."""
    transport = connection._transport
    if ready.writable:
        transport.flush()
        connection.actor_inbox.watch_write(transport.pending_bytes > 0)
    if ready.readable:
        receive(connection, transport)
    if transport.ended is not None or transport.write_error is not None:
        connection.actor_inbox.tell(ResumeReading())
        return False
    if not settle_quickly(connection, transport, connection._owner.actor_inbox):
        connection._settle()
    return True


def write_what_waits(connection: Any) -> bool:
    """Write the pushes that wait; `False` when there is something else."""
    inbox, transport = connection.actor_inbox, connection._transport
    if inbox.unwritten:
        inbox.unwritten = False
        transport.flush()
        inbox.watch_write(transport.pending_bytes > 0)
        if transport.write_error is not None:
            inbox.tell(ResumeReading())
    if pushes := inbox.drain(PushMessage):
        connection._push(*pushes)
    return not inbox.has_mail


def settle_quickly(connection: Any, transport: Any, owner: Any) -> bool:
    """Tell what has come, where `_settle` would find nothing else to do."""
    protocol, flow = connection._protocol, connection.flow
    if (
        protocol.outgoing
        or protocol.rearm
        or protocol.ended_joins
        or transport.pending_bytes
        or transport.read_again
        or transport.mid_frame
        or connection._room.pending
        or connection._telemetry.told is not None
        or connection._progress.is_due(time.monotonic())
        or flow.paused
        or owner.subscriptions
        or owner.observer is not None
    ):
        return False
    events, size = protocol.events, transport.bytes_taken - connection._told_bytes
    if (
        flow.delivered - flow.taken + len(events) > flow.high
        or flow.delivered_bytes - flow.taken_bytes + size > flow.high_bytes
    ):
        return False
    connection._told_bytes = transport.bytes_taken
    if not events:
        return True
    protocol.events = []
    if len(events) == 1 and owner.expecting is not None:
        reply = events[0]
        if type(reply) is ReplyReceived and reply.ref == owner.expecting:
            owner.expected = reply  # It is taken as soon as it is told.
            return True
    flow.deliver(len(events), size)
    owner.tell(Burst(connection.actor_ref, events, flow, size, owner.last_ref))
    return True
