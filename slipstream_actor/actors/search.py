"""Erlang's selective receive: the search for a message, in what is here and in what comes."""

from __future__ import annotations

from typing import Any

from pykka._envelope import Envelope

from slipstream_actor.actors.envelopes import EVERY_SOURCE, LEAVE, Burst, Interrupted, Match
from slipstream_actor.actors.forks import is_known_to_be_forked
from slipstream_actor.actors.places import Place
from slipstream_actor.actors.pressure import Inflow

__all__ = ["Expired", "Search"]


class Expired(TimeoutError):
    """The time of a `receive` is over; a signal handler's `TimeoutError` is none."""


class Search:
    """One `receive` in an inbox, up to the moment at which it takes what it has found.

    The events that it has passed over do not count while it waits, else the answer that it waits
    for could wait for itself.
    """

    def __init__(self, inbox: Any, match: Match, source: Any, since_ref: int) -> None:
        self._inbox = inbox
        self._match = match
        self._source = source
        self._since_ref = since_ref
        # Of each connection how many, and their bytes.
        self._passed: dict[Inflow, tuple[int, int]] = {}
        # How often the stash had changed when it was searched.
        self._seen = 0
        # How many messages are yet to be looked at when the time is over.
        self._left_over: int | None = None

    def wait(self, deadline: float | None, *, interruptible: bool) -> Place:
        """Return the place of the first message that matches.

        Raises `Expired` at the deadline, and `Interrupted`.
        """
        if (found := self._look_through()) is not None:
            return found
        inbox, passed = self._inbox, self._passed
        try:
            if inbox.burst is not None or inbox._stash:
                for message in [inbox.burst, *[e.message for e in tuple(inbox._stash)]]:
                    self._pass_over(message)
            while (found := self._look_at_next(deadline, interruptible=interruptible)) is None:
                pass
            return found
        finally:
            # Inline, and each in one step: a signal is handled at the beginning of a function.
            while passed:
                for flow in passed:
                    flow.passed -= passed[flow][0]
                    flow.passed_bytes -= passed[flow][1]
                    del passed[flow]
                    break

    def _look_at_next(self, deadline: float | None, *, interruptible: bool) -> Place | None:
        """Wait for what comes next, and return the place of what matches in it."""
        inbox = self._inbox
        if interruptible and inbox.stopping:
            raise Interrupted
        came = int(inbox._fetch(None if deadline is None else self._time_left(deadline)))
        if is_known_to_be_forked(inbox):
            raise Interrupted
        if came and (more := inbox._fetch_more()):
            self._seen += 1
            came += more
        found = self._look_at_what_came(came)
        if found is None and self._left_over is not None:
            self._require_time(came, self._left_over)
        return found

    def _time_left(self, deadline: float) -> float:
        """Return the seconds that are left; see to it that at the end there is an end."""
        left: float = self._inbox._seconds_until(deadline)
        if left > 0:
            return left
        if self._left_over is None:
            # What is here is looked at, also between timers; what keeps coming is not.
            self._left_over = 2 * self._inbox._queue.qsize() + len(self._inbox._timers)
        return 0.0

    def _require_time(self, came: int, left_over: int) -> None:
        if not came or left_over <= 0:
            raise Expired
        self._left_over = left_over - came

    def _look_through(self) -> Place | None:
        """Return the place of the first message in the inbox that matches, without waiting."""
        inbox = self._inbox
        while True:
            self._seen = inbox._changes
            if inbox.burst is None and not inbox._stash:
                return None
            try:
                burst = inbox.burst
                if burst is not None and (found := self._look_into(burst, -1, None)) is not None:
                    return found
                for at, envelope in enumerate(inbox._stash):
                    if (found := self._look_at(envelope, at)) is not None:
                        return found
                return None
            except RuntimeError:
                if inbox._changes == self._seen:
                    raise
                # Changed while it was looked through: a signal handler has awaited something, too.

    def _look_at_what_came(self, came: int) -> Place | None:
        """Return the place of what matches among the last so many of the stash."""
        inbox = self._inbox
        if inbox._changes == self._seen:
            return None
        if inbox._changes != self._seen + 1:
            return self._look_through()  # A signal handler has awaited something, too.
        self._seen = inbox._changes
        try:
            for behind in range(came, 0, -1):
                envelope = inbox._stash[-behind]
                found = self._look_at(envelope, len(inbox._stash) - behind)
                if found is not None:
                    return found
                if inbox._changes != self._seen:
                    return self._look_through()
                self._pass_over(envelope.message)
        except (IndexError, RuntimeError):
            if inbox._changes == self._seen:
                raise
            return self._look_through()
        return None

    def _look_at(self, envelope: Envelope[Any], at: int) -> Place | None:
        """Return the place of what matches in an envelope of the stash."""
        message = envelope.message
        if type(message) is Burst:
            return self._look_into(message, at, envelope)
        if envelope.reply_to is not None or not (verdict := self._match(message, None)):
            return None
        return Place(self._inbox, at, envelope, message, verdict == LEAVE)

    def _look_into(self, burst: Burst, at: int, envelope: Any) -> Place | None:
        """Return the place of the first event of a burst that matches."""
        match, source = self._match, burst.source
        if burst.last_ref < self._since_ref or (
            source is not self._source and source is not None and self._source is not EVERY_SOURCE
        ):
            return None
        for within, event in enumerate(burst.events):
            if verdict := match(event, source):
                return Place(self._inbox, at, envelope, event, verdict == LEAVE, burst, within)
        return None

    def _pass_over(self, message: Any) -> None:
        if type(message) is not Burst:
            return
        flow, count, size = message.flow, len(message.events), message.size
        counted, sized = self._passed.get(flow, (0, 0))
        # All or none: a signal is handled behind a call, and these are none.
        self._passed[flow] = (counted + count, sized + size)
        flow.passed += count
        flow.passed_bytes += size
        flow.relieve()
