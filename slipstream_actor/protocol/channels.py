"""Phoenix Channels as a state machine: commands and messages in, messages and events out.

No I/O and no clock: the time is an argument, and `next_deadline` says when to call again. The
rules are those of a real server: docs/protocol.md has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.deadlines import Deadlines
from slipstream_actor.protocol.events import (
    Event,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.former import FormerJoins
from slipstream_actor.protocol.heartbeats import Heartbeats
from slipstream_actor.protocol.incoming import take_in
from slipstream_actor.protocol.joins import (
    ENDED,
    JOIN_TRANSITIONS,
    JOINING,
    LEAVING,
    Channel,
    Input,
    JoinState,
    Waiting,
)
from slipstream_actor.protocol.message import OWN_TOPIC, Message, Ref, Reply, as_ref, reply_of
from slipstream_actor.protocol.plain_pushes import PlainPushes
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    Disconnected,
    JoinRefused,
    JoinTimeout,
    PushTimeout,
)
from slipstream_actor.protocol.requests import OpenRequests
from slipstream_actor.protocol.standstill import Standstill

__all__ = ["JOIN_TRANSITIONS", "Channel", "JoinState", "Protocol", "Waiting"]


class Protocol:
    """One connection's joins, refs and heartbeats.

    Feed it (`join`, `leave`, `push`, `receive`, `handle_timer`), then take what it has to say out
    of `outgoing` (messages to send) and `events` (for the owner of the socket).
    """

    def __init__(
        self,
        *,
        next_ref: Callable[[], str],
        has_join_refs: bool = True,
        heartbeat_interval: float = 30.0,
        join_timeout: float = 10.0,
    ) -> None:
        self.outgoing: list[Message] = []
        self.events: list[Event | Message] = []
        # Of these those that end a join, by its ref.
        self.ended_joins: dict[str, Event] = {}
        self.channels: dict[str, Channel] = {}
        self.former: FormerJoins = FormerJoins()
        self.refs: dict[str, Waiting] = {}
        self.heartbeats: Heartbeats = Heartbeats(heartbeat_interval)
        self.heartbeat_failed: bool = False
        self._next_ref = next_ref
        self._has_join_refs = has_join_refs
        self._join_timeout = join_timeout
        self.requests: OpenRequests = OpenRequests()
        self.plain: PlainPushes = PlainPushes()
        # Joins without an answer, left and replaced ones too, and leaves, by their refs.
        self._joining: dict[str, Channel] = {}
        self._leaving: dict[str, Channel] = {}
        self._join_deadlines = Deadlines()
        self._leave_deadlines = Deadlines()
        self._push_deadlines = Deadlines()
        # Those that stand still while reading is paused.
        self._deadlines = self._join_deadlines, self._leave_deadlines, self._push_deadlines
        self._standstill: Standstill = Standstill()
        # Whether `next_deadline` may be another one, and not only a later one, since it was asked.
        self.rearm: bool = True

    # commands

    def start(self, now: float) -> None:
        """The connection is open: the first heartbeat is due in one interval."""
        self.rearm = True
        self.heartbeats.start(now)

    def join(self, command: JoinTopic, now: float) -> None:
        """Request a join; one that the topic has is replaced by it (docs/protocol.md#note-14)."""
        join_ref = command.join_ref or self._next_ref()
        former = self.channels.get(command.topic)
        channel = Channel(command.topic, join_ref)
        if former is not None:
            self._retire(former)
            before = (*former.left_before, former)
            channel.left_before = tuple(left for left in before if left.state is LEAVING)
            channel.follows, former.follows = former, None
        self.channels[command.topic] = channel
        self._joining[join_ref] = channel
        self.rearm = True
        self._join_deadlines.add(join_ref, self._answer_by(now, command.timeout))
        self.refs[join_ref] = Waiting("join", "phx_join", channel, now)
        # join_ref == ref: with a null join_ref the server drops what comes later
        # (docs/protocol.md#note-6).
        self._send(join_ref, join_ref, command.topic, "phx_join", command.payload)

    def leave(
        self,
        topic: str,
        now: float,
        *,
        join_ref: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Leave the topic's join, or the one with `join_ref`; without it there is nothing to do.

        A leave that is not answered in `timeout` seconds, by default the time of a join, counts as
        done, as in phoenix.js.
        """
        channel = self.channels.get(topic)
        if channel is None or channel.state is LEAVING:
            return
        if join_ref is not None and channel.join_ref != join_ref:
            return
        self._step(channel, "leave")
        channel.leave_ref = ref = self._next_ref()
        self.refs[ref] = Waiting("leave", "phx_leave", channel, now)
        self._leaving[ref] = channel
        self.rearm = True
        self._leave_deadlines.add(ref, self._answer_by(now, timeout))
        self._send(channel.join_ref, ref, topic, "phx_leave", {})

    def push(self, command: PushMessage, now: float) -> bool:
        """Remember a push: an awaited one until its outcome, a plain one for its first reply.

        Returns `False` when it is not to be sent, since the join it belongs to is over, or the time
        for its reply.
        """
        if command.ref is None:
            return True
        if not command.awaited:
            self.plain.add(str(command.ref), as_ref(command.ref, command.topic, command.join_ref))
            return True
        channel = self.channels.get(command.topic)
        if channel is None or channel.join_ref != command.join_ref:
            return self._not_sent(command, ChannelEnded("left"))
        if command.deadline is not None and command.deadline <= now:
            return self._not_sent(command, PushTimeout())
        if command.request is not None:
            return command.request.begin() and self.push_request(channel, command.request, now)
        self.rearm = True
        self.refs[command.ref] = Waiting("push", command.event, channel)
        channel.pushes[command.ref] = now
        if command.deadline is not None:
            self._push_deadlines.add(
                command.ref, command.deadline + self._standstill.time(now) - now
            )
        elif command.reply_timeout is not None:
            self._push_deadlines.add(
                command.ref, self._standstill.time(now) + command.reply_timeout
            )
        return True

    def push_request(self, channel: Channel, request: Any, now: float) -> bool:
        """Remember a request that is being sent on a join."""
        ref = request.push_ref
        self.refs[ref] = Waiting("push", request.event, channel)
        channel.pushes[ref] = now
        self.rearm = True
        self.requests.add(ref, request, now)
        return True

    def _not_sent(self, command: PushMessage, reason: Any) -> bool:
        if command.request is not None:
            self.requests.unsent.append((command.request, reason))
            return False
        ref = Ref(command.ref or "", command.topic, command.join_ref, awaited=True)
        self.events.append(PushFailed(command.topic, command.event, ref, reason))
        return False

    def current_join_ref(self, topic: str) -> str | None:
        """Return the join_ref of the topic's join, for a push that names none."""
        channel = self.channels.get(topic)
        return channel.join_ref if channel is not None else None

    def close(self, reason: Any) -> None:
        """The connection has ended: every awaited push fails with it."""
        for channel in (*self.channels.values(), *self.former.values()):
            self._fail_pushes(channel, Disconnected(reason))
        self.refs.clear()
        self.channels.clear()
        self.former.clear()
        self._joining.clear()
        self._leaving.clear()
        for deadlines in self._deadlines:
            deadlines.clear()
        self.heartbeats.end()

    # messages

    def receive(self, message: Message, now: float) -> bool:
        """Take in a message of the server; `False` when it is nobody's."""
        return not take_in(self, [message], now)

    def receive_reserved(self, message: Message, now: float) -> bool | None:
        """Take in a reply or the end of a join; `None` for a broadcast of that name
        (docs/protocol.md#note-21)."""
        if message.event == "phx_reply":
            return None if message.ref is None else self._receive_reply(message.ref, message, now)
        if self._has_join_refs and message.join_ref is None and message.ref is None:
            return None
        channel = self._ending(message)
        if channel is None:
            return self.former.have_ended(message.join_ref, message.ref)
        if message.event == "phx_error":
            self._step(channel, "error", message.payload)
        else:
            self._step(channel, "close")
        return True

    def _ending(self, message: Message) -> Channel | None:
        """Return the join that a phx_close or phx_error ends (docs/protocol.md#note-3, #note-14,
        #note-23 and #note-52)."""
        current = self.channels.get(message.topic)
        join_ref = message.join_ref if message.join_ref is not None else message.ref
        if join_ref is None:
            waiting = (c for c in self.former.values() if c.topic == message.topic)
            return next(waiting, current)
        if current is not None and current.join_ref == join_ref:
            return current
        former = self.former.get(join_ref)
        return former if former is not None and former.topic == message.topic else None

    def _receive_reply(self, ref: str, message: Message, now: float) -> bool:
        beating = self.heartbeats.unanswered
        if beating is not None and ref == beating.ref:
            return self._receive_heartbeat(message, now)
        reply = reply_of(message.payload)
        if reply is None:
            return False
        waiting = self.refs.get(ref)
        if waiting is None:
            return self._receive_plain_reply(ref, message, reply)
        channel = waiting.channel
        if message.topic != channel.topic:
            return False
        if waiting.kind == "push":
            if message.join_ref not in (None, channel.join_ref):
                return False
            del self.refs[ref]
            del channel.pushes[ref]
            if self.requests.settle(ref, reply):
                return True
            self._push_deadlines.discard(ref)
            answered = Ref(ref, channel.topic, channel.join_ref, awaited=True)
            self.events.append(ReplyReceived(channel.topic, answered, reply))
            return True
        del self.refs[ref]
        if waiting.kind == "leave":
            self._step(channel, "left")
            return True
        # The server handles nothing else while it joins (docs/protocol.md#note-12): now it goes on.
        self._forget_joining(ref)
        self.rearm = True
        self.heartbeats.join_answered(now)
        self._step(channel, "ok" if reply.ok else "refused", reply.response)
        return True

    def _receive_heartbeat(self, message: Message, now: float) -> bool:
        """Take in the answer to the heartbeat."""
        if message.topic != OWN_TOPIC:
            return False
        self.rearm = True
        self.heartbeats.answered(now)
        self._end_silently(self.former.heartbeat_answered())
        return True

    def _receive_plain_reply(self, ref: str, message: Message, reply: Reply) -> bool:
        """Take in the first reply to a push that asked for none; any other is nobody's."""
        current = self.current_join_ref(message.topic)
        if message.join_ref not in (None, current):
            return False
        if not self.plain.take(ref, message.topic, current):
            return False
        answered = Ref(ref, message.topic, message.join_ref)
        self.events.append(ReplyReceived(message.topic, answered, reply))
        return True

    # time

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` wants to be called, on the caller's clock."""
        self.rearm = False
        due = self.heartbeats.due
        standing = self._standstill.at is not None
        for deadlines in (self.requests.deadlines, *(() if standing else self._deadlines)):
            if deadlines and (first := deadlines.first()) is not None:
                due = first if due is None else min(due, first)
        return due

    def pause(self, now: float) -> None:
        """We stop reading: what is not answered by now is not late, lest its answer has no room."""
        firsts = (at for d in self._deadlines if (at := d.first()) is not None)
        self._standstill.begin(now, min(firsts, default=math.inf))
        self.rearm = True

    def resume(self, now: float) -> None:
        """We read again: the deadlines go on from where they stood."""
        if self._standstill.at is None:
            return
        away, self.rearm = self._standstill.end(now), True
        for deadlines in self._deadlines:
            deadlines.shift(away)
        self.heartbeats.can_be_answered(now)

    def handle_timer(self, now: float, progress: float = float("-inf")) -> None:
        """Do what is due. `progress`: when bytes of an unfinished transfer last moved."""
        self.rearm = True
        running = self._standstill.time(now)
        while (ref := self._leave_deadlines.take_due(running)) is not None:
            self._step(self._leaving[ref], "close")
        while (ref := self._join_deadlines.take_due(running)) is not None:
            self._time_out(self._joining.pop(ref))
        for due, at in ((self._push_deadlines, running), (self.requests, now)):
            while (ref := due.take_due(at)) is not None:
                channel = self.refs[ref].channel
                del channel.pushes[ref]
                self._fail_push(channel, ref, PushTimeout())
        self._standstill.nothing_is_late()
        if self.heartbeats.due is not None and self.heartbeats.due <= now:
            self._beat(now, progress)

    def heartbeat_written(self, now: float) -> None:
        """The heartbeat's bytes are out: from now on the server may answer it."""
        self.rearm = True
        self.heartbeats.can_be_answered(now)

    @property
    def heartbeat_rtt(self) -> float | None:
        """Seconds that the last heartbeat's answer took, `None` before the first."""
        return self.heartbeats.rtt

    def _answer_by(self, now: float, timeout: float | None) -> float:
        """Return the deadline of a join or a leave that is being asked for."""
        return self._standstill.time(now) + (self._join_timeout if timeout is None else timeout)

    def _beat(self, now: float, progress: float) -> None:
        """Send a heartbeat, or find that the last one was not answered."""
        if self.heartbeats.unanswered is None or self._standstill.at is not None:
            ref = self._next_ref()
            self.heartbeats.sent(ref, now)
            self.former.heartbeat_sent()
            self._send(None, ref, OWN_TOPIC, "heartbeat", {})
            return
        join = self._join_deadlines.first()
        self.heartbeat_failed = not self.heartbeats.put_off(now, progress, join, self._join_timeout)

    def _time_out(self, channel: Channel) -> None:
        """Give a join up, and leave what the server may have half open (as phoenix.js does)."""
        if channel.state is not JOINING:
            return
        ref = self._next_ref()
        self._step(channel, "timeout")
        self._send(channel.join_ref, ref, channel.topic, "phx_leave", {})

    # transitions

    def _step(self, channel: Channel, given: Input, value: Any = None) -> None:
        """Move a join by the table, and tell what the table says."""
        step = JOIN_TRANSITIONS.get((channel.state, given))
        if step is None:
            return
        channel.state, outcome = step
        if outcome is not None and channel.left_before:
            self._end_those_left_before(channel)
        if channel.state is ENDED:
            self._forget(channel)
            end = ChannelCrashed(value) if given == "error" else "left"
            self._fail_pushes(channel, ChannelEnded(end))
        topic, join_ref = channel.topic, channel.join_ref
        if outcome == "succeeded":
            self.events.append(TopicJoinSucceeded(topic, value, join_ref))
        elif outcome == "failed":
            reason = JoinTimeout() if given == "timeout" else JoinRefused(value)
            self._tell_end(join_ref, TopicJoinFailed(topic, reason, join_ref))
        elif outcome == "crashed":
            self._tell_end(join_ref, TopicJoinClosed(topic, ChannelCrashed(value), join_ref))
        elif outcome == "left":
            self._tell_end(join_ref, TopicLeft(topic, join_ref))

    def _tell_end(self, join_ref: str, event: Event) -> None:
        self.events.append(event)
        self.ended_joins[join_ref] = event

    def _end_those_left_before(self, channel: Channel) -> None:
        """What is told of a join comes behind the end of those that were left before it.

        The server has ended them by then, though its phx_close may be to come
        (docs/protocol.md#note-14 and #note-23).
        """
        earlier, channel.left_before = channel.left_before, ()
        for former in earlier:
            if former.state is LEAVING:
                self._fail_pushes(former, ChannelEnded("left"))
                self._forget_leaving(former)
                self._step(former, "overtaken")

    def _retire(self, channel: Channel) -> None:
        """Make room for a new join of the topic; the old one waits for its phx_close."""
        if channel.state is not LEAVING:
            self._step(channel, "replace")
            self._fail_pushes(channel, ChannelEnded("left"))
        self.former[channel.join_ref] = channel
        self._end_silently(self.former.too_many())

    def _end_silently(self, replaced: list[Channel]) -> None:
        """Wait for the phx_close of joins no longer."""
        for channel in replaced:
            self._step(channel, "close")

    def _forget(self, channel: Channel) -> None:
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]
        self.former.forget(channel.join_ref)
        self._forget_joining(channel.join_ref)
        self.refs.pop(channel.join_ref, None)
        if channel.leave_ref is not None:
            self.refs.pop(channel.leave_ref, None)
            self._forget_leaving(channel)

    def _forget_joining(self, join_ref: str) -> None:
        self._joining.pop(join_ref, None)
        self._join_deadlines.discard(join_ref)

    def _forget_leaving(self, channel: Channel) -> None:
        ref = channel.leave_ref or ""
        self._leaving.pop(ref, None)
        self._leave_deadlines.discard(ref)

    def _fail_pushes(self, channel: Channel, reason: Any) -> None:
        for ref in channel.pushes:
            self._fail_push(channel, ref, reason)
        channel.pushes.clear()

    def _fail_push(self, channel: Channel, ref: str, reason: Any) -> None:
        """Report that an awaited push is not answered, and will not be."""
        waiting = self.refs.pop(ref, None)
        if waiting is None:
            return
        self._push_deadlines.discard(ref)
        if self.requests.settle(ref, reason):
            return
        known = Ref(ref, channel.topic, channel.join_ref, awaited=True)
        self.events.append(PushFailed(channel.topic, waiting.event, known, reason))

    def _send(self, join_ref: str | None, ref: str, topic: str, event: str, payload: Any) -> None:
        self.outgoing.append(Message(join_ref, ref, topic, event, payload))
