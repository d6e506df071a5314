"""Phoenix Channels as a state machine: commands and messages in, messages and events out.

No I/O and no clock: the time is an argument, and `next_deadline` says when to call again. The
rules are those of a real server; "note N" is a line of the protocol notes in the documentation.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from slipstream_actor.protocol.commands import JoinTopic, PushMessage
from slipstream_actor.protocol.events import (
    Event,
    MessageReceived,
    PushFailed,
    ReplyReceived,
    TopicJoinClosed,
    TopicJoinFailed,
    TopicJoinSucceeded,
    TopicLeft,
)
from slipstream_actor.protocol.message import Message, Ref, Reply
from slipstream_actor.protocol.reasons import (
    ChannelCrashed,
    ChannelEnded,
    Disconnected,
    JoinRefused,
    JoinTimeout,
    PushTimeout,
)

__all__ = ["JOIN_TRANSITIONS", "Channel", "JoinState", "Protocol", "Waiting"]

RESERVED = frozenset({"phx_reply", "phx_error", "phx_close"})
# Of so many refs, whose answers are nobody's, it is remembered that they are.
LATE_REPLIES = 256
LATE_PUSHES = 16_384


class JoinState(enum.Enum):
    """Where one join stands."""

    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    REPLACED = "replaced"  # by another join of its topic; the server's phx_close is to come
    ENDED = "ended"


Input: TypeAlias = Literal["ok", "refused", "timeout", "leave", "left", "replace", "error", "close"]
Outcome: TypeAlias = Literal["succeeded", "failed", "crashed", "left"]
JOINING, JOINED, LEAVING, REPLACED, ENDED = JoinState

# state and input → next state and what the owner is told; what is not here changes nothing.
JOIN_TRANSITIONS: dict[tuple[JoinState, Input], tuple[JoinState, Outcome | None]] = {
    (JOINING, "ok"): (JOINED, "succeeded"),
    (JOINING, "refused"): (ENDED, "failed"),
    (JOINING, "timeout"): (ENDED, "failed"),
    (JOINING, "leave"): (LEAVING, None),
    (JOINING, "replace"): (REPLACED, None),
    (JOINING, "error"): (ENDED, "crashed"),
    (JOINING, "close"): (ENDED, "left"),
    (JOINED, "leave"): (LEAVING, None),
    (JOINED, "replace"): (REPLACED, None),
    (JOINED, "error"): (ENDED, "crashed"),
    (JOINED, "close"): (ENDED, "left"),
    (LEAVING, "refused"): (ENDED, "left"),
    (LEAVING, "left"): (ENDED, "left"),
    (LEAVING, "error"): (ENDED, "left"),
    (LEAVING, "close"): (ENDED, "left"),
    (REPLACED, "refused"): (ENDED, None),
    (REPLACED, "error"): (ENDED, None),
    (REPLACED, "close"): (ENDED, None),
}


class Channel(msgspec.Struct, eq=False):
    """One join of a topic, from its request to its end; `pushes` are its awaited refs."""

    topic: str
    join_ref: str
    deadline: float
    state: JoinState = JOINING
    leave_ref: str | None = None
    pushes: dict[str, None] = msgspec.field(default_factory=dict)


class Waiting(msgspec.Struct, frozen=True):
    """A ref that something waits for: an entry of the ledger."""

    kind: Literal["join", "leave", "push"]
    event: str
    channel: Channel


class Heartbeat(msgspec.Struct):
    """The heartbeat that has not been answered; `since` is when its bytes were written."""

    ref: str
    since: float


class Protocol:
    """One connection's joins, refs and heartbeats.

    Feed it (`join`, `leave`, `push`, `receive`, `handle_timer`), then take what it has to say out
    of `outgoing` (messages to send) and `events` (for the owner of the socket).
    """

    def __init__(
        self,
        *,
        next_ref: Callable[[], str],
        last_ref: Callable[[], int],
        has_join_refs: bool = True,
        heartbeat_interval: float = 30.0,
        join_timeout: float = 10.0,
    ) -> None:
        self.outgoing: list[Message] = []
        self.events: list[Event] = []
        self.channels: dict[str, Channel] = {}
        self.former: dict[str, Channel] = {}
        self.refs: dict[str, Waiting] = {}
        self.heartbeat: Heartbeat | None = None
        self.heartbeat_rtt: float | None = None
        self.heartbeat_failed: bool = False
        self._next_ref = next_ref
        self._last_ref = last_ref
        self._has_join_refs = has_join_refs
        self._interval = heartbeat_interval
        self._join_timeout = join_timeout
        self._beat_at: float | None = None
        self._sign_of_life = float("-inf")
        # Joins, leaves and heartbeats whose answers, should they come late, are nobody's replies.
        self._spent: dict[str, None] = {}
        # Pushes that were reported as failed, and so are not to be reported as answered.
        self._failed: dict[str, None] = {}
        # Joins without an answer, left and replaced ones too, in the order of their deadlines,
        # since all have the same time.
        self._joining: dict[str, Channel] = {}
        # Leaves without an answer, by their refs, likewise in the order of their deadlines.
        self._leaving: dict[str, tuple[float, Channel]] = {}
        self._push_deadlines: list[tuple[float, str]] = []
        self._paused_at: float | None = None

    # commands

    def start(self, now: float) -> None:
        """The connection is open: the first heartbeat is due in one interval."""
        if self._interval:
            self._beat_at = now + self._interval

    def join(self, command: JoinTopic, now: float) -> None:
        """Request a join; one that the topic has is replaced by it (docs/protocol.md#note-14)."""
        join_ref = command.join_ref or self._next_ref()
        former = self.channels.get(command.topic)
        if former is not None:
            self._retire(former)
        channel = Channel(command.topic, join_ref, self._running(now) + self._join_timeout)
        self.channels[command.topic] = channel
        self._joining[join_ref] = channel
        self.refs[join_ref] = Waiting("join", "phx_join", channel)
        # join_ref == ref: with a null join_ref the server drops what comes later
        # (docs/protocol.md#note-6).
        self._send(join_ref, join_ref, command.topic, "phx_join", command.payload)

    def leave(self, topic: str, now: float) -> None:
        """Leave the topic's join; without one there is nothing to do.

        A leave that is not answered in the time of a join counts as done, as in phoenix.js.
        """
        channel = self.channels.get(topic)
        if channel is None or channel.state is LEAVING:
            return
        self._step(channel, "leave")
        channel.leave_ref = ref = self._next_ref()
        self.refs[ref] = Waiting("leave", "phx_leave", channel)
        self._leaving[ref] = (self._running(now) + self._join_timeout, channel)
        self._send(channel.join_ref, ref, topic, "phx_leave", {})

    def push(self, command: PushMessage, now: float) -> bool:
        """Enter an awaited push into the ledger; a plain one leaves nothing behind.

        Returns `False` when it is not to be sent, since the join it belongs to is over.
        """
        if not command.awaited or command.ref is None:
            return True
        channel = self.channels.get(command.topic)
        if channel is None or channel.join_ref != command.join_ref:
            ref = Ref(command.ref, command.topic, command.join_ref)
            self.events.append(PushFailed(command.topic, command.event, ref, ChannelEnded("left")))
            return False
        self.refs[command.ref] = Waiting("push", command.event, channel)
        channel.pushes[command.ref] = None
        if command.reply_timeout is not None:
            self._expect(command.ref, self._running(now) + command.reply_timeout)
        return True

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
        self._push_deadlines.clear()
        self.heartbeat = self._beat_at = None

    # messages

    def receive(self, message: Message, now: float) -> bool:
        """Take in a message of the server; `False` when it is nobody's."""
        if message.event in RESERVED:
            handled = self._receive_reserved(message, now)
            if handled is not None:
                return handled
        if message.join_ref is not None:
            channel = self.channels.get(message.topic)
            if channel is None or channel.join_ref != message.join_ref:
                return False  # a message of a former join
        self.events.append(MessageReceived(message.topic, message.event, message.payload))
        return True

    def _receive_reserved(self, message: Message, now: float) -> bool | None:
        """Take in a reply or the end of a join; `None` for a broadcast of that name
        (docs/protocol.md#note-21)."""
        if message.event == "phx_reply":
            return None if message.ref is None else self._receive_reply(message.ref, message, now)
        if self._has_join_refs and message.join_ref is None and message.ref is None:
            return None
        channel = self._ending(message)
        if channel is None:
            return self._is_spent(message)
        if message.event == "phx_error":
            self._step(channel, "error", message.payload)
        else:
            self._step(channel, "close")
        return True

    def _is_spent(self, message: Message) -> bool:
        """Whether a phx_close or phx_error is the rest of a join that has ended
        (docs/protocol.md#note-22)."""
        return message.join_ref in self._spent or message.ref in self._spent

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
        payload = message.payload
        if not isinstance(payload, dict) or not isinstance(payload.get("status"), str):
            return False
        reply = Reply(payload["status"], payload.get("response"))
        if self.heartbeat is not None and ref == self.heartbeat.ref:
            self.heartbeat_rtt = now - self.heartbeat.since
            self.heartbeat = None
            self._beat_within_an_interval(now)
            return True
        waiting = self.refs.pop(ref, None)
        if waiting is None or waiting.kind == "push":
            if waiting is not None:
                waiting.channel.pushes.pop(ref, None)
            elif ref in self._failed or not self._given_out(ref):
                return False  # a reply to nothing
            answered = Ref(ref, message.topic, message.join_ref)
            self.events.append(ReplyReceived(message.topic, answered, reply))
            return True
        self._spend(ref)
        if waiting.kind == "leave":
            self._step(waiting.channel, "left")
        else:
            # The server handles nothing else while it joins (docs/protocol.md#note-12): now it goes
            # on.
            self._joining.pop(ref, None)
            self._sign_of_life = now
            self._beat_within_an_interval(now)
            self._step(waiting.channel, "ok" if reply.ok else "refused", reply.response)
        return True

    def _given_out(self, ref: str) -> bool:
        """Whether `ref` is one of ours, for a push."""
        if not ref.isascii() or not ref.isdigit() or ref[0] == "0" or len(ref) > 18:
            return False
        return int(ref) <= self._last_ref() and ref not in self._spent

    # time

    def next_deadline(self) -> float | None:
        """Return when `handle_timer` wants to be called, on the caller's clock."""
        if self._paused_at is not None:
            return self._beat_at
        due = (
            self._beat_at,
            self._first_join_deadline(),
            self._first_leave_deadline(),
            self._first_push_deadline(),
        )
        return min((at for at in due if at is not None), default=None)

    def pause(self, now: float) -> None:
        """We stop reading: what the server may have sent is not late."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """We read again: the deadlines go on from where they stood."""
        if self._paused_at is None:
            return
        away, self._paused_at = now - self._paused_at, None
        for channel in self._joining.values():
            channel.deadline += away
        self._leaving = {ref: (at + away, c) for ref, (at, c) in self._leaving.items()}
        self._push_deadlines = [(at + away, ref) for at, ref in self._push_deadlines]
        if self.heartbeat is not None and self._beat_at is not None:
            self.heartbeat.since = now
            self._beat_at = now + self._interval

    def handle_timer(self, now: float, progress: float = float("-inf")) -> None:
        """Do what is due. `progress`: when bytes of an unfinished transfer last moved."""
        running = self._running(now)
        while (first := self._first_join_deadline()) is not None and first <= running:
            self._time_out(next(iter(self._joining.values())))
        while (first := self._first_leave_deadline()) is not None and first <= running:
            self._step(next(iter(self._leaving.values()))[1], "close")
        while (first := self._first_push_deadline()) is not None and first <= running:
            self._time_out_push(heapq.heappop(self._push_deadlines)[1])
        if self._beat_at is not None and self._beat_at <= now:
            self._beat(now, progress)

    def heartbeat_written(self, now: float) -> None:
        """The heartbeat's bytes are out: from now on the server may answer it."""
        if self.heartbeat is not None and self._beat_at is not None:
            self.heartbeat.since = now
            self._beat_at = now + self._interval

    def _beat_within_an_interval(self, now: float) -> None:
        """The server is there again: what a join had put off is due in one interval."""
        if self._beat_at is not None:
            self._beat_at = min(self._beat_at, now + self._interval)

    def _running(self, now: float) -> float:
        """Return the time on the clock that stands still while reading is paused."""
        return now if self._paused_at is None else self._paused_at

    def _beat(self, now: float, progress: float) -> None:
        """Send a heartbeat, or find that the last one was not answered."""
        if self.heartbeat is None or self._paused_at is not None:
            ref = self._next_ref()
            self.heartbeat = Heartbeat(ref, now)
            self._spend(ref)
            self._beat_at = now + self._interval
            self._send(None, ref, "phoenix", "heartbeat", {})
            return
        life = max(self.heartbeat.since, progress, self._sign_of_life) + self._interval
        join = self._first_join_deadline()
        if life > now:
            self._beat_at = life
        elif join is not None and join <= life + self._join_timeout:
            # The server may be busy with it (docs/protocol.md#note-12); but not with one that was
            # asked for later,
            # else topics that are tried again and again would excuse a dead server for ever.
            self._beat_at = join
        else:
            self.heartbeat_failed = True
            self._beat_at = None

    def _time_out(self, channel: Channel) -> None:
        """Give a join up, and leave what the server may have half open (as phoenix.js does)."""
        del self._joining[channel.join_ref]
        if channel.state is not JOINING:
            return
        ref = self._next_ref()
        self._spend(ref)
        self._step(channel, "timeout")
        self._send(channel.join_ref, ref, channel.topic, "phx_leave", {})

    def _expect(self, ref: str, deadline: float) -> None:
        """Have a push fail at `deadline`."""
        if len(self._push_deadlines) > 2 * len(self.refs) + 64:
            # Those that were answered stay until they are due.
            self._push_deadlines = [d for d in self._push_deadlines if d[1] in self.refs]
            heapq.heapify(self._push_deadlines)
        heapq.heappush(self._push_deadlines, (deadline, ref))

    def _first_leave_deadline(self) -> float | None:
        for deadline, _ in self._leaving.values():
            return deadline
        return None

    def _first_push_deadline(self) -> float | None:
        while self._push_deadlines:
            at, ref = self._push_deadlines[0]
            if ref in self.refs:
                return at
            heapq.heappop(self._push_deadlines)
        return None

    def _time_out_push(self, ref: str) -> None:
        waiting = self.refs[ref]
        waiting.channel.pushes.pop(ref)
        self._fail_push(waiting.channel, ref, PushTimeout())

    # transitions

    def _step(self, channel: Channel, given: Input, value: Any = None) -> None:
        """Move a join by the table, and tell what the table says."""
        step = JOIN_TRANSITIONS.get((channel.state, given))
        if step is None:
            return
        channel.state, outcome = step
        if channel.state is ENDED:
            self._forget(channel)
            end = ChannelCrashed(value) if given == "error" else "left"
            self._fail_pushes(channel, ChannelEnded(end))
        topic, join_ref = channel.topic, channel.join_ref
        if outcome == "succeeded":
            self.events.append(TopicJoinSucceeded(topic, value, join_ref))
        elif outcome == "failed":
            reason = JoinTimeout() if given == "timeout" else JoinRefused(value)
            self.events.append(TopicJoinFailed(topic, reason, join_ref))
        elif outcome == "crashed":
            self.events.append(TopicJoinClosed(topic, ChannelCrashed(value), join_ref))
        elif outcome == "left":
            self.events.append(TopicLeft(topic, join_ref))

    def _retire(self, channel: Channel) -> None:
        """Make room for a new join of the topic; the old one waits for its phx_close."""
        if channel.state is not LEAVING:
            self._step(channel, "replace")
            self._fail_pushes(channel, ChannelEnded("left"))
        self.former[channel.join_ref] = channel

    def _forget(self, channel: Channel) -> None:
        if self.channels.get(channel.topic) is channel:
            del self.channels[channel.topic]
        self.former.pop(channel.join_ref, None)
        self._joining.pop(channel.join_ref, None)
        for ref in (channel.join_ref, channel.leave_ref):
            if ref is not None and self.refs.pop(ref, None) is not None:
                self._spend(ref)
        self._leaving.pop(channel.leave_ref or "", None)

    def _spend(self, ref: str) -> None:
        remember(self._spent, ref, LATE_REPLIES)

    def _first_join_deadline(self) -> float | None:
        for channel in self._joining.values():
            return channel.deadline
        return None

    def _fail_pushes(self, channel: Channel, reason: Any) -> None:
        for ref in channel.pushes:
            self._fail_push(channel, ref, reason)
        channel.pushes.clear()

    def _fail_push(self, channel: Channel, ref: str, reason: Any) -> None:
        """Report that an awaited push is not answered, and will not be."""
        waiting = self.refs.pop(ref, None)
        if waiting is None:
            return
        known = Ref(ref, channel.topic, channel.join_ref)
        self.events.append(PushFailed(channel.topic, waiting.event, known, reason))
        remember(self._failed, ref, LATE_PUSHES)

    def _send(self, join_ref: str | None, ref: str, topic: str, event: str, payload: Any) -> None:
        self.outgoing.append(Message(join_ref, ref, topic, event, payload))


def remember(refs: dict[str, None], ref: str, most: int) -> None:
    """Add `ref`, and forget the oldest one when there are more than `most`."""
    refs[ref] = None
    if len(refs) > most:
        del refs[next(iter(refs))]
