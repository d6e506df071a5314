"""Traces and metrics, with the SDK's exporters in memory, over real sockets."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from slipstream_actor import (
    Answer,
    JoinFailedError,
    Next,
    NotJoinedError,
    Socket,
    call,
    cast,
    connect,
    telemetry,
    wait_until_joined,
)
from slipstream_actor.actors import context
from slipstream_actor.contrib.opentelemetry import SlipstreamInstrumentor
from slipstream_actor.testing import FaultProxy, PhoenixServer
from tests.support.clients import PATIENCE, Log, Recorder, eventually, recording

BENCH = "bench:room"
SCOPE = "slipstream_actor"


class Exported:
    """What was exported."""

    def __init__(self) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("the test")

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def span(self, name: str, count: int = 1) -> ReadableSpan:
        """Return the last span of that name, when so many are there."""

        def there() -> list[ReadableSpan]:
            return found if len(found := self.spans(name)) >= count else []

        found: list[ReadableSpan] = eventually(there, f"{count} spans {name}")
        assert len(found) == count
        return found[-1]

    def metrics(self) -> dict[str, tuple[str, list[Any]]]:
        """Return unit and data points by the names of the metrics."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: (str(metric.unit), list(metric.data.data_points))
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            if scope.scope.name == SCOPE
            for metric in scope.metrics
        }

    def shutdown(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def exported() -> Iterator[Exported]:
    exported = Exported()
    yield exported
    SlipstreamInstrumentor().uninstrument()
    exported.shutdown()


def instrument(exported: Exported, **options: Any) -> None:
    SlipstreamInstrumentor().instrument(
        tracer_provider=exported.tracers, meter_provider=exported.meters, **options
    )


@pytest.fixture
def instrumented(exported: Exported) -> Exported:
    instrument(exported)
    return exported


def is_child(span: ReadableSpan, parent: Any) -> bool:
    context = parent.get_span_context()
    assert span.context is not None
    return (
        span.parent is not None
        and span.parent.span_id == context.span_id
        and span.context.trace_id == context.trace_id
    )


class Chat(Recorder):
    """Pushes when it is asked to, in every way."""

    tracer: trace.Tracer

    def say(self, event: str = "echo") -> str:
        return self.socket.push(BENCH, event, {"a": 1}, reply_timeout=PATIENCE)

    def handle_cast(self, message: Any, socket: Socket) -> None:
        socket.push(BENCH, message, {}, reply_timeout=PATIENCE)

    def handle_call(self, message: Any, from_: Any, socket: Socket) -> Any:
        return Answer(str(socket.push(BENCH, message, {}, reply_timeout=PATIENCE)), socket)

    def handle_info(self, message: Any, socket: Socket) -> None:
        socket.push(BENCH, message, {}, reply_timeout=PATIENCE)

    def handle_message(self, topic: str, event: str, payload: Any, socket: Socket) -> None:
        if event == "traced":
            with self.tracer.start_as_current_span("in a callback"):
                socket.push(BENCH, "echo", {}, reply_timeout=PATIENCE)
        elif event == "plain":
            socket.push(BENCH, "echo", {}, reply_timeout=PATIENCE)


class Joining(Chat):
    """Asks for its join when it starts."""

    def init(self, uri: str, log: Any, **options: Any) -> Socket:
        return super().init(uri, log, **options).join(BENCH)


# spans


def test_a_script_continues_its_trace(server: PhoenixServer, instrumented: Exported) -> None:
    with instrumented.tracer.start_as_current_span("script") as script:
        socket = connect(server.uri).await_connect().join(BENCH).await_join(BENCH)
        ref = socket.push(BENCH, "echo", {"a": 1}, reply_timeout=PATIENCE)
        socket.await_reply(ref)
        socket.disconnect().await_disconnect()
    for name, kind in (
        ("connect", SpanKind.CLIENT),
        ("join", SpanKind.CLIENT),
        ("push echo", SpanKind.PRODUCER),
    ):
        span = instrumented.span(name)
        assert is_child(span, script)
        assert span.kind is kind
        assert span.attributes is not None
        assert span.attributes["messaging.system"] == "phoenix"
        assert span.attributes["messaging.operation.name"] == name.split()[0]
        assert span.attributes["network.protocol.name"] == "websocket"
        assert span.attributes["server.address"] == "127.0.0.1"
        assert isinstance(span.attributes["server.port"], int)
        assert span.status.status_code is StatusCode.UNSET
    pushed = instrumented.span("push echo").attributes
    assert pushed is not None
    assert pushed["messaging.destination.name"] == BENCH
    assert pushed["messaging.message.id"] == ref
    assert pushed["messaging.operation.type"] == "send"
    assert pushed["phoenix.event"] == "echo"
    assert pushed["phoenix.reply.status"] == "ok"


def test_without_a_trace_they_are_roots(server: PhoenixServer, instrumented: Exported) -> None:
    with recording(server.uri, Joining) as (_, log):
        log.take("join")
    assert instrumented.span("connect").parent is None
    assert instrumented.span("join").parent is None


def test_the_trace_that_starts_a_client(server: PhoenixServer, instrumented: Exported) -> None:
    with instrumented.tracer.start_as_current_span("start") as start:
        ref = Joining.start(server.uri, Log())
    wait_until_joined(ref, BENCH)
    assert is_child(instrumented.span("connect"), start)
    assert is_child(instrumented.span("join"), start)
    ref.stop()


def test_the_trace_that_starts_a_client_goes_on_in_its_continuation(
    server: PhoenixServer, instrumented: Exported
) -> None:
    class Later(Chat):
        def init(self, uri: str, log: Any, **options: Any) -> Any:
            self.log = log
            return Next(self.socket, then=uri)

        def handle_continue(self, term: Any, socket: Socket) -> Socket:
            return connect(term).join(BENCH)

    with instrumented.tracer.start_as_current_span("start") as start:
        ref = Later.start(server.uri, Log())
    wait_until_joined(ref, BENCH)
    assert is_child(instrumented.span("connect"), start)
    assert is_child(instrumented.span("join"), start)
    ref.stop()


def test_a_timer_has_no_trace(server: PhoenixServer, instrumented: Exported) -> None:
    with recording(server.uri, Joining) as (ref, log):
        log.take("join")
        with instrumented.tracer.start_as_current_span("request"):
            ref.proxy().say("echo").get(timeout=PATIENCE)
            ref.proxy().send_after(0, "echo_error").get(timeout=PATIENCE)
        assert instrumented.span("push echo_error").parent is None


def test_a_proxy_continues_the_trace_of_who_calls(
    server: PhoenixServer, instrumented: Exported
) -> None:
    with recording(server.uri, Joining) as (ref, log):
        log.take("join")
        client = ref.proxy()

        def request(number: int) -> None:
            with instrumented.tracer.start_as_current_span(f"request {number}"):
                client.say().get(timeout=PATIENCE)

        workers = [threading.Thread(target=request, args=(number,)) for number in range(5)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        instrumented.span("push echo", 5)
        client.say("echo_error").get(timeout=PATIENCE)
        assert instrumented.span("push echo_error").parent is None  # Nothing stays current.
    parents = {span.parent.span_id for span in instrumented.spans("push echo") if span.parent}
    requests = [instrumented.span(f"request {number}") for number in range(5)]
    assert parents == {span.context.span_id for span in requests if span.context}


@pytest.mark.parametrize(
    "ask",
    [
        lambda ref: cast(ref, "echo"),
        lambda ref: call(ref, "echo"),
        lambda ref: ref.tell("echo"),
        lambda ref: ref.ask("echo", timeout=PATIENCE),
    ],
    ids=["cast", "call", "tell", "ask"],
)
def test_messages_continue_the_trace_of_who_sends(
    server: PhoenixServer, instrumented: Exported, ask: Any
) -> None:
    with recording(server.uri, Joining) as (ref, log):
        log.take("join")
        with instrumented.tracer.start_as_current_span("request") as request:
            ask(ref)
        assert is_child(instrumented.span("push echo"), request)


def test_a_push_in_a_callback_is_a_child_of_its_span(
    server: PhoenixServer, instrumented: Exported
) -> None:
    Chat.tracer = instrumented.tracer
    with recording(server.uri, Joining) as (_, log):
        log.take("join")
        with instrumented.tracer.start_as_current_span("elsewhere"):
            server.broadcast(BENCH, "traced", {})
        pushed = instrumented.span("push echo")
        assert is_child(pushed, instrumented.span("in a callback"))
        server.broadcast(BENCH, "plain", {})
        assert instrumented.span("push echo", 2).parent is None


def test_callbacks_get_spans_when_they_are_asked_for(
    server: PhoenixServer, exported: Exported
) -> None:
    instrument(exported, callbacks=["handle_message", "handle_cast"])
    with recording(server.uri, Joining) as (ref, log):
        log.take("join")
        server.broadcast(BENCH, "plain", {})
        pushed, handled = exported.span("push echo"), exported.span("handle_message plain")
        assert is_child(pushed, handled)
        assert handled.kind is SpanKind.CONSUMER
        assert handled.attributes is not None
        assert handled.attributes["messaging.operation.type"] == "process"
        assert handled.attributes["messaging.destination.name"] == BENCH
        assert handled.attributes["code.function.name"] == "Joining.handle_message"
        with exported.tracer.start_as_current_span("request") as request:
            cast(ref, "echo")
        pushed = exported.span("push echo", 2)
        cast_span = exported.span("handle_cast")
        assert is_child(pushed, cast_span)
        assert is_child(cast_span, request)
        cast(ref, object())  # No event: its push raises, and the client ends.
        failed = exported.span("handle_cast", 2)
        assert failed.status.status_code is StatusCode.ERROR
        assert failed.attributes is not None
        assert failed.attributes["error.type"] == "TypeError"


def test_nothing_stays_current(exported: Exported) -> None:
    instrument(exported, callbacks=["handle_message"])
    event = ("slipstream", "client", "handle_message")
    metadata = {
        "telemetry_span_context": telemetry.SpanContext(),
        "client": Chat,
        "arguments": (BENCH, "event", {}, None),
    }
    telemetry.execute((*event, "start"), {}, metadata)
    assert trace.get_current_span().get_span_context().is_valid
    telemetry.execute((*event, "stop"), {"duration": 1.0}, metadata)
    assert not trace.get_current_span().get_span_context().is_valid
    with exported.tracer.start_as_current_span("request"):
        captured = context.capture()
    with context.resumed(captured):
        assert trace.get_current_span().get_span_context().is_valid
    assert not trace.get_current_span().get_span_context().is_valid


def test_what_fails_says_so_and_shows_no_text(
    server: PhoenixServer, instrumented: Exported
) -> None:
    socket = connect(server.uri).await_connect()
    with pytest.raises(JoinFailedError):
        socket.join("test:bad").await_join("test:bad")
    with pytest.raises(NotJoinedError):
        socket.push(BENCH, "not joined")
    socket = socket.join(BENCH).await_join(BENCH)
    socket.await_reply(socket.push(BENCH, "echo_error", {}, reply_timeout=PATIENCE))
    with pytest.raises(TimeoutError):
        socket.await_reply(socket.push(BENCH, "never", {}, reply_timeout=0.01))
    socket.disconnect().await_disconnect()
    for name, kind in (
        ("join", "JoinRefused"),
        ("push not joined", "NotJoinedError"),
        ("push echo_error", "ReplyError"),
        ("push never", "PushTimeout"),
    ):
        span = instrumented.spans(name)[0]
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == kind
        assert span.attributes is not None
        assert span.attributes["error.type"] == kind
        assert not span.events


def test_a_connect_that_fails(instrumented: Exported, proxy: FaultProxy) -> None:
    with proxy.refuse(), recording(proxy.uri, reconnect_after_msec=[60_000]) as (_, log):
        log.take("disconnect")
    failed = instrumented.span("connect")
    assert failed.attributes is not None
    assert str(failed.attributes["error.type"]).startswith("ConnectFailed.")


# metrics


def test_metrics(server: PhoenixServer, proxy: FaultProxy, instrumented: Exported) -> None:
    options: dict[str, Any] = {"heartbeat_interval_msec": 20, "reconnect_after_msec": [1]}
    with recording(proxy.uri, Joining, **options) as (ref, log):
        log.take("join")
        for event in ("echo", "echo_error"):
            ref.proxy().say(event).get(timeout=PATIENCE)
            log.take("reply")
        heartbeats = "slipstream.connection.heartbeat.duration"
        eventually(lambda: heartbeats in instrumented.metrics(), "a heartbeat")
        proxy.reset()
        log.take("join")
    metrics = instrumented.metrics()
    assert {name: unit for name, (unit, _) in metrics.items()} == {
        "messaging.client.operation.duration": "s",
        "messaging.client.sent.messages": "{message}",
        "slipstream.client.reconnects": "{attempt}",
        "slipstream.connection.frames": "{frame}",
        "slipstream.connection.heartbeat.duration": "s",
        "slipstream.connection.io": "By",
    }
    durations = metrics["messaging.client.operation.duration"][1]
    counts = {
        (p.attributes["messaging.operation.name"], p.attributes.get("error.type")): p.count
        for p in durations
    }
    assert counts == {
        ("connect", None): 2,
        ("join", None): 2,
        ("push", None): 1,
        ("push", "ReplyError"): 1,
    }
    assert all(0 < p.sum < 60 for p in durations)
    # None of many values: no topics, no refs, no events.
    known = {"server.address", "server.port", "messaging.system", "network.protocol.name"}
    known |= {"messaging.operation.name", "messaging.operation.type", "error.type"}
    for _, points in metrics.values():
        assert all(set(p.attributes) <= known | {"network.io.direction"} for p in points)
    sent = {
        p.attributes.get("error.type"): p.value
        for p in metrics["messaging.client.sent.messages"][1]
    }
    assert sent == {None: 1, "ReplyError": 1}
    for name in ("slipstream.connection.io", "slipstream.connection.frames"):
        directions = {p.attributes["network.io.direction"]: p.value for p in metrics[name][1]}
        assert set(directions) == {"receive", "transmit"}
        assert min(directions.values()) > 0
    assert metrics["slipstream.client.reconnects"][1][0].value == 1


def test_reading_that_stands_still_is_measured(exported: Exported) -> None:
    instrument(exported)
    measurements = {"undelivered": 1, "duration": 2.5, "monotonic_time": 1.0}
    event = ("slipstream", "connection", "backpressure", "resumed")
    telemetry.execute(event, measurements, {"configuration": None})
    unit, [point] = exported.metrics()["slipstream.connection.paused.duration"]
    assert (unit, point.sum) == ("s", 2.5)


# on and off


def test_it_is_one_and_leaves_nothing(exported: Exported, server: PhoenixServer) -> None:
    instrumentor = SlipstreamInstrumentor()
    assert not instrumentor.is_instrumented
    instrument(exported)
    before = telemetry.list_handlers(("slipstream",))
    instrument(exported)
    assert SlipstreamInstrumentor().is_instrumented
    assert telemetry.list_handlers(("slipstream",)) == before != []
    instrumentor.uninstrument()
    instrumentor.uninstrument()
    assert not instrumentor.is_instrumented
    assert not telemetry.list_handlers(("slipstream",))
    assert not context.installed
    with recording(server.uri, Joining) as (_, log):
        log.take("join")
    assert not exported.spans("connect")
    assert not exported.metrics()


def test_what_is_under_way_ends_with_it(server: PhoenixServer, instrumented: Exported) -> None:
    socket = connect(server.uri).await_connect().join(BENCH).await_join(BENCH)
    socket.push(BENCH, "never", {}, reply_timeout=PATIENCE)
    socket = socket.join("bench:slow", {"delay": 60_000})
    assert not instrumented.spans("push never")
    SlipstreamInstrumentor().uninstrument()
    for name in ("push never", "join"):
        span = instrumented.spans(name)[-1]
        assert span.status.status_code is StatusCode.UNSET
        assert span.end_time is not None
    socket.disconnect().await_disconnect()
    assert len(instrumented.spans("join")) == 2
    assert len(instrumented.spans("push never")) == 1


class Waiting(Joining):
    """Waits in a callback for the gate."""

    begun: threading.Event
    gate: threading.Event

    def handle_cast(self, message: Any, socket: Socket) -> None:
        self.begun.set()
        assert self.gate.wait(PATIENCE)


def test_the_span_of_a_running_callback_ends_with_it_and_does_not_stay_current(
    server: PhoenixServer, exported: Exported
) -> None:
    Waiting.begun, Waiting.gate = threading.Event(), threading.Event()
    instrument(exported, callbacks=["handle_cast"])
    try:
        with recording(server.uri, Waiting) as (ref, log):
            log.take("join")
            cast(ref, "wait")
            assert Waiting.begun.wait(PATIENCE)
            SlipstreamInstrumentor().uninstrument()
            assert exported.span("handle_cast").end_time is not None
            instrument(exported, callbacks=["handle_cast"])
            SlipstreamInstrumentor().uninstrument()
            Waiting.gate.set()
            current = ref.proxy().do(lambda _: trace.get_current_span()).get(timeout=PATIENCE)
            assert not current.get_span_context().is_valid
    finally:
        Waiting.gate.set()
    assert len(exported.spans("handle_cast")) == 1
    assert not telemetry.list_handlers(("slipstream",))


def test_a_span_that_begins_too_late_ends_at_once(exported: Exported) -> None:
    """Its handler was under way when all were detached."""
    instrument(exported, callbacks=["handle_message"])
    event = ("slipstream", "client", "handle_message", "start")
    [handler] = [h for h in telemetry.list_handlers(event[:3]) if h.event_name == event]
    SlipstreamInstrumentor().uninstrument()
    context = telemetry.SpanContext()
    about = {"telemetry_span_context": context, "client": Chat, "arguments": (BENCH, "late")}
    handler.function(event, {}, about)
    assert exported.span("handle_message late").end_time is not None
    assert not trace.get_current_span().get_span_context().is_valid


def test_without_the_extra_the_error_names_it() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None;"
        "import slipstream_actor.contrib.opentelemetry"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "\nImportError: " in done.stderr
    assert "pip install 'slipstream_actor[opentelemetry]'" in done.stderr


def test_callbacks_are_several(exported: Exported) -> None:
    with pytest.raises(TypeError, match=r"not a str.*\['handle_message'\]"):
        instrument(exported, callbacks="handle_message")
    assert not SlipstreamInstrumentor().is_instrumented


def test_a_callback_that_does_not_exist_is_refused(exported: Exported) -> None:
    with pytest.raises(ValueError, match="handle_nothing"):
        instrument(exported, callbacks=["handle_nothing"])
    assert not SlipstreamInstrumentor().is_instrumented


def test_a_span_whose_beginning_was_not_seen_is_none(
    server: PhoenixServer, exported: Exported
) -> None:
    socket = connect(server.uri).await_connect().join(BENCH)
    instrument(exported)
    socket.await_join(BENCH).disconnect().await_disconnect()
    assert not exported.spans("join")
