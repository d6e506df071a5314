"""Each leave has one `handle_leave`, whatever the topic was, before what is told of a later join;
what a `Join` says of itself meanwhile; times for the answers of joins and leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from slipstream_actor import (
    AwaitTimeoutError,
    ChannelCrashed,
    ChannelEnded,
    ClosedByClient,
    ClosedByPeer,
    ClosedByServer,
    Disconnected,
    Join,
    JoinFailedError,
    JoinRefused,
    JoinTimeout,
    LeftByClient,
    ParamsFailed,
    Socket,
    connect,
)
from slipstream_actor.testing import PhoenixServer
from tests.integration.test_pairs import EXACT, NEVER, socket_of, until, until_mark
from tests.support.clients import PATIENCE, Log, Staying, do, eventually, recording
from tests.support.raw_server import Peer, RawServer, message

TOPIC = "bench:room"
TOKEN = {"token": "SECRET"}
# Of a server that does not answer a close either.
SILENT: dict[str, Any] = {**NEVER, "close_timeout_msec": 50}
REFUSING = {"error": {"reason": "no"}}


class Leaving(Staying):
    """Notes how its topic stood when it was left."""

    def handle_leave(self, topic: str, socket: Socket) -> Any:
        self.note("leave", topic, *said(socket.joins[topic]))


def said(join: Join) -> tuple[Any, ...]:
    """What a join says of itself."""
    return join.status, join.reason, join.rejoin_in, join.params


def join_of(ref: Any) -> Join:
    join: Join = socket_of(ref).joins[TOPIC]
    return join


# the states of a topic from which it may be left; each leaves the log empty


def joined(server: PhoenixServer, ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC, TOKEN))
    log.take("join")


def asked_for(server: PhoenixServer, ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC, {**TOKEN, "delay": 50}))


def asked_for_and_refused(server: PhoenixServer, ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC, {**TOKEN, "delay": 50, **REFUSING}))


def asked_for_while_closing(server: PhoenixServer, ref: Any, log: Log) -> None:
    do(ref, lambda s: s.disconnect().join(TOPIC, TOKEN))
    log.take("disconnect")


def asked_for_in_a_backoff(server: PhoenixServer, ref: Any, log: Log) -> None:
    server.drop()
    log.take("disconnect")
    do(ref, lambda s: s.reconnect().join(TOPIC, TOKEN))


def lost_with_its_connection(server: PhoenixServer, ref: Any, log: Log) -> None:
    joined(server, ref, log)
    server.drop()
    log.take("disconnect")


def waiting_for_its_rejoin(server: PhoenixServer, ref: Any, log: Log) -> None:
    do(ref, lambda s: s.join(TOPIC, {**TOKEN, **REFUSING}))
    log.take("topic_close")
    do(ref, lambda s: s.rejoin(TOPIC))


def waiting_for_its_rejoin_after_a_crash(server: PhoenixServer, ref: Any, log: Log) -> None:
    joined(server, ref, log)
    do(ref, lambda s: s.push(TOPIC, "no such event") and None)
    log.take("topic_close")
    do(ref, lambda s: s.rejoin(TOPIC))


def rejoining(server: PhoenixServer, ref: Any, log: Log) -> None:
    waiting_for_its_rejoin(server, ref, log)
    do(ref, lambda s: s.rejoin(TOPIC, {**TOKEN, "delay": 50}, delay=0))
    eventually(lambda: join_of(ref).status == "requested", "the rejoin")


STATES = [
    joined,
    asked_for,
    asked_for_and_refused,
    asked_for_while_closing,
    asked_for_in_a_backoff,
    lost_with_its_connection,
    waiting_for_its_rejoin,
    waiting_for_its_rejoin_after_a_crash,
    rejoining,
]
State = Callable[[PhoenixServer, Any, Log], None]
each_state = pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
LEFT: tuple[Any, ...] = ("closed", LeftByClient(), None, {})


@each_state
def test_a_leave_is_told_once(server: PhoenixServer, state: State) -> None:
    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        state(server, ref, log)
        do(ref, lambda s: s.leave(TOPIC))
        assert said(join_of(ref)) == LEFT, "at once"
        do(ref, lambda s: s.leave(TOPIC))  # Without effect.
        assert log.get(timeout=PATIENCE) == ("leave", TOPIC, *LEFT)
        # It does not come back, and nobody is told again.
        do(ref, lambda s: s.reconnect(delay=0))
        eventually(lambda: socket_of(ref).status == "connected", "a connection")
        do(ref, lambda s: s.ping() and None)
        came = until_mark(ref, log)
        assert [entry for entry in came if entry[0] not in ("connect", "disconnect")] == []
        assert said(join_of(ref)) == LEFT
        do(ref, lambda s: s.forget(TOPIC))
        assert TOPIC not in socket_of(ref).joins


@each_state
@pytest.mark.parametrize("times", [1, 3])
def test_leave_and_join_in_one_go(server: PhoenixServer, state: State, times: int) -> None:
    def again(socket: Socket) -> Socket:
        for n in range(times):
            socket = socket.leave(TOPIC).join(TOPIC, {"reply": {"n": n}})
        return socket

    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        state(server, ref, log)
        do(ref, again)
        if not socket_of(ref).connected:
            do(ref, lambda s: s.reconnect(delay=0))
        came = [e[0] for e in until(log, "join", TOPIC, {"n": times - 1}) if e[0] != "connect"]
        assert came == [*["leave"] * times, "join"]
        assert join_of(ref).status == "joined"
        assert do(ref, lambda s: s.await_reply(s.push(TOPIC, "echo", {"a": 1}))).ok
        assert until_mark(ref, log) == []


@pytest.mark.parametrize("end", ["drop", "disconnect", "connect", "reconnect"])
def test_a_leave_whose_connection_ends_first(end: str) -> None:
    """The server says nothing of it any more."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        peer.join()
        peer.expect("phx_leave")
        if end == "drop":
            peer.reset()
        else:
            peer.hold()

    with RawServer(script) as server, recording(server.uri, Leaving, **SILENT) as (ref, log):
        ends: dict[str, Any] = {
            "disconnect": lambda s: s.disconnect(),
            "connect": lambda s: s.connect(server.uri, **SILENT),
            "reconnect": lambda s: s.reconnect(delay=0),
        }
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, TOKEN))
        log.take("join")
        do(ref, lambda s: s.leave(TOPIC))
        server.next_frame(event="phx_leave")
        if end != "drop":
            do(ref, ends[end])
        assert [entry[0] for entry in until(log, "disconnect")] == ["leave", "disconnect"]
        assert [e[0] for e in until_mark(ref, log)] in ([], ["connect"])
        assert said(join_of(ref)) == LEFT


@pytest.mark.parametrize("method", ["connect", "reconnect"])
def test_a_leave_before_a_join_that_is_for_the_next_connection(
    server: PhoenixServer, method: str
) -> None:
    """It is told with the end of its connection, and not again with the join."""

    def go(socket: Socket) -> Socket:
        closing = socket.leave(TOPIC).disconnect().join(TOPIC)
        if method == "reconnect":
            return closing.reconnect(delay=0)
        return closing.connect(server.uri, **NEVER, **EXACT).join(TOPIC)

    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        joined(server, ref, log)
        until_mark(ref, log)
        do(ref, go)
        came = [entry[0] for entry in until(log, "join") + until_mark(ref, log)]
        assert came == ["leave", "disconnect", "connect", "join"]


def test_a_thread_leaves_in_every_state(server: PhoenixServer) -> None:
    with connect(server.uri, **NEVER, **EXACT) as first:
        unsent = first.join(TOPIC, TOKEN).leave(TOPIC).await_leave(TOPIC, timeout=0)
        assert said(unsent.joins[TOPIC]) == LEFT
        socket = unsent.join(TOPIC, TOKEN).await_join(TOPIC).leave(TOPIC).await_leave(TOPIC)
        assert said(socket.joins[TOPIC]) == LEFT
        socket = socket.join(TOPIC, {"delay": 50}).leave(TOPIC).await_leave(TOPIC)
        socket = socket.join(TOPIC).await_join(TOPIC).leave(TOPIC).join(TOPIC).await_join(TOPIC)
        server.drop()
        socket = socket.await_disconnect().leave(TOPIC).await_leave(TOPIC, timeout=0)
        assert said(socket.joins[TOPIC]) == LEFT
        socket = socket.reconnect(delay=0).await_connect()
        with pytest.raises(JoinFailedError) as failed:
            socket.await_join(TOPIC, timeout=PATIENCE)
        assert failed.value.reason == LeftByClient()
        # A rejoin has none of the params that the leave has dropped.
        again = socket.rejoin(TOPIC, delay=0).await_join(TOPIC)
        assert again.joins[TOPIC].params == {}


# who ended a join, and whether it comes back


def test_why_a_join_is_closed(server: PhoenixServer) -> None:
    def fail() -> Any:
        raise LookupError("SECRET")

    def told(name: str, reason: Any) -> None:
        log.take(name, TOPIC)
        join = join_of(ref)
        assert (join.status, join.reason, join.rejoin_in) == ("closed", reason, None)
        assert "SECRET" not in repr(join) + repr(join.reason)

    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, REFUSING))
        told("topic_close", JoinRefused({"reason": "no"}))
        do(ref, lambda s: s.join(TOPIC, fail))
        log.take("topic_close", TOPIC)
        assert isinstance(join_of(ref).reason, ParamsFailed)
        do(ref, lambda s: s.join(TOPIC, {"delay": 200}, timeout=0.02))
        told("topic_close", JoinTimeout())
        joined(server, ref, log)
        assert join_of(ref).reason is None
        do(ref, lambda s: s.push(TOPIC, "no such event") and None)
        told("topic_close", ChannelCrashed({"reason": "channel_crash"}))
        do(ref, lambda s: s.leave(TOPIC).join("control:1"))
        log.take("join", "control:1")
        do(ref, lambda s: s.push("control:1", "stop_with", {"reason": "normal"}) and None)
        log.take("leave", "control:1")
        assert socket_of(ref).joins["control:1"].reason == ClosedByServer()
        joined(server, ref, log)
        do(ref, lambda s: s.leave(TOPIC))
        told("leave", LeftByClient())
        joined(server, ref, log)
        server.drop()
        reason = log.take("disconnect")[1]
        assert isinstance(reason, ClosedByPeer)
        assert join_of(ref).reason == Disconnected(reason)
        do(ref, lambda s: s.reconnect(delay=0))
        log.take("join", TOPIC)
        assert join_of(ref).reason is None
        do(ref, lambda s: s.disconnect())
        log.take("disconnect")
        assert join_of(ref).reason == Disconnected(ClosedByClient())


def test_a_rejoin_says_when_it_is(server: PhoenixServer) -> None:
    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        waiting_for_its_rejoin(server, ref, log)
        join = join_of(ref)
        assert (join.status, join.reason) == ("closed", JoinRefused({"reason": "no"}))
        assert join.rejoin_in == pytest.approx(600, abs=PATIENCE)
        assert join.rejoin_counter == 1
        # Again is without effect; with a delay it takes the place, and the count is kept.
        do(ref, lambda s: s.rejoin(TOPIC))
        assert join_of(ref).rejoin_in == pytest.approx(600, abs=PATIENCE)
        do(ref, lambda s: s.rejoin(TOPIC, delay=60))
        assert join_of(ref).rejoin_in == pytest.approx(60, abs=PATIENCE)
        assert join_of(ref).rejoin_counter == 1
        do(ref, lambda s: s.rejoin(TOPIC, {"reply": {"a": 1}}, delay=0))
        assert log.take("join", TOPIC)[2] == {"a": 1}
        assert said(join_of(ref)) == ("joined", None, None, {"reply": {"a": 1}})
        # Joined: without effect.
        do(ref, lambda s: s.rejoin(TOPIC, delay=0))
        assert until_mark(ref, log) == []


def test_a_join_takes_the_place_of_a_rejoin(server: PhoenixServer) -> None:
    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        waiting_for_its_rejoin(server, ref, log)
        do(ref, lambda s: s.join(TOPIC, {"reply": {"b": 2}}))
        assert log.take("join", TOPIC)[2] == {"b": 2}
        assert join_of(ref).rejoin_in is None


# times for answers


def silent_but(*events: str) -> Callable[[Peer], None]:
    """A server that answers these events, and no other."""

    def script(peer: Peer) -> None:
        peer.upgrade()
        while True:
            came = peer.frame()
            if came.event in events:
                peer.reply(came.message)

    return script


@pytest.mark.parametrize("method", ["join", "rejoin"])
def test_a_join_has_its_own_time(method: str) -> None:
    """Far less than `join_timeout_msec`; a rejoin keeps it."""
    with (
        RawServer(silent_but()) as server,
        recording(server.uri, Leaving, **SILENT) as (ref, log),
    ):
        log.take("connect")
        begun = time.monotonic()
        do(ref, lambda s: s.join(TOPIC, timeout=0.05))
        assert log.take("topic_close", TOPIC)[2] == JoinTimeout()
        if method == "rejoin":
            do(ref, lambda s: s.rejoin(TOPIC, delay=0))
            assert log.take("topic_close", TOPIC)[2] == JoinTimeout()
        assert 0.05 <= time.monotonic() - begun < 5.0
        assert join_of(ref).reason == JoinTimeout()


def test_a_join_may_take_longer_than_the_option(server: PhoenixServer) -> None:
    with recording(server.uri, Leaving, join_timeout_msec=20, **NEVER) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, {"delay": 100}, timeout=PATIENCE))
        assert [entry[0] for entry in until(log, "join")] == ["join"]


def test_a_leave_has_its_own_time() -> None:
    """What the server says of it later is nobody's."""
    told = threading.Event()

    def script(peer: Peer) -> None:
        peer.upgrade()
        join_ref = peer.join()
        asked = peer.expect("phx_leave")
        peer.wait_for(told)
        peer.reply(asked)
        peer.send(message(join_ref, join_ref, TOPIC, "phx_close"))
        peer.reply(peer.expect("heartbeat"))
        peer.hold()

    with RawServer(script) as server, recording(server.uri, Leaving, **SILENT) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC, TOKEN))
        log.take("join")
        begun = time.monotonic()
        push = do(ref, lambda s: s.push(TOPIC, "never", {}, reply_timeout=60))
        do(ref, lambda s: s.leave(TOPIC, timeout=0.05))
        came = until(log, "leave")
        assert [entry[0] for entry in came] == ["push_failed", "leave"]
        assert came[0][1:] == (push, ChannelEnded("left"))
        assert 0.05 <= time.monotonic() - begun < 5.0
        assert said(join_of(ref)) == LEFT
        told.set()
        do(ref, lambda s: s.ping(PATIENCE) and None)
        assert until_mark(ref, log) == []


@pytest.mark.parametrize("answered", [(), ("phx_join",)], ids=["a join", "a leave"])
def test_the_times_of_a_thread(answered: tuple[str, ...]) -> None:
    with RawServer(silent_but(*answered)) as server, connect(server.uri, **SILENT) as first:
        socket = first.join(TOPIC, timeout=0.05)
        if not answered:
            with pytest.raises(JoinFailedError) as failed:
                socket.await_join(TOPIC, timeout=PATIENCE)
            assert failed.value.reason == JoinTimeout()
            return
        socket = socket.await_join(TOPIC).leave(TOPIC, timeout=60)
        with pytest.raises(AwaitTimeoutError):
            socket.await_leave(TOPIC, timeout=0.02)
        socket = socket.disconnect().await_disconnect()
        assert said(socket.joins[TOPIC]) == LEFT


@pytest.mark.parametrize("state", [joined, asked_for], ids=lambda state: state.__name__)
def test_a_leave_is_told_of_a_connection_whose_end_was_awaited(
    server: PhoenixServer, state: Any
) -> None:
    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        state(server, ref, log)
        do(ref, lambda s: s.leave(TOPIC).disconnect().await_disconnect(PATIENCE))
        told = until_mark(ref, log)
        assert [entry[:2] for entry in told] == [("leave", TOPIC)]
        do(ref, lambda s: s.reconnect(delay=0).await_connect(PATIENCE).join(TOPIC))
        assert [e[0] for e in until(log, "join")] == ["join"]


@pytest.mark.parametrize("is_answered", [False, True])
def test_a_leave_that_its_callback_has_lost_is_told_once(
    server: PhoenixServer, is_answered: bool
) -> None:
    def lose(socket: Socket) -> None:
        inbox = socket.socket_pid.actor_inbox
        depth = inbox.depth  # The answer may be there as soon as it is asked for.
        left = socket.leave(TOPIC)
        if is_answered:
            eventually(lambda: inbox.depth > depth, "the leave")
        left.disconnect().await_disconnect(PATIENCE)
        raise LookupError

    with recording(server.uri, Leaving, **NEVER) as (ref, log):
        log.take("connect")
        joined(server, ref, log)
        with pytest.raises(LookupError):
            do(ref, lose)
        told = [e[:2] for e in until_mark(ref, log)]
        assert told == [("leave", TOPIC), ("disconnect", ClosedByClient())]
