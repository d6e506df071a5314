"""The inbox of a plain thread, which may be the main one: signals are handled there.

Whatever a handler raises in the middle of an await, no message is lost by it: a message goes from
the queue into the stash in one step of C, is found there, and is taken out by the last step of all.

The outcome of a push can be awaited as long as somebody has its `Ref`. Those that nobody can await
any more are dropped when they have become many: else a thread that pushes, and awaits only what
others say, would keep them for ever. So is the end of a delay whose socket is gone.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections import deque
from typing import Any
from weakref import WeakValueDictionary

from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import Burst, TimerDue
from slipstream_actor.actors.here import is_main_thread
from slipstream_actor.actors.inbox import Inbox
from slipstream_actor.actors.interrupts import put_off
from slipstream_actor.protocol.events import PushFailed, ReplyReceived
from slipstream_actor.protocol.message import Ref

__all__ = ["ThreadInbox"]

OUTCOMES = (ReplyReceived, PushFailed)
# The least number of messages passed over at which it is looked for what nobody can await.
FEW = 64


class ThreadInbox(Inbox):
    """An inbox from which an exception out of a signal handler takes nothing."""

    FOR_CALLBACKS = False

    def __init__(self) -> None:
        super().__init__()
        # From the beginning: what a message is put into in one step is there.
        self._stash = deque()
        # Of the pushes whose `Ref` somebody still has, that.
        self.refs: WeakValueDictionary[str, Ref] = WeakValueDictionary()
        self._many = FEW
        self.in_main: bool = is_main_thread()
        # The last reply that it has awaited.
        self.kept: Any = None

    def _drove(self, timeout: float | None) -> bool:
        if not self.in_main or self.driven is None:
            return super()._drove(timeout)
        return bool(put_off(self.driven, super()._drove, timeout))

    def await_reply(self, ref: str, timeout: float | None) -> Any:
        """See `Inbox.await_reply`; for the main thread it is kept until the next one."""
        if not self.in_main or self.driven is None:
            return super().await_reply(ref, timeout)
        self.kept = None
        return put_off(self.driven, self._await_and_keep, ref, timeout)

    def _await_and_keep(self, ref: str, timeout: float | None) -> Any:
        self.kept = super().await_reply(ref, timeout)
        return self.kept

    def put_back_reply(self, source: Any) -> None:
        """What came over the connection `source` was not returned: the next await may have it."""
        kept, self.kept = self.kept, None
        if kept is not None:
            self.tell(Burst(source, (kept,)))

    def tidy(self) -> None:
        """Drop what nobody can await, if much has come since it was last done; the owner asks."""
        if self._has_grown(len(self._stash) + self._queue.qsize()):
            self._stash_all()
            self._drop_unwanted()

    def _has_grown(self, count: int) -> bool:
        """Whether as many messages more have come as there were at the fewest since."""
        if count > self._many:
            return True
        self._many = min(self._many, max(FEW, 2 * count))
        return False

    def _fetch(self, timeout: float | None) -> bool:
        if self._has_grown(len(self._stash)):
            self._drop_unwanted()
        self._waited = True
        if self._timers:
            self._messages_turn = not self._messages_turn
            if (self._messages_turn and self._pull(0.0)) or self._stash_due():
                return True
        started, limit = time.monotonic(), self._limit(timeout)
        came = self._pull(0.0 if self._drove(limit) else limit) or self._stash_due()
        self.note_wait(started)
        return came

    def _pull(self, timeout: float | None) -> bool:
        """Put the next message into the stash; `False` when none came within `timeout`."""
        try:
            # One step: `get` returns to C, and between it and the stash no signal is handled.
            self._stash.extend(map(self._queue.get, (True,), (timeout,)))
        except queue.Empty:
            return False
        self._changes += 1
        return True

    def _stash_due(self) -> bool:
        """Put the next timer that is due into the stash; `False` when none is."""
        while self._timers:
            due, _, timer = self._timers[0]
            if not timer.cancelled and not timer.delivered:
                if self._seconds_until(due) > 0:
                    return False
                stash, this = self._stash, (Envelope(timer.message),)
                if not timer.delivered:
                    stash += this
                    timer.delivered = True
                    self._changes += 1
                    return True
            if self._timers and self._timers[0][2] is timer:
                heapq.heappop(self._timers)
        return False

    def _is_unwanted(self, event: Any) -> bool:
        return type(event) in OUTCOMES and event.ref not in self.refs

    def _drop_unwanted(self) -> None:
        """Drop the outcomes, and the ends of delays, that nobody can await; then as many messages
        may come again."""
        for envelope in tuple(self._stash):
            burst = envelope.message
            if type(burst) is Burst and burst.source is not None:
                self._drop_unwanted_of(burst)
        seen = self._changes
        left = deque(e for e in self._stash if not is_nothing(e.message))
        if self._changes == seen:  # Else a signal handler has awaited something.
            self._stash = left
            self._changes += 1
        self._many = max(FEW, 2 * len(left))

    def _drop_unwanted_of(self, burst: Burst) -> None:
        seen, events, flow = self._changes, burst.events, burst.flow
        left: deque[Any] = deque()
        dropped: list[Any] = []
        for event in events:
            (dropped if self._is_unwanted(event) else left).append(event)
        count, size = len(dropped), 0 if left else burst.size
        if not dropped or self._changes != seen:
            return
        # Inline: all or none, and a signal is handled behind a call.
        burst.events = left
        flow.taken += count
        flow.taken_bytes += size
        for event in dropped:
            self.ledger.settle(event.ref)
        flow.relieve()


def is_nothing(message: Any) -> bool:
    """Whether there is nothing in a message that anybody could take."""
    if type(message) is Burst:
        return not message.events
    return isinstance(message, TimerDue) and message.void
