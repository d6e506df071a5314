"""Traces and metrics for OpenTelemetry (extra `opentelemetry`, which is its API alone).

    from slipstream_actor.contrib.opentelemetry import SlipstreamInstrumentor

    SlipstreamInstrumentor().instrument()

Spans of connects, joins and pushes continue the trace in which `connect`, `join` and `push` were
called, also where that was in another thread: what is current where a client is started, told,
asked or called through a proxy is current in the callback that handles it. Names and units are
those of OpenTelemetry's semantic conventions, where there are any.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

try:
    from opentelemetry import context as contexts
    from opentelemetry import metrics, trace
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode
except ImportError as _missing:
    raise ImportError(
        "OpenTelemetry needs the extra: pip install 'slipstream_actor[opentelemetry]'"
    ) from _missing

from slipstream_actor.actors import context
from slipstream_actor.actors.forks import renew_lock_in_child
from slipstream_actor.client.defaults import CALLBACK_NAMES
from slipstream_actor.telemetry import dispatch as telemetry
from slipstream_actor.telemetry.dispatch import EventName
from slipstream_actor.telemetry.spans import SpanContext

__all__ = ["SlipstreamInstrumentor"]

SCOPE = "slipstream_actor"
CLIENT = ("slipstream", "client")
CONNECTION = ("slipstream", "connection")
OPERATIONS = ("connect", "join", "push")

SYSTEM = "messaging.system"
OPERATION = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
MESSAGE_ID = "messaging.message.id"
ADDRESS, PORT = "server.address", "server.port"
PROTOCOL = "network.protocol.name"
DIRECTION = "network.io.direction"
ERROR = "error.type"
EVENT = "phoenix.event"
STATUS = "phoenix.reply.status"
# Seconds, as the conventions advise for durations of messaging.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class ContextCarrier:
    """Takes OpenTelemetry's context from thread to thread."""

    def capture(self) -> contexts.Context:
        """Return the context that is current."""
        return contexts.get_current()

    @contextmanager
    def resume(self, captured: contexts.Context) -> Iterator[None]:
        """Make a context the current one."""
        token = contexts.attach(captured)
        try:
            yield
        finally:
            contexts.detach(token)


class SlipstreamInstrumentor:
    """Instruments every client of the process, between `instrument` and `uninstrument`.

    There is one of them, however often it is made, as OpenTelemetry's instrumentors have it.
    """

    # Reentrant: garbage may be collected, or a signal handled, while it is held.
    _lock = threading.RLock()
    _instrumentation: Instrumentation | None = None

    @property
    def is_instrumented(self) -> bool:
        """Whether it is at work."""
        return SlipstreamInstrumentor._instrumentation is not None

    def instrument(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        callbacks: Iterable[str] = (),
    ) -> None:
        """Make spans and metrics, with the global providers unless others are given.

        `callbacks` are the names of callbacks that get a span each, as `"handle_message"`: pushes
        that they make are then its children. Without effect when it is at work already. Raises
        `ValueError` for an unknown callback, `TypeError` for a text in the place of a list.
        """
        if isinstance(callbacks, str):
            raise TypeError(f"callbacks must be a list of names, not a str: [{callbacks!r}]")
        wanted = tuple(callbacks)
        for name in wanted:
            if name not in CALLBACK_NAMES:
                raise ValueError(f"{name!r} is no callback")
        with self._lock:
            if self.is_instrumented:
                return
            tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
            meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
            instrumentation = Instrumentation(tracer, meter, wanted)
            instrumentation.attach()
            SlipstreamInstrumentor._instrumentation = instrumentation

    def uninstrument(self) -> None:
        """End it, and the spans that are under way: they are exported, their outcome unknown."""
        with self._lock:
            instrumentation = self._instrumentation
            SlipstreamInstrumentor._instrumentation = None
            if instrumentation is not None:
                instrumentation.detach()
        if instrumentation is not None:
            instrumentation.spans.end_all()


renew_lock_in_child(SlipstreamInstrumentor, "_lock")


class Instrumentation:
    """The handlers of telemetry events that make spans and metrics of them."""

    def __init__(
        self, tracer: trace.Tracer, meter: metrics.Meter, callbacks: tuple[str, ...]
    ) -> None:
        self.spans: Spans = Spans(tracer)
        self._metrics = Metrics(meter)
        self._callbacks = callbacks

    def attach(self) -> None:
        """Attach the handlers, and carry the context."""
        operations = dict.fromkeys(spans_of(OPERATIONS), self._operation)
        callbacks = dict.fromkeys(spans_of(self._callbacks), self._callback)
        measured: dict[EventName, telemetry.HandlerFunction] = {
            (*CLIENT, "reconnect"): self._metrics.reconnect,
            (*CONNECTION, "heartbeat", "stop"): self._metrics.heartbeat,
            (*CONNECTION, "backpressure", "resumed"): self._metrics.resumed,
            (*CONNECTION, "traffic"): self._metrics.traffic,
        }
        for event, function in {**operations, **callbacks, **measured}.items():
            telemetry.attach(self._handler_id(event), event, function)
        context.install(ContextCarrier())

    def detach(self) -> None:
        """Detach them, but for those of the ends of callbacks: some may be running."""
        context.install(None)
        self.spans.closed = True
        ends = [event for event in spans_of(self._callbacks) if event[-1] != "start"]
        for handler in telemetry.list_handlers(("slipstream",)):
            if (
                handler.id == self._handler_id(handler.event_name)
                and handler.event_name not in ends
            ):
                telemetry.detach(handler.id)
        self._detach_ends()

    def _handler_id(self, event: EventName) -> tuple[Any, ...]:
        return (SCOPE, "opentelemetry", id(self), event)

    def _detach_ends(self) -> None:
        """Detach what is left, once no callback runs that has a span current."""
        if self.spans.closed and not self.spans.current:
            for event in spans_of(self._callbacks):
                telemetry.detach(self._handler_id(event))

    def _callback(
        self, event: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        if event[-1] == "start":
            self.spans.start_callback(event[-2], metadata)
        else:
            self.spans.end(metadata)
        self._detach_ends()

    def _operation(
        self, event: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        if event[-1] == "start":
            self.spans.start(event[-2], metadata)
            return
        attributes = self.spans.end(metadata)
        if attributes is not None:
            self._metrics.operation(measurements["duration"], attributes, metadata)


def spans_of(names: Iterable[str]) -> Iterator[EventName]:
    """Yield the names of the events of a client's spans."""
    for name in names:
        for how in ("start", "stop", "exception"):
            yield (*CLIENT, name, how)


# spans


class UnderWay(NamedTuple):
    """A span that has not ended, and its attributes: those of its metrics are among them."""

    span: Span
    attributes: dict[str, Any]


class Spans:
    """Spans by the context of the telemetry's spans: one that the library forgets is forgotten.

    `current` are the contexts that were made current in the threads of callbacks, and have to be
    taken back there. Whoever makes one current looks then whether all is `closed`, and whoever
    closes looks then what is current: neither misses the other.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self.closed: bool = False
        self.current: weakref.WeakKeyDictionary[SpanContext, Any] = weakref.WeakKeyDictionary()
        self._tracer = tracer
        self._under_way: weakref.WeakKeyDictionary[SpanContext, UnderWay] = (
            weakref.WeakKeyDictionary()
        )

    def end_all(self) -> None:
        """End what is under way, in whichever thread."""
        with suppress(KeyError):
            while True:
                self._under_way.popitem()[1].span.end()

    def start(self, operation: str, metadata: Mapping[str, Any]) -> None:
        """Begin the span of a connect, a join or a push, in the context that is current."""
        attributes = {**of_the_server(metadata["socket"].channel_config), OPERATION: operation}
        details: dict[str, Any] = {}
        name, kind = operation, SpanKind.CLIENT
        if operation != "connect":
            details[DESTINATION] = metadata["topic"]
        if operation == "push":
            name, kind = f"push {metadata['event']}", SpanKind.PRODUCER
            attributes[OPERATION_TYPE] = "send"
            details |= {EVENT: metadata["event"], MESSAGE_ID: metadata["ref"]}
        self._begin(name, kind, attributes, details, metadata)

    def end(self, metadata: Mapping[str, Any]) -> dict[str, Any] | None:
        """End a span, and return its attributes; `None` when its beginning was not seen."""
        context = metadata["telemetry_span_context"]
        token = self.current.pop(context, None)
        if token is not None:
            contexts.detach(token)
        under_way = self._under_way.pop(context, None)
        if under_way is None:
            return None
        span, attributes = under_way.span, under_way.attributes
        if metadata.get("status") is not None:
            span.set_attribute(STATUS, metadata["status"])
        failed = error_type(metadata)
        if failed is not None:
            attributes[ERROR] = failed
            span.set_attribute(ERROR, failed)
            span.set_status(Status(StatusCode.ERROR, failed))
        span.end()
        return attributes

    def start_callback(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Begin the span of a callback, which is current while that runs."""
        attributes, called = {SYSTEM: "phoenix", OPERATION: name}, name
        details = {"code.function.name": f"{metadata['client'].__qualname__}.{name}"}
        kind = SpanKind.INTERNAL
        if name == "handle_message":
            topic, message = metadata["arguments"][:2]
            called, kind = f"handle_message {message}", SpanKind.CONSUMER
            attributes[OPERATION_TYPE] = "process"
            details |= {DESTINATION: topic, EVENT: message}
        span = self._begin(called, kind, attributes, details, metadata)
        context = metadata["telemetry_span_context"]
        self.current[context] = contexts.attach(trace.set_span_in_context(span))
        if self.closed:
            contexts.detach(self.current.pop(context))

    def _begin(
        self,
        name: str,
        kind: SpanKind,
        attributes: dict[str, Any],
        details: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> Span:
        context = metadata["telemetry_span_context"]
        span = self._tracer.start_span(name, kind=kind, attributes={**attributes, **details})
        self._under_way[context] = UnderWay(span, attributes)
        if self.closed and self._under_way.pop(context, None) is not None:
            span.end()  # It has begun too late for `end_all`.
        return span


def of_the_server(config: Any) -> dict[str, Any]:
    """Return the attributes of the server that a configuration names."""
    attributes: dict[str, Any] = {SYSTEM: "phoenix", PROTOCOL: "websocket"}
    if config is not None:
        attributes |= {ADDRESS: config.host, PORT: config.port}
    return attributes


def error_type(metadata: Mapping[str, Any]) -> str | None:
    """Return what a span has failed with: the type of a reason or an exception, of few values.

    Neither text nor response is in it: both are the server's, or the user's.
    """
    reason = metadata.get("reason")
    if reason is not None:
        kind = getattr(reason, "kind", None)
        name = type(reason).__name__
        return f"{name}.{kind}" if isinstance(kind, str) else name
    status = metadata.get("status")
    return None if status in (None, "ok") else "ReplyError"


# metrics


class Metrics:
    """Counters and histograms."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._durations = durations(
            meter, "messaging.client.operation.duration", "Duration of connects, joins and pushes."
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages",
            unit="{message}",
            description="Pushes that were made, by what became of them.",
        )
        self.heartbeat: telemetry.HandlerFunction = recorder(
            meter, "slipstream.connection.heartbeat.duration", "Round trips of heartbeats."
        )
        self._reconnects = meter.create_counter(
            "slipstream.client.reconnects",
            unit="{attempt}",
            description="Attempts to connect again that were scheduled.",
        )
        self.resumed: telemetry.HandlerFunction = recorder(
            meter,
            "slipstream.connection.paused.duration",
            "How long reading stood still, since the client had too much to take.",
        )
        self._bytes = meter.create_counter(
            "slipstream.connection.io", unit="By", description="Bytes of websocket connections."
        )
        self._frames = meter.create_counter(
            "slipstream.connection.frames",
            unit="{frame}",
            description="Frames of websocket connections.",
        )

    def operation(
        self, duration: float, attributes: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """A connect, a join or a push has ended."""
        self._durations.record(duration, attributes)
        if attributes[OPERATION] == "push":
            self._sent.add(1, attributes)

    def reconnect(
        self, event: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """An attempt to connect is scheduled."""
        self._reconnects.add(1, of_the_server(metadata["configuration"]))

    def traffic(
        self, event: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """Bytes went in or out."""
        attributes = of_the_server(metadata["configuration"])
        for direction, which in (("receive", "in"), ("transmit", "out")):
            both = {**attributes, DIRECTION: direction}
            if measurements[f"bytes_{which}"]:
                self._bytes.add(measurements[f"bytes_{which}"], both)
            if measurements[f"frames_{which}"]:
                self._frames.add(measurements[f"frames_{which}"], both)


def durations(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    """Return a histogram of seconds."""
    return meter.create_histogram(
        name,
        unit="s",
        description=description,
        explicit_bucket_boundaries_advisory=BUCKETS,
    )


def recorder(meter: metrics.Meter, name: str, description: str) -> telemetry.HandlerFunction:
    """Return a handler of events of connections that records their durations."""
    histogram = durations(meter, name, description)

    def record(
        event: EventName, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        attributes = of_the_server(metadata["configuration"])
        histogram.record(measurements["duration"], attributes)

    return record
