"""What has come from the clients that a test is the server of, and waiting for what is to come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from slipstream_actor.client.returns import is_normal
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.formatting import cut

__all__ = ["ClientEnded", "Entry", "RequestLog"]


class ClientEnded:
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
            return f"crashed: {cut(repr(self.reason))}"
        return f"ended, for {cut(repr(self.reason))}"


class Entry:
    """One thing that came, and whether an assertion has taken it."""

    def __init__(self, number: int, connection: FakeConnection, what: Any) -> None:
        self.number = number
        self.connection = connection
        self.what = what
        self.taken = False


class RequestLog:
    """The requests of all clients, and their ends, in the order in which they came.

    Any thread may add, and any may wait. No predicate of a user's runs under the lock.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._entries: list[Entry] = []
        self._count = 0

    def add(self, connection: FakeConnection, what: Any) -> None:
        """Note what came."""
        with self._changed:
            self._count += 1
            self._entries.append(Entry(self._count, connection, what))
            self._changed.notify_all()

    def forget(self, connections: Sequence[FakeConnection]) -> None:
        """Drop what came from these connections."""
        with self._changed:
            self._entries = [e for e in self._entries if e.connection not in connections]

    def of(self, connections: Sequence[FakeConnection], after: int = 0) -> list[Entry]:
        """Return what came from these connections, behind the entry of that number."""
        with self._changed:
            return [e for e in self._entries if e.number > after and e.connection in connections]

    def await_match(
        self,
        expectation: Expectation,
        connections: Callable[[], list[FakeConnection]],
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
            entries = self.of(connections(), considered)
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
                if self._count == count and not self._all_ended(connections()):
                    self._changed.wait(left)
                elif self._count == count:
                    return None

    def ends(self, connections: Sequence[FakeConnection]) -> list[Entry]:
        """Return the ends of the clients in these connections."""
        return [entry for entry in self.of(connections) if isinstance(entry.what, ClientEnded)]

    def _take(self, entry: Entry) -> bool:
        with self._changed:
            taken, entry.taken = entry.taken, True
            return not taken

    def _all_ended(self, connections: Sequence[FakeConnection]) -> bool:
        ended = [entry.connection for entry in self.ends(connections)]
        return bool(connections) and all(connection in ended for connection in connections)
