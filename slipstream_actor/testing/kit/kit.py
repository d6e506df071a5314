"""Tests in which the test is the server: what `Slipstream.SocketTest` is to ExUnit.

    with SocketTest() as server:
        chat = server.start(Chat, "ws://test.invalid/socket/websocket")  # with test_mode=True
        server.connect_and_assert_join(chat, "rooms:lobby")
        push = server.assert_push("rooms:lobby", "msg:new", {"body": "hi"})
        server.reply(chat, push, Reply("ok", {"id": 1}))

The functions of `slipstream_actor.testing` do the same for the thread that calls them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import pykka
from pykka import ActorRef

from slipstream_actor.client.client import ClientActor
from slipstream_actor.configuration.arguments import require_text
from slipstream_actor.debug.state import get_state
from slipstream_actor.errors import AwaitTimeoutError, ClientEndedError
from slipstream_actor.protocol.events import (
    ChannelClosed,
    ChannelConnected,
    ChannelConnectFailed,
    MessageReceived,
    ReplyReceived,
)
from slipstream_actor.protocol.matching import ANY
from slipstream_actor.protocol.message import Ref, Reply
from slipstream_actor.protocol.reasons import ClosedByPeer, ConnectFailed
from slipstream_actor.supervision.handle import ClientHandle
from slipstream_actor.testing.kit.clients import living, title
from slipstream_actor.testing.kit.connections import Connections
from slipstream_actor.testing.kit.crashes import Crashes
from slipstream_actor.testing.kit.expectations import (
    A_DISCONNECT,
    Expectation,
    a_join,
    a_leave,
    a_push,
)
from slipstream_actor.testing.kit.fake_connection import FakeConnection, as_sent
from slipstream_actor.testing.kit.leaks import living_clients, stop
from slipstream_actor.testing.kit.misuse import (
    require_answer,
    require_handle,
    require_push,
    require_reply,
    require_test_mode,
    seconds_or,
)
from slipstream_actor.testing.kit.report import report
from slipstream_actor.testing.kit.request_log import ClientEnded, Entry, RequestLog
from slipstream_actor.testing.kit.requests import (
    DisconnectRequest,
    JoinRequest,
    LeaveRequest,
    PushRequest,
    Request,
)
from slipstream_actor.testing.kit.rules import Answering, Rule

C = TypeVar("C", bound=ClientActor)

__all__ = ["GOING_AWAY", "NOTHING", "OK", "REFUSED", "SocketTest", "clean_up", "current_test"]

# Failures are reported where a test asserts, not here.
__unittest = True

R = TypeVar("R")

OK = Reply("ok")
NOTHING: dict[str, Any] = {}
REFUSED = ConnectFailed("refused")
# What Phoenix closes a connection with on purpose (docs/protocol.md#note-32).
GOING_AWAY = ClosedByPeer(1001)
CLOSED_BY_TEST = ClosedByPeer(1001, "closed_by_test")
STOP_SECONDS = 10.0

_local = threading.local()


class SocketTest:
    """The server of a test's clients; as a context manager it cleans up at its end.

    A client is a reference, a name, or the socket of a plain thread. Patterns match as those of
    `await_message` do: `ANY`, a dict a recursive subset, a list elementwise, a compiled pattern, a
    predicate, all else by `==`. Params and payloads are compared as the server would see them:
    bytes, or what is left of them in JSON. What an assertion takes no other sees; what it passes
    over stays for the next. An `AssertionError` shows what was expected and all that has come.

    Assertions wait up to `assert_timeout` seconds, refutations wait `refute_timeout`, unless they
    are told otherwise; the class's own are the defaults. With `client` an assertion regards that
    client alone. When all that it regards have ended it fails at once, from the exception of one
    that has crashed. With `fail_on_crash` the end of the context manager raises `AssertionError`
    for a client that an exception has ended of which no assertion has told.
    """

    assert_timeout: float = 1.0
    refute_timeout: float = 0.1
    fail_on_crash: bool = False

    def __init__(
        self,
        *,
        assert_timeout: float | None = None,
        refute_timeout: float | None = None,
        fail_on_crash: bool | None = None,
    ) -> None:
        self.assert_timeout = seconds_or("assert_timeout", assert_timeout, self.assert_timeout)
        self.refute_timeout = seconds_or("refute_timeout", refute_timeout, self.refute_timeout)
        if fail_on_crash is not None:
            self.fail_on_crash = fail_on_crash
        self._log = RequestLog()
        self._connections = Connections()
        self._answering = Answering()
        self._crashes = Crashes()
        self._started: list[pykka.ActorRef[Any]] = []
        # What was there before the context was entered: the thread's server, and actors.
        self._former: list[tuple[SocketTest | None, list[Any]]] = []

    def __enter__(self) -> SocketTest:
        """Be the server of the calling thread's functions."""
        self._former.append((getattr(_local, "test", None), living_clients()))
        _local.test = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clean up, and give the thread's functions back what was their server before.

        Clients and supervisors that were started meanwhile are stopped, whoever started them.
        """
        __tracebackhide__ = True
        _local.test, before = self._former.pop()
        crashes = self._crashes
        self._started += [ref for ref in living_clients() if ref not in (*before, *self._started)]
        self.close()
        if self.fail_on_crash and error is None:
            crashes.require_none(STOP_SECONDS)

    def start(self, client_class: type[C], *args: Any, **kwargs: Any) -> ActorRef[C]:
        """Start a client, with `ClientActor.start`'s arguments, that `close` stops.

        Its `init` connects with `test_mode=True`. Raises what `start` raises.
        """
        ref = client_class.start(*args, **kwargs)
        self._started.append(ref)
        self._crashes.watch(ref)
        return ref

    def close(self) -> None:
        """Stop the clients that were started here, disconnect the others, forget what has come.

        Those hear `ClosedByPeer(1001, "closed_by_test")`. Raises `AssertionError` for one that does
        not stop, when all else is done.
        """
        started, self._started = self._started, []
        self._crashes = Crashes()
        titles = {ref: title(ref) for ref in started}
        # Supervisors first, lest they restart what is stopped here; else in reverse.
        started.sort(key=lambda ref: -ref.actor_class.stop_order)
        stuck = [titles[ref] for ref in reversed(started) if not stop(ref, STOP_SECONDS)]
        connections = self._connections.clear()
        for connection in connections:
            connection.hang_up(CLOSED_BY_TEST)
        self._log.forget(connections)
        self._answering.close()
        if stuck:
            raise AssertionError(f"in {STOP_SECONDS} s these did not stop: {', '.join(stuck)}")

    # what the server does

    def accept_connect(
        self, client: Any, *, response_headers: Mapping[str, str] | None = None
    ) -> None:
        """Tell a client that it is connected, to this test.

        It is told at once, whether or not it waits, as Slipstream does: a `reconnect` that is
        scheduled waits no longer. What it asked for before, over another connection, is forgotten.
        Raises `ClientEndedError` for one that is dead or unknown, and `ConfigurationError` for one
        that has connected without `test_mode=True`.
        """
        require_test_mode(client)
        connection, void = self._connections.add(client, self._note)
        self._log.forget(void)
        self._crashes.watch(connection.client)
        connection.client.tell(ChannelConnected(connection, dict(response_headers or {})))
        connection.watch(self._note_end)

    def _note(self, connection: FakeConnection, request: Request) -> None:
        self._log.add(connection, request)
        self._answering.take(connection, request)

    def _note_end(self, connection: FakeConnection, reason: Any) -> None:
        """Note that a client has ended: unless it has crashed, it has disconnected by that."""
        ended = ClientEnded(reason)
        if connection.closed_by_end and ended.error is None:
            self._log.add(connection, DisconnectRequest(connection.client))
        self._log.add(connection, ended)

    def refuse_connect(self, client: Any, reason: Any = REFUSED) -> None:
        """Have a client's attempt to connect fail: its `handle_disconnect(reason)`.

        Raises what `accept_connect` does.
        """
        require_test_mode(client)
        living(client).tell(ChannelConnectFailed(reason))

    def push(self, client: Any, topic: str, event: str, payload: Any = NOTHING) -> None:
        """Push `event` to a client: its `handle_message`, or an `await_message` of its own.

        The payload arrives as it would over the wire. Raises `ClientEndedError`, and `TypeError`
        for a topic or an event that is no text.
        """
        require_text("topic", topic)
        require_text("event", event)
        message = MessageReceived(topic, event, as_sent(payload))
        target = living(client)
        if connection := self._connections.one(client):
            connection.send(message)
        else:
            target.tell(message)

    def reply(self, client: Any, ref: Ref | PushRequest | str, reply: Reply = OK) -> None:
        """Reply to a push: `ref` is what `assert_push` returned, or its `ref`.

        Raises `ClientEndedError`, `TypeError` for a reply that is no `Reply` and for what is no
        push, and `ValueError` for a push of another client.
        """
        require_reply(reply)
        target = living(client)
        number = require_push(target, ref)
        topic = getattr(number, "topic", "")
        if connection := self._connections.one(client):
            connection.answer_push(topic, number, reply)
        else:
            target.tell(ReplyReceived(topic, number, reply))

    def disconnect(self, client: Any, reason: Any = GOING_AWAY) -> None:
        """Close a client's connection: its `handle_disconnect(reason)`.

        Raises `ClientEndedError`.
        """
        target = living(client)
        if connection := self._connections.one(client):
            connection.hang_up(reason)
        else:
            target.tell(ChannelClosed(reason))

    # what is answered while the test waits elsewhere

    def serve(
        self, topic: Any = ANY, event: Any = ANY, answer: Any = OK, *, client: Any = None
    ) -> None:
        """Reply to every push and `request` of `event` on `topic`, from now on, by itself.

        `answer` is a `Reply`, the response of one with "ok", or a function of the payload that
        returns either, and `None` for no reply at all; it runs in a thread of the kit's. What it
        raises `close` does as well. The latest rule that fits counts; `assert_push` still sees what
        was answered. Raises `TypeError` for a coroutine function.
        """
        require_answer(answer)
        expected = a_push(topic, event, ANY)
        self._answering.add(Rule(expected, client, answer))

    def serve_joins(self, topic: Any = ANY, answer: Any = OK, *, client: Any = None) -> None:
        """Answer every join of `topic`, from now on, by itself: as `serve` does, by the params."""
        require_answer(answer)
        self._answering.add(Rule(a_join(topic, ANY), client, answer))

    @contextmanager
    def override(self, handle: ClientHandle[C], *args: Any, **kwargs: Any) -> Iterator[ActorRef[C]]:
        """Have a client of this test in the place of a handle's own, within the block.

        It is started with the handle's arguments, or with `args` in their place, and with
        `test_mode=True` and `kwargs` beside them, which its `init` has to hand on to `connect`. It
        is connected, and its joins are accepted where no rule of `serve_joins` fits. The block
        begins when what it has asked for by then is joined, at the latest after `assert_timeout`
        seconds. Raises `TypeError` for what is no handle.
        """
        require_handle(handle)
        taken = {**handle._kwargs, "test_mode": True, **kwargs}
        ref = self.start(handle.client_class, *(args or handle._args), **taken)
        self._answering.add(Rule(a_join(ANY, ANY), ref, OK), last=True)
        self.accept_connect(ref)
        with handle.override(ref):
            self._await_joins(ref)
            yield ref

    def _await_joins(self, client: Any) -> None:
        """Wait until a client has taken the answers to its joins, those of their callbacks too."""
        deadline, answered = time.monotonic() + self.assert_timeout, -1
        # One that ends, or does not come to it in time, is for the test's own assertions.
        with suppress(AwaitTimeoutError, ClientEndedError):
            while True:
                # It answers when it has handled what it was told before.
                get_state(client, max(0.0, deadline - time.monotonic()))
                asked = self._log.of(self._connections.of(client))
                joins = sum(isinstance(entry.what, JoinRequest) for entry in asked)
                if joins == answered or not self._answering.catch_up(deadline):
                    return
                answered = joins

    # what clients are expected to do

    def connect_and_assert_join(
        self,
        client: Any,
        topic: Any = ANY,
        params: Any = ANY,
        reply: Reply = OK,
        *,
        timeout: float | None = None,
    ) -> JoinRequest:
        """`accept_connect`, and `assert_join` of that client."""
        __tracebackhide__ = True
        require_reply(reply)
        a_join(topic, params)
        seconds_or("timeout", timeout, self.assert_timeout)
        self.accept_connect(client)
        return self.assert_join(topic, params, reply, client=client, timeout=timeout)

    def assert_join(
        self,
        topic: Any = ANY,
        params: Any = ANY,
        reply: Reply = OK,
        *,
        client: Any = None,
        timeout: float | None = None,
    ) -> JoinRequest:
        """Assert that a client asks to join, and answer it: any status but "ok" refuses."""
        __tracebackhide__ = True
        require_reply(reply)
        connection, request = self._assert(a_join(topic, params), JoinRequest, client, timeout)
        connection.answer_join(request, reply)
        return request

    def refute_join(
        self,
        topic: Any = ANY,
        params: Any = ANY,
        *,
        client: Any = None,
        timeout: float | None = None,
    ) -> None:
        """Assert that no client asks to join so."""
        __tracebackhide__ = True
        self._refute(a_join(topic, params), client, timeout)

    def assert_leave(
        self, topic: Any = ANY, *, client: Any = None, timeout: float | None = None
    ) -> LeaveRequest:
        """Assert that a client asks to leave, and have it left: its `handle_leave`."""
        __tracebackhide__ = True
        connection, request = self._assert(a_leave(topic), LeaveRequest, client, timeout)
        connection.answer_leave(request)
        return request

    def refute_leave(
        self, topic: Any = ANY, *, client: Any = None, timeout: float | None = None
    ) -> None:
        """Assert that no client asks to leave so."""
        __tracebackhide__ = True
        self._refute(a_leave(topic), client, timeout)

    def assert_push(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        client: Any = None,
        timeout: float | None = None,
    ) -> PushRequest:
        """Assert that a client pushes, and return the push; `reply` answers it."""
        __tracebackhide__ = True
        return self._assert(a_push(topic, event, payload), PushRequest, client, timeout)[1]

    def refute_push(
        self,
        topic: Any = ANY,
        event: Any = ANY,
        payload: Any = ANY,
        *,
        client: Any = None,
        timeout: float | None = None,
    ) -> None:
        """Assert that no client pushes so."""
        __tracebackhide__ = True
        self._refute(a_push(topic, event, payload), client, timeout)

    def assert_disconnect(
        self, client: Any = None, *, timeout: float | None = None
    ) -> DisconnectRequest:
        """Assert that a client closes its connection, and tell it that it is closed.

        One that ends closes it too, unless it crashes.
        """
        __tracebackhide__ = True
        connection, request = self._assert(A_DISCONNECT, DisconnectRequest, client, timeout)
        connection.answer_disconnect()
        return request

    def refute_disconnect(self, client: Any = None, *, timeout: float | None = None) -> None:
        """Assert that no client closes its connection."""
        __tracebackhide__ = True
        self._refute(A_DISCONNECT, client, timeout)

    # how they wait, and how they fail

    def _assert(
        self, expected: Expectation, kind: type[R], client: Any, timeout: float | None
    ) -> tuple[FakeConnection, R]:
        __tracebackhide__ = True
        seconds = seconds_or("timeout", timeout, self.assert_timeout)
        entry = self._await(expected, client, seconds)
        if entry is None:
            self._fail(f"expected a {expected.noun} within {seconds} s", expected, client)
        assert isinstance(entry.what, kind)
        return entry.connection, entry.what

    def _refute(self, expected: Expectation, client: Any, timeout: float | None) -> None:
        __tracebackhide__ = True
        seconds = seconds_or("timeout", timeout, self.refute_timeout)
        entry = self._await(expected, client, seconds, take=False)
        if entry is not None or self._crash(client) is not None:
            self._fail(f"expected no {expected.noun} within {seconds} s", expected, client, entry)

    def _await(
        self, expected: Expectation, client: Any, seconds: float, *, take: bool = True
    ) -> Entry | None:
        if client is not None and not self._connections.of(client):
            living(client)
        return self._log.await_match(
            expected, lambda: self._connections.of(client), seconds, take=take
        )

    def _fail(
        self, headline: str, expected: Expectation, client: Any, culprit: Entry | None = None
    ) -> NoReturn:
        """Raise what an assertion has to tell, and what has ended the client if that is why."""
        __tracebackhide__ = True
        connections = self._connections.of(client)
        entries = self._log.of(connections)
        lines = [headline, *expected.lines()]
        lines += report(entries, expected, culprit, several=len(connections) > 1)
        if not connections:
            here = " by this thread" if self is getattr(_local, "own", None) else ""
            lines.append(f"it was not accepted{here}: accept_connect(client) comes first")
        crash = self._crash(client) if culprit is None else None
        if crash is None:
            raise AssertionError("\n".join(lines))
        self._crashes.known(crash.connection.client)
        lines.insert(0, f"{crash.connection.label} {crash.what}")
        raise AssertionError("\n".join(lines)) from crash.what.error

    def _crash(self, client: Any) -> Entry | None:
        """Return the last crash, if nobody is left who could do what is expected."""
        connections = self._connections.of(client)
        ends = self._log.ends(connections)
        if len(ends) < len(connections):
            return None
        return next((end for end in reversed(ends) if end.what.crashed), None)


def current_test() -> SocketTest:
    """Return the server of the calling thread: the context manager that it is in, or its own."""
    test: SocketTest | None = getattr(_local, "test", None)
    if test is None:
        test = getattr(_local, "own", None) or SocketTest()
        _local.own = test
    return test


def clean_up() -> None:
    """Clean up what the calling thread's functions left behind, outside of a context manager."""
    own: SocketTest | None = getattr(_local, "own", None)
    if own is not None:
        own.close()
