"""The inbox of a plain thread, which may be the main one: signals are handled there.

Whatever a handler raises in the middle of an await, no message is lost by it: a message goes from
the queue into the stash in one step of C, is found there, and is taken out by the last step of all.
"""

from __future__ import annotations

import heapq
import queue

from pykka._envelope import Envelope

from slipstream_actor.actors.inbox import Inbox

__all__ = ["ThreadInbox"]


class ThreadInbox(Inbox):
    """An inbox from which an exception out of a signal handler takes nothing."""

    FOR_CALLBACKS = False

    def _fetch(self, timeout: float | None) -> bool:
        if self._timers:
            self._messages_turn = not self._messages_turn
            if (self._messages_turn and self._pull(0.0)) or self._stash_due():
                return True
        return self._pull(self._limit(timeout)) or self._stash_due()

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
