"""Events for whoever wants to measure, log or trace: Erlang's `:telemetry`, and the frame log.

Open `dispatch.py` first, whose functions are public here; `events.py` is the table of events,
`lines.py` that of what the log says, and `spans.py` has what begins and ends. May use `actors` and
below.
"""

from slipstream_actor.telemetry.dispatch import (
    AlreadyAttachedError,
    EventName,
    Handler,
    HandlerFunction,
    attach,
    attach_many,
    detach,
    execute,
    list_handlers,
)
from slipstream_actor.telemetry.spans import Span, SpanContext, span

__all__ = [
    "AlreadyAttachedError",
    "EventName",
    "Handler",
    "HandlerFunction",
    "Span",
    "SpanContext",
    "attach",
    "attach_many",
    "detach",
    "execute",
    "list_handlers",
    "span",
]
