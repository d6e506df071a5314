"""Spans: a start, and a stop or an exception behind it, as `:telemetry.span` tells them.

`span` is for a block or a function; an `OpenSpan` is for what ends elsewhere than it began.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar, overload

import msgspec

from slipstream_actor.telemetry.dispatch import (
    NOTHING,
    EventName,
    end_measurements,
    execute,
    failure,
    start_measurements,
)

__all__ = ["OpenSpan", "Span", "SpanContext", "open_span", "span"]

T = TypeVar("T")
# What a span's function returns: its result, more measurements if there are any, and metadata.
Concluded: TypeAlias = tuple[T, Mapping[str, Any]] | tuple[T, Mapping[str, Any], Mapping[str, Any]]

_numbers = itertools.count(1)


class SpanContext:
    """Tells one span from all others: the same object in the metadata of all its events.

    It may be a key of a `weakref.WeakKeyDictionary`: a span that is never ended leaves nothing.
    """

    __slots__ = ("__weakref__", "_number")

    def __init__(self) -> None:
        self._number = next(_numbers)

    def __repr__(self) -> str:
        return f"<SpanContext {self._number}>"


class Span:
    """A span that is under way: add to `measurements` and `metadata` what its end is to tell."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self.measurements: dict[str, Any] = {}
        self.metadata: dict[str, Any] = dict(metadata)


@overload
def span(
    event_prefix: EventName, metadata: Mapping[str, Any] = NOTHING
) -> AbstractContextManager[Span]: ...
@overload
def span(
    event_prefix: EventName, metadata: Mapping[str, Any], function: Callable[[], Concluded[T]]
) -> T: ...
def span(
    event_prefix: EventName,
    metadata: Mapping[str, Any] = NOTHING,
    function: Callable[[], Concluded[T]] | None = None,
) -> AbstractContextManager[Span] | T:
    """Execute `(*event_prefix, "start")`, run a block, and execute `"stop"`, or `"exception"`.

    `with span(…)` is given a `Span`: what the block adds to it is told by the stop, beside the
    `metadata`. Or, as in Erlang, `span(…, function)` calls a function that returns its result and
    the stop's metadata, or its result, more measurements and the stop's metadata, and returns the
    result. What the block or the function raises passes through, and is told beside the `metadata`.
    All have a `telemetry_span_context`, unless the `metadata` have one. Raises `TypeError` for a
    function that returns something else.
    """
    if function is None:
        return spanning(event_prefix, metadata)
    with spanning(event_prefix, metadata) as span:
        concluded: Any = function()
        if not isinstance(concluded, tuple) or len(concluded) not in (2, 3):
            raise TypeError("a span's function returns (result, [measurements,] metadata)")
        result: T = concluded[0]
        *more, told = concluded[1:]
        for measurements in more:
            span.measurements.update(measurements)
        span.metadata = {"telemetry_span_context": span.metadata["telemetry_span_context"], **told}
    return result


@contextmanager
def spanning(event_prefix: EventName, metadata: Mapping[str, Any]) -> Iterator[Span]:
    """A span around a block: see `span`."""
    span = Span({"telemetry_span_context": SpanContext(), **metadata})
    begun, measured = dict(span.metadata), start_measurements()
    execute((*event_prefix, "start"), measured, begun)
    try:
        yield span
    except BaseException as error:
        ended = end_measurements(measured["monotonic_time"])
        execute((*event_prefix, "exception"), ended, {**begun, **failure(error)})
        raise
    ended = {**span.measurements, **end_measurements(measured["monotonic_time"])}
    execute((*event_prefix, "stop"), ended, span.metadata)


class OpenSpan(msgspec.Struct, eq=False):
    """A span that is under way, whatever it may be of; it ends once.

    `details` are what its end is to tell of its start.
    """

    prefix: EventName
    started: float
    start_time: datetime
    context: SpanContext
    details: dict[str, Any]
    ended: bool = False

    def metadata(self) -> dict[str, Any]:
        """Return what all events of the span tell."""
        return {
            "telemetry_span_context": self.context,
            "start_time": self.start_time,
            **self.details,
        }

    def stop(self, *, seconds: float | None = None, **metadata: Any) -> None:
        """End it well, after so many seconds if they are not to be measured here."""
        self._end("stop", metadata, seconds)

    def fail(self, reason: Any, **metadata: Any) -> None:
        """End it for a reason, or with an exception."""
        told = {"kind": "error", "reason": reason, "stacktrace": None}
        if isinstance(reason, BaseException):
            told = failure(reason)
        self._end("exception", {**metadata, **told})

    def _end(self, how: str, metadata: dict[str, Any], seconds: float | None = None) -> None:
        if not self.ended:
            self.ended = True
            measurements = end_measurements(self.started)
            if seconds is not None:
                measurements["duration"] = seconds
            execute((*self.prefix, how), measurements, {**self.metadata(), **metadata})


def open_span(prefix: EventName, details: dict[str, Any], **metadata: Any) -> OpenSpan:
    """Begin a span: all its events tell the `details`, its start the rest too."""
    measurements = start_measurements()
    started, now = measurements["monotonic_time"], datetime.now(UTC)
    span = OpenSpan(prefix, started, now, SpanContext(), details)
    execute((*prefix, "start"), measurements, {**span.metadata(), **metadata})
    return span
