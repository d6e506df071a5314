"""`statistics`, and the observer that it is built on: whoever looks pays, and nobody else."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    ChannelConnected,
    ClientActor,
    ClientEndedError,
    Ref,
    Reply,
    ReplyReceived,
    Socket,
    call,
    cast,
    connect,
    debug,
    request,
)
from slipstream_actor.actors.envelopes import Burst
from slipstream_actor.debug.observer import listen
from slipstream_actor.debug.statistics import Count
from slipstream_actor.protocol.commands import PushMessage
from slipstream_actor.protocol.message import Message
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Recorder, eventually, recording
from tests.support.planted import get_stuck, leaked, planted
from tests.support.threads import in_threads

TOPIC = "bench:a"


class Talker(Recorder):
    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(message)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.note("cast", message)

    def ask(self) -> Any:
        """Push and await, and then be told more."""
        return self.socket.await_reply(self.socket.push(TOPIC, "echo", {"a": 1}))


def counted(ref: Any) -> tuple[int, int]:
    got = debug.statistics(ref, "get")
    assert got is not None
    return got["messages_in"], got["messages_out"]


def test_it_counts_what_comes_and_goes(server: PhoenixServer) -> None:
    with recording(server.uri, Talker) as (ref, log):
        log.take("connect")
        assert debug.statistics(ref, "get") is None
        assert debug.statistics(ref, True) is None
        assert counted(ref) == (0, 0)
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        eventually(lambda: counted(ref) == (2, 1), "the method and the join")
        server.broadcast(TOPIC, "news", {"n": 1})
        server.broadcast(TOPIC, "news", {"n": 2})
        log.take("message")
        log.take("message")
        eventually(lambda: counted(ref) == (4, 1), "the messages")
        ref.tell("info")
        cast(ref, "cast")
        call(ref, "call")
        eventually(lambda: counted(ref) == (7, 1), "what was told")
        # The reply is taken by an await, within the method.
        assert ref.proxy().ask().get().ok
        eventually(lambda: counted(ref) == (9, 2), "the awaited reply")
        assert request(ref, TOPIC, "echo", {}).get(timeout=PATIENCE).ok
        assert counted(ref) == (9, 3)
        got = debug.statistics(ref, "get")
        assert got is not None
        assert 0 < got["longest_seconds"] <= got["busy_seconds"] <= got["seconds"]
        assert json.loads(json.dumps(got)) == got
        debug.statistics(ref, True)
        assert counted(ref) == (0, 0)
        debug.statistics(ref, False)
        assert debug.statistics(ref, "get") is None


class Played(ClientActor):
    def init(self) -> Socket:
        return connect("ws://test.invalid/socket/websocket", test_mode=True)


def test_each_event_of_a_burst_counts_once() -> None:
    """Also one behind messages that are taken in one go."""
    ref = Played.start()
    ref.tell(ChannelConnected(None))
    debug.statistics(ref, True)
    message = Message("1", None, TOPIC, "news", {})
    reply = ReplyReceived(TOPIC, Ref("2", TOPIC, "1"), Reply("ok", {}))
    ref.tell(Burst(None, [message, reply, message, reply, message]))
    eventually(lambda: counted(ref)[0] >= 5, "all of them")
    assert counted(ref) == (5, 0)
    ref.stop()


def test_what_several_threads_send_is_counted() -> None:
    """As requests are, in the thread of who asks."""
    counting, command, times = Count(), PushMessage(TOPIC, "say", {}), 10_000

    def send() -> None:
        for _ in range(times):
            counting.sent(command)

    in_threads(send, send, send, send)
    assert counting.so_far()["messages_out"] == 4 * times


class Held(Played):
    """Is in a callback until it is let go on."""

    def handle_info(self, message: Any, socket: Socket) -> None:
        begun, go_on = message
        begun.set()
        go_on.wait(PATIENCE)


def test_what_waits_already_is_seen_too() -> None:
    """A client that is behind is the one that somebody looks at."""
    ref, begun, go_on = Held.start(), threading.Event(), threading.Event()
    ref.tell(ChannelConnected(None))
    ref.tell((begun, go_on))
    assert begun.wait(PATIENCE)
    for _ in range(3):
        ref.tell(Burst(None, [Message("1", None, TOPIC, "news", {})] * 4))
    lines: list[str] = []
    debug.statistics(ref, True)
    debug.trace(ref, True, lines.append)
    go_on.set()
    eventually(lambda: counted(ref)[0] >= 12, "all of them")
    assert counted(ref) == (12, 0)
    assert len(lines) == 12
    # Whoever looks next sees what somebody else was to see.
    begun.clear()
    ref.tell((begun, second := threading.Event()))
    assert begun.wait(PATIENCE)
    ref.tell(Burst(None, [Message("1", None, TOPIC, "news", {})] * 4))
    debug.statistics(ref, False)
    debug.trace(ref, False)
    debug.statistics(ref, True)
    second.set()
    eventually(lambda: counted(ref)[0] >= 4, "the last ones")
    ref.stop()


def test_it_goes_on_with_the_next_connection(proxy: FaultProxy) -> None:
    with recording(proxy.uri, Talker, reconnect_after_msec=[0]) as (ref, log):
        log.take("connect")
        debug.statistics(ref, True)
        ref.proxy().do(Socket.reconnect).get()
        ref.proxy().do(lambda s: s.reconnect(delay=0)).get()
        log.take("connect")
        before = counted(ref)[1]
        ref.proxy().do(lambda s: s.join(TOPIC)).get()
        log.take("join")
        eventually(lambda: counted(ref)[1] == before + 1, "the join")


def test_nothing_is_left_when_it_is_off(server: PhoenixServer) -> None:
    """Neither in the client nor in its connection: off costs what never costs."""
    with recording(server.uri, Talker) as (ref, log):
        log.take("connect")
        inboxes: list[Any] = [ref.actor_inbox, debug.get_state(ref).connection.actor_inbox]  # type: ignore[union-attr]
        debug.statistics(ref, True)
        assert all("put" in vars(inbox) for inbox in inboxes)
        debug.statistics(ref, False)
        assert not any({"put", "get"} & vars(inbox).keys() for inbox in inboxes)
        assert inboxes[0].observer is None


def test_a_listener_that_fails_is_told_no_more(
    server: PhoenixServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def handled(self, message: Any, seconds: float) -> None:
            raise LookupError

        def awaited(self, event: Any) -> None:
            """Nothing is awaited."""

        def sent(self, command: Any) -> None:
            """Nothing is sent."""

        def answered(self, command: Any, outcome: Any, seconds: float) -> None:
            """Nothing is asked."""

    with recording(server.uri, Talker) as (ref, log):
        log.take("connect")
        debug.statistics(ref, True)
        listen(ref, Failing())
        ref.tell("one")
        ref.tell("two")
        log.take("info", "two")
        eventually(lambda: counted(ref)[0] == 2, "both")
        inbox: Any = ref.actor_inbox
        assert len(inbox.observer.listeners) == 1
    failures = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(failures) == 1


def test_no_secret_is_in_statistics() -> None:
    with planted() as ref:
        debug.statistics(ref, True)
        get_stuck(ref)
        got = debug.statistics(ref, "get")
        assert leaked(json.dumps(got)) == []
        assert got is not None
        assert got["messages_in"] > 1


def test_wrong_arguments() -> None:
    class Quiet(ClientActor):
        pass

    ref = Quiet.start()
    wrong: Any = "on"
    with pytest.raises(ValueError, match="True, False or 'get'"):
        debug.statistics(ref, wrong)
    ref.stop()
    with pytest.raises(ClientEndedError):
        debug.statistics(ref, True)
