"""A clock that stands still while reading is paused: what the server may have sent is not late."""

from __future__ import annotations

import math

import msgspec

__all__ = ["PUT_OFF", "Standstill"]

# Seconds for which what is late is put off, of who never has room for what may be the answer.
PUT_OFF = 10.0


class Standstill(msgspec.Struct, eq=False):
    """When the clock stands still, `at` what time; `None` while it goes."""

    at: float | None = None
    # Since when it has stood still with something late, again and again.
    _late_since: float | None = None

    def begin(self, now: float, first: float) -> None:
        """Stand still: at the latest before the first deadline, whose answer may have no room."""
        self.at = now
        if first <= now:
            self._late_since = since = now if self._late_since is None else self._late_since
            if now - since < PUT_OFF:
                self.at = math.nextafter(first, 0.0)

    def end(self, now: float) -> float:
        """Go on; return for how many seconds it has stood still."""
        at, self.at = self.at, None
        return 0.0 if at is None else now - at

    def time(self, now: float) -> float:
        """Return what time it is on this clock."""
        return now if self.at is None else self.at

    def nothing_is_late(self) -> None:
        """All that was late has been seen to."""
        if self.at is None:
            self._late_since = None
