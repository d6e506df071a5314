"""The types that users of telemetry see: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from slipstream_actor import telemetry
from slipstream_actor.contrib.opentelemetry import SlipstreamInstrumentor
from slipstream_actor.telemetry import Handler, Span


def tell(
    event: tuple[str, ...], measurements: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """A handler."""


def tell_more(
    event: tuple[str, ...], measurements: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Another one: the dictionaries are its own."""


def observing() -> None:
    """Handlers come and go, and events of one's own."""
    telemetry.attach("mine", ("slipstream", "client", "join", "stop"), tell)
    telemetry.attach_many(("mine", 2), [("a",), ("b", "c")], tell_more)
    assert_type(telemetry.list_handlers(("slipstream",)), list[Handler])
    assert_type(telemetry.detach("mine"), bool)
    telemetry.execute(("a",), {"n": 1})
    with telemetry.span(("work",), {"who": "me"}) as span:
        assert_type(span, Span)
        span.metadata["rows"] = 1
    assert_type(telemetry.span(("work",), {}, lambda: (1, {"rows": 1})), int)
    assert_type(telemetry.span(("work",), {}, lambda: ("a", {"bytes": 1}, {"rows": 1})), str)


def instrumenting() -> None:
    """OpenTelemetry."""
    instrumentor = SlipstreamInstrumentor()
    instrumentor.instrument(callbacks=["handle_message"])
    assert_type(instrumentor.is_instrumented, bool)
    instrumentor.uninstrument()
