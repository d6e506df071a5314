"""Every telemetry event of the library, once: its name, when it happens, and what it tells.

`python -m slipstream_actor.telemetry` prints the documentation's tables.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from slipstream_actor.telemetry.dispatch import EventName

__all__ = ["EVENTS", "KEYS", "EventDescription", "find", "names"]

CALLBACK = "<callback>"
# What a client has, from `init` to `terminate`: a test holds it to `client.defaults`.
CALLBACK_NAMES = (
    "init",
    "terminate",
    "handle_continue",
    "handle_info",
    "handle_cast",
    "handle_call",
    "handle_connect",
    "handle_disconnect",
    "handle_join",
    "handle_message",
    "handle_presence_join",
    "handle_presence_leave",
    "handle_presence_sync",
    "handle_reply",
    "handle_push_failed",
    "handle_topic_close",
    "handle_leave",
)


class EventDescription(msgspec.Struct, frozen=True):
    """An event, or with `<callback>` in its name one of each callback."""

    name: EventName
    when: str
    measurements: tuple[str, ...]
    metadata: tuple[str, ...]

    def names(self) -> Iterator[EventName]:
        """Yield the names of the events that are meant."""
        if CALLBACK not in self.name:
            yield self.name
            return
        for callback in CALLBACK_NAMES:
            yield tuple(callback if part == CALLBACK else part for part in self.name)


# What the measurements and the metadata are; times are in seconds.
KEYS = {
    "monotonic_time": "`time.monotonic()` of the event",
    "system_time": "`time.time()` of the event",
    "duration": "how long it took, on the monotonic clock",
    "attempt": "the attempt's number, 1 for the first after a connection",
    "delay": "how long until it is made",
    "undelivered": "how many events the owner has not taken",
    "bytes_in": "bytes read since the last such event",
    "bytes_out": "bytes written since then",
    "frames_in": "websocket frames read since then",
    "frames_out": "websocket frames written, or queued to be, since then",
    "telemetry_span_context": "the same object in all events of one span",
    "start_time": "when the span began, a `datetime` in UTC",
    "socket": "the `Socket`, as it is at the event; of a callback, as it was given to it, and of"
    " `init` there is none yet (`None`)",
    "configuration": "the `Configuration`",
    "response_headers": "the headers of the server's answer to the upgrade",
    "topic": "the topic",
    "params": "the join's params, as `join` was given them: callables are not evaluated",
    "response": "the server's response; of a push, the reply's, if there was one",
    "client": "the client's class",
    "callback": "the method's name: the callback's, or that of a handler by pattern",
    "arguments": "the positional arguments of the callback, the socket included",
    "return": "what the callback returned; of a connection's message, `None`",
    "event": "the push's event",
    "payload": "the push's payload",
    "ref": "the push's ref, as text",
    "outcome": '`"sent"` of a push that asks for no outcome, `"replied"` or `"failed"` of others',
    "status": "the reply's status, or `None`",
    "reason": "the exception, or the reason of a failure: see `slipstream_actor.reasons`",
    "kind": '`"error"`, or `"exit"` for an exception that is no `Exception`',
    "stacktrace": "the exception's traceback; `None` of a failure that is no exception",
    "connection_id": "16 hex digits, of the one connection",
    "trace_id": "32 hex digits, of the one connection",
    "span_id": "16 hex digits, of the one span",
    "state": "the `ConnectionState`, as `get_state` has it",
    "start_state": "the `ConnectionState` before",
    "end_state": "the `ConnectionState` after",
    "termination_reason": "why the connection ended: see `slipstream_actor.reasons`",
    "raw_message": "what was in the connection's mailbox",
    "message": "the same",
    "events": "the events that its owner was told of it, a tuple",
    "built_events": "the same",
    "event_name": "the event that it failed at",
    "handler_id": "the id that it was attached with",
}

START = ("monotonic_time", "system_time")
END = ("duration", "monotonic_time")
SPAN = ("telemetry_span_context", "start_time")
EXCEPTION = ("kind", "reason", "stacktrace")
CONNECTION = ("connection_id", "trace_id")


def spans(
    prefix: EventName,
    texts: tuple[str, ...],
    metadata: tuple[str, ...],
    stop: tuple[str, ...],
    *,
    only_at_start: tuple[str, ...] = (),
) -> Iterator[EventDescription]:
    """Yield start and stop of a span, and the exception if `texts` has a third."""
    ended = tuple(key for key in metadata if key not in only_at_start)
    yield EventDescription((*prefix, "start"), texts[0], START, (*metadata, *SPAN))
    yield EventDescription((*prefix, "stop"), texts[1], END, (*ended, *stop, *SPAN))
    if texts[2:]:
        yield EventDescription((*prefix, "exception"), texts[2], END, (*ended, *EXCEPTION, *SPAN))


def of_a_client(name: str) -> EventName:
    """Return the name of an event in the thread of a socket's owner."""
    return ("slipstream", "client", name)


def of_a_connection(name: str) -> EventName:
    """Return the name of an event in the thread of a connection."""
    return ("slipstream", "connection", name)


EVENTS: tuple[EventDescription, ...] = (
    *spans(
        of_a_client("connect"),
        (
            "an attempt to connect begins: `connect`, or a reconnect whose delay is over",
            "it is connected",
            "the attempt failed, was ended by us, or gave way to another",
        ),
        ("configuration", "socket"),
        ("response_headers",),
    ),
    EventDescription(
        of_a_client("reconnect"),
        "`socket.reconnect()` has scheduled an attempt",
        ("attempt", "delay", *START),
        ("configuration", "socket"),
    ),
    *spans(
        of_a_client("join"),
        (
            "a join is asked for: `join`, or a rejoin whose time has come",
            "the topic is joined",
            "the join was refused, timed out, was left, or its connection ended",
        ),
        ("socket", "topic", "params"),
        ("response",),
    ),
    *spans(
        of_a_client("push"),
        (
            "`push` is called",
            "its outcome is known; of a push that asks for none, that it was sent",
            "`push` raised: it was not sent",
        ),
        ("socket", "topic", "event", "payload", "ref"),
        ("outcome", "status", "response", "reason"),
        only_at_start=("socket", "payload"),
    ),
    *spans(
        of_a_client(CALLBACK),
        ("the callback is called", "it has returned", "it raised"),
        ("client", "callback", "arguments", "socket"),
        ("return",),
    ),
    *spans(
        of_a_connection("connect"),
        ("a connection's actor begins", "it ends, whether it ever connected or not"),
        ("state", "span_id", *CONNECTION),
        ("termination_reason",),
    ),
    *spans(
        of_a_connection("handle"),
        (
            "a connection takes a message: a command, readiness of its socket, a deadline",
            "it has handled the message",
            "it has crashed",
        ),
        ("start_state", "raw_message", "span_id", *CONNECTION),
        ("message", "events", "built_events", "return", "end_state"),
    ),
    *spans(
        of_a_connection("heartbeat"),
        (
            "a heartbeat is sent; those that follow it while reading stands still are of its span",
            "the last one is answered; the duration is the round trip, from when its bytes were"
            " written, or from when reading went on",
            "it is not answered before the next one is due, or before the connection ends;"
            " the time in which reading stands still does not count",
        ),
        ("configuration", *CONNECTION),
        (),
    ),
    EventDescription(
        (*of_a_connection("backpressure"), "paused"),
        "more than `high_watermark` events, or more than `max_undelivered_bytes`, wait for their"
        " owner: reading stops",
        ("undelivered", *START),
        ("configuration", *CONNECTION),
    ),
    EventDescription(
        (*of_a_connection("backpressure"), "resumed"),
        "down to `low_watermark`, and a quarter of those bytes: reading goes on; the duration is"
        " how long it stood still",
        ("undelivered", *END),
        ("configuration", *CONNECTION),
    ),
    EventDescription(
        of_a_connection("traffic"),
        "bytes went in or out: once for all that was read or written in one go",
        ("bytes_in", "bytes_out", "frames_in", "frames_out", "monotonic_time"),
        ("configuration", *CONNECTION),
    ),
    EventDescription(
        ("telemetry", "handler", "failure"),
        "a handler raised, and has been detached",
        START,
        ("event_name", "handler_id", *EXCEPTION),
    ),
)


def names() -> list[EventName]:
    """Return the names of all events, for `attach_many`."""
    return [name for description in EVENTS for name in description.names()]


def find(event: EventName) -> EventDescription:
    """Return the description of an event; `KeyError` when there is none."""
    for description in EVENTS:
        if event in description.names():
            return description
    raise KeyError(event)


def tables() -> str:
    """Return the table of events and that of keys for the documentation, in Markdown."""
    rows = ["| event | when | measurements; metadata |", "|---|---|---|"]
    for event in EVENTS:
        tells = f"{coded(event.measurements)};<br>{coded(event.metadata)}"
        rows.append(f"| `{'.'.join(event.name)}` | {event.when} | {tells} |")
    rows += ["", "| key | what it is |", "|---|---|"]
    rows += [f"| `{key}` | {text} |" for key, text in KEYS.items()]
    return "\n".join(rows)


def coded(keys: tuple[str, ...]) -> str:
    """Return keys for a cell."""
    return ", ".join(f"`{key}`" for key in keys)
