"""A client that counts its callbacks, and says when there were as many as somebody waits for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from slipstream_actor import ClientActor, Socket, connect

PATIENCE = 600.0
OPTIONS: dict[str, Any] = {
    "heartbeat_interval_msec": 0,
    "join_timeout_msec": 300_000,
    "reconnect_after_msec": [10],
    "reconnect_jitter_msec": 0,
    "buffer_max_pushes": 1_000_000,
    "buffer_max_bytes": 1 << 30,
    "buffer_max_age_msec": 600_000,
}


class Goal:
    """So many calls of one callback, and when there were as many, by `perf_counter`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.at = 0.0
        self.reached = threading.Event()


class Counts:
    """How often each callback was called."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._goals: dict[str, Goal] = {}

    def note(self, name: str) -> None:
        """One more."""
        self._seen[name] += 1
        goal = self._goals.get(name)
        if goal is not None and self._seen[name] == goal.count:
            goal.at = perf_counter()
            goal.reached.set()

    @contextmanager
    def more(self, name: str, count: int) -> Iterator[Goal]:
        """Return from the block when there were `count` more since its beginning."""
        goal = self._goals[name] = Goal(self._seen[name] + count)
        yield goal
        if not goal.reached.wait(PATIENCE):
            raise TimeoutError(f"{count} times {name}")


class CountingClient(ClientActor):
    """See above; `do` runs a function in its thread."""

    def init(self, uri: str, counts: Counts, options: dict[str, Any]) -> Socket:
        self.counts = counts
        return connect(uri, **{**OPTIONS, **options})

    def do(self, function: Callable[[Socket], Any]) -> Any:
        """Run `function(socket)`; a socket that it returns is the next one."""
        result = function(self.socket)
        if isinstance(result, Socket):
            self.socket = result
            return None
        return result

    def handle_info(self, message: Any, socket: Socket) -> None:
        message(socket)

    def handle_connect(self, socket: Socket) -> None:
        self.counts.note("connect")

    def handle_join(self, topic: str, response: Any, socket: Socket) -> None:
        self.counts.note("join")

    def handle_leave(self, topic: str, socket: Socket) -> None:
        self.counts.note("leave")

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        self.counts.note(event)

    def handle_reply(self, ref: Any, reply: Any, socket: Socket) -> None:
        self.counts.note("reply")

    def handle_presence_join(
        self, topic: str, key: str, current: Any, new: Any, socket: Socket
    ) -> None:
        self.counts.note("presence")

    def handle_presence_sync(self, topic: str, socket: Socket) -> None:
        self.counts.note("sync")


class Counted:
    """A connected client, seen from another thread."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.counts = Counts()
        with self.counts.more("connect", 1):
            self._ref = CountingClient.start(uri, self.counts, options)
        assert self._ref is not None

    def do(self, function: Callable[[Socket], Any]) -> Any:
        """Run `function(socket)` in its thread, and return what it has returned."""
        return self._ref.proxy().do(function).get(timeout=PATIENCE)

    def tell(self, function: Callable[[Socket], Any]) -> None:
        """Run `function(socket)` in its thread, and do not wait for it."""
        self._ref.tell(function)

    def join(self, *topics: str) -> float:
        """Return when they are joined, and when that was."""

        def ask(socket: Socket) -> Socket:
            for topic in topics:
                socket = socket.join(topic, {"user": "somebody", "pad": topic * 10})
            return socket

        with self.counts.more("join", len(topics)) as joined:
            self.do(ask)
        return joined.at

    def stop(self) -> None:
        """Stop it."""
        self._ref.stop()
