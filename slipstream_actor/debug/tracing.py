"""Each message in and out of a client as one readable line: Erlang's `sys:trace`.

    14:03:07.125 Chat 'chat' out rooms:lobby new:msg (3, 7) {'body': 'hello'}
    14:03:07.128 Chat 'chat' in  rooms:lobby new:msg ok {'id': 12} (after 2.91 ms, took 0.08 ms)

Secrets are hidden as the frame log hides them; of what is told by name alone (casts, calls, proxied
methods, what is told with `tell`) no value is shown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO, TypeAlias

from slipstream_actor.actors.names import Target
from slipstream_actor.debug.control import client_of
from slipstream_actor.debug.messages import Message, Messages
from slipstream_actor.debug.observer import listen, stop_listening
from slipstream_actor.debug.plain import label

__all__ = ["Lines", "Out", "Pace", "trace"]

Out: TypeAlias = TextIO | Callable[[str], object] | None

# Characters of a line, and lines per second.
LONGEST, MOST_A_SECOND = 1_000, 1_000


class Pace:
    """Lets so many lines through in each second, and knows how many it did not."""

    def __init__(self, most: int = MOST_A_SECOND) -> None:
        self._most = most
        self._began = float("-inf")
        self._let = 0
        self._held = 0

    def lets(self, now: float) -> int | None:
        """Return how many were held back before this one, `None` when it is held back too."""
        if now - self._began >= 1.0:
            self._began, self._let = now, 0
        if self._let >= self._most:
            self._held += 1
            return None
        self._let += 1
        held, self._held = self._held, 0
        return held


class Lines(Messages):
    """Tells `out` of one client, a line for each message. `mine`: only `trace` ends it."""

    def __init__(self, ref: Any, out: Out, *, mine: bool = False) -> None:
        super().__init__()
        self.mine: bool = mine
        self._label = label(ref)
        self._out = out
        self._pace = Pace()

    def _note(self, message: Message) -> None:
        held = self._pace.lets(time.monotonic())
        if held is None:
            return
        if held:
            self._write(f"{held} lines are not shown: more than {MOST_A_SECOND}/s")
        told = (message.what + message.refs, message.said, message.payload())
        text = " ".join(part for part in told if part)
        self._write(f"{message.direction:3} {text}" + (f" ({message.how})" if message.how else ""))

    def _write(self, text: str) -> None:
        line = f"{clock(time.time())} {self._label} {text}"[:LONGEST].rstrip()
        out = sys.stderr if self._out is None else self._out
        if callable(out):
            out(line)
            return
        out.write(f"{line}\n")
        out.flush()


def clock(now: float) -> str:
    """Return the time of day."""
    return f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now % 1 * 1000):03}"


def trace(client: Target, on: bool, out: Out = None) -> None:
    """Write a line for each message in and out of a client, or no more.

    `out` is a text stream, or a function that takes a line; by default standard error. It is called
    in the thread of the client or of its connection, which waits for it; when it raises, that is
    logged and the trace is over. At most 1,000 lines in a second, and 1,000 characters in a line.
    An event has how long its callback took, or that an await has taken it; a reply how long after
    its push it came. Another trace of the client takes its place. Costs nothing while it is off.
    Raises `ClientEndedError`, and `TypeError` for what is no client, or no `out`.
    """
    if not (out is None or callable(out) or hasattr(out, "write")):
        raise TypeError(f"out must be a text stream, or a function of a line, not {out!r}")
    ref = client_of("trace", client)
    stop_listening(ref, lambda listener: not (isinstance(listener, Lines) and listener.mine))
    if on:
        listen(ref, Lines(ref, out, mine=True))
