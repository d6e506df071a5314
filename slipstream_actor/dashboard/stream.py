"""What happens, as it happens: server-sent events, one stream for each viewer."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator
from typing import Any

from slipstream_actor.actors.forks import current_epoch
from slipstream_actor.dashboard.processes import Processes
from slipstream_actor.debug.encoding import as_json
from slipstream_actor.debug.happenings import watching

__all__ = ["Stream", "Streams"]

# So many watch in a process at once.
MOST = 8
# Seconds that a stream lasts, lest a server take its worker for one that hangs: the page opens the
# next one. And between two looks at the other processes, and at whether the viewer is still there.
LIFE, PACE = 20.0, 1.0
RETRY = b"retry: 1000\n\n"
NOTHING = b":\n\n"


class Streams:
    """The streams of an application."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        # Whose they are: those of a fork's parent are none of its child's.
        self._open: dict[Stream, int] = {}

    def open(self, key: str) -> Stream | None:
        """Return another stream, in which this process has this key; `None` if there are enough."""
        epoch = current_epoch()
        if list(self._open.values()).count(epoch) >= MOST:
            return None
        stream = Stream(self._processes, key, self._closed)
        self._open[stream] = epoch
        return stream

    def _closed(self, stream: Stream) -> None:
        self._open.pop(stream, None)


class Stream:
    """One viewer's: pieces of a body, for some seconds. The server closes it."""

    def __init__(self, processes: Processes, key: str, closed: Any) -> None:
        self._processes = processes
        self._key = key
        self._closed = closed
        self._ends_at = time.monotonic() + LIFE
        self._stack = contextlib.ExitStack()
        self._queue = self._stack.enter_context(watching())
        # The number of the last event of each other process.
        self._seen: dict[str, int] = {}
        self._pieces = self._run()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """The viewer has gone, or the stream is over."""
        self._stack.close()
        self._closed(self)

    def _run(self) -> Iterator[bytes]:
        self._others()
        yield RETRY
        while (now := time.monotonic()) < self._ends_at:
            piece = b"".join(self._own(now + PACE))
            yield piece + b"".join(self._others()) or NOTHING

    def _own(self, until: float) -> Iterator[bytes]:
        """Yield what happens here: what has, or else the first that does."""
        with contextlib.suppress(queue.Empty):
            yield event(self._key, self._queue.get(timeout=max(0.0, until - time.monotonic())))
            while True:
                yield event(self._key, self._queue.get_nowait())

    def _others(self) -> list[bytes]:
        """Return what has happened in the other processes since the last look."""
        pieces = []
        for key, happenings in self._processes.events().items():
            newest = happenings[-1]["number"] if happenings else 0
            seen = self._seen.get(key, newest)
            # One that has started anew counts from 1 again.
            seen = seen if seen <= newest else 0
            pieces += [event(key, told) for told in happenings if told["number"] > seen]
            self._seen[key] = newest
        return pieces


def event(key: str, happening: dict[str, Any]) -> bytes:
    """Return a server-sent event; JSON has no line's end in it."""
    return b"data: " + as_json({**happening, "process": key}) + b"\n\n"
