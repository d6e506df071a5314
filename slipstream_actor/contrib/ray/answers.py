"""The orders of a process at a shard, and their outcomes, which travel back in bursts."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from slipstream_actor.actors.calls import Cast
from slipstream_actor.actors.envelopes import Request
from slipstream_actor.actors.future import Future
from slipstream_actor.client import asking
from slipstream_actor.client.client import WatchJoin
from slipstream_actor.contrib.ray import engine
from slipstream_actor.contrib.ray.orders import (
    CALL,
    CANCEL,
    CAST,
    FAILED,
    INVOKE,
    LAYOUT,
    MOVED,
    REPLIED,
    REQUEST,
    STOPPED,
    VALUE,
    WATCH,
    Order,
    Outcome,
    encode_failure,
    encode_value,
)
from slipstream_actor.protocol.message import Reply
from slipstream_actor.socket.errors import NotJoinedError
from slipstream_actor.supervision.handle import ClientHandle

__all__ = ["Outbox", "Pending"]

# Outcomes that travel together at most.
MOST = 5_000

Answer: TypeAlias = Callable[[int, Any], object]


class Pending:
    """An order that has no outcome yet."""

    def __init__(self, order: Order, answer: Answer) -> None:
        self.order = order
        self.deadline: float | None = (
            None if order.seconds is None else time.monotonic() + order.seconds
        )
        self.cancelled: bool = False
        self._answer = answer
        self._future: Future[Any] | None = None
        self._is_left: Callable[[Pending], bool] = lambda _: False

    @property
    def topic(self) -> str:
        """Its topic."""
        return self.order.topic

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        late = self.deadline is not None and time.monotonic() > self.deadline
        return self.cancelled or late

    def begin(
        self, handle: ClientHandle[Any], is_left: Callable[[Pending], bool] = lambda _: False
    ) -> None:
        """Have the client do it. When the client has left the topic before it was sent, `is_left`
        is asked whether it sees to it."""
        if self.is_over:
            return
        self._is_left = is_left
        try:
            self._future = BEGINNINGS[self.order.kind](self, handle)
        except Exception as error:
            self.fail(error)
            return
        self._future.add_done_callback(self._done)
        if self.cancelled:
            self.cancel()

    def cancel(self) -> None:
        """Nobody waits for it any more: what has not begun never does."""
        self.cancelled = True
        if self._future is not None:
            self._future.cancel()

    def fail(self, error: BaseException) -> None:
        """Tell that it has failed."""
        self._answer(FAILED, encode_failure(error))

    def move(self, version: int) -> None:
        """Tell that the topic is another shard's, and that nothing was done."""
        self._answer(MOVED, version)

    def _done(self, future: Future[Any]) -> None:
        try:
            value = future._result()
            if isinstance(value, Reply) and self.order.kind == REQUEST:
                self._answer(REPLIED, (value.status, value.response))
            else:
                self._answer(VALUE, encode_value(value))
        except NotJoinedError as error:
            if error.maybe_sent or not self._is_left(self):
                self.fail(error)
        except Exception as error:
            self.fail(error)

    # by kind

    def _request(self, handle: ClientHandle[Any]) -> Future[Any]:
        event, is_binary, data = self.order.body
        payload = data if is_binary else msgspec.json.decode(data)
        left = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        return handle.request(self.topic, event, payload, timeout=left)

    def _call(self, handle: ClientHandle[Any]) -> Future[Any]:
        request = Request(engine.loads(self.order.body), Future())
        handle.ref.tell(request)
        return request.future

    def _cast(self, handle: ClientHandle[Any]) -> Future[Any]:
        handle.ref.tell(Cast(engine.loads(self.order.body)))
        done: Future[Any] = Future()
        done.set(None)
        return done

    def _invoke(self, handle: ClientHandle[Any]) -> Future[Any]:
        name, data = self.order.body
        args, kwargs = engine.loads(data)
        method = getattr(handle.client_class, name)
        return asking.invoke(handle, method, *args, **kwargs)

    def _watch(self, handle: ClientHandle[Any]) -> Future[Any]:
        watch = WatchJoin(self.topic, Future())
        handle.ref.tell(watch)
        return watch.future


BEGINNINGS: dict[int, Callable[[Pending, ClientHandle[Any]], Future[Any]]] = {
    REQUEST: Pending._request,
    CALL: Pending._call,
    CAST: Pending._cast,
    INVOKE: Pending._invoke,
    WATCH: Pending._watch,
}


class Outbox:
    """Takes the batches of one process in their order, and keeps the outcomes until it has them."""

    def __init__(self, token: str) -> None:
        self.token: str = token
        self._outcomes: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._pending: dict[int, Pending] = {}
        self._lock = threading.Lock()
        self._expected = 0
        self._early: dict[int, Callable[[], object]] = {}

    # orders

    def in_turn(self, sequence: int, execute: Callable[[], object]) -> None:
        """Run what executes a batch when all before it were: they may arrive in any order."""
        with self._lock:
            self._early[sequence] = execute
            while (first := self._early.pop(self._expected, None)) is not None:
                self._expected += 1
                first()

    def done(self, number: int) -> None:
        """Tell that nothing more is to come of an order."""
        self._outcomes.put(Outcome(number, VALUE, encode_value(None)))

    def take(self, order: Order, begin: Callable[[Pending], object], first: Direct | None) -> None:
        """Take an order, whose outcome goes to `first` if that still waits for it."""
        if order.kind == CANCEL:
            pending = self._pending.pop(order.body, None)
            if pending is not None:
                pending.cancel()
            return

        def answer(kind: int, value: Any) -> None:
            if self._pending.pop(order.number, None) is None:
                return
            outcome = Outcome(order.number, kind, value)
            if first is None or not first.take(outcome):
                self._outcomes.put(outcome)

        pending = self._pending[order.number] = Pending(order, answer)
        begin(pending)

    # outcomes

    def put(self, outcome: Outcome) -> None:
        """Have an outcome that was taken directly travel with the others."""
        self._outcomes.put(outcome)

    def tell_of_layout(self, version: int) -> None:
        """Tell that there is another layout."""
        self._outcomes.put(Outcome(0, LAYOUT, version))

    def tell_of_end(self) -> None:
        """Tell that no orders are taken any more."""
        self._outcomes.put(Outcome(0, STOPPED, None))

    def outcomes(self, seconds: float) -> list[Outcome] | None:
        """Return what there is, waiting up to so many seconds for it; `None` at the end."""
        try:
            first = self._outcomes.get(timeout=seconds)
        except queue.Empty:
            return []
        if first is None:
            return None
        found = [first]
        while len(found) < MOST:
            try:
                outcome = self._outcomes.get_nowait()
            except queue.Empty:
                break
            if outcome is None:
                self._outcomes.put(None)
                break
            found.append(outcome)
        return found

    def close(self) -> None:
        """End: the process is gone, or has another one."""
        self._outcomes.put(None)
        for pending in list(self._pending.values()):
            pending.cancel()

    def __len__(self) -> int:
        return len(self._pending)


class Direct:
    """Takes the one outcome of a lone order, for which whoever brought it waits a moment."""

    def __init__(self) -> None:
        self._claims: dict[str, str] = {}
        self._outcome: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def take(self, outcome: Outcome) -> bool:
        """Take it, unless nobody waits any more."""
        if self._claims.setdefault("first", "taken") != "taken":
            return False
        self._outcome.put(outcome)
        return True

    def get(self, seconds: float) -> Outcome | None:
        """Return the outcome if it comes in time; else it goes the other way."""
        try:
            return self._outcome.get(timeout=seconds)
        except queue.Empty:
            if self._claims.setdefault("first", "late") == "late":
                return None
            return self._outcome.get()
