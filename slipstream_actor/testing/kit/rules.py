"""What a test has answered by itself, in a thread of the kit's, while the test waits elsewhere."""

from __future__ import annotations

import inspect
import queue
import threading
import time
from typing import Any

import msgspec

from slipstream_actor.protocol.message import Reply
from slipstream_actor.testing.kit.clients import reference
from slipstream_actor.testing.kit.expectations import Expectation
from slipstream_actor.testing.kit.fake_connection import FakeConnection
from slipstream_actor.testing.kit.requests import JoinRequest, PushRequest

__all__ = ["Answering", "Rule"]

# Failures are reported where a test asserts, not here.
__unittest = True


class Rule(msgspec.Struct, frozen=True, eq=False):
    """What is expected, of which client (`None`: any), and what it is answered with."""

    expected: Expectation
    client: Any
    answer: Any

    def fits(self, connection: FakeConnection, request: Any) -> bool:
        """Whether `request` is to be answered by this rule."""
        if not self.expected.is_met_by(request):
            return False
        return self.client is None or reference(self.client) is connection.client

    def reply_to(self, request: Any) -> Reply | None:
        """Return the reply; `None` for none. Raises what the test's own function does."""
        answer = self.answer
        if callable(answer):
            answer = answer(request.payload if type(request) is PushRequest else request.params)
        if inspect.iscoroutine(answer):  # Of a function that did not show it.
            answer.close()
            raise TypeError("the answer is a coroutine, which nobody awaits")
        return answer if answer is None or isinstance(answer, Reply) else Reply("ok", answer)


class Answering:
    """The rules of one test, and the thread that answers by them: one request after the other.

    It is there from the first rule on, until `close`.
    """

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        # What is to be answered; an event is set in its turn, and `None` is the end.
        self._requests: queue.SimpleQueue[tuple[FakeConnection, Any] | threading.Event | None]
        self._requests = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: list[tuple[FakeConnection, Any]] = []
        self._errors: list[BaseException] = []

    def add(self, rule: Rule, *, last: bool = False) -> None:
        """Answer by `rule` from now on, also what waits; before all others, or behind them."""
        self._rules = [*self._rules, rule] if last else [rule, *self._rules]
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="slipstream_actor test server", daemon=True
            )
            self._thread.start()
        waiting, self._waiting = self._waiting, []
        for connection, request in waiting:
            self.take(connection, request)

    def take(self, connection: FakeConnection, request: Any) -> None:
        """Answer a request, if there is a rule for it. In the thread of whoever has made it."""
        if type(request) in (JoinRequest, PushRequest):
            if self._thread is None:
                self._waiting.append((connection, request))
            else:
                self._requests.put((connection, request))

    def catch_up(self, deadline: float) -> bool:
        """Wait until what has come by now has its answers; whether it had by `deadline`.

        That is a time of `time.monotonic()`.
        """
        turn = threading.Event()
        self._requests.put(turn)
        return turn.wait(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Answer no more. Raises what a test's own function has raised: an `Exception` as the cause
        of an `AssertionError`, `pytest.skip`'s or `sys.exit`'s as it is."""
        __tracebackhide__ = True
        thread, self._thread = self._thread, None
        self._rules, self._waiting = [], []
        if thread is not None:
            self._requests.put(None)
            if thread is not threading.current_thread():
                thread.join(10.0)
        errors, self._errors = self._errors, []
        if not errors:
            return
        error = errors[0]
        if not isinstance(error, Exception):
            raise error
        raise AssertionError(f"what answers a request has raised {error!r}") from error

    def _run(self) -> None:
        while (entry := self._requests.get()) is not None:
            if isinstance(entry, threading.Event):
                entry.set()
                continue
            connection, request = entry
            try:
                answered = self._answer(connection, request)
            except BaseException as error:  # `pytest.fail`'s is no `Exception`.
                # Whoever asked is told too, lest it wait for all of its time.
                self._errors.append(error)
                answered = True
                send(connection, request, Reply("error", {"reason": f"the test: {error!r}"}))
            if not answered:
                self._waiting.append(entry)

    def _answer(self, connection: FakeConnection, request: Any) -> bool:
        for rule in self._rules:
            if rule.fits(connection, request):
                reply = rule.reply_to(request)
                if reply is not None:
                    send(connection, request, reply)
                return True
        return False


def send(connection: FakeConnection, request: Any, reply: Reply) -> None:
    """Answer a join or a push that the test has not answered itself."""
    if connection.has_answered(request.join_ref if type(request) is JoinRequest else request.ref):
        return
    if type(request) is JoinRequest:
        connection.answer_join(request, reply)
    else:
        connection.answer_push(request.topic, request.ref, reply)
