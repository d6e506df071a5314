"""The way to one shard: orders go in batches while others are on their way, and each has one
outcome, told once, whatever becomes of the shard."""

from __future__ import annotations

import contextlib
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from slipstream_actor.actors.logger import Logger, get_logger
from slipstream_actor.actors.one_at_a_time import OneAtATime
from slipstream_actor.contrib.ray import acknowledgements, engine
from slipstream_actor.contrib.ray.errors import StoreUnavailableError
from slipstream_actor.contrib.ray.operation import Operation
from slipstream_actor.contrib.ray.orders import (
    CANCEL,
    FAILED,
    LAYOUT,
    MOVED,
    REPLIED,
    STALE,
    STOPPED,
    Batch,
    Order,
    encode_batch,
)
from slipstream_actor.errors import SlipstreamError
from slipstream_actor.protocol.message import Reply

__all__ = ["Link"]

logger: Logger = get_logger("slipstream_actor.ray")

# Orders that travel together at most, and about how many bytes.
MOST, MOST_BYTES = 2_000, 1 << 20
# Batches that the shard has not acknowledged: one, and one more behind a lone order.
AHEAD = 2
# Bursts of outcomes that wait for this process.
BURSTS = 16
# Seconds between two looks whether the link is closed.
LOOK = 1.0
# Seconds before a shard that was lost is tried again.
FIRST_DELAY, LONGEST_DELAY = 0.02, 1.0
# Seconds in which no lone order is waited for, when one was slow.
SLOW = 0.2


class Link:
    """The way to one shard, which is looked for again and again, until `close`."""

    def __init__(
        self,
        shard: int,
        process: str,
        find: Callable[[int], Any],
        version: Callable[[], int],
        tell_of_layout: Callable[[int], object],
        send_again: Callable[[Operation], object],
        when_silent: Callable[[int, Any, str, float], object],
    ) -> None:
        self.shard: int = shard
        self._process = process
        self._find = find
        self._version = version
        self._tell_of_layout = tell_of_layout
        self._send_again = send_again
        self._when_silent = when_silent
        # Reentrant: garbage may be collected, or a signal handled, while they are held.
        self._lock = threading.RLock()
        self._sending = OneAtATime()
        self._queue: deque[Operation] = deque()
        self._sent: dict[int, Operation] = {}
        self._cancelled: list[int] = []
        self.actor: Any = None
        self._submit: Any = None
        self._token: str | None = None
        self._broken = False
        self._sequence = 0
        self._unacknowledged = 0
        self._slow_until = 0.0
        self._why = "it is looked for"
        self._closed = False
        self._wake = threading.Event()
        threading.Thread(
            target=self._run, name=f"slipstream_actor link to shard {shard}", daemon=True
        ).start()

    def standing(self) -> str:
        """Return how it stands, in words."""
        if self._token is not None:
            return f"shard {self.shard} has {len(self._sent)} orders without an outcome"
        return f"shard {self.shard} is not there: {self._why}"

    # orders

    def submit(self, operation: Operation) -> None:
        """Send an operation, or have it wait for the shard."""
        operation.link = self
        with self._lock:
            closed = self._closed
            if not closed:
                self._queue.append(operation)
        if closed:
            self._send_again(operation)
        else:
            self._flush()

    def forget(self, operation: Operation) -> None:
        """It has an outcome: one that was sent, and not by the shard, is taken back there."""
        with self._lock:
            told = self._sent.pop(operation.number, None)
            if told is not None:
                self._cancelled.append(operation.number)
        if told is not None:
            self._flush()

    def _flush(self) -> None:
        """Send what waits, unless enough is on its way: what comes meanwhile goes together."""
        self._sending.do(self._may_send, self._send_next)

    def _send_next(self) -> None:
        if (batch := self._next_batch()) is not None:
            self._send(*batch)

    def _may_send(self) -> bool:
        with self._lock:
            return bool(
                (self._queue or self._cancelled)
                and self._token is not None
                and self._unacknowledged < AHEAD
            )

    def _next_batch(self) -> tuple[Any, Batch, list[Operation]] | None:
        """Return how a batch is sent, what it is, and what it tells of for the first time."""
        with self._lock:
            if not self._may_send() or self._token is None:
                return None
            lone = not self._sent and not self._unacknowledged
            orders = [Order(0, CANCEL, "", number, None) for number in self._cancelled]
            self._cancelled.clear()
            taken: list[Operation] = []
            size = 0
            while self._queue and len(taken) < MOST and size < MOST_BYTES:
                operation = self._queue.popleft()
                if operation.done:
                    continue
                operation.maybe_sent = True
                self._sent[operation.number] = operation
                orders.append(operation.order())
                taken.append(operation)
                size += operation.size
            if not orders:
                return None
            wait = lone and len(taken) == 1 and time.monotonic() > self._slow_until
            sequence, self._sequence = self._sequence, self._sequence + 1
            self._unacknowledged += 1
            batch = Batch(self._process, self._token, sequence, wait, self._version(), orders)
            return self._submit, batch, taken

    def _send(self, submit: Any, batch: Batch, taken: list[Operation]) -> None:
        def acknowledged(value: Any) -> None:
            acknowledgements.tell(lambda: self._acknowledged(batch.token, taken, batch.wait, value))

        try:
            engine.when_done(submit(encode_batch(batch)), acknowledged)
        except Exception as error:
            acknowledged(error)

    def _acknowledged(self, token: str, taken: list[Operation], wait: bool, value: Any) -> None:
        with self._lock:
            if token == self._token:
                self._unacknowledged -= 1
        if engine.is_failure(value):
            # It may not have arrived, and what comes behind it would wait for it.
            self._break(token)
            why = engine.described(value)
            for operation in self._take_sent(taken):
                operation.lost(self.shard, why)
        elif value == STALE:
            with self._lock:  # The link's own thread takes what was sent for lost, behind a break.
                back = self._take_sent(taken)
                for operation in back:
                    operation.maybe_sent = False
                self._queue.extendleft(reversed(back))
                self._break(token)
        elif value is not None:
            self._settle(value)
        elif wait:
            self._slow_until = time.monotonic() + SLOW
        self._flush()

    def _break(self, token: str) -> None:
        """Send no more with that token: another one is asked for."""
        with self._lock:
            if token == self._token:
                self._token, self._broken = None, True

    def _take_sent(self, operations: list[Operation]) -> list[Operation]:
        with self._lock:
            return [o for o in operations if self._sent.pop(o.number, None) is not None]

    # outcomes

    def _settle(self, data: bytes) -> None:
        for number, kind, value in pickle.loads(data):
            if kind == LAYOUT:
                self._tell_of_layout(value)
                continue
            if kind == STOPPED:
                self._token = None  # What comes from now on waits for the next process.
                continue
            with self._lock:
                operation = self._sent.pop(number, None)
            if operation is not None:
                self._conclude(operation, kind, value)

    def _conclude(self, operation: Operation, kind: int, value: Any) -> None:
        if kind == REPLIED:
            operation.set(Reply(*value))
        elif kind == MOVED:
            operation.maybe_sent = False
            self._tell_of_layout(value)
            self._send_again(operation)
        elif kind == FAILED:
            operation.fail(engine.loads(value))
        else:
            operation.set(engine.loads(value))

    # the shard's stream, in a thread of its own

    def _run(self) -> None:
        delay = FIRST_DELAY
        while not self._closed:
            why = "it has ended"
            try:
                self._follow()
                delay = FIRST_DELAY
            except engine.Gone as error:
                why, delay = str(error), FIRST_DELAY if self._token is not None else delay
                if error.for_good:
                    self.actor = None
            except (SlipstreamError, StoreUnavailableError, TimeoutError) as error:
                why = str(error)
            except Exception as error:
                if self._closed:
                    return  # Ray ends before its threads do.
                logger.exception("the link to shard %d has failed", self.shard)
                why = repr(error)
            self._lost(why)
            self._wake.wait(delay)
            delay = min(LONGEST_DELAY, 2 * delay)
        self._lost("it is looked for no more")  # What came during the wait.

    def _follow(self) -> None:
        """Take outcomes until the stream ends."""
        if self.actor is None:
            self.actor = self._find(self.shard)
        self._broken = False
        stream = engine.stream(self.actor, "answers", BURSTS, self._process)
        heard = time.monotonic()
        while not self._closed and not self._broken:
            try:
                found = engine.next_of(stream, LOOK)
            except StopIteration:
                return
            if found is None:
                self._note_silence(time.monotonic() - heard)
                continue
            if isinstance(found, str):
                self._begin(found)
            else:
                self._settle(found)
            heard = time.monotonic()

    def _note_silence(self, seconds: float) -> None:
        token = self._token
        if token is not None:  # Else it is being started, and takes its time.
            self._when_silent(self.shard, self.actor, token.partition(".")[0], seconds)

    def _begin(self, token: str) -> None:
        with self._lock:
            self._token, self._sequence, self._unacknowledged = token, 0, 0
            self._submit = engine.bound(self.actor, "submit", "batches")
            self._cancelled.clear()
        self._flush()

    def _lost(self, why: str) -> None:
        """What was sent may have been done; what waits goes to whoever has the topic by then."""
        with self._lock:
            self._token, self._why = None, why
            sent, self._sent = list(self._sent.values()), {}
            waiting, self._queue = list(self._queue), deque()
        for operation in sent:
            operation.lost(self.shard, why)
        for operation in waiting:
            if not operation.done:
                self._send_again(operation)

    def close(self, error: SlipstreamError | None = None) -> None:
        """End; what has no outcome has that error, or goes another way."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            actor, token = self.actor, self._token
        self._wake.set()
        if token is not None:
            with contextlib.suppress(Exception):
                engine.tell(actor, "close_answers", "control", self._process)
        if error is not None:
            with self._lock:
                left = [*self._sent.values(), *self._queue]
                self._sent, self._queue = {}, deque()
            for operation in left:
                operation.fail(error)
