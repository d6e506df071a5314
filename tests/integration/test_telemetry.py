"""What clients and connections tell by telemetry, over real sockets."""

from __future__ import annotations

import queue
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from slipstream_actor import (
    Answer,
    ChannelEnded,
    ClosedByClient,
    Configuration,
    ConnectFailed,
    ConnectFailedError,
    ConnectionState,
    Disconnected,
    HeartbeatTimeout,
    JoinFailedError,
    JoinRefused,
    MessageReceived,
    Next,
    NotJoinedError,
    PushTimeout,
    Ref,
    Reply,
    Socket,
    Stop,
    call,
    cast,
    connect,
    get_state,
    on,
    telemetry,
    wait,
)
from slipstream_actor.actors.selector_inbox import SocketReady
from slipstream_actor.client.defaults import CALLBACK_NAMES
from slipstream_actor.protocol.commands import CloseConnection, OpenConnection
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Recorder, do, eventually, recording
from tests.support.raw_server import dead_uri
from tests.support.telemetry_recorder import Told, observing

CLIENT = ("slipstream", "client")
CONNECTION = ("slipstream", "connection")
TOPIC = "test:good"
BENCH = "bench:room"


def under_way(owner: Any) -> Any:
    """The pushes of `owner` that telemetry waits for."""
    return owner.actor_inbox.ledger.open_spans


def assert_one_span(start: Told, end: Told) -> None:
    """They begin and end the same span."""
    assert start.metadata["telemetry_span_context"] is end.metadata["telemetry_span_context"]
    assert start.metadata["start_time"] == end.metadata["start_time"]
    assert abs((datetime.now(UTC) - start.metadata["start_time"]).total_seconds()) < 60
    begun = start.measurements["monotonic_time"]
    assert begun <= end.measurements["monotonic_time"]
    assert end.measurements["duration"] >= 0


# connect


def test_a_connect(server: PhoenixServer) -> None:
    with observing((*CLIENT, "connect")) as told, recording(server.uri) as (ref, log):
        log.take("connect")
        start, stop = told.take("client.connect.start"), told.take("client.connect.stop")
        assert_one_span(start, stop)
        for each in (start, stop):
            assert isinstance(each.metadata["configuration"], Configuration)
            assert isinstance(each.metadata["socket"], Socket)
        assert not start.metadata["socket"].connected
        assert stop.metadata["socket"].connected
        assert "upgrade" in {name.lower() for name in stop.metadata["response_headers"]}
        assert not get_state(ref).socket._open_spans


def test_a_connect_that_fails_and_its_reconnects() -> None:
    options: dict[str, Any] = {"reconnect_after_msec": [10, 20]}
    wanted = (*CLIENT, "connect"), (*CLIENT, "reconnect")
    with dead_uri() as uri, observing(*wanted) as told, recording(uri, **options):
        for attempt, delay in ((1, 0.01), (2, 0.02), (3, 0.02)):
            start = told.take("client.connect.start")
            failed = told.take("client.connect.exception")
            assert_one_span(start, failed)
            assert failed.metadata["kind"] == "error"
            assert isinstance(failed.metadata["reason"], ConnectFailed)
            assert failed.metadata["stacktrace"] is None
            reconnect = told.take("client.reconnect")
            assert reconnect.measurements["attempt"] == attempt
            assert reconnect.measurements["delay"] == delay
            assert reconnect.metadata["socket"].reconnect_counter == attempt


def test_an_attempt_that_gives_way_to_another(server: PhoenixServer, proxy: FaultProxy) -> None:
    with observing((*CLIENT, "connect")) as told, proxy.silence():
        first = connect(proxy.uri)
        second = first.connect(server.uri).await_connect()
        second.disconnect().await_disconnect()
    starts = told.named("client.connect.start")
    [failed] = told.named("client.connect.exception")
    assert_one_span(starts[0], failed)
    assert failed.metadata["reason"] == ClosedByClient()
    [stop] = told.named("client.connect.stop")
    assert_one_span(starts[1], stop)


def test_a_client_that_ends_while_it_connects_and_joins(proxy: FaultProxy) -> None:
    with (
        observing((*CLIENT, "connect"), (*CLIENT, "join")) as told,
        proxy.silence(),
        recording(proxy.uri) as (ref, _),
    ):
        do(ref, lambda s: s.join(TOPIC))
        told.take("client.join.start")
    assert told.named("client.connect.exception")[0].metadata["reason"] == ClosedByClient()
    [failed] = told.named("client.join.exception")
    assert failed.metadata["reason"] == Disconnected(ClosedByClient())
    assert failed.metadata["topic"] == TOPIC


def test_a_plain_thread_tells_too(server: PhoenixServer) -> None:
    with observing(CLIENT) as told:
        socket = connect(server.uri).join(TOPIC, {"a": 1}).await_join(TOPIC)
        reply = socket.await_reply(socket.push(TOPIC, "ping", reply_timeout=PATIENCE))
        socket.leave(TOPIC).await_leave(TOPIC).disconnect().await_disconnect()
    assert reply.ok
    names = [each.name for each in told.all]
    assert names == [
        "client.connect.start",
        "client.join.start",
        "client.connect.stop",
        "client.join.stop",
        "client.push.start",
        "client.push.stop",
    ]


def test_a_plain_threads_connect_that_fails() -> None:
    with dead_uri() as uri, observing((*CLIENT, "connect")) as told:
        socket = connect(uri)
        with pytest.raises(ConnectFailedError):
            socket.await_connect()
    assert [each.name for each in told.all] == ["client.connect.start", "client.connect.exception"]


# join


def test_a_join(server: PhoenixServer) -> None:
    with observing((*CLIENT, "join")) as told, recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(BENCH, {"reply": {"hello": 1}}))
        log.take("join")
        start, stop = told.take("client.join.start"), told.take("client.join.stop")
        assert_one_span(start, stop)
        for each in (start, stop):
            assert each.metadata["topic"] == BENCH
            assert each.metadata["params"] == {"reply": {"hello": 1}}
        assert start.metadata["socket"].join_status(BENCH) is None
        assert stop.metadata["socket"].joined(BENCH)
        assert stop.metadata["response"] == {"hello": 1}
        assert not get_state(ref).socket._open_spans


def test_a_join_that_is_recorded_begins_when_it_is_asked_for(server: PhoenixServer) -> None:
    class Early(Recorder):
        def init(self, uri: str, log: queue.Queue[Any], **options: Any) -> Socket:
            return super().init(uri, log, **options).join(TOPIC)

    with (
        observing((*CLIENT, "join"), (*CLIENT, "connect")) as told,
        recording(server.uri, Early) as (_, log),
    ):
        log.take("join")
    assert [each.name for each in told.all] == [
        "client.connect.start",
        "client.join.start",
        "client.connect.stop",
        "client.join.stop",
    ]


def test_joins_that_fail(server: PhoenixServer) -> None:
    with observing((*CLIENT, "join")) as told:
        socket = connect(server.uri).await_connect()
        with pytest.raises(JoinFailedError):
            socket.join("test:bad").await_join("test:bad")
        assert told.take("client.join.exception").metadata["reason"] == JoinRefused({"bad": "join"})
        left = socket.join(BENCH, {"delay": 50}).leave(BENCH)
        failed = told.take("client.join.exception")
        assert failed.metadata["reason"] == ChannelEnded("left")
        left = left.await_leave(BENCH).join(BENCH, {"delay": 60_000})
        left.disconnect().await_disconnect()
        failed = told.take("client.join.exception")
        assert failed.metadata["reason"] == Disconnected(ClosedByClient())
    assert len(told.named("client.join.start")) == len(told.named("client.join.exception")) == 3


def test_a_join_whose_connection_gives_way_to_another(server: PhoenixServer) -> None:
    with observing((*CLIENT, "join")) as told:
        socket = connect(server.uri).await_connect().join(BENCH, {"delay": 60_000})
        socket = socket.connect(server.uri)
        assert told.take("client.join.exception").metadata["reason"] == ChannelEnded("left")
        assert BENCH not in socket._open_spans
        socket.await_connect().disconnect().await_disconnect()


def test_a_join_whose_params_cannot_be_had(server: PhoenixServer) -> None:
    def no_token() -> str:
        raise LookupError("no token")

    with observing((*CLIENT, "join")) as told:
        socket = connect(server.uri).await_connect()
        with pytest.raises(JoinFailedError):
            socket.join(TOPIC, {"token": no_token}).await_join(TOPIC)
        socket.disconnect().await_disconnect()
    start, failed = told.all
    assert_one_span(start, failed)
    assert start.metadata["params"] == {"token": no_token}
    assert isinstance(failed.metadata["reason"].error, LookupError)


def test_rejoins_after_a_reconnect_are_joins(server: PhoenixServer, proxy: FaultProxy) -> None:
    with (
        observing((*CLIENT, "join"), (*CLIENT, "connect")) as told,
        recording(proxy.uri, reconnect_after_msec=[10]) as (ref, log),
    ):
        log.take("connect")
        do(ref, lambda s: s.join(TOPIC))
        log.take("join")
        proxy.reset()
        log.take("join")
        assert not get_state(ref).socket._open_spans
    assert len(told.named("client.join.stop")) == len(told.named("client.connect.stop")) == 2


def test_nothing_grows_over_reconnects(server: PhoenixServer, proxy: FaultProxy) -> None:
    """Slipstream's metadata once held the sockets of all former connections."""

    class Light(list[Any]):
        def __call__(self, event: Any, measurements: Any, metadata: Any) -> None:
            socket = metadata.get("socket")
            if event[-2:] == ("join", "stop") and socket is not None:
                self.append((dict(socket.metadata), set(socket._open_spans), len(socket.joins)))

    seen = Light()
    telemetry.attach_many(
        "growth", [(*CLIENT, e, s) for e in ("connect", "join") for s in ("start", "stop")], seen
    )
    try:
        with recording(proxy.uri, reconnect_after_msec=[1]) as (ref, log):
            do(ref, lambda s: s.join(TOPIC))
            log.take("join")
            for _ in range(30):
                proxy.reset()
                log.take("join")
            state = get_state(ref).socket
            assert set(state.metadata) == {"socket_id"}
            assert not state._open_spans
    finally:
        telemetry.detach("growth")
    assert len(seen) == 31
    assert all(each == seen[0] for each in seen)


# pushes


def test_pushes_and_their_outcomes(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told, recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(BENCH))
        log.take("join")

        def pushed(event: str, payload: Any, **terms: Any) -> tuple[Told, Told]:
            sent: Ref = do(ref, lambda s: s.push(BENCH, event, payload, **terms))
            start, stop = told.take("client.push.start"), told.take("client.push.stop")
            assert_one_span(start, stop)
            for each in (start, stop):
                assert each.metadata["topic"] == BENCH
                assert each.metadata["event"] == event
                assert each.metadata["ref"] == sent
            assert start.metadata["payload"] == payload
            assert start.metadata["socket"].joined(BENCH)
            return start, stop

        def outcome(stop: Told) -> tuple[Any, ...]:
            keys = ("outcome", "status", "response", "reason")
            return tuple(stop.metadata[key] for key in keys)

        _, stop = pushed("echo", {"a": 1})
        assert outcome(stop) == ("sent", None, None, None)
        _, stop = pushed("echo", {"a": 1}, reply_timeout=PATIENCE)
        assert outcome(stop) == ("replied", "ok", {"a": 1}, None)
        _, stop = pushed("echo_error", {"a": 1}, reply_timeout=PATIENCE)
        assert outcome(stop) == ("replied", "error", {"a": 1}, None)
        _, stop = pushed("never", {}, reply_timeout=0.05)
        assert outcome(stop) == ("failed", None, None, PushTimeout())
        assert stop.measurements["duration"] >= 0.05
        do(ref, lambda s: s.push(BENCH, "never", {}, reply_timeout=PATIENCE))
        do(ref, lambda s: s.disconnect())
        stop = told.take("client.push.stop")
        assert outcome(stop)[0] == "failed"
        assert isinstance(stop.metadata["reason"], Disconnected)
        log.take("push_failed")
        assert not under_way(ref)


def test_a_push_that_is_not_sent(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told:
        socket = connect(server.uri).await_connect()
        for terms in ({}, {"reply_timeout": 1.0}):
            with pytest.raises(NotJoinedError) as raised:
                socket.push(TOPIC, "ping", {}, **terms)  # type: ignore[arg-type]
            failed = told.take("client.push.exception")
            assert failed.metadata["reason"] is raised.value
            assert failed.metadata["kind"] == "error"
        assert not under_way(socket.socket_pid)
        socket.disconnect().await_disconnect()


def test_what_await_reply_learns_is_an_outcome_too(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told:
        socket = connect(server.uri).join(BENCH).await_join(BENCH)
        ref = socket.push(BENCH, "never", {}, reply_timeout=0.02)
        with pytest.raises(TimeoutError):
            socket.await_reply(ref)
        assert told.take("client.push.stop").metadata["reason"] == PushTimeout()
        ref = socket.push(BENCH, "never", {}, reply_timeout=PATIENCE)
        socket.disconnect()
        with pytest.raises(Exception, match=r"reply to"):
            socket.await_reply(ref)
        assert told.take("client.push.stop").metadata["outcome"] == "failed"
        socket.await_disconnect()
    assert not under_way(socket.socket_pid)


def test_a_buffered_push_has_one_outcome(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told, recording(server.uri) as (ref, log):
        log.take("connect")

        def push_at_once(socket: Socket) -> Socket:
            socket = socket.join(BENCH)
            socket.push(BENCH, "echo", {"a": 1}, buffer=True)
            return socket

        do(ref, push_at_once)
        stop = told.take("client.push.stop")
        assert (stop.metadata["outcome"], stop.metadata["status"]) == ("replied", "ok")
        do(ref, lambda s: s.leave(BENCH).join(BENCH, {"delay": 60_000}))
        do(ref, lambda s: s.push(BENCH, "echo", {}, buffer=True))
        do(ref, lambda s: s.leave(BENCH))
        stop = told.take("client.push.stop")
        assert stop.metadata["reason"] == ChannelEnded("left")
        assert not under_way(ref)
    assert len(told.named("client.push.start")) == len(told.named("client.push.stop")) == 2


def test_a_plain_threads_buffered_push_that_fails(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told:
        socket = connect(server.uri).await_connect().join(BENCH, {"delay": 60_000})
        socket.push(BENCH, "echo", {}, buffer=True)
        socket = socket.leave(BENCH)
        assert told.take("client.push.stop").metadata["reason"] == ChannelEnded("left")
        socket.disconnect().await_disconnect()


def test_a_buffered_push_that_an_await_has_failed(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told:
        socket = connect(server.uri).await_connect().join(BENCH, {"error": {}, "delay": 50})
        ref = socket.push(BENCH, "echo", {}, buffer=True)
        with pytest.raises(NotJoinedError):
            socket.await_reply(ref, PATIENCE)
        stop = told.take("client.push.stop")
        assert (stop.metadata["ref"], stop.metadata["reason"]) == (
            ref,
            ChannelEnded(JoinRefused({})),
        )
        assert not under_way(socket.socket_pid)
        socket.disconnect().await_disconnect()


def test_the_pushes_of_a_client_that_ends_have_failed(server: PhoenixServer) -> None:
    with observing((*CLIENT, "push")) as told, recording(server.uri) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(BENCH))
        log.take("join")
        do(ref, lambda s: s.push(BENCH, "never", {}, reply_timeout=PATIENCE))
    stop = told.take("client.push.stop")
    assert stop.metadata["reason"] == Disconnected(ClosedByClient())


# callbacks


class Busy(Recorder):
    """Does something in every callback."""

    def init(self, uri: str, log: queue.Queue[Any], **options: Any) -> Any:
        return Next(super().init(uri, log, **options), then="begin")

    def handle_continue(self, term: Any, socket: Socket) -> None:
        self.note("continue", term)

    def handle_info(self, message: Any, socket: Socket) -> Any:
        self.note("info", message)
        return Next(socket, then="go on")

    def handle_cast(self, message: Any, socket: Socket) -> Socket:
        return socket.assign(cast=message)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        if message == "raise":
            raise LookupError("no such call")
        return Answer(message, socket) if message != "stop" else Stop("normal", socket, answer=1)


def test_every_callback_is_told_of(server: PhoenixServer) -> None:
    with observing(CLIENT) as told, recording(server.uri, Busy) as (ref, log):
        log.take("connect")
        assert call(ref, "hello") == "hello"
        cast(ref, "there")
        ref.tell("info")
        assert log.take("continue", "go on")
        do(ref, lambda s: s.join(BENCH))
        log.take("join")
        do(ref, lambda s: s.track_presence("presence:r"))
        ref.tell(MessageReceived("presence:r", "presence_state", {"a": {"metas": [{}]}}))
        ref.tell(MessageReceived("presence:r", "presence_state", {}))
        do(ref, lambda s: s.push(BENCH, "push_then_reply", {"a": 1}, reply_timeout=PATIENCE))
        log.take("reply")
        do(ref, lambda s: s.push(BENCH, "never", {}, reply_timeout=0.01))
        log.take("push_failed")
        do(ref, lambda s: s.leave(BENCH))
        log.take("leave")
        do(ref, lambda s: s.join("test:bad"))
        log.take("topic_close")
        do(ref, Socket.disconnect)
        log.take("disconnect")
        ref.stop()
        wait(ref, PATIENCE)
    for callback in CALLBACK_NAMES:
        starts, stops = (told.named(f"client.{callback}.{end}") for end in ("start", "stop"))
        assert len(starts) == len(stops) >= 1, callback
        for start, stop in zip(starts, stops, strict=True):
            assert_one_span(start, stop)
            assert start.metadata["client"] is Busy
            assert start.metadata["callback"] == callback
            if callback != "init":
                assert start.metadata["arguments"][-1] is start.metadata["socket"]
    [message] = told.named("client.handle_message.stop")
    assert message.metadata["arguments"][:3] == (BENCH, "pushed", {"a": 1})
    [reply] = told.named("client.handle_reply.stop")
    assert reply.metadata["arguments"][1] == Reply("ok", {"a": 1})
    assert reply.metadata["return"] is reply.metadata["socket"]
    [init] = told.named("client.init.stop")
    assert init.metadata["socket"] is None
    assert isinstance(init.metadata["return"], Next)
    terms = [each.metadata["arguments"][0] for each in told.named("client.handle_continue.stop")]
    assert terms == ["begin", "go on"]
    [info] = told.named("client.handle_info.start")
    assert info.metadata["arguments"][0] == "info"
    exceptions = [each.name for each in told.all if each.name.endswith("exception")]
    assert exceptions == ["client.join.exception"]


def test_a_handler_by_pattern_is_told_of_as_a_handle_message(server: PhoenixServer) -> None:
    class Handler(Recorder):
        @on("bench:*", "pushed")
        def pushed(self, topic: str, event: str, payload: Any, socket: Socket) -> Socket:
            self.note("pushed", payload)
            return socket.assign(pushed=payload)

    name = (*CLIENT, "handle_message")
    with observing(name) as told, recording(server.uri, Handler) as (ref, log):
        do(ref, lambda s: s.join(BENCH))
        log.take("join")
        do(ref, lambda s: s.push(BENCH, "push_then_reply", {"a": 1}))
        assert log.take("pushed") == ("pushed", {"a": 1})
        stop = told.take("client.handle_message.stop")
    assert stop.metadata["callback"] == "pushed"
    assert stop.metadata["return"].assigns["pushed"] == {"a": 1}


def test_what_a_callback_raises_is_told_and_passes_through(server: PhoenixServer) -> None:
    with observing((*CLIENT, "handle_call")) as told, recording(server.uri, Busy) as (ref, _):
        with pytest.raises(LookupError) as raised:
            call(ref, "raise")
        assert wait(ref, PATIENCE) is raised.value
    start, failed = told.all
    assert_one_span(start, failed)
    assert failed.name == "client.handle_call.exception"
    assert failed.metadata["kind"] == "error"
    assert failed.metadata["reason"] is raised.value
    assert failed.metadata["stacktrace"] is not None


def test_what_a_callback_returns_counts_as_ever(server: PhoenixServer) -> None:
    with observing(CLIENT), recording(server.uri, Busy) as (ref, log):
        cast(ref, "there")
        assert do(ref, lambda s: s.assigns["cast"]) == "there"
        assert log.take("continue") == ("continue", "begin")
        assert call(ref, "stop") == 1
        assert wait(ref, PATIENCE) == "normal"


class Awaiting(Recorder):
    """Waits in a callback for the next message."""

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> Any:
        if event == "first":
            payload = socket.await_message(topic, "second", timeout=PATIENCE).payload
            return socket.assign(second=payload)
        self.note("message", topic, event, payload)
        return None


def test_awaits_in_callbacks_find_what_came_in_the_same_burst(server: PhoenixServer) -> None:
    with observing(CLIENT) as told, recording(server.uri, Awaiting) as (ref, log):
        log.take("connect")
        do(ref, lambda s: s.join(BENCH))
        log.take("join")
        for event in ("first", "third", "second", "fourth"):
            server.broadcast(BENCH, event, {"is": event})
        assert log.take("message")[2] == "third"
        assert log.take("message")[2] == "fourth"
        assert do(ref, lambda s: s.assigns["second"]) == {"is": "second"}
    assert [each.metadata["arguments"][1] for each in told.named("client.handle_message.stop")] == [
        "first",
        "third",
        "fourth",
    ]


def test_a_handler_that_raises_disturbs_no_client(server: PhoenixServer) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("broken")

    telemetry.attach("broken", (*CLIENT, "handle_connect", "start"), broken)
    telemetry.attach("broken too", (*CONNECTION, "handle", "stop"), broken)
    with recording(server.uri) as (ref, log):
        log.take("connect")
        assert ref.is_alive()
    assert not telemetry.list_handlers(("slipstream",))


# connections


def test_what_is_pushed_is_told_though_nothing_comes_back(server: PhoenixServer) -> None:
    with observing((*CONNECTION, "traffic")) as told:
        socket = connect(server.uri).await_connect().join(BENCH).await_join(BENCH)
        counted = get_state(socket.channel_pid).counters.bytes_out

        def out() -> float:
            return sum(float(e.measurements["bytes_out"]) for e in told.named("connection.traffic"))

        eventually(lambda: out() == counted, "what was sent before")
        socket.push(BENCH, "sink", {"pad": "x" * 1000})
        eventually(lambda: out() > counted + 1000, "the push")
        socket.disconnect().await_disconnect()


def test_the_life_of_a_connection(server: PhoenixServer) -> None:
    with observing((*CONNECTION, "connect")) as told:
        connect(server.uri).await_connect().disconnect().await_disconnect()
        start, stop = told.take("connection.connect.start"), told.take("connection.connect.stop")
    assert_one_span(start, stop)
    for each in (start, stop):
        assert isinstance(each.metadata["state"], ConnectionState)
        assert len(each.metadata["connection_id"]) == 16
        assert len(each.metadata["trace_id"]) == 32
    for key in ("connection_id", "trace_id"):
        assert start.metadata[key] == stop.metadata[key]
    assert start.metadata["state"].status == "connecting"
    assert stop.metadata["termination_reason"] == ClosedByClient()


def test_a_connection_that_never_was() -> None:
    with dead_uri() as uri, observing((*CONNECTION, "connect")) as told:
        with pytest.raises(ConnectFailedError):
            connect(uri).await_connect()
        stop = told.take("connection.connect.stop")
    assert stop.metadata["termination_reason"].kind == "refused"


def test_every_message_of_a_connection(server: PhoenixServer) -> None:
    with observing((*CONNECTION, "handle"), (*CONNECTION, "connect")) as told:
        socket = connect(server.uri).await_connect().join(TOPIC).await_join(TOPIC)
        socket.await_reply(socket.push(TOPIC, "ping"))
        socket.disconnect().await_disconnect()
        told.take("connection.connect.stop")
        # The one that it ended in.
        told.take("connection.handle.stop")
    begun = told.named("connection.connect.start")[0].metadata
    starts, stops = told.named("connection.handle.start"), told.named("connection.handle.stop")
    assert len({each.metadata["span_id"] for each in starts}) == len(starts) == len(stops)
    for start, stop in zip(starts, stops, strict=True):
        assert_one_span(start, stop)
        assert start.metadata["trace_id"] == stop.metadata["trace_id"] == begun["trace_id"]
        assert start.metadata["connection_id"] == begun["connection_id"]
        assert start.metadata["span_id"] == stop.metadata["span_id"]
        assert stop.metadata["message"] is start.metadata["raw_message"]
        assert stop.metadata["events"] == stop.metadata["built_events"]
        assert isinstance(stop.metadata["start_state"], ConnectionState)
    kinds = {type(each.metadata["raw_message"]) for each in starts}
    assert {OpenConnection, CloseConnection, SocketReady} <= kinds
    events = [type(event).__name__ for each in stops for event in each.metadata["events"]]
    assert events == ["ChannelConnected", "TopicJoinSucceeded", "ReplyReceived", "ChannelClosed"]
    opened = next(s for s in stops if isinstance(s.metadata["raw_message"], OpenConnection))
    assert opened.metadata["start_state"].status == "connecting"
    assert opened.metadata["end_state"].status == "connected"


def test_heartbeats(server: PhoenixServer) -> None:
    with (
        observing((*CONNECTION, "heartbeat")) as told,
        recording(server.uri, heartbeat_interval_msec=200) as (ref, log),
    ):
        log.take("connect")
        for _ in range(2):
            start = told.take("connection.heartbeat.start")
            stop = told.take("connection.heartbeat.stop")
            assert_one_span(start, stop)
            assert isinstance(stop.metadata["configuration"], Configuration)
        state = get_state(get_state(ref).connection)
    assert any(
        each.measurements["duration"] == state.heartbeat_rtt
        for each in told.named("connection.heartbeat.stop")
    )


def test_heartbeats_that_are_not_answered(server: PhoenixServer, proxy: FaultProxy) -> None:
    options: dict[str, Any] = {"heartbeat_interval_msec": 100, "reconnect_after_msec": [60_000]}
    with (
        observing((*CONNECTION, "heartbeat")) as told,
        recording(proxy.uri, **options) as (_, log),
    ):
        log.take("connect")
        proxy.drop("up")
        log.take("disconnect")
        failed = told.take("connection.heartbeat.exception")
        assert failed.metadata["reason"] == HeartbeatTimeout()
    ends = told.named("connection.heartbeat.exception") + told.named("connection.heartbeat.stop")
    assert len(told.named("connection.heartbeat.start")) == len(ends)


def test_a_heartbeat_ends_with_its_connection(server: PhoenixServer, proxy: FaultProxy) -> None:
    options: dict[str, Any] = {"heartbeat_interval_msec": 200, "reconnect_after_msec": [60_000]}
    with (
        observing((*CONNECTION, "heartbeat")) as told,
        recording(proxy.uri, **options) as (_, log),
    ):
        log.take("connect")
        with proxy.drop("up"):
            told.take("connection.heartbeat.start")
            proxy.reset()
        log.take("disconnect")
        failed = told.take("connection.heartbeat.exception")
    assert not isinstance(failed.metadata["reason"], HeartbeatTimeout)


class Held(Recorder):
    """Takes messages once the gate is open."""

    gate: threading.Event

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        assert self.gate.wait(PATIENCE)
        if event == "flood_done":
            self.note("message", topic, event, payload)


def test_pressure(server: PhoenixServer) -> None:
    Held.gate = threading.Event()
    options = {"high_watermark": 50, "low_watermark": 10}
    with observing((*CONNECTION, "backpressure")) as told:
        try:
            with recording(server.uri, Held, **options) as (ref, log):
                log.take("connect")
                do(ref, lambda s: s.join(BENCH))
                log.take("join")
                do(ref, lambda s: s.push(BENCH, "flood", {"n": 10_000, "size": 100}))
                paused = told.take("connection.backpressure.paused")
                Held.gate.set()
                resumed = told.take("connection.backpressure.resumed")
                log.take("message")
        finally:
            Held.gate.set()
    assert paused.measurements["undelivered"] > 50
    assert resumed.measurements["undelivered"] <= 10
    between = resumed.measurements["monotonic_time"] - paused.measurements["monotonic_time"]
    assert resumed.measurements["duration"] == pytest.approx(between, abs=0.05)
    assert resumed.metadata["connection_id"] == paused.metadata["connection_id"]


def test_heartbeats_while_reading_stands_still(server: PhoenixServer) -> None:
    Held.gate = threading.Event()
    options = {"high_watermark": 50, "low_watermark": 10, "heartbeat_interval_msec": 200}
    with observing((*CONNECTION, "heartbeat"), (*CONNECTION, "backpressure")) as told:
        try:
            with recording(server.uri, Held, **options) as (ref, log):
                do(ref, lambda s: s.join(BENCH))
                log.take("join")
                connection = get_state(ref).connection
                do(ref, lambda s: s.push(BENCH, "flood", {"n": 500, "size": 100}))
                told.take("connection.backpressure.paused")
                sent = get_state(connection).counters.frames_out
                eventually(
                    lambda: get_state(connection).counters.frames_out >= sent + 3,
                    "three heartbeats whose answers nobody reads",
                )
                Held.gate.set()
                told.take("connection.backpressure.resumed")
                told.take("connection.heartbeat.stop")
                log.take("message")
        finally:
            Held.gate.set()
    names = [each.name.removeprefix("connection.") for each in told.all]
    before = names[: names.index("backpressure.resumed")]
    assert before.count("heartbeat.start") - before.count("heartbeat.stop") == 1
    failed = told.named("connection.heartbeat.exception")
    assert not any(isinstance(each.metadata["reason"], HeartbeatTimeout) for each in failed)
    beats = [each for each in told.all if each.name.startswith("connection.heartbeat.")]
    for start, end in zip(beats[::2], beats[1::2], strict=True):
        assert_one_span(start, end)


def test_bytes_and_frames(server: PhoenixServer) -> None:
    with observing((*CONNECTION, "traffic"), (*CONNECTION, "connect")) as told:
        socket = connect(server.uri).await_connect().join(BENCH).await_join(BENCH)
        ref = Ref("", BENCH, None)
        for number in range(50):
            ref = socket.push(BENCH, "echo", {"i": number})
        socket.await_reply(ref)
        counters = get_state(socket.channel_pid).counters
        summed = {
            key: sum(each.measurements[key] for each in told.named("connection.traffic"))
            for key in ("bytes_in", "bytes_out", "frames_in", "frames_out")
        }
        socket.disconnect().await_disconnect()
        told.take("connection.connect.stop")
    assert summed == {key: getattr(counters, key) for key in summed}
    # The close frames, too.
    last = told.named("connection.traffic")[-1].measurements
    assert last["frames_in"] + last["frames_out"] >= 1
    assert sum(each.measurements["frames_in"] for each in told.named("connection.traffic")) > 51
