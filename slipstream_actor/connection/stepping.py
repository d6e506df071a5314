"""What a thread that drives a connection does for it; all else is left to the connection's own."""

from __future__ import annotations

import select
import time
from functools import partial
from types import BuiltinFunctionType, MethodType
from typing import Any

import msgspec

from slipstream_actor.actors import context
from slipstream_actor.actors.absence import absence
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.actors.forks import is_forked
from slipstream_actor.actors.here import waiting
from slipstream_actor.actors.interrupts import put_off
from slipstream_actor.actors.selector_inbox import READABLE, SocketReady
from slipstream_actor.connection.pushes import (
    is_left_to_write,
    leave_here,
    queue_here,
    take_left,
    write_here,
    write_left,
)
from slipstream_actor.connection.reading import may_have_more, receive
from slipstream_actor.connection.telemetry import CONNECTION
from slipstream_actor.protocol.commands import PushMessage, ResumeReading
from slipstream_actor.protocol.events import ReplyReceived
from slipstream_actor.protocol.joins import JOINED
from slipstream_actor.protocol.serializer import encode_push, encodes_as_ours
from slipstream_actor.telemetry import frame_log
from slipstream_actor.wire.frames import TEXT

__all__ = ["StepFailed", "Tick", "be_driven", "be_driven_no_more", "settle_what_came"]


class Tick(msgspec.Struct, frozen=True):
    """A deadline of the protocol or of the close has come."""


class StepFailed(msgspec.Struct, frozen=True):
    """A step has raised that another thread has done: the connection has crashed."""

    error: BaseException


def be_driven(connection: Any) -> None:
    """Let the owner of the connection, which is open now, drive it."""
    config, inbox, owner = connection._config, connection.actor_inbox, connection._owner.actor_inbox
    plain = config.reply_timeout_msec is None and not config.buffer_pushes
    ours = encodes_as_ours(config.serializer)
    if plain and ours:
        write, leave = MethodType(write_here, connection), MethodType(leave_here, connection)
        in_main = owner.in_main
        inbox.write_here = partial(put_off, inbox, write) if in_main else write
        inbox.leave_here = partial(put_off, inbox, leave) if in_main else leave
        inbox.queue_here = MethodType(queue_here, connection)
    if isinstance(getattr(select, "poll", None), BuiltinFunctionType):  # Not gevent's, nor without.
        inbox.can_step = MethodType(can_step, connection)
        inbox.step = MethodType(step_here, connection)
        inbox.turn.restart = MethodType(restart, connection)
        if ours:
            inbox.request_here = MethodType(request_here, connection)
    if owner.driven is None:
        owner.driven = inbox


def be_driven_no_more(connection: Any) -> None:
    """It ends: leave it to its own thread."""
    inbox, owner = connection.actor_inbox, connection._owner.actor_inbox
    inbox.write_here = inbox.leave_here = inbox.queue_here = None
    inbox.step = inbox.request_here = inbox.turn.restart = None
    inbox.can_step = bool  # Somebody may have the inbox, who is not to keep the connection.
    if owner.driven is inbox:
        owner.driven = None


def restart(connection: Any) -> None:
    """Start another thread for the connection, whose own has ended while it was driven."""
    inbox = connection.actor_inbox
    if is_forked(inbox):
        return
    absence.note(inbox.turn)  # Where there are no more threads it is recalled until there is one.
    try:
        connection._start_thread(MethodType(go_on, connection))
    except Exception as error:  # Also of whoever has replaced `Thread.start`, and a MemoryError.
        connection._log.thread(error)


def go_on(connection: Any) -> None:
    """Run the connection in such a thread, until it ends."""
    if connection.actor_inbox.take_over():
        connection._log.thread()
        connection._actor_loop()


def can_step(connection: Any, requests: int = 0) -> bool:
    """Whether its steps may be done elsewhere: nobody looks at them, and nobody is called back.

    `requests` are those of who drives.
    """
    owner = connection._owner.actor_inbox
    return not (
        connection._status != "connected"
        or CONNECTION
        or context.installed
        or len(connection._protocol.requests.open) > requests
        or owner.subscriptions
        or owner.observer is not None
        or owner.deaf
    )


def can_go_on(connection: Any) -> bool:
    """Whether they may still be done by who drives."""
    driver = connection.actor_inbox.driver
    return can_step(connection, driver.REQUESTS if driver is not None else 0)


def request_here(connection: Any, request: Any) -> bool:
    """Write a request in the thread of who asks, which mostly awaits it next.

    Returns `False`, and has done nothing, when the topic is not joined, or the connection's thread
    has something to do.
    """
    inbox = connection.actor_inbox
    if not inbox.turn.take():
        return False
    around, waiting.inbox = waiting.inbox, inbox  # As in `drive`.
    try:
        transport, protocol = connection._transport, connection._protocol
        channel, now = protocol.channels.get(request.topic), time.monotonic()
        if channel is None or channel.state is not JOINED or request.deadline <= now:
            return False
        if not can_step(connection) or inbox.has_mail or connection._paused:
            return False
        args = channel.join_ref, request.push_ref, request.topic, request.event, request.payload
        data = None if is_left_to_write(transport) else encode_push(*args)
        if data is None or not request.begin():
            return False
        if frame_log.is_on():
            frame_log.sending([PushMessage(*args[2:], request.push_ref, channel.join_ref)])
        armed, timer = not protocol.rearm, connection._timer
        if inbox.left:
            take_left(connection)
        protocol.push_request(channel, request, now)
        transport.queue([(TEXT, data)])
        transport.flush()
        if armed and timer is not None and timer.due <= request.deadline:
            protocol.rearm = False  # It looks before that.
        if protocol.rearm or is_left_to_write(transport):
            inbox.tell(ResumeReading())  # Its thread sees to the rest.
        return True
    finally:
        waiting.inbox = around
        inbox.turn.give()


def step_here(connection: Any, ready: SocketReady | Tick | None) -> bool:
    """Write the pushes that wait, or do what the socket is `ready` for, or a deadline.

    Returns `False` when there is something that only the connection's thread does: a command, an
    end, a close. What a step raises ends the connection there.
    """
    if not can_go_on(connection):
        return False
    try:
        if isinstance(ready, Tick):
            return beat(connection)
        return write_what_waits(connection) if ready is None else read(connection, ready)
    except BaseException as error:
        connection.actor_inbox.tell(StepFailed(error))
        return False


def read(connection: Any, ready: SocketReady) -> bool:
    """Do what the socket is ready for."""
    transport = connection._transport
    if ready.writable:
        transport.flush()
        connection.actor_inbox.watch_write(transport.wants_write)
    if ready.readable:
        receive(connection, transport)
        requests, driver = connection._protocol.requests, connection.actor_inbox.driver
        if requests.outcomes and driver is not None:
            # Told by who drives, when that does so no more: whoever is called back then may wait.
            driver.expected, requests.outcomes = requests.outcomes, []
    if transport.ended is not None or transport.write_error is not None:
        connection.actor_inbox.tell(ResumeReading())
        return False
    if not settle_quickly(connection, transport, connection._owner.actor_inbox):
        connection._settle()
    return True


def beat(connection: Any) -> bool:
    """Send the heartbeat that is due; `False` where one was not answered, or more may be due."""
    protocol, driver = connection._protocol, connection.actor_inbox.driver
    transport = connection._transport
    if (
        protocol.heartbeats.unanswered is not None
        or connection._give_up_at is not None
        or driver.REQUESTS
    ):
        return False
    now, before = time.monotonic(), transport.bytes_in
    # What has come is heard first. An end, and what one read does not take, is left to the
    # connection's own thread.
    if connection._paused or not read(connection, READABLE) or not can_go_on(connection):
        return False
    if may_have_more(transport, before):
        return False
    connection._due(now)
    return True


def write_what_waits(connection: Any) -> bool:
    """Write the pushes that wait; `False` when there is something else."""
    inbox = connection.actor_inbox
    write_left(connection)
    if pushes := inbox.drain(PushMessage):
        connection._push(*pushes)
    # Requests of others are concluded there.
    return not inbox.has_mail and can_go_on(connection)


def settle_what_came(connection: Any, transport: Any) -> bool:
    """Tell what the connection's own thread has read, where nothing else is to be done."""
    return not (
        connection._status != "connected"
        or CONNECTION
        or transport.ended is not None
        or transport.write_error is not None
        or connection._protocol.requests.outcomes
    ) and settle_quickly(connection, transport, connection._owner.actor_inbox)


def settle_quickly(connection: Any, transport: Any, owner: Any) -> bool:
    """Tell what has come, where `_settle` would find nothing else to do."""
    protocol, flow, taken = connection._protocol, connection.flow, transport.bytes_taken
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
    events, size = protocol.events, taken - connection._told_bytes
    if (
        flow.delivered - flow.taken + len(events) > flow.high
        or flow.delivered_bytes - flow.taken_bytes + size > flow.high_bytes
    ):
        return False
    connection._told_bytes = taken
    if not events:
        return True
    protocol.events = []
    if len(events) == 1 and owner.expecting is not None and connection.actor_inbox.driver is owner:
        reply = events[0]
        if type(reply) is ReplyReceived and reply.ref == owner.expecting:
            owner.expected = reply  # It is taken as soon as it is told.
            return True
    flow.deliver(len(events), size)
    owner.tell(Burst(connection.actor_ref, events, flow, size, owner.last_ref))
    return True
