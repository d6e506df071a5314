"""`await_reply`: the outcome of one push, a buffered one's once it is sent."""

from __future__ import annotations

import math
import time
from typing import Any

from slipstream_actor.actors.envelopes import LEAVE, TAKE
from slipstream_actor.actors.process import ThreadRef
from slipstream_actor.actors.search import Expired
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.errors import AwaitTimeoutError, SlipstreamError, shown
from slipstream_actor.protocol.events import (
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import OWN_TOPIC, Ref, Reply
from slipstream_actor.protocol.reason_texts import described
from slipstream_actor.protocol.reasons import BufferOverflow, ChannelEnded, Disconnected
from slipstream_actor.socket.apply_event import CONNECTION_ENDS, decides
from slipstream_actor.socket.awaiting import (
    Deadline,
    disconnected_error,
    last_words,
    receive,
    search,
    timed_out,
)
from slipstream_actor.socket.buffering import catch_up, expire, send_buffered
from slipstream_actor.socket.errors import NotConnectedError, NotJoinedError, SendBufferFullError
from slipstream_actor.socket.ownership import require_owner
from slipstream_actor.socket.standing import stands
from slipstream_actor.socket.state import SocketState, open_channel
from slipstream_actor.socket.telemetry import push_ended

__all__ = ["await_reply"]


def await_reply(
    socket: SocketState, ref: Ref | str, timeout: float | None, spent: float = 0.0
) -> Reply:
    """See `Socket.await_reply`; so many seconds of its time are `spent`."""
    require_owner(socket, "await_reply")
    deadline = Deadline(timeout, spent)
    topic = join_ref = None
    if isinstance(ref, Ref):
        topic, join_ref = ref.topic, ref.join_ref
        if ref.failure is not None:
            raise push_error(ref.failure, ref, deadline, socket)
        if join_ref is None and topic != OWN_TOPIC:
            join_ref = await_sending(socket, ref, topic, deadline)
    else:
        require_text("ref", ref)

    def match(message: Any, _: Any) -> int:
        kind = type(message)
        if kind in (ReplyReceived, PushFailed):
            return TAKE if message.ref == ref else 0
        if kind in (TopicLeft, TopicJoinClosed):
            over = message.topic == topic and message.join_ref in (None, join_ref)
            return LEAVE if over else 0
        return LEAVE if kind in CONNECTION_ENDS else 0

    over = topic is not None and join_is_over(socket, topic, join_ref)
    try:
        since_ref = 0 if over else earliest(socket, ref, join_ref)
        event = search(socket, 0.0 if over else deadline.left(), match, since_ref)
    except Expired:
        if not over:
            raise timed_out(socket, reply_to(ref), deadline, topic) from None
        event = last_words(socket, deadline, match)
        if event is None:
            raise join_over_error(socket, ref) from None
    return reply_or_raise(event, ref, deadline, socket)


def reply_to(ref: Ref | str) -> str:
    """Return how errors call what `await_reply` waits for."""
    if isinstance(ref, Ref) and ref.topic == OWN_TOPIC:
        return "the answer to a heartbeat"
    text = f"the reply to {ref!r}"
    return text + f" on {ref.topic!r}" if isinstance(ref, Ref) else text


def earliest(socket: SocketState, ref: Any, join_ref: str | None) -> int:
    """Return the ref before which nothing is that ends the wait for a reply, 0 when it may be
    anywhere.

    A reply comes after its push, and so does the end of a join or of a connection that was there
    when this asks. In a flood what has come before is not searched again for each reply.
    """
    if not isinstance(ref, Ref) or join_ref in socket.socket_pid.actor_inbox.ended_joins:
        return 0
    try:
        return int(ref)
    except ValueError:
        return 0


def join_over_error(socket: SocketState, ref: Ref | str) -> SlipstreamError:
    """Return the error of an await of a reply whose join is over; the push has its outcome."""
    ledger, reason = socket.socket_pid.actor_inbox.ledger, ChannelEnded("left")
    ledger.settle(ref)
    push_ended(ledger, ref, reason)
    awaited, stand = reply_to(ref), stands(socket, getattr(ref, "topic", None))
    if not socket.connected:
        return NotConnectedError(f"awaited {awaited}{stand}", socket=socket)
    text = f"awaited {awaited}: its join is over{stand}"
    return NotJoinedError(text, reason=reason, socket=socket)


def reply_or_raise(event: Any, ref: Ref | str, deadline: Deadline, socket: SocketState) -> Reply:
    """Return the reply that an event is, or raise why there will be none."""
    ledger = socket.socket_pid.actor_inbox.ledger
    ledger.settle(ref)
    if type(event) is ReplyReceived:
        reply: Reply = event.reply
        push_ended(ledger, ref, reply)
        return reply
    if type(event) is PushFailed:
        push_ended(ledger, ref, event.reason)
        raise push_error(event.reason, ref, deadline, socket)
    if type(event) in CONNECTION_ENDS:
        push_ended(ledger, ref, Disconnected(event.reason))
        raise disconnected_error(reply_to(ref), event, socket)
    reason = ChannelEnded("left" if type(event) is TopicLeft else event.reason)
    push_ended(ledger, ref, reason)
    raise push_error(reason, ref, deadline, socket)


def await_sending(socket: SocketState, ref: Ref, topic: str, deadline: Deadline) -> str | None:
    """Wait until a buffered push is sent, and return the join_ref that it was sent with.

    The event of the join is left where it is, for `await_join` or `handle_join`.
    """
    owner = socket.socket_pid
    buffer = owner.actor_inbox.buffer
    catch_up(socket, topic)
    expiry = buffer.expiry(ref)
    if expiry is not None:
        left = min(expiry - time.monotonic(), math.inf if (t := deadline.left()) is None else t)
        try:
            event = receive(
                socket,
                reply_to(ref),
                Deadline(max(0.0, left)),
                lambda m, _: LEAVE if decides(socket, m, topic) else 0,
                topic,
            )
        except AwaitTimeoutError:
            for kept in buffer.take_expired(time.monotonic()):
                expire(owner, kept)
        else:
            if type(event) is TopicJoinSucceeded:
                send_buffered(socket, topic, event.join_ref)
            elif buffer.take_out(ref):
                ref.failure = ChannelEnded(getattr(event, "reason", "left"))
                push_ended(owner.actor_inbox.ledger, ref, ref.failure)
    if ref.failure is not None:
        raise push_error(ref.failure, ref, deadline, socket)
    if buffer.expiry(ref) is not None:
        hint = ": it is kept, and may be sent yet"
        if type(owner) is ThreadRef and not socket.connected:
            hint += f", by await_join({shown(topic)})"
        raise AwaitTimeoutError(reply_to(ref), deadline.timeout, socket=socket, hint=hint)
    return ref.join_ref


def push_error(
    reason: Any, ref: Ref | str, deadline: Deadline, socket: SocketState
) -> SlipstreamError:
    """Return the error of an await whose push has failed for `reason`."""
    awaited = reply_to(ref)
    text = f"awaited {awaited}: {described(reason)}"
    if isinstance(reason, ChannelEnded):
        return NotJoinedError(text, reason=reason, socket=socket)
    if isinstance(reason, Disconnected):
        return NotConnectedError(text, reason=reason, socket=socket)
    if isinstance(reason, BufferOverflow):
        return SendBufferFullError(text)
    return AwaitTimeoutError(
        awaited, deadline.waited(), socket=socket, hint=f": {described(reason)}"
    )


def join_is_over(socket: SocketState, topic: str, join_ref: str | None) -> bool:
    """Whether the join that a push belongs to has ended, as far as the socket knows."""
    if open_channel(socket) is None or join_ref is None:
        return not socket.connected
    join = socket.joins.get(topic)
    return join is None or join.join_ref != join_ref
