"""What has come from the clients that a test is the server of, and waiting for what is to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from slipstream_actor.callbacks import is_normal
from slipstream_actor.testing.expectations import Expectation, describe, indented
from slipstream_actor.testing.seat import Seat

__all__ = ["Ended", "Entry", "Record"]


class Ended:
    """A client has ended, for `reason`."""

    def __init__(self, reason: Any) -> None:
        self.reason = reason

    @property
    def crashed(self) -> bool:
        """Whether it was no normal end."""
        return not is_normal(self.reason)

    @property
    def error(self) -> BaseException | None:
        """The exception that it ended with."""
        return self.reason if isinstance(self.reason, BaseException) else None

    def __str__(self) -> str:
        if self.error is not None:
            return f"crashed: {self.reason!r}"
        return f"ended, for {self.reason!r}"


class Entry:
    """One thing that came, and whether an assertion has taken it."""

    def __init__(self, number: int, seat: Seat, what: Any) -> None:
        self.number = number
        self.seat = seat
        self.what = what
        self.taken = False


class Record:
    """The requests of all clients, and their ends, in the order in which they came.

    Any thread may add, and any may wait. No predicate of a user's runs under the lock.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._entries: list[Entry] = []
        self._count = 0

    def add(self, seat: Seat, what: Any) -> None:
        """Note what came."""
        with self._changed:
            self._count += 1
            self._entries.append(Entry(self._count, seat, what))
            self._changed.notify_all()

    def forget(self, seats: Sequence[Seat]) -> None:
        """Drop what came from these seats."""
        with self._changed:
            self._entries = [e for e in self._entries if e.seat not in seats]

    def of(self, seats: Sequence[Seat], after: int = 0) -> list[Entry]:
        """Return what came from these seats, behind the entry of that number."""
        with self._changed:
            return [e for e in self._entries if e.number > after and e.seat in seats]

    def await_match(
        self,
        expectation: Expectation,
        seats: Callable[[], list[Seat]],
        timeout: float,
        *,
        take: bool = True,
    ) -> Entry | None:
        """Return the first entry that is as expected, and `take` it; `None` after `timeout`
        seconds, or when every client that it could come from has ended."""
        deadline = time.monotonic() + timeout
        considered = 0
        while True:
            with self._changed:
                count = self._count
            entries = self.of(seats(), considered)
            for entry in entries:
                if entry.taken or not expectation.is_met_by(entry.what):
                    continue
                if not take or self._take(entry):
                    return entry
            considered = count
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            with self._changed:
                if self._count == count and not self._all_ended(seats()):
                    self._changed.wait(left)
                elif self._count == count:
                    return None

    def ends(self, seats: Sequence[Seat]) -> list[Entry]:
        """Return the ends of the clients in these seats."""
        return [entry for entry in self.of(seats) if isinstance(entry.what, Ended)]

    def report(
        self, expectation: Expectation, seats: Sequence[Seat], culprit: Entry | None = None
    ) -> list[str]:
        """Return the lines that show all that came, and where it is not as expected.

        `culprit` is what was not to come.
        """
        entries = self.of(seats)
        if not entries:
            return ["nothing has come"]
        lines = [f"what has come since the connect ({len(entries)}):"]
        for number, entry in enumerate(entries, 1):
            first, *rest = entry_lines(entry, culprit, several=len(seats) > 1)
            lines += [f"{number:>3}. {first}", *indented(rest)]
            if not entry.taken and culprit is None:
                lines += indented(indented(expectation.differences_of(entry.what)))
        return lines

    def _take(self, entry: Entry) -> bool:
        with self._changed:
            taken, entry.taken = entry.taken, True
            return not taken

    def _all_ended(self, seats: Sequence[Seat]) -> bool:
        ended = [entry.seat for entry in self.ends(seats)]
        return bool(seats) and all(seat in ended for seat in seats)


def entry_lines(entry: Entry, culprit: Entry | None, *, several: bool) -> list[str]:
    """Return the lines of one entry; with `several` clients it is said whose it is."""
    if isinstance(entry.what, Ended):
        return [f"{entry.seat.label} {entry.what}"]
    first, *rest = describe(entry.what)
    note = "  <- this" if entry is culprit else "  (taken)" if entry.taken else ""
    who = f"{entry.seat.label}: " if several else ""
    return [f"{who}{first}{note}", *rest]
