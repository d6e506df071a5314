"""What a client has handled and sent since somebody has asked for it: Erlang's `sys:statistics`."""

from __future__ import annotations

import threading
import time
from typing import Any, Literal

from slipstream_actor.actors.names import Target
from slipstream_actor.debug.control import client_of
from slipstream_actor.debug.observer import listen, listener_of, stop_listening
from slipstream_actor.debug.words import is_message, what_is, what_is_sent

__all__ = ["statistics"]


class Count:
    """What has been counted, since `started`."""

    def __init__(self) -> None:
        self.started: float = time.time()
        self._since = time.monotonic()
        # Any thread may send. Reentrant: garbage may be collected, or a signal handled, meanwhile.
        self._sending = threading.RLock()
        self.messages_in: int = 0
        self.messages_out: int = 0
        self.busy: float = 0.0
        self.longest: float = 0.0
        self.longest_at: str | None = None

    def handled(self, message: Any, seconds: float) -> None:
        """Count what was handled."""
        if not is_message(message):
            return
        self.messages_in += 1
        self.busy += seconds
        if seconds > self.longest:
            self.longest, self.longest_at = seconds, what_is(message)

    def awaited(self, event: Any) -> None:
        """Count what an await has taken: its time is that of the callback that awaits."""
        if is_message(event):
            self.messages_in += 1

    def sent(self, command: Any) -> None:
        """Count what was sent."""
        if what_is_sent(command) is not None:
            with self._sending:
                self.messages_out += 1

    def answered(self, command: Any, outcome: Any, seconds: float) -> None:
        """What goes past the client does not count."""

    def so_far(self) -> dict[str, Any]:
        """Return what was counted until now."""
        return {
            "started": self.started,
            "seconds": time.monotonic() - self._since,
            "messages_in": self.messages_in,
            "messages_out": self.messages_out,
            "busy_seconds": self.busy,
            "longest_seconds": self.longest,
            "longest": self.longest_at,
        }


def statistics(client: Target, on: bool | Literal["get"]) -> dict[str, Any] | None:
    """Count what a client handles and sends: `True` begins, anew, and `False` ends it.

    `"get"` returns what was counted since it began, as data that JSON can have, and `None` when
    nothing is counted: `started` (`time.time()`), `seconds` since then, `messages_in` (events,
    tells, casts, calls, proxied methods), `messages_out` (joins, leaves, pushes, requests),
    `busy_seconds` in callbacks, `longest_seconds` of one message, and which that was. Waits for
    nothing. Raises `ClientEndedError`, `TypeError` for what is no client, `ValueError` for another
    `on`.
    """
    if on not in (True, False, "get"):
        raise ValueError(f"on must be True, False or 'get', not {on!r}")
    ref = client_of("statistics", client)
    if on == "get":
        count = listener_of(ref, Count)
        return None if count is None else count.so_far()
    stop_listening(ref, lambda listener: not isinstance(listener, Count))
    if on:
        listen(ref, Count())
    return None
