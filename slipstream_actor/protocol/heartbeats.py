"""When a heartbeat is due, and whether the server has answered the last one."""

from __future__ import annotations

import msgspec

__all__ = ["Heartbeats"]

# So many round trips are kept.
ROUND_TRIPS = 20


class Heartbeat(msgspec.Struct):
    """One that has not been answered; `since` is when its bytes were written."""

    ref: str
    since: float


class Heartbeats:
    """Those of one connection, one every `interval` seconds; with 0 there are none."""

    __slots__ = ("_interval", "_sign_of_life", "due", "round_trips", "rtt", "unanswered")

    def __init__(self, interval: float) -> None:
        self.unanswered: Heartbeat | None = None
        # When the next one is to be sent, and the one before to have been answered.
        self.due: float | None = None
        self.rtt: float | None = None
        # The last ones, the newest last.
        self.round_trips: list[float] = []
        self._interval = interval
        self._sign_of_life = float("-inf")

    def start(self, now: float) -> None:
        """The connection is open: the first one is due in one interval."""
        if self._interval:
            self.due = now + self._interval

    def sent(self, ref: str, now: float) -> None:
        """Await the answer to one that is being sent."""
        self.unanswered = Heartbeat(ref, now)
        self.due = now + self._interval

    def can_be_answered(self, now: float) -> None:
        """The server has its time from now on: its bytes are out, or its answer is read again."""
        if self.unanswered is not None and self.due is not None:
            self.unanswered.since = now
            self.due = now + self._interval

    def answered(self, now: float) -> None:
        """The answer has come: the next one is due in one interval."""
        assert self.unanswered is not None
        self.rtt = now - self.unanswered.since
        self.round_trips.append(self.rtt)
        del self.round_trips[:-ROUND_TRIPS]
        self.unanswered = None
        self._within_an_interval(now)

    def join_answered(self, now: float) -> None:
        """The server is there again: what a join had put off is due in one interval."""
        self._sign_of_life = now
        self._within_an_interval(now)

    def _within_an_interval(self, now: float) -> None:
        if self.due is not None:
            self.due = min(self.due, now + self._interval)

    def put_off(self, now: float, progress: float, busy_until: float | None, most: float) -> bool:
        """Go on to wait for an answer that is due; `False` when the server is dead.

        `progress`: when bytes last moved; `busy_until`: the first deadline of a join, which the
        server may be busy with, if that is at most so much later.
        """
        assert self.unanswered is not None
        life = max(self.unanswered.since, progress, self._sign_of_life) + self._interval
        if life > now:
            self.due = life
        elif busy_until is not None and busy_until <= life + most:
            # Not with a join that was asked for later (docs/protocol.md#note-12), else topics that
            # are tried again and again would excuse a dead server for ever.
            self.due = busy_until
        else:
            self.due = None
        return self.due is not None

    def end(self) -> None:
        """The connection has ended."""
        self.unanswered = self.due = None
